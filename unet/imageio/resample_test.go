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

// TestResampleByHand: pixel centres are at half-integers. Growing interpolates
// between them; shrinking weighs all samples by a triangle as wide as two results.
func TestResampleByHand(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want []float32
	}{
		{"twice as large", []float32{0, 4}, []float32{0, 1, 3, 4}},
		{"three times", []float32{0, 3, 6}, []float32{0, 0, 1, 2, 3, 4, 5, 6, 6}},
		// Weights 1/4 3/4 3/4 1/4 about the centre of two, 3 3 1 (of 7) at the ends.
		{"half", []float32{7, 0, 0, 0, 0, 14}, []float32{3, 0, 6}},
		{"half, every sample counts", []float32{0, 0, 0, 8, 0, 0, 0, 0}, []float32{0, 3, 1, 0}},
	} {
		got := Resample(&Image{W: len(c.in), H: 1, C: 1, Pix: c.in}, len(c.want), 1)
		for i := range got.Pix {
			if d := got.Pix[i] - c.want[i]; d > 1e-5 || d < -1e-5 {
				t.Errorf("%s: %v, want %v", c.name, got.Pix, c.want)
				break
			}
		}
	}
	size := Resample(&Image{W: 4, H: 2, C: 1, Pix: make([]float32, 8), PixelSize: PixelSize{X: 0.5, Y: 0.25}}, 2, 4).PixelSize
	if size.X != 1 || size.Y != 0.125 {
		t.Errorf("pixels of 0.5 x 0.25 µm become %v", size)
	}
}
