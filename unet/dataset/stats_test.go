package dataset

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"unet/unet/imageio"

	"github.com/google/go-cmp/cmp"
)

func TestStats(t *testing.T) {
	img := imageio.NewImage(4, 2, 1)
	copy(img.Pix, []float32{0, 0, 255, 255, 0, 0, 255, 255})
	s := &Sample{Kind: FluorescenceSmall, Image: img, Labels: drawn("..11", "..12")}
	m := Measure(s)
	if m.Mean != 0.5 || m.Std != 0.5 || m.Foreground != 1 || m.Background != 0 || m.Levels[0] != 4 || m.Inside[histBins-1] != 4 {
		t.Errorf("%+v", m)
	}
	st := summarised([]*Measures{m, nil, {W: 9, H: 9, Kind: GrayTissue}})
	if st.All.Images != 2 || st.All.Nuclei != 2 || len(st.Kinds) != 2 || st.Kinds[0].Kind != FluorescenceSmall || st.Kinds[1].Nuclei != 0 {
		t.Errorf("%+v", st)
	}
	k := st.Kinds[0]
	if k.Area.Min != 1 || k.Area.Max != 3 || k.Area.Mean != 2 || k.Coverage.Median != 0.5 || k.Contrast.Mean != 1 {
		t.Errorf("%+v", k)
	}
	for _, h := range []Histogram{k.AreaHist, k.NucleiHist, k.Intensity} {
		if len(h.Edges) != len(h.Counts)+1 {
			t.Errorf("%d edges of %d bins", len(h.Edges), len(h.Counts))
		}
	}
	n := int64(0)
	for _, c := range k.AreaHist.Counts {
		n += c
	}
	if n != 2 {
		t.Errorf("%d nuclei in the histogram", n)
	}
}

// summarised makes statistics of measures, added in reverse.
func summarised(ms []*Measures) *Stats {
	t := newTally(len(ms))
	for i, m := range slices.Backward(ms) {
		if m != nil {
			t.add(i, m)
		}
	}
	return t.stats()
}

// Kinds share the bins of areas, or their stack would show parts of nuclei.
func TestKindsShareBinsOfAreas(t *testing.T) {
	st := summarised([]*Measures{{W: 9, H: 9, Kind: GrayTissue, Areas: []int32{20}}, {W: 99, H: 99, Kind: FluorescenceLarge, Areas: []int32{3000}}})
	for _, k := range st.Kinds {
		if !slices.Equal(k.AreaHist.Edges, st.All.AreaHist.Edges) {
			t.Errorf("%s: edges up to %g", k.Kind, k.AreaHist.Edges[40])
		}
	}
}

func TestSummariseQuantiles(t *testing.T) {
	s := summarise([]float64{4, 1, 3, 2, 5})
	if s.Median != 3 || s.Q1 != 2 || s.Q3 != 4 || math.Abs(s.P5-1.2) > 1e-12 || s.Mean != 3 || math.Abs(s.Std-math.Sqrt2) > 1e-12 {
		t.Errorf("%+v", s)
	}
}

// Areas that are counted have the summary and the histogram, to the bit, of areas that
// are listed.
func TestCountedAreas(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ms []*Measures
	var areas, diameters []float64
	for range 40 {
		m := &Measures{W: 99, H: 99, Kind: GrayTissue}
		for range rng.IntN(30) {
			a := 1 + rng.Int32N(50)*rng.Int32N(50)
			m.Areas = append(m.Areas, a)
			areas = append(areas, float64(a))
			diameters = append(diameters, 2*math.Sqrt(float64(a)/math.Pi))
		}
		ms = append(ms, m)
	}
	k := summarised(ms).All
	if k.Area != summarise(areas) || k.Diameter != summarise(diameters) || k.Nuclei != len(areas) {
		t.Errorf("areas %+v, want %+v; diameters %+v, want %+v", k.Area, summarise(areas), k.Diameter, summarise(diameters))
	}
	h := logBins(1, max(100, slices.Max(areas)), 40)
	for _, a := range areas {
		h.add(a, 1)
	}
	if d := cmp.Diff(h, k.AreaHist); d != "" {
		t.Error(d)
	}
}

func TestResizeLabels(t *testing.T) {
	l := resizeLabels(drawn("1122", "1122", "3344", "3344"), 2, 2)
	if undraw(l) != "12\n34\n" {
		t.Errorf("\n%s", undraw(l))
	}
	// Each pixel takes the label at its centre.
	if l := resizeLabels(drawn("123456"), 3, 1); undraw(l) != "246\n" {
		t.Errorf("every second: %s", undraw(l))
	}
	if l := resizeLabels(drawn("12345"), 2, 1); undraw(l) != "24\n" {
		t.Errorf("two of five: %s", undraw(l))
	}
	if l = resizeLabels(l, 3, 3); undraw(l) != "122\n344\n344\n" && undraw(l) != "112\n112\n334\n" {
		t.Errorf("\n%s", undraw(l))
	}
}

// Deep, float and colour samples survive the way to a picture and back.
func TestToPicture(t *testing.T) {
	m := imageio.NewImage(2, 1, 1)
	m.Bits = 16
	copy(m.Pix, []float32{7, 65535})
	if p, scaled := toPicture(m); scaled || p.At(0, 0) != grayAt(7) || p.At(1, 0) != grayAt(65535) {
		t.Errorf("16 bits: %v %v", p.At(0, 0), scaled)
	}
	m.Float, m.Bits = true, 32
	copy(m.Pix, []float32{-1, 1})
	if p, scaled := toPicture(m); !scaled || p.At(0, 0) != grayAt(0) || p.At(1, 0) != grayAt(65535) {
		t.Errorf("float: %v %v", p.At(0, 0), p.At(1, 0))
	}
	copy(m.Pix, []float32{2, 4}) // the darkest is black, wherever the samples begin
	if p, _ := toPicture(m); p.At(0, 0) != grayAt(0) || p.At(1, 0) != grayAt(65535) {
		t.Errorf("float from 2 to 4: %v %v", p.At(0, 0), p.At(1, 0))
	}
	c := imageio.NewImage(1, 1, 3)
	c.Bits = 16
	copy(c.Pix, []float32{1, 300, 65535})
	if r, g, b, _ := first(toPicture(c)).At(0, 0).RGBA(); r != 1 || g != 300 || b != 65535 {
		t.Errorf("16-bit colour: %d %d %d", r, g, b)
	}
}

func grayAt(v uint16) color.Color { return color.Gray16{Y: v} }

func first(p image.Image, _ bool) image.Image { return p }

// TestWholeAreas: nuclei that an edge cuts count only where there are no others.
func TestWholeAreas(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  []int
	}{
		{[]string{"..111..", ".......", "2.55.33", "2.5.633", "2......", "..444.."}, []int{1, 3}},
		{[]string{"1...", "1.22", "...."}, []int{2, 2}},
		{[]string{"....", "...."}, []int{}},
	} {
		if got := wholeAreas(drawn(c.lines...)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.lines, got, c.want)
		}
	}
}
