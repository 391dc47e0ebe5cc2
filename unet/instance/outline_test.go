package instance

import (
	"math/rand/v2"
	"slices"
	"testing"

	"unet/unet/imageio"
)

// mosaic is a label image of adversarial shapes: pieces, holes, pixels that
// meet at corners, nuclei within nuclei. Numbers are consecutive in the order
// of their values.
func mosaic(rng *rand.Rand, w, h int) *imageio.Labels {
	l := imageio.NewLabels(w, h)
	kinds := 1 + rng.IntN(5)
	for i := range l.ID {
		l.ID[i] = uint32(rng.IntN(kinds + 1))
	}
	if rng.IntN(2) == 0 { // coarser
		for y := range h {
			for x := range w {
				l.ID[y*w+x] = l.ID[y/3*w+x/3]
			}
		}
	}
	return l
}

// TestOutlineRings checks that rings are closed walks along pixel edges whose
// areas add up to the nucleus, and that none meets a point twice.
func TestOutlineRings(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for range 200 {
		l := mosaic(rng, 1+rng.IntN(20), 1+rng.IntN(20))
		for _, n := range Measure(l, nil) {
			var area float64
			for _, p := range n.Outline() {
				if a := ringArea(t, p.Outer); a <= 0 {
					t.Fatalf("outer ring of area %v", a)
				} else {
					area += a
				}
				for _, h := range p.Holes {
					a := ringArea(t, h)
					if a >= 0 {
						t.Fatalf("hole of area %v", a)
					}
					area += a
				}
			}
			if area != float64(n.Area) {
				t.Fatalf("outline encloses %v, nucleus has %d pixels", area, n.Area)
			}
		}
	}
}

func ringArea(t *testing.T, ring []Point) float64 {
	var area float64
	seen := map[Point]bool{}
	for i, p := range ring {
		q, r := ring[(i+1)%len(ring)], ring[(i+2)%len(ring)]
		if seen[p] {
			t.Fatalf("ring meets %v twice: %v", p, ring)
		}
		seen[p] = true
		if (p.X == q.X) == (p.Y == q.Y) || (p.X == q.X) == (q.X == r.X) {
			t.Fatalf("ring does not turn at %v: %v", q, ring)
		}
		area += (p.X*q.Y - q.X*p.Y) / 2
	}
	return area
}

// TestOutlines: rings come in the order of nuclei, of each the outer before its holes.
func TestOutlines(t *testing.T) {
	l := imageio.NewLabels(5, 3)
	copy(l.ID, []uint32{
		0, 2, 2, 2, 1,
		0, 2, 0, 2, 0,
		0, 2, 2, 2, 0})
	var spans [][2]float64
	for _, ring := range Outlines(l) {
		lo, hi := ring[0], ring[0]
		for _, p := range ring {
			lo, hi = Point{min(lo.X, p.X), min(lo.Y, p.Y)}, Point{max(hi.X, p.X), max(hi.Y, p.Y)}
		}
		spans = append(spans, [2]float64{lo.X, hi.X})
	}
	if want := [][2]float64{{4, 5}, {1, 4}, {2, 3}}; !slices.Equal(spans, want) {
		t.Errorf("rings from and to columns %v, want %v", spans, want)
	}
}
