package serve

import (
	"encoding/json"
	"fmt"
	stdimage "image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
	"unet/unet/segment"
)

// small makes all images count as large for a test.
func small(t testing.TB) {
	before, held := largePixels, heldPixels
	largePixels, heldPixels = 1<<13, 1<<13
	t.Cleanup(func() { largePixels, heldPixels = before, held })
}

// small opens the folder anew with all images counting as large: nothing of the server
// before runs meanwhile.
func (w *site) small() {
	w.t.Helper()
	w.s.Close()
	small(w.t)
	w.again()
}

// noise writes a gray TIFF of several pages and returns the samples of the first.
func noise(t *testing.T, name string, w, h, pages int) []float32 {
	t.Helper()
	f, err := tiff.Create(name, tiff.Options{W: w, H: h, Bits: 16, Pages: pages})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var first []float32
	for p := range pages {
		ids := make([]uint32, w*h)
		for i := range ids {
			ids[i] = rng.Uint32N(3000) + uint32(1000*p)
		}
		if p == 0 {
			for _, v := range ids {
				first = append(first, float32(v))
			}
		}
		if err := f.WriteLabels(ids); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return first
}

func openTest(t *testing.T, name string) *picture {
	t.Helper()
	p, err := openPicture(&image{ID: "test", Name: filepath.Base(name), stamp: stampOf(name)}, name, filepath.Join(filepath.Dir(name), "overviews"), segment.Choice{}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// means are those over blocks of by x by pixels.
func means(pix []float32, w, h, by int) []float32 {
	var out []float32
	for y := 0; y < h; y += by {
		for x := 0; x < w; x += by {
			sum, n := 0.0, 0.0
			for v := y; v < min(y+by, h); v++ {
				for u := x; u < min(x+by, w); u++ {
					sum, n = sum+float64(pix[v*w+u]), n+1
				}
			}
			out = append(out, float32(sum/n))
		}
	}
	return out
}

func near2(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x-y)) < 0.01 })
}

// TestReduced: any part of the picture at any scale is the mean of the pixels.
func TestReduced(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.tif")
	pix := noise(t, name, 131, 77, 3)
	p := openTest(t, name)
	if len(p.refs) != 3 {
		t.Fatalf("%d planes of 3", len(p.refs))
	}
	for _, by := range []int{1, 2, 4, 16, 256} {
		w, h := (131+by-1)/by, (77+by-1)/by
		want := means(pix, 131, 77, by)
		got, whole, err := p.reduced(0, 0, float64(by), stdimage.Rect(0, 0, w, h))
		if err != nil || !whole || !near2(got.Pix, want) {
			t.Errorf("1/%d: whole %v, %v", by, whole, err)
		}
		if w < 4 {
			continue
		}
		part, _, err := p.reduced(0, 0, float64(by), stdimage.Rect(1, 1, 3, 3))
		if err != nil || !near2(part.Pix, []float32{want[w+1], want[w+2], want[2*w+1], want[2*w+2]}) {
			t.Errorf("a part at 1/%d differs: %v", by, err)
		}
	}
}

// TestOverview: a large plane without smaller versions gets them once; they are
// means, found again later, and made anew when the file has changed.
func TestOverview(t *testing.T) {
	small(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "a.tif")
	pix := noise(t, name, 700, 300, 1)
	p := openTest(t, name)
	all := stdimage.Rect(0, 0, 88, 38)
	if m, whole, err := p.reduced(0, 0, 8, all); err != nil || whole || m.Pix[0] == m.Pix[0] {
		t.Fatalf("before there is an overview: whole %v, %v", whole, err)
	}
	if u, err := p.window(0, 0); err != nil || u.White < 2000 || u.White > 3000 {
		t.Errorf("before there is an overview white is %g: %v", u.White, err)
	}
	parts := 0.0
	if err := p.overview(0, 0).make(p, func(done float64) error {
		parts++
		m, whole, err := p.reduced(0, 0, 64, stdimage.Rect(0, 0, 11, 5))
		if err != nil || whole || m.Pix[0] != m.Pix[0] {
			t.Errorf("nothing is shown of what is made: whole %v, %v", whole, err)
		}
		return nil
	}); err != nil || parts < 2 {
		t.Fatalf("%v after %g parts", err, parts)
	}
	for _, p := range []*picture{p, openTest(t, name)} {
		m, whole, err := p.reduced(0, 0, 8, all)
		if err != nil || !whole || !near2(m.Pix, means(pix, 700, 300, 8)) {
			t.Errorf("the overview is not the mean: whole %v, %v", whole, err)
		}
	}
	before, _ := filepath.Glob(filepath.Join(dir, "overviews", "*"))
	noise(t, name, 710, 300, 1)
	p = openTest(t, name)
	if _, whole, err := p.reduced(0, 0, 8, all); err != nil || whole {
		t.Errorf("the overview of another file is shown: %v", err)
	}
	if err := p.overview(0, 0).make(p, func(float64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	after, _ := filepath.Glob(filepath.Join(dir, "overviews", "*"))
	if len(after) != len(before) || slices.Equal(before, after) {
		t.Errorf("overviews %v, then %v", before, after)
	}
}

// TestPyramid: the levels of a file are used as they are.
func TestPyramid(t *testing.T) {
	name := "../imageio/testdata/ome-pyramid.ome.tif"
	p := openTest(t, name)
	if len(p.levels) < 2 {
		t.Fatalf("%d levels", len(p.levels))
	}
	for k, s := range p.levels {
		f, err := imageio.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.UseLevel(k); err != nil {
			t.Fatal(err)
		}
		want, err := f.ReadPlane(0)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		got, whole, err := p.reduced(0, 0, s.factor, stdimage.Rect(0, 0, want.W, want.H))
		if err != nil || !whole || !slices.Equal(got.Pix, want.Pix) {
			t.Errorf("level %d is not shown as it is: whole %v, %v", k, whole, err)
		}
	}
}

// square is an image of a bright square in the middle, as bytes.
func square(side int) string {
	b := make([]byte, side*side)
	for i := range b {
		if x, y := i%side, i/side; min(x, y) > side/3 && max(x, y) < side*2/3 {
			b[i] = 200
		}
	}
	return string(b)
}

// TestPyramidBySize: where the size of pixels chooses a level of the file, that level
// is what is shown and corrected.
func TestPyramidBySize(t *testing.T) {
	w := newSite(t)
	const array = `{"zarr_format": 2, "shape": [%[1]d, %[1]d], "chunks": [%[1]d, %[1]d], "dtype": "|u1", "compressor": null, "filters": null, "order": "C", "fill_value": 0}`
	for name, text := range map[string]string{
		".zattrs": `{"multiscales": [{"version": "0.4", "axes": [{"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}], "datasets": [
			{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.25, 0.25]}]},
			{"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5]}]}]}]}`,
		"0/.zarray": fmt.Sprintf(array, 64), "1/.zarray": fmt.Sprintf(array, 32),
		"0/0.0": square(64), "1/0.0": square(32),
	} {
		file := filepath.Join(w.dir, "p.zarr", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list := w.images()
	path := "/api/v1/images/" + list[slices.IndexFunc(list, func(m listed) bool { return m.Name == "p.zarr" })].ID
	shape := func() (v view) {
		t.Helper()
		status, body := w.do("GET", path+"/view", "")
		if err := json.Unmarshal([]byte(body), &v); status != 200 || err != nil {
			t.Fatal(status, body)
		}
		return v
	}
	if got := shape(); got.Width != 64 || got.PixelSize.X != 0.25 {
		t.Errorf("%d pixels of %v are shown at first", got.Width, got.PixelSize)
	}
	for want, width := range map[string]int{"0.5": 32, "0.25": 64} {
		if status, body := w.do("POST", "/api/v1/segment", `{"again":true,"settings":{"pixel-size":"`+want+`"}}`); status != 202 {
			t.Fatal(status, body)
		}
		w.s.work.Wait()
		if got := shape(); got.Width != width || fmt.Sprint(got.PixelSize.X) != want {
			t.Errorf("%s: %d pixels of %v are shown", want, got.Width, got.PixelSize)
		}
		if status, body := w.do("GET", path+"/nuclei", ""); status != 200 || !strings.Contains(body, `"segmented":true`) {
			t.Errorf("%s: nuclei: %d %s", want, status, body)
		}
	}
}

// TestPlanes: every plane of a file is looked at, segmented and corrected.
func TestPlanes(t *testing.T) {
	w := newSite(t)
	b, err := os.ReadFile("../imageio/testdata/ome-ctzyx.ome.tif")
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(w.dir, "z.ome.tif"), b, 0o644)
	noise(t, filepath.Join(w.dir, "pages.tif"), 64, 64, 3)
	for _, m := range w.images()[2:] {
		var v view
		status, body := w.do("GET", "/api/v1/images/"+m.ID+"/view?plane=1", "")
		if err := json.Unmarshal([]byte(body), &v); status != 200 || err != nil || v.Plane != 1 || len(v.Planes) < 2 || len(v.Channels) == 0 {
			t.Fatalf("%s: %d %.300s", m.Name, status, body)
		}
		other := map[string]bool{}
		for k := range v.Planes {
			show := fmt.Sprintf("%d,%g,%g,00ff00", len(v.Channels)-1, v.Channels[len(v.Channels)-1].Low, v.Channels[len(v.Channels)-1].High)
			status, body := w.do("GET", fmt.Sprintf("/api/v1/images/%s/tiles/0/0/0?plane=%d&channels=%s", m.ID, k, show), "")
			if status != 200 {
				t.Fatalf("%s, plane %d: %d %s", m.Name, k, status, body)
			}
			other[body] = true
		}
		if len(other) < 2 {
			t.Errorf("%s: all %d planes look the same", m.Name, len(v.Planes))
		}
		for _, bad := range []string{"/view?plane=999", "/view?plane=x", "/tiles/0/0/0?channels=9,0,1,ffffff", "/tiles/0/0/0?channels=nonsense", "/tiles/0/9/0", "/tiles/40/0/0", "/tiles/64/0/0", "/nuclei?window=1"} {
			if status, body := w.do("GET", "/api/v1/images/"+m.ID+bad, ""); status/100 != 4 {
				t.Errorf("%s: %d %s", bad, status, body)
			}
		}
	}
	w.segment()
	m := w.images()[2]
	if !strings.HasPrefix(m.Name, "pages") {
		t.Fatal(m.Name)
	}
	edit := fmt.Sprintf("/api/v1/images/%s/edits?plane=%%d", m.ID)
	draw := `{"tool":"draw","points":[[2,2],[20,2],[20,20],[2,20]],"revision":0}`
	for _, k := range []int{0, 2} {
		if status, body := w.do("POST", fmt.Sprintf(edit, k), draw); status != 200 {
			t.Fatalf("plane %d: %d %s", k, status, body)
		}
	}
	if got := w.images()[2]; !got.Corrected || got.Count != m.Count+2 {
		t.Errorf("two nuclei drawn in two planes: %+v, before %+v", got, m)
	}
	journals, _ := filepath.Glob(filepath.Join(w.dir, "unet", "corrections", "pages.tif_*.journal"))
	if len(journals) != 2 {
		t.Errorf("journals: %v", journals)
	}
}

// TestLarge: an image that is too large to be held is corrected by windows, to the
// same labels and measurements.
func TestLarge(t *testing.T) {
	w := newSite(t)
	w.segment()
	m := w.images()[0]
	path := "/api/v1/images/" + m.ID
	edits := []string{`{"tool":"grow","ids":[1],"revision":0}`, `{"tool":"split","ids":[2],"points":[[60,0],[60,96]],"revision":1}`,
		`{"tool":"draw","points":[[80,80],[90,80],[90,90],[80,90]],"revision":2}`, `{"tool":"delete","ids":[3],"revision":3}`, `{"tool":"undo","revision":4}`}
	for _, e := range edits {
		if status, body := w.do("POST", path+"/edits", e); status != 200 {
			t.Fatal(status, body)
		}
	}
	want := map[string]string{}
	for _, format := range exported {
		_, want[format] = w.do("GET", path+"/export/"+format, "")
	}
	w.small()
	for _, format := range []string{segment.CSV, segment.GeoJSON, segment.ROI} {
		if _, got := w.do("GET", path+"/export/"+format, ""); !alike(got, want[format]) {
			t.Errorf("%s differs where the image counts as large:\n%s\nwant\n%s", format, got, want[format])
		}
	}
	_, labels := w.do("GET", path+"/export/labels", "")
	got, err := imageio.DecodeLabels("a.tif", []byte(labels))
	if err != nil {
		t.Fatal(err)
	}
	if l, err := imageio.DecodeLabels("b.tif", []byte(want[segment.Labels])); err != nil || !slices.Equal(l.ID, got.ID) {
		t.Errorf("labels differ where the image counts as large: %v", err)
	}
	var all, part shownNuclei
	_, body := w.do("GET", path+"/nuclei?window=0,0,96,96", "")
	if err := json.Unmarshal([]byte(body), &all); err != nil || all.Count != len(all.Nuclei) || all.Count == 0 {
		t.Fatalf("%v %s", err, body)
	}
	_, body = w.do("GET", path+"/nuclei?window=10,10,20,20", "")
	if err := json.Unmarshal([]byte(body), &part); err != nil || len(part.Nuclei) != 1 || part.Nuclei[0].Area != all.Nuclei[0].Area || part.Count != all.Count {
		t.Errorf("a window on the first nucleus: %v %s", err, body)
	}
	if status, body := w.do("POST", path+"/edits", `{"tool":"join","ids":[1,2],"revision":5}`); status != 200 {
		t.Errorf("an edit of a large image: %d %s", status, body)
	}
}

// TestMaskOfLarge: the mask of an image that is too large to be held has the format
// that its name says, among the results and where it is saved: PNG, or TIFF of a plane
// that was segmented in bands.
func TestMaskOfLarge(t *testing.T) {
	w := newSite(t)
	if status, body := w.do("POST", "/api/v1/segment", `{"settings":{"format":"mask"}}`); status != 202 {
		t.Fatal(status, body)
	}
	w.s.work.Wait()
	m := w.images()[0]
	export := func() (disposition, body string) {
		r := w.get("/api/v1/images/" + m.ID + "/export/mask")
		return r.Header().Get("Content-Disposition"), r.Body.String()
	}
	pixels := func(body string) []byte {
		img, err := png.Decode(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return img.(*stdimage.Gray).Pix
	}
	w.edit(m, `{"tool":"delete","ids":[1]}`, 200)
	_, whole := export()
	w.small()
	for _, edit := range []string{`{"tool":"undo","revision":1}`, `{"tool":"redo","revision":2}`} {
		w.edit(m, edit, 200)
		if err := w.s.settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	name, body := export()
	file, err := os.ReadFile(filepath.Join(w.dir, "unet", "0.mask.png"))
	if err != nil || !strings.Contains(name, "0.mask.png") || !slices.Equal(pixels(body), pixels(whole)) || !slices.Equal(pixels(string(file)), pixels(whole)) {
		t.Errorf("%v, %s: other pixels", err, name)
	}
	w.s.records()[m.Name].Record.Planes[0].Banded = true
	if name, body := export(); !strings.Contains(name, "0.mask.tif") || !strings.HasPrefix(body, "II*") {
		t.Errorf("of a plane segmented in bands: %s begins with %q", name, body[:4])
	}
}

// alike compares texts whose numbers may differ in the last digits.
func alike(a, b string) bool {
	if a == b {
		return true
	}
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(",:[]{}\n\"", r) })
	}
	x, y := split(a), split(b)
	return slices.EqualFunc(x, y, func(p, q string) bool {
		var u, v float64
		if p == q {
			return true
		}
		_, err1 := fmt.Sscan(p, &u)
		_, err2 := fmt.Sscan(q, &v)
		return err1 == nil && err2 == nil && math.Abs(u-v) <= 1e-8*max(1, math.Abs(u))
	})
}

// TestTwoServers: the second on a folder is refused, and told why; when the first
// ends, the next may have it.
func TestTwoServers(t *testing.T) {
	w := newSite(t)
	_, err := New(Options{Dir: w.dir})
	busy, ok := err.(*BusyError)
	if !ok || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || busy.Hint() == "" {
		t.Fatalf("a second server on the folder: %v", err)
	}
	w.s.Close()
	s, err := New(Options{Dir: w.dir})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// TestAgain: new results replace those that nobody has corrected, also where edits
// were taken back, and never those that somebody has.
func TestAgain(t *testing.T) {
	w := newSite(t)
	w.segment()
	list := w.images()
	edit := func(id, body string) {
		t.Helper()
		if status, text := w.do("POST", "/api/v1/images/"+id+"/edits", body); status != 200 {
			t.Fatal(status, text)
		}
	}
	edit(list[0].ID, `{"tool":"delete","ids":[1],"revision":0}`)
	edit(list[1].ID, `{"tool":"delete","ids":[1],"revision":0}`)
	edit(list[1].ID, `{"tool":"reset","revision":1}`)
	if status, body := w.do("POST", "/api/v1/segment", `{"again":true,"settings":{"threshold":0.9}}`); status != 202 || !strings.Contains(body, "") {
		t.Fatal(status, body)
	}
	w.s.work.Wait()
	if _, body := w.do("GET", "/api/v1/job", ""); !strings.Contains(body, "1 corrected images were left") {
		t.Errorf("nobody is told of the image left out: %s", body)
	}
	now := w.images()
	if !now[0].Corrected || now[0].Count != list[0].Count-1 || now[1].Corrected {
		t.Errorf("after new results: %+v, before %+v", now, list)
	}
	if files, _ := filepath.Glob(filepath.Join(w.dir, "unet", "corrections", "1*")); len(files) != 0 {
		t.Errorf("edits that were taken back are left: %v", files)
	}
	edit(list[1].ID, `{"tool":"delete","ids":[2],"revision":0}`)
	if status, _ := w.do("POST", "/api/v1/segment", `{"again":true,"images":["`+list[0].ID+`"]}`); status != 409 {
		t.Errorf("a corrected image is segmented again: %d", status)
	}
}
