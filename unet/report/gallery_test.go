package report

import (
	"bytes"
	"fmt"
	"math"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestGalleryPages follows every link of the pages of many images: all orders
// show every image once, in order, and no page is long.
func TestGalleryPages(t *testing.T) {
	g := &Gallery{Page: Page{Title: "batch"}}
	const n = 1001
	for i := range n {
		g.Images = append(g.Images, GalleryImage{Name: fmt.Sprintf("a#%04d<b>.png", i), Thumbnail: fmt.Sprintf("thumbnails/a#%04d.jpg", i), W: 10, H: 10,
			Count: float64(i % 7), Diameter: math.NaN(), Confidence: float64(i) / n, Doubtful: 1})
	}
	g.Images[500].Error = "broken"
	pages := map[string]string{}
	if err := g.Write(func(name string, html []byte) error { pages[name] = string(html); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := len(orders) * 6; len(pages) != want {
		t.Errorf("%d pages, want %d", len(pages), want)
	}
	link := regexp.MustCompile(`<a href="([^"]+\.html)"`)
	shown := regexp.MustCompile(`<b>a#(\d+)&lt;b&gt;\.png</b>`)
	seen := map[string]int{}
	for name, html := range pages {
		for _, m := range link.FindAllStringSubmatch(html, -1) {
			if to := path.Join(path.Dir(name), m[1]); pages[to] == "" {
				t.Fatalf("%s links to %s, which is not there", name, to)
			}
		}
		list := shown.FindAllStringSubmatch(html, -1)
		if len(list) > perPage {
			t.Errorf("%s shows %d images", name, len(list))
		}
		for _, m := range list {
			seen[strings.SplitN(path.Base(name), "-", 2)[0]+m[1]]++
		}
		if strings.Contains(html, "<script") || strings.Contains(html, "http") && !strings.Contains(html, "http-equiv") {
			t.Errorf("%s has a script or loads something", name)
		}
		if strings.Contains(html, "ZgotmplZ") {
			t.Errorf("%s: a link was refused", name)
		}
	}
	for id, times := range seen {
		if times != 1 && !strings.HasPrefix(id, "index") && !strings.HasPrefix(id, "name") {
			t.Errorf("%s is shown %d times", id, times)
		}
	}
	first := func(page string) string { return shown.FindStringSubmatch(pages[page])[1] }
	for page, want := range map[string]string{"index.html": "0000", "pages/name-2.html": "0200", "pages/count-1.html": "0006",
		"pages/confidence-1.html": "0000", "pages/warnings-1.html": "0500"} {
		if got := first(page); got != want {
			t.Errorf("%s begins with image %s, want %s", page, got, want)
		}
	}
	if !strings.Contains(pages["pages/count-1.html"], `src="../thumbnails/a%230006.jpg"`) {
		t.Error("the thumbnail's address is not escaped")
	}
}

// TestManyBoxes: a drawing of ten thousand values stays small, and holds the farthest.
func TestManyBoxes(t *testing.T) {
	v := Group{Name: "many"}
	for i := range 10000 {
		v.Values = append(v.Values, math.Sqrt(float64(i)))
	}
	v.Values = append(v.Values, 317.2)
	var b bytes.Buffer
	Boxes("Nuclei", "a dot for each image", []Group{v}).svg(&b, false)
	if dots := strings.Count(b.String(), "<circle"); dots < 100 || dots > 1000 || !strings.Contains(b.String(), "317.2") {
		t.Errorf("%d dots, the farthest among them: %v", dots, strings.Contains(b.String(), "317.2"))
	}
}

func TestBoxes(t *testing.T) {
	d := Boxes("Nuclei", "per image", []Group{{"a", []float64{1, 2, 3, 4, 5, 100, math.NaN()}}, {"b", []float64{7}}, {"none", nil}})
	var b strings.Builder
	if err := d.SVG(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "a: median 3.5, quartiles 2.25 and 4.75, 6 values") {
		t.Error("the box of a is not told")
	}
	if n := strings.Count(b.String(), "<circle"); n != 7 {
		t.Errorf("%d dots, want 7", n)
	}
}

func TestQuantile(t *testing.T) {
	v := []float64{1, 2, 4}
	for q, want := range map[float64]float64{0: 1, 0.25: 1.5, 0.5: 2, 0.75: 3, 1: 4} {
		if got := quantile(v, q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("a quantile of nothing is a number")
	}
}

func TestPlateMap(t *testing.T) {
	var b strings.Builder
	if err := PlateMap("Plate", "nuclei", map[[2]int]float64{{0, 0}: 3, {7, 11}: 9}).SVG(&b); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Count(s, "<circle") != 96 || !strings.Contains(s, "H12: 9") {
		t.Error("not 96 wells with H12 among them")
	}
}
