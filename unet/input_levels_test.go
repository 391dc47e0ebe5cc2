package unet

import (
	"math"
	"testing"

	"unet/unet/imageio"
)

// TestPercentiles: ranks between two samples are interpolated, as
// numpy.percentile does by default. Expected values are numpy's.
func TestPercentiles(t *testing.T) {
	for _, c := range []struct {
		name          string
		samples       []float32
		percent, want float64
	}{
		{"between two whole numbers", []float32{40, 10, 30, 20}, 50, 25},
		{"a third of the way", []float32{40, 10, 30, 20}, 10, 13},
		{"whole numbers that repeat", []float32{7, 7, 7, 9}, 75, 7.5},
		{"fractions", []float32{0.5, 0.25, 1.5}, 25, 0.375},
		{"negative", []float32{-4, 8}, 25, -1},
		{"the least", []float32{3, 1, 2}, 0, 1},
		{"the greatest", []float32{3, 1, 2}, 100, 3},
		{"one sample", []float32{5}, 37, 5},
		{"not finite ones are none", []float32{float32(math.Inf(1)), 1, float32(math.NaN()), 2}, 50, 1.5},
	} {
		if got := percentiles(c.samples)(c.percent); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRange: samples of an integer type span what the type can hold, floats 0
// to 1.
func TestRange(t *testing.T) {
	in := Input{Normalise: "range"}
	for _, c := range []struct {
		bits  int
		float bool
		want  float64
	}{{1, false, 1}, {8, false, 255}, {12, false, 65535}, {16, false, 65535}, {32, false, 1<<32 - 1}, {32, true, 1}} {
		if l := in.levelsOf(nil, &imageio.Image{Bits: c.bits, Float: c.float}); l != (Levels{High: c.want}) {
			t.Errorf("%d bits, float %v: %+v, want 0 to %v", c.bits, c.float, l, c.want)
		}
	}
}

// TestUndefinedLevels: an image that is read in bands is known by the share of its
// samples that are no numbers, as one in memory is.
func TestUndefinedLevels(t *testing.T) {
	m := imageio.NewImage(8, 4, 1)
	m.Float, m.Bits = true, 32
	m.Pix[3], m.Pix[20] = float32(math.NaN()), float32(math.Inf(1))
	l, err := Input{Normalise: "percentile", High: 100}.Levels(t.Context(), Rows{W: m.W, H: m.H, Read: func(int, int) (*imageio.Image, error) { return m, nil }})
	if err != nil || l.Undefined != 2.0/32 || m.Undefined() != l.Undefined {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestConstantImage: without any contrast everything is background, and a number.
func TestConstantImage(t *testing.T) {
	for _, v := range []float32{0, 7, -3, 60000} {
		m := imageio.NewImage(3, 2, 1)
		m.Float, m.Bits = true, 32
		for i := range m.Pix {
			m.Pix[i] = v
		}
		out, err := Input{Normalise: "percentile", Low: 1, High: 99.8}.Apply(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range out.Pix {
			if !(math.Abs(float64(got)) <= 0.01) { // NaN, too
				t.Errorf("an image of %v becomes %v", v, got)
				break
			}
		}
	}
}

// TestSampledLevels: of an image of too many samples a part is taken that meets
// even and odd columns alike.
func TestSampledLevels(t *testing.T) {
	const w, h = 1 << 14, 1<<10 + 8 // just above scanSamples
	l, err := Input{Normalise: "percentile", Low: 1, High: 99}.Levels(t.Context(), Rows{W: w, H: h, Read: func(_, n int) (*imageio.Image, error) {
		m := imageio.NewImage(w, n, 1)
		m.Float, m.Bits = true, 32
		for i := range m.Pix {
			m.Pix[i] = float32(4*(i%2)) + 0.5 // a constant image is given a range of 1
		}
		return m, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if l.Low != 0.5 || l.High != 4.5 {
		t.Errorf("levels %v to %v, want 0.5 to 4.5", l.Low, l.High)
	}
}

// TestFillTile: a tile continues the image by reflection about its outermost
// pixels, which are not repeated (numpy.pad, mode "reflect"), and colour is gray
// by the luma of ITU-R BT.601 for a network of one channel.
func TestFillTile(t *testing.T) {
	gray := &imageio.Image{W: 3, H: 2, C: 1, Pix: []float32{
		1, 2, 3,
		4, 5, 6}}
	colour := &imageio.Image{W: 1, H: 1, C: 3, Pix: []float32{100, 10, 1}}
	for _, c := range []struct {
		name     string
		in       *imageio.Image
		channels int
		x, y     cut
		want     []float32
	}{
		{"within", gray, 1, cut{start: 1, size: 2}, cut{start: 0, size: 2}, []float32{2, 3, 5, 6}},
		{"beyond the right and the bottom", gray, 1, cut{start: 0, size: 8}, cut{start: 0, size: 4}, []float32{
			1, 2, 3, 2, 1, 2, 3, 2,
			4, 5, 6, 5, 4, 5, 6, 5,
			1, 2, 3, 2, 1, 2, 3, 2,
			4, 5, 6, 5, 4, 5, 6, 5}},
		{"gray in every channel", gray, 3, cut{start: 0, size: 1}, cut{start: 0, size: 1}, []float32{1, 1, 1}},
		{"a single pixel", colour, 3, cut{start: 0, size: 2}, cut{start: 0, size: 2}, []float32{100, 100, 100, 100, 10, 10, 10, 10, 1, 1, 1, 1}},
		{"luma", colour, 1, cut{start: 0, size: 1}, cut{start: 0, size: 1}, []float32{29.9 + 5.87 + 0.114}},
	} {
		got := make([]float32, len(c.want))
		fillTile(got, c.in, c.channels, c.x, c.y)
		for i := range got {
			if math.Abs(float64(got[i]-c.want[i])) > 1e-4 {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
				break
			}
		}
	}
}
