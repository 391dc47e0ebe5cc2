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
	return NewResampling(m.W, m.H, w, h).Rows(m, 0, 0, h)
}

// Resampling is Resample by bands of rows, for images too large to be held:
// the rows of the result have the same bits.
type Resampling struct {
	srcW, srcH int
	xs, ys     []tap
}

// NewResampling readies the resampling of an image of srcW x srcH pixels to w
// x h.
func NewResampling(srcW, srcH, w, h int) *Resampling {
	return &Resampling{srcW, srcH, taps(srcW, w), taps(srcH, h)}
}

// Source returns which rows of the source, from to to-1, make the n rows of
// the result from y on.
func (r *Resampling) Source(y, n int) (from, to int) {
	last := r.ys[y+n-1]
	return r.ys[y].from, last.from + len(last.weights)
}

// Rows returns the n rows of the result from y on. m holds consecutive rows of
// the source, the first of which is from; all that Source names are among them.
func (r *Resampling) Rows(m *Image, from, y, n int) *Image {
	w := len(r.xs)
	out := *m
	out.W, out.H, out.Pix = w, n, make([]float32, m.C*w*n)
	out.PixelSize.X *= float64(r.srcW) / float64(w)
	out.PixelSize.Y *= float64(r.srcH) / float64(len(r.ys))
	first, end := r.Source(y, n)
	rows := make([]float32, (end-first)*w) // scaled in x only
	for c := range m.C {
		src := m.Plane(c)[(first-from)*m.W:]
		for i := range end - first {
			in, dst := src[i*m.W:][:m.W], rows[i*w:][:w]
			for x, t := range r.xs {
				var sum float32
				for j, k := range t.weights {
					sum += float32(k * in[t.from+j])
				}
				dst[x] = sum
			}
		}
		for i, t := range r.ys[y : y+n] {
			dst := out.Plane(c)[i*w:][:w]
			for j, k := range t.weights {
				in := rows[(t.from-first+j)*w:][:w]
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
