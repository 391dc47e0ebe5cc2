package report

import (
	"image"
	"image/color"
	"strings"
	"testing"

	"unet/unet/imageio"
)

func TestSheetSize(t *testing.T) {
	red := image.NewRGBA(image.Rect(0, 0, 40, 20))
	for i := range 800 {
		set(red, i, color.RGBA{255, 0, 0, 255})
	}
	s := ContactSheet("", 3, []Tile{{red, ""}, {red, ""}, {red, ""}, {red, ""}})
	s.Tile = 100
	m := s.Image()
	if want := image.Pt(2*20+3*100+2*8, 2*20+2*100+8); m.Rect.Size() != want {
		t.Fatalf("sheet is %v, want %v", m.Rect.Size(), want)
	}
	// The picture is letterboxed to 100x50 in the middle of its tile.
	for y := range 100 {
		want := letterbox
		if y >= 25 && y < 75 {
			want = color.RGBA{255, 0, 0, 255}
		}
		for x := range 100 {
			if got := m.RGBAAt(20+x, 20+y); got != want {
				t.Fatalf("pixel %d,%d of the tile is %v, want %v", x, y, got, want)
			}
		}
	}
	if got := m.RGBAAt(20+108, 20+108+50); got != (color.RGBA{255, 255, 255, 255}) {
		t.Errorf("the place of a missing tile is %v", got)
	}
	for _, s := range []*Sheet{{}, {Rows: []Row{{}}}, {Rows: []Row{{Tiles: []Tile{{}}}}},
		{Title: strings.Repeat("long ", 999), Rows: []Row{{Title: strings.Repeat("x", 5000), Note: strings.Repeat("y", 5000), Tiles: []Tile{{nil, strings.Repeat("z", 999)}}}}}} {
		if s.Image().Rect.Empty() {
			t.Errorf("%+v gives no picture", s)
		}
	}
}

func TestCrispScaling(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 2, 1))
	set(m, 0, color.RGBA{0, 0, 0, 255})
	set(m, 1, color.RGBA{255, 255, 255, 255})
	up := resize(m, 8, 4)
	for i := range 32 {
		want := uint8(i % 8 / 4 * 255)
		if got := get(up, i); got.R != want {
			t.Fatalf("pixel %d is %v, want %d: a whole factor must not blur", i, got, want)
		}
	}
}

func TestFitSize(t *testing.T) {
	for _, c := range [][5]int{{100, 100, 50, 50, 50}, {200, 100, 50, 50, 25}, {100, 200, 50, 25, 50}, {1, 9999, 50, 1, 50}, {30, 20, 60, 60, 40}} {
		if w, h := fitSize(c[0], c[1], c[2]); w != c[3] || h != c[4] {
			t.Errorf("%dx%d in %d: %dx%d", c[0], c[1], c[2], w, h)
		}
	}
}

func sample(name string, w, h int) Sample {
	truth := blobs(1, w, h, 8)
	pred, outcomes := spoil(truth)
	return Sample{
		Name: name, Kind: "kind", Image: grey(w, h, func(x, y int) float32 { return float32(x + y) }),
		Truth: truth, Pred: pred, Prob: make([]float32, w*h), Scores: []Score{{"F1", 0.5}, {"IoU", nan}}, Outcomes: outcomes,
	}
}

func TestSampleSheetColumns(t *testing.T) {
	full := sample("full", 40, 30)
	plain := Sample{Name: "plain", Image: full.Image}
	pixels := full
	pixels.Outcomes, pixels.Prob = nil, nil
	for _, c := range []struct {
		samples []Sample
		want    string
		keys    int
	}{
		{[]Sample{full}, "image truth probability prediction errors", 6},
		{[]Sample{pixels}, "image truth prediction errors", 3},
		{[]Sample{plain}, "image", 0},
		{[]Sample{{Image: full.Image, Pred: full.Pred}}, "image prediction", 0},
		{[]Sample{plain, full, pixels}, "image truth probability prediction errors", 6},
		{nil, "image", 0},
	} {
		s, err := SampleSheet("t", c.samples, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.Headings, " "); got != c.want || len(s.Keys) != c.keys {
			t.Errorf("columns %q with %d keys, want %q with %d", got, len(s.Keys), c.want, c.keys)
		}
		for _, r := range s.Rows {
			if len(r.Tiles) != len(s.Headings) {
				t.Errorf("row %s has %d tiles", r.Title, len(r.Tiles))
			}
			for _, tile := range r.Tiles {
				if tile.Image != nil && tile.Image.Bounds().Size() != image.Pt(64, 48) {
					t.Errorf("tile of %v", tile.Image.Bounds())
				}
			}
		}
		s.Image()
	}
	s, _ := SampleSheet("t", []Sample{full}, 64)
	if want := "kind · 40×30 · F1 0.500 · IoU –"; s.Rows[0].Note != want {
		t.Errorf("note %q, want %q", s.Rows[0].Note, want)
	}
	wrong := full
	wrong.Truth = imageio.NewLabels(3, 3)
	short := full
	short.Prob = []float32{1}
	for _, bad := range []Sample{wrong, short, {Name: "none"}, {Name: "zero", Image: imageio.NewImage(0, 0, 1)}} {
		if _, err := SampleSheet("t", []Sample{bad}, 64); err == nil || !strings.Contains(err.Error(), bad.Name) {
			t.Errorf("sample %q: error %v", bad.Name, err)
		}
		if _, err := outlineTiles([]Sample{bad}, 64); err == nil && bad.Truth == nil {
			t.Errorf("sample %q: no error", bad.Name)
		}
	}
}

// TestWindowShowsTheErrors hides one wrong pixel among many nuclei of a large
// image.
func TestWindowShowsTheErrors(t *testing.T) {
	truth := imageio.NewLabels(500, 300)
	for i := range 40 * 500 {
		truth.ID[i] = 1
	}
	pred := imageio.NewLabels(500, 300)
	copy(pred.ID, truth.ID)
	pred.ID[290*500+480] = 2
	s := Sample{Name: "s", Image: imageio.NewImage(500, 300, 1), Truth: truth, Pred: pred}
	if box := s.window(100); !image.Pt(480, 290).In(box) || box.Size() != image.Pt(100, 100) {
		t.Errorf("window %v misses the error at 480,290", box)
	}
	pred.ID[290*500+480] = 0
	if box := s.window(100); box.Min.Y != 0 {
		t.Errorf("window %v misses the nuclei at the top", box)
	}
	if box := s.window(1000); box != image.Rect(0, 0, 500, 300) {
		t.Errorf("window %v of a small image", box)
	}
	if v, err := s.view(50); err != nil || !v.cropped || v.truth.W != 100 || v.base.Rect.Dx() != 50 {
		t.Errorf("view %+v, %v", v, err)
	}
}

// TestRealPictures lays a sheet of real images out; with -artifacts it is kept
// for looking at.
func TestRealPictures(t *testing.T) {
	samples := realSamples(t, 2)
	for i := range samples {
		s := &samples[i]
		s.Pred, s.Outcomes = spoil(s.Truth)
	}
	sheet, err := SampleSheet("Real images", samples, 160)
	if err != nil {
		t.Fatal(err)
	}
	m := sheet.Image()
	orange := 0
	for i := range m.Rect.Dx() * m.Rect.Dy() {
		if get(m, i) == missedColour {
			orange++
		}
	}
	if orange < 200 {
		t.Errorf("only %d pixels show missed nuclei", orange)
	}
}
