package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	stdimage "image"
	"image/png"
	"math"
	"net/url"
	"os"
	"strings"
	"testing"

	"unet/unet/formats"
	"unet/unet/instance"
	"unet/unet/segment"
)

// TestColours: where more nuclei are in sight than are listed, their outlines have the
// colours of a measurement, of the model's nuclei and of corrected ones.
func TestColours(t *testing.T) {
	few := mostShown
	mostShown = 1
	t.Cleanup(func() { mostShown = few })
	w := newSite(t)
	w.segment()
	w.small()
	path := "/api/v1/images/" + w.images()[0].ID
	list := func(by string) (d shownNuclei) {
		t.Helper()
		status, body := w.do("GET", path+"/nuclei?window=0,0,96,96&colour="+url.QueryEscape(by), "")
		if err := json.Unmarshal([]byte(body), &d); status != 200 || err != nil {
			t.Fatal(status, body)
		}
		return d
	}
	for revision := range 2 {
		all := map[uint32]instance.Nucleus{}
		d, _, err := w.s.copyOf(t.Context(), w.find(w.images()[0].ID), "")
		if err != nil {
			t.Fatal(err)
		}
		d.each(func(n *instance.Nucleus) error { all[n.ID] = *n; return nil })
		d.history.close()
		for by, value := range map[string]func(n instance.Nucleus) float64{
			"area":       func(n instance.Nucleus) float64 { return float64(n.Area) },
			"mean_1":     func(n instance.Nucleus) float64 { return n.Channels[0].Mean },
			"confidence": func(n instance.Nucleus) float64 { return n.Confidence },
			"x>50":       func(n instance.Nucleus) float64 { return map[bool]float64{true: 1}[n.X > 50] },
		} {
			d := list(by)
			if !d.TooMany || d.Range == nil || !d.Rated || len(d.Nuclei) > 0 || d.Revision != revision {
				t.Fatalf("%s: %+v", by, d)
			}
			_, body := w.do("GET", fmt.Sprintf("%s/outlines/0/0/0?revision=%d&colour=%s", path, revision, url.QueryEscape(by)), "")
			m, err := png.Decode(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for id, n := range all {
				want := float64(firstStep - 1)
				if v := value(n); v != 0 || by != "confidence" {
					want = firstStep + min(max((v-d.Range[0])/max(d.Range[1]-d.Range[0], 1e-12), 0), 1)*(rampSteps-1)
				}
				run := n.Runs[0]
				if got := m.(*stdimage.Paletted).ColorIndexAt(run.X0, run.Y); math.Abs(float64(got)-want) > 1 {
					t.Errorf("revision %d: nucleus %d has colour %d by %s, want %.1f", revision, id, got, by, want)
				}
			}
		}
		if revision == 0 {
			if status, body := w.do("POST", path+"/edits", `{"tool":"grow","ids":[1],"revision":0}`); status != 200 {
				t.Fatal(status, body)
			}
		}
	}
	for _, by := range []string{"beauty", "area>much"} {
		if status, _ := w.do("GET", path+"/outlines/0/0/0?colour="+url.QueryEscape(by), ""); status != 400 {
			t.Errorf("coloured by %s: %d", by, status)
		}
	}
}

// TestPositiveAsTables: a nucleus is positive on the page where it is in the tables,
// which round what is compared with the threshold.
func TestPositiveAsTables(t *testing.T) {
	w := newSite(t)
	w.segment()
	d, _, err := w.s.copyOf(t.Context(), w.find(w.images()[0].ID), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.history.close()
	sheet := d.source.Sheet()
	var id uint32
	var m segment.MarkerRecord // of which the nucleus is just not positive
	d.each(func(n *instance.Nucleus) error {
		for k, v := range sheet.Append(nil, n) {
			if rounded := formats.Rounded(v); v > rounded {
				id, m = n.ID, segment.MarkerRecord{Name: "A", Column: sheet.Columns[k].Name, Threshold: segment.Number(rounded)}
			}
		}
		return nil
	})
	if id == 0 {
		t.Fatal("no measurement is rounded down")
	}
	d.im.markers = []segment.MarkerRecord{m}
	list, err := d.show(stdimage.Rect(0, 0, d.w, d.h), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list.Nuclei {
		if n.ID == id && (n.Positive[0] == nil || *n.Positive[0]) {
			t.Errorf("nucleus %d is positive by %+v", id, m)
		}
	}
	if err := os.Remove(w.s.output(d.im, "", segment.CSV)); err != nil { // then all is measured
		t.Fatal(err)
	}
	if values, err := d.values(fmt.Sprintf("%s>%v", m.Column, m.Threshold)); err != nil || values[id] != 0 {
		t.Errorf("nucleus %d has the colour of positive ones by %+v: %v", id, m, err)
	}
}

// TestOutlines: tiles of outlines lie on the borders of labels, at every size of the
// picture, and follow edits.
func TestOutlines(t *testing.T) {
	w := newSite(t)
	w.segment()
	m := w.images()[0]
	path := "/api/v1/images/" + m.ID
	tile := func(at string, revision int) *stdimage.Paletted {
		t.Helper()
		status, body := w.do("GET", fmt.Sprintf("%s/outlines/%s?revision=%d", path, at, revision), "")
		p, err := png.Decode(bytes.NewReader([]byte(body)))
		if status != 200 || err != nil {
			t.Fatalf("%s: %d %v", at, status, err)
		}
		return p.(*stdimage.Paletted)
	}
	d, _, err := w.s.copyOf(t.Context(), w.find(m.ID), "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.history.close()
	l := all(t, d.history)
	whole := tile("0/0/0", 0)
	if whole.Rect.Dx() != l.W || whole.Rect.Dy() != l.H {
		t.Fatalf("a tile of %v", whole.Rect)
	}
	for y := 1; y < l.H-1; y++ {
		for x := 1; x < l.W-1; x++ {
			i := y*l.W + x
			id, inner := l.ID[i], true
			for _, k := range []int{i - 1, i + 1, i - l.W, i + l.W} {
				inner = inner && l.ID[k] == id
			}
			want := uint8(0)
			switch {
			case !inner && id == 0:
				want = casing
			case !inner:
				want = outlineColour(id)
			}
			if got := whole.ColorIndexAt(x, y); got != want {
				t.Fatalf("pixel (%d, %d) of nucleus %d has colour %d, want %d", x, y, id, got, want)
			}
		}
	}
	// Smaller, from the labels and from the boxes: each nucleus has its colour near its
	// edges, and nothing lies far from all.
	for level := 1; level <= labelLevel+1; level++ {
		small, scale := tile(fmt.Sprintf("%d/0/0", level), 0), 1<<level
		seen := map[uint8]bool{}
		for y := range small.Rect.Dy() {
			for x := range small.Rect.Dx() {
				c := small.ColorIndexAt(x, y)
				if c < firstColour {
					continue
				}
				seen[c] = true
				near := false
				for id, p := range d.nuclei.at {
					near = near || outlineColour(id) == c && stdimage.Rect(x*scale, y*scale, x*scale+scale, y*scale+scale).Overlaps(p.rect().Inset(-scale))
				}
				if !near {
					t.Errorf("level %d: (%d, %d) has the colour of a nucleus far away", level, x, y)
				}
			}
		}
		if len(seen) != m.Count {
			t.Errorf("level %d: %d nuclei of %d", level, len(seen), m.Count)
		}
	}
	if status, body := w.do("POST", path+"/edits", `{"tool":"delete","ids":[1],"revision":0}`); status != 200 {
		t.Fatal(status, body)
	}
	if after := tile("0/0/0", 1); bytes.IndexByte(after.Pix, outlineColour(1)) >= 0 {
		t.Error("a deleted nucleus is outlined")
	}
	for _, at := range []string{"0/1/0", "40/9/9"} {
		if status, _ := w.do("GET", path+"/outlines/"+at, ""); status != 404 {
			t.Errorf("tile %s, which is not there: %d", at, status)
		}
	}
}
