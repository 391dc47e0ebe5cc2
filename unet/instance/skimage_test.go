package instance

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"unet/unet/imageio"
)

// skimage is testdata/skimage.json, written by skimage_values.py there.
type skimage struct {
	W, H   int
	Labels []uint32
	RGB    []float32
	Rings  []struct {
		Width, Tall float64
		Ring        []uint32
		Sure        []int // 0 where two nuclei are equally near
	}
	Ring3  map[string]skimageRegion
	Stains map[string]map[string]skimageRegion
	Values []float64
	Otsu   float64
}

type skimageRegion struct {
	Area                int
	Mean, Min, Max, Std []float64
}

func readSkimage(t *testing.T) (s skimage, l *imageio.Labels, m *imageio.Image) {
	t.Helper()
	b, err := os.ReadFile("testdata/skimage.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s, &imageio.Labels{W: s.W, H: s.H, ID: s.Labels}, &imageio.Image{W: s.W, H: s.H, C: 3, Bits: 8, Pix: s.RGB}
}

func (want skimageRegion) compare(t *testing.T, what string, area int, channels []Intensity) {
	t.Helper()
	if area != want.Area {
		t.Errorf("%s: area %d, scikit-image %d", what, area, want.Area)
	}
	for c, in := range channels {
		for _, v := range []struct {
			name      string
			got, want float64
		}{{"mean", in.Mean, want.Mean[c]}, {"min", in.Min, want.Min[c]}, {"max", in.Max, want.Max[c]}, {"std", in.Std, want.Std[c]}} {
			if math.Abs(v.got-v.want) > 1e-6*max(1, math.Abs(v.want)) { // samples are float32
				t.Errorf("%s, channel %d: %s %v, scikit-image %v", what, c, v.name, v.got, v.want)
			}
		}
	}
}

// TestRingsLikeSkimage: the pixels are those of expand_labels, where one nucleus
// is the nearest, and what is measured in them that of regionprops.
func TestRingsLikeSkimage(t *testing.T) {
	s, l, m := readSkimage(t)
	for _, k := range s.Rings {
		got := expand(l, k.Width, imageio.PixelSize{X: 1, Y: k.Tall})
		wrong, sure := 0, 0
		for i, v := range k.Ring {
			if k.Sure[i] != 0 {
				sure++
				if got[i] != v {
					wrong++
				}
			} else if (got[i] == 0) != (v == 0) {
				wrong++
			}
		}
		if wrong > 0 || sure < len(k.Ring)/2 {
			t.Errorf("width %v, pixels %v as tall as wide: %d of %d pixels differ, %d of them certain", k.Width, k.Tall, wrong, len(got), sure)
		}
	}
	nuclei := Measure(l, m)
	MeasureRings(l, m, nuclei, 3)
	ties := map[uint32]bool{} // nuclei whose rings depend on ties
	for i, v := range s.Rings[1].Ring {
		if s.Rings[1].Sure[i] == 0 {
			ties[v] = true
			ties[expand(l, 3, imageio.PixelSize{})[i]] = true
		}
	}
	compared := 0
	for _, n := range nuclei {
		if want, ok := s.Ring3[strconv.Itoa(int(n.ID))]; ok && !ties[n.ID] {
			want.compare(t, "ring of "+strconv.Itoa(int(n.ID)), n.Ring.Area, n.Ring.Channels)
			compared++
		}
	}
	if compared < 3 {
		t.Errorf("%d rings were compared", compared)
	}
}

// TestStainsLikeSkimage compares optical densities with those of rgb2hed and
// separate_stains.
func TestStainsLikeSkimage(t *testing.T) {
	s, l, m := readSkimage(t)
	for name, want := range s.Stains {
		stains, err := ParseStains(name)
		if err != nil {
			t.Fatal(err)
		}
		with, ok := stains.Append(m)
		if !ok || with.C != 3+len(stains.Names()) || m.C != 3 {
			t.Fatalf("%s: %d channels", name, with.C)
		}
		for _, n := range Measure(l, with) {
			want[strconv.Itoa(int(n.ID))].compare(t, name, n.Area, n.Channels[3:])
		}
	}
	if _, ok := new(Stains).Append(&imageio.Image{W: 1, H: 1, C: 1, Pix: []float32{1}}); ok {
		t.Error("a gray image has stains")
	}
	if _, err := ParseStains("pas"); err == nil {
		t.Error("unknown stains are accepted")
	}
}

// TestOtsu compares with threshold_otsu, whose bins are a little wide.
func TestOtsu(t *testing.T) {
	s, _, _ := readSkimage(t)
	got, separability, ok := Otsu(s.Values)
	above := func(t float64) (n int) {
		for _, v := range s.Values {
			if v > t {
				n++
			}
		}
		return n
	}
	if !ok || above(got) != above(s.Otsu) || separability < 0.8 {
		t.Errorf("threshold %v with %d above, scikit-image %v with %d; separability %v", got, above(got), s.Otsu, above(s.Otsu), separability)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	normal := make([]float64, 20000)
	for i := range normal {
		normal[i] = rng.NormFloat64()
	}
	if _, s, _ := Otsu(normal); math.Abs(s-2/math.Pi) > 0.01 {
		t.Errorf("separability of one normal distribution is %v, not 2/π", s)
	}
	for _, v := range [][]float64{nil, {3}, {3, 3, 3}} {
		if _, _, ok := Otsu(v); ok {
			t.Errorf("%v has a threshold", v)
		}
	}
	if got, _, _ := Otsu([]float64{1, 1, 1, 5, 5}); got != 3 {
		t.Errorf("threshold %v of 1 and 5", got)
	}
}

// TestKeep: what does not fulfil the rules is gone from labels and list, and
// counted by reason.
func TestKeep(t *testing.T) {
	l := imageio.NewLabels(6, 2)
	copy(l.ID, []uint32{1, 0, 2, 2, 0, 3, 1, 0, 2, 2, 0, 3})
	rules, err := ParseRules("area >= 3, x<100")
	if err != nil {
		t.Fatal(err)
	}
	sheet := NewSheet(SheetOptions{})
	region := imageio.NewLabels(6, 2)
	for i := range region.ID {
		region.ID[i] = 1
	}
	kept, dropped, err := Keeper{Rules: rules, Region: region, Renumber: true}.Keep(l, Measure(l, nil), sheet)
	if err != nil || len(kept) != 1 || kept[0].ID != 1 || kept[0].Area != 4 || !slices.Equal(dropped, []Dropped{{"not area>=3", 2}}) {
		t.Errorf("kept %+v, dropped %v: %v", kept, dropped, err)
	}
	if want := []uint32{0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0}; !slices.Equal(l.ID, want) {
		t.Errorf("labels %v, want %v", l.ID, want)
	}
	clear(region.ID)
	if kept, dropped, err = (Keeper{Region: region}).Keep(l, Measure(l, nil), sheet); len(kept) > 0 || len(dropped) != 1 || dropped[0].Why != OutsideRegion || err != nil {
		t.Errorf("outside the region: kept %v, dropped %v: %v", kept, dropped, err)
	}
	copy(l.ID, []uint32{1, 1})
	for _, text := range []string{"nothing>3", "area_um2>3", "confidence>0.5"} {
		rules, err := ParseRules(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := (Keeper{Rules: rules}).Keep(l, Measure(l, nil), sheet); err == nil {
			t.Errorf("%s is accepted of an image of which it is not known", text)
		}
	}
	for _, text := range []string{"area", "area=3", ">3", "area>x", "area>3,", "area>NaN"} {
		if _, err := ParseRules(text); err == nil {
			t.Errorf("rule %q is accepted", text)
		}
	}
}
