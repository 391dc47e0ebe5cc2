package imageio

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestResamplingByRows: any cut into bands gives the bits of the whole, from
// the source rows it names and no others.
func TestResamplingByRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for range 60 {
		m := NewImage(1+rng.IntN(40), 1+rng.IntN(40), 1+rng.IntN(3))
		for i := range m.Pix {
			m.Pix[i] = rng.Float32()
		}
		w, h := 1+rng.IntN(90), 1+rng.IntN(90)
		want := Resample(m, w, h)
		r := NewResampling(m.W, m.H, w, h)
		for y := 0; y < h; {
			n := 1 + rng.IntN(h-y)
			from, to := r.Source(y, n)
			part := NewImage(m.W, to-from, m.C)
			for c := range m.C {
				copy(part.Plane(c), m.Plane(c)[from*m.W:to*m.W])
			}
			got := r.Rows(part, from, y, n)
			for c := range m.C {
				if !slices.Equal(got.Plane(c), want.Plane(c)[y*w:(y+n)*w]) {
					t.Fatalf("%dx%d to %dx%d: rows %d to %d of channel %d differ", m.W, m.H, w, h, y, y+n-1, c)
				}
			}
			y += n
		}
	}
}
