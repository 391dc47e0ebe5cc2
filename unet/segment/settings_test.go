package segment

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// TestParamsAt: the least area of a model is in pixels of the scale it was
// trained at, one that was asked for in those of the image.
func TestParamsAt(t *testing.T) {
	s := &Segmenter{params: instance.Params{MinArea: 16}}
	for _, c := range []struct {
		scale float64
		want  int
	}{{1, 16}, {2, 4}, {0.5, 64}} {
		if got := s.paramsAt(c.scale).MinArea; got != c.want {
			t.Errorf("the model's 16 pixels at scale %v are %d of the image, want %d", c.scale, got, c.want)
		}
		asked := *s
		asked.options.MinArea = new(int)
		if got := asked.paramsAt(c.scale).MinArea; got != 16 {
			t.Errorf("16 pixels of the image at scale %v became %d", c.scale, got)
		}
	}
}

// TestSizeWarning: at native scale, nuclei that the model does not know are
// warned of, small ones as well as large ones; a handful tells nothing, nor does a
// model that resizes images.
func TestSizeWarning(t *testing.T) {
	s := &Segmenter{model: &unet.Model{Card: unet.Card{Diameter: [3]float64{10, 20, 50}}}, diameter: Diameter{Native: true}} // knows 8 to 100
	for _, c := range []struct {
		name     string
		nuclei   int
		diameter float64
		warns    bool
	}{
		{"usual", 9, 20, false}, {"just known", 9, 8, false}, {"small", 9, 7.9, true}, {"large", 9, 101, true}, {"small but few", 4, 7, false},
	} {
		if got := s.sizes().warning(instance.Summary{Count: c.nuclei, DiameterMedian: c.diameter}, 1); (got != "") != c.warns {
			t.Errorf("%s: warning %q", c.name, got)
		}
	}
	s.diameter = Diameter{Pixels: 7}
	if got := s.sizes().warning(instance.Summary{Count: 9, DiameterMedian: 7}, 20.0/7); got != "" {
		t.Errorf("a diameter was given, and yet %q", got)
	}
	s.diameter, s.model.Card.Input.Size = Diameter{Native: true}, 128
	if got := s.sizes().warning(instance.Summary{Count: 9, DiameterMedian: 7}, 1); got != "" {
		t.Errorf("the model resizes every image, and yet %q", got)
	}
}

// TestMask: a paper model's mask is its map above the threshold, whatever
// became of nuclei; another model's is its nuclei.
func TestMask(t *testing.T) {
	l := &imageio.Labels{W: 4, H: 1, ID: []uint32{0, 0, 3, 0}}
	m := instance.NewMaps(4, 1, instance.Foreground)
	copy(m.Pix, []float32{0.25, 0.5, 0.25, 0.75})
	for kind, want := range map[string][]uint8{unet.Paper: {0, 0, 0, 255}, unet.Nuclei: {0, 0, 255, 0}} {
		r := &run{Segmenter: &Segmenter{model: &unet.Model{Card: unet.Card{Kind: kind}}, threshold: 0.5}}
		got := r.mask(l, m)
		if !slices.Equal(got.Pix, want) {
			t.Errorf("%s: %v, want %v", kind, got.Pix, want)
		}
	}
}

// TestTable: images of different channels share a table. Every value stands
// under its own column, and a cell is empty where an image has no such channel.
func TestTable(t *testing.T) {
	record := func(name string, channels ...string) *ImageRecord {
		p := PlaneRecord{Width: 10, Height: 10, Scale: 1, Channels: channels}
		for _, c := range channels {
			p.Statistics.Intensity = append(p.Statistics.Intensity, Number(len(c)))
		}
		return &ImageRecord{Name: name, Planes: []PlaneRecord{p}}
	}
	s := &Summary{Images: []*ImageRecord{record("one", "DAPI"), record("two", "GFP", "DAPI", "phase"), {Name: "broken"}, record("three", "phase"),
		{Name: "unreadable", Status: Failed, Error: "why"}}}
	rows := s.table()
	header := rows[0]
	for i, want := range []map[string]string{
		{"image": "one", "mean_DAPI": "4", "scale": "1"},
		{"image": "two", "mean_DAPI": "4", "mean_GFP": "3", "mean_phase": "5", "scale": "1"},
		{"image": "three", "mean_phase": "5", "scale": "1"},
		{"image": "unreadable", "error": "why"},
	} {
		row := rows[i+1]
		for k, column := range header {
			if strings.HasPrefix(column, "mean_") || column == "image" || column == "scale" || column == "error" {
				if row[k] != want[column] {
					t.Errorf("row %d, %s: %q, want %q", i+1, column, row[k], want[column])
				}
			}
		}
	}
	if len(rows) != 5 {
		t.Errorf("%d rows", len(rows))
	}
	for _, column := range header {
		if !strings.HasPrefix(column, "mean_") && !slices.ContainsFunc(formats.ImageColumns(), func(c formats.Column) bool { return c.Name == column }) {
			t.Errorf("no description of column %s", column)
		}
	}
}

// TestUsual: the middle nucleus, and the nucleus in which the middle pixel lies.
// Areas are π/4 of squares, so that diameters are their roots.
func TestUsual(t *testing.T) {
	area := func(diameter float64) int { return int(math.Round(math.Pi / 4 * diameter * diameter)) }
	for _, c := range []struct {
		name            string
		diameters       []float64
		byCount, byArea float64
	}{
		{"all alike", []float64{20, 20, 20}, 20, 20},
		{"an even number", []float64{20, 30, 20, 30}, 25, 30},
		{"a clump of more pixels than all others", []float64{10, 10, 10, 10, 100}, 10, 100},
		{"a clump of fewer", []float64{10, 10, 10, 10, 15}, 10, 10},
	} {
		var areas []int
		for _, d := range c.diameters {
			areas = append(areas, area(d))
		}
		if byCount, byArea := usual(areas); math.Abs(byCount-c.byCount) > 0.1 || math.Abs(byArea-c.byArea) > 0.1 {
			t.Errorf("%s: %.1f by count and %.1f by area, want %v and %v", c.name, byCount, byArea, c.byCount, c.byArea)
		}
	}
}

// TestReadEarlier: an earlier run counts if it was of the same model, settings
// and version of the manifest, and of its images those that did not fail.
func TestReadEarlier(t *testing.T) {
	same := Summary{Schema: schema, Model: ModelRecord{SHA256: "x"}, Settings: Settings{Formats: []string{Labels}, Threshold: 0.5},
		Images: []*ImageRecord{{Input: "done.png", Status: Done}, {Input: "kept.png", Status: Skipped}, {Input: "broken.png", Status: Failed}}}
	for _, c := range []struct {
		name   string
		change func(*Summary)
		counts bool
	}{
		{"the same", func(*Summary) {}, true},
		{"another model", func(s *Summary) { s.Model.SHA256 = "y" }, false},
		{"another threshold", func(s *Summary) { s.Settings.Threshold = 0.4 }, false},
		{"other formats", func(s *Summary) { s.Settings.Formats = []string{CSV} }, false},
		{"an older manifest", func(s *Summary) { s.Schema-- }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &results{observer: Quiet{}, batch: Batch{Out: t.TempDir()}}
			r.summary.Model.SHA256, r.summary.Settings = "x", same.Settings
			s := same
			c.change(&s)
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(r.batch.Out, ManifestFile), b, 0o600); err != nil {
				t.Fatal(err)
			}
			r.batch.SkipExisting, r.batch.Inputs = true, []Input{{Path: "done.png"}, {Path: "kept.png"}, {Path: "broken.png"}}
			r.goOn(r.readManifest())
			got := r.earlier
			if (got["done.png"] != nil) != c.counts || (got["kept.png"] != nil) != c.counts {
				t.Errorf("results count: %v", got)
			}
			if got["broken.png"] != nil {
				t.Error("a failed image counts as done")
			}
			// Results of images that are not this run's stay beside its own, whether or
			// not it skips those that it finds.
			for _, skip := range []bool{true, false} {
				r.batch.SkipExisting, r.batch.Inputs, r.earlier, r.others = skip, []Input{{Path: "done.png"}}, nil, nil
				r.goOn(r.readManifest())
				if c.counts != (len(r.others) == 1 && r.others[0].Input == "kept.png") {
					t.Errorf("skip %v: results of others: %v", skip, r.others)
				}
			}
		})
	}
}

// TestPositiveShare: nuclei whose value is not known are neither positive nor negative.
func TestPositiveShare(t *testing.T) {
	m := MarkerRecord{Name: "k", Threshold: 2}
	p := &PlaneRecord{Nuclei: 4, Positive: map[string]int{"k": 0}, Judged: map[string]int{"k": 0}}
	for value, want := range map[string]string{"1": "false", "3": "true", "": "", "+Inf": ""} {
		if got := m.judge(value, p); got != want {
			t.Errorf("%q is judged %q, want %q", value, got, want)
		}
	}
	if share := p.positiveShare("k"); share != 0.5 || m.Nuclei != 2 || m.Positive != 1 {
		t.Errorf("%d of %d positive, a share of %v; want 1 of 2", m.Positive, m.Nuclei, share)
	}
	if share := p.positiveShare("other"); !math.IsNaN(share) {
		t.Errorf("share %v of a marker that was not judged", share)
	}
}
