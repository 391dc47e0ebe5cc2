package imageio

import "math"

// Resample returns m at w x h pixels: bilinear interpolation when growing, the
// same triangle widened to the scale when shrinking, so that every sample
// counts. Pixel centres are at half-integers, as in golang.org/x/image/draw's
// BiLinear, whose result this is, for float samples.
func Resample(m *Image, w, h int) *Image {
	if m.W == w && m.H == h {
		return m
	}
	out := *m
	out.W, out.H, out.Pix = w, h, make([]float32, m.C*w*h)
	if m.PixelSize > 0 {
		out.PixelSize = m.PixelSize * float64(m.W) / float64(w)
	}
	xs, ys := taps(m.W, w), taps(m.H, h)
	rows := make([]float32, m.H*w) // scaled in x only
	for c := range m.C {
		src := m.Plane(c)
		for y := range m.H {
			in, dst := src[y*m.W:][:m.W], rows[y*w:][:w]
			for x, t := range xs {
				var sum float32
				for i, k := range t.weights {
					sum += float32(k * in[t.from+i])
				}
				dst[x] = sum
			}
		}
		for y, t := range ys {
			dst := out.Plane(c)[y*w:][:w]
			for i, k := range t.weights {
				in := rows[(t.from+i)*w:][:w]
				for x, v := range in {
					dst[x] += float32(k * v)
				}
			}
		}
	}
	return &out
}

// tap lists the source samples that make one result and their weights.
type tap struct {
	from    int
	weights []float32
}

func taps(src, dst int) []tap {
	scale := float64(src) / float64(dst)
	radius := max(scale, 1)
	list := make([]tap, dst)
	for i := range list {
		centre := (float64(i)+0.5)*scale - 0.5
		from := max(0, int(math.Ceil(centre-radius)))
		to := min(src-1, int(math.Floor(centre+radius)))
		t := tap{from: from}
		sum := 0.0
		for j := from; j <= to; j++ {
			k := max(0, 1-math.Abs(float64(j)-centre)/radius)
			t.weights = append(t.weights, float32(k))
			sum += k
		}
		for j := range t.weights {
			t.weights[j] = float32(float64(t.weights[j]) / sum)
		}
		list[i] = t
	}
	return list
}
