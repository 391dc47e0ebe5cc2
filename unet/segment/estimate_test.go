package segment

import (
	"math"
	"slices"
	"testing"

	"unet/unet"
)

// TestEstimate: fragments of large nuclei and clumps of small ones leave the
// scale alone; so do few nuclei.
func TestEstimate(t *testing.T) {
	s := &Segmenter{model: &unet.Model{Card: unet.Card{Diameter: [3]float64{10, 20, 50}}}}
	many := func(n, area int) []int { return slices.Repeat([]int{area}, n) }
	for _, k := range []struct {
		name            string
		areas           []int
		estimate, scale float64
	}{
		{"none", nil, 0, 1},
		{"few", many(4, 20), 0, 1},
		{"usual", many(9, 314), 20, 1},
		{"small", many(9, 28), 6, 20.0 / 6},
		{"large", many(9, 31416), 200, 0.1},
		{"small with some dirt", append(many(60, 28), 700), 6, 20.0 / 6},
		{"noise", many(900, 7), 3, 1},
		{"fragments", append(many(80, 28), many(6, 11000)...), 6, 1},
		{"clumps", append(many(80, 28), 31416), 6, 1},
	} {
		if estimate, scale := s.estimate(k.areas, k.areas); math.Abs(scale-k.scale) > 0.02*k.scale || math.Abs(estimate-k.estimate) > 0.1 {
			t.Errorf("%s: scale %v by an estimate of %v", k.name, scale, estimate)
		}
	}
}
