package report

import (
	"image"
	"image/color"
	"math"
	"testing"

	"unet/unet/imageio"
)

// TestColourBy: the colour of a nucleus is that of its value, whatever its number,
// and gray where the value is not known.
func TestColourBy(t *testing.T) {
	l := imageio.NewLabels(60, 20)
	for i := range l.ID {
		l.ID[i] = uint32(i%60/20 + 1)
	}
	by := &Colouring{Range: Range{"area", 0, 10}, Values: map[uint32]float64{1: 10, 2: -5, 3: math.NaN()}}
	m, err := Overlay(nil, l, OverlayOptions{By: by})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []color.RGBA{heat[255], heat[firstHeat], {150, 150, 150, 255}} {
		// 60 % of the colour over black
		if got := m.RGBAAt(i*20+10, 10); got != mix(color.RGBA{0, 0, 0, 255}, want, 0.6) {
			t.Errorf("nucleus %d is %v, want 60 %% of %v", i+1, got, want)
		}
	}
	if r := RangeOf("x", []float64{math.NaN(), 3, 5, math.Inf(1)}); r.Lo != 3 || r.Hi != 5 {
		t.Errorf("range %v", r)
	}
	with := Legend(m, by.Range)
	if with.Rect.Dx() != 60 || with.Rect.Dy() <= 20 || with.RGBAAt(30, 10) != m.RGBAAt(30, 10) {
		t.Errorf("the legend changed the picture: %v", with.Rect)
	}
}

// TestScaleBar: the bar has a round length that fits the picture, in its pixels.
func TestBarLength(t *testing.T) {
	for most, want := range map[float64]string{0.7: "0.5 µm", 1: "1 µm", 49: "20 µm", 999: "500 µm", 1000: "1 mm", 2600: "2 mm"} {
		if length, text := barLength(most); text != want || length > most {
			t.Errorf("at most %v µm: %v, %q, want %q", most, length, text, want)
		}
	}
}

func TestScaleBar(t *testing.T) {
	for _, um := range []float64{0.1, 0.25, 0.5, 3, 100} {
		m := image.NewRGBA(image.Rect(0, 0, 400, 300))
		ScaleBar(m, um)
		longest := 0
		for y := range 300 {
			run := 0
			for x := range 400 {
				if m.RGBAAt(x, y) != (color.RGBA{255, 255, 255, 255}) {
					run = 0
					continue
				}
				run++
				longest = max(longest, run)
			}
		}
		length := float64(longest) * um
		digits := length / math.Pow(10, math.Floor(math.Log10(length)+0.01))
		round := false
		for _, d := range []float64{1, 2, 5} {
			round = round || math.Abs(digits/d-1) < 0.02
		}
		if !round || longest > 101 || longest < 30 {
			t.Errorf("pixels of %v µm: a bar of %d pixels, %v µm", um, longest, length)
		}
	}
	m := image.NewRGBA(image.Rect(0, 0, 400, 300))
	ScaleBar(m, 0)
	if m.RGBAAt(380, 280).A != 0 {
		t.Error("a bar without a known size of pixels")
	}
}
