package main

import (
	"math"
	"testing"

	"unet/unet/imageio"
)

// TestOutside: outlines that are drawn around discs, on them or within them are found
// where they are.
func TestOutside(t *testing.T) {
	const side = 96
	for _, beyond := range []float64{-1.5, 0, 1, 2} {
		var s slopes
		for _, r := range []float64{9, 14, 22} {
			m, l := imageio.NewImage(side, side, 1), imageio.NewLabels(side, side)
			for y := range side {
				for x := range side {
					d := math.Hypot(float64(x)-47.3, float64(y)-48.6) - r
					m.Pix[y*side+x] = float32(1 / (1 + math.Exp(2*d)))
					if d < beyond {
						l.ID[y*side+x] = 1
					}
				}
			}
			s.add(m, l)
		}
		if got := s.outside(); math.Abs(got-beyond) > 0.25 {
			t.Errorf("drawn %v px outside, found %.2f", beyond, got)
		}
	}
	var s slopes
	s.add(imageio.NewImage(20, 20, 3), imageio.NewLabels(20, 20))
	if s != (slopes{}) {
		t.Errorf("an image without nuclei adds %v", s)
	}
}
