package segment

import (
	"math/rand/v2"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
)

func labelsOf(rows ...string) *imageio.Labels {
	l := imageio.NewLabels(len(rows[0]), len(rows))
	for y, row := range rows {
		for x, c := range row {
			if c != '.' {
				l.ID[y*l.W+x] = uint32(c - '0')
			}
		}
	}
	return l
}

// TestMaskWarning: a mask loses what keeps touching nuclei apart, which is told.
func TestMaskWarning(t *testing.T) {
	for _, c := range []struct {
		rows           []string
		nuclei, pieces int
	}{
		{[]string{"....", "...."}, 0, 0},
		{[]string{"11.2", "11.2"}, 2, 2},
		{[]string{"112.", "112."}, 2, 1},
		{[]string{"1..", ".2.", "3.."}, 3, 1}, // at corners
		{[]string{"1..2", "1332", "...2"}, 3, 1},
		{[]string{"..1", ".2.", "...", "3.."}, 3, 2},
		{[]string{"21.34", "21.34"}, 4, 2},
	} {
		l := labelsOf(c.rows...)
		nuclei, pieces := piecesOfMask(l)
		if nuclei != c.nuclei || pieces != c.pieces {
			t.Errorf("%q: %d nuclei in %d pieces, want %d in %d", c.rows, nuclei, pieces, c.nuclei, c.pieces)
		}
		if w := maskWarning(l); (w == "") != (c.nuclei == c.pieces) {
			t.Errorf("%q: %q", c.rows, w)
		}
	}
	if w := maskWarning(labelsOf("21.34", "21.34")); !strings.Contains(w, "2 pieces instead of 4") {
		t.Error(w)
	}
}

// TestPiecesAreFlooded: where every pixel is a nucleus of its own, the pieces are those
// that flooding the mask finds.
func TestPiecesAreFlooded(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		l := imageio.NewLabels(1+rng.IntN(20), 1+rng.IntN(20))
		mask := make([]bool, len(l.ID))
		for i, id := range rng.Perm(len(mask)) {
			if mask[i] = rng.IntN(3) == 0; mask[i] {
				l.ID[i] = uint32(id + 1)
			}
		}
		_, pieces := piecesOfMask(l)
		var flood func(x, y int)
		flood = func(x, y int) {
			if x < 0 || y < 0 || x >= l.W || y >= l.H || !mask[y*l.W+x] {
				return
			}
			mask[y*l.W+x] = false
			for k := range 9 {
				flood(x+k%3-1, y+k/3-1)
			}
		}
		want := 0
		for i := range mask {
			if mask[i] {
				want++
				flood(i%l.W, i/l.W)
			}
		}
		if pieces != want {
			t.Fatalf("%d pieces, want %d: %v", pieces, want, l)
		}
	}
}

// TestDiameterThatCannotBeMeant: a diameter far from that of what is found is
// warned of; one that fits, and what is found by auto, are not.
func TestDiameterThatCannotBeMeant(t *testing.T) {
	const known = 20
	s := &Segmenter{model: &unet.Model{Card: unet.Card{Diameter: [3]float64{10, known, 40}}}}
	for _, c := range []struct {
		given, found float64
		count        int
		warns        bool
	}{
		{20, 20, 5, false}, {20, 39, 5, false}, {20, 41, 5, true}, {100, 20, 1, true}, {20, 0, 0, false}, {5000, 0, 0, true}, {0, 400, 9, false},
	} {
		s.diameter = Diameter{Pixels: c.given}
		scale := 1.0
		if c.given > 0 {
			scale = known / c.given
		}
		if w := s.sizes().warning(instance.Summary{Count: c.count, DiameterMedian: c.found}, scale); (w != "") != c.warns {
			t.Errorf("given %v, found %v: %q", c.given, c.found, w)
		}
	}
}
