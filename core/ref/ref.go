package ref

// Dims are the sizes of an operation: N images of H x W pixels with IC
// channels at its input and OC at its output.
type Dims struct{ N, IC, OC, H, W int }

// Act is a pending batch-norm and ReLU: a = max(Scale*x + Shift, Lo) with one
// value per channel. The zero Act leaves x as it is.
type Act struct{ Scale, Shift, Lo []float32 }

// At applies the activation of channel c to x.
func (a Act) At(c int, x float32) float32 {
	if a.Scale == nil {
		return x
	}
	return max(float32(float64(x)*float64(a.Scale[c])+float64(a.Shift[c])), a.Lo[c])
}

// Passes reports whether the gradient passes the activation of channel c at x:
// whether Scale*x + Shift > Lo.
func (a Act) Passes(c int, x float32) bool {
	return a.Scale == nil || float32(float64(x)*float64(a.Scale[c])+float64(a.Shift[c])) > a.Lo[c]
}

// Apply writes act(src) for n images of c channels of size pixels.
func (a Act) Apply(dst, src []float32, n, c, size int) {
	for p := range n * c {
		for i := p * size; i < (p+1)*size; i++ {
			dst[i] = a.At(p%c, src[i])
		}
	}
}

// Of returns the activation of channels from to to-1.
func (a Act) Of(from, to int) Act {
	if a.Scale == nil {
		return a
	}
	return Act{a.Scale[from:to], a.Shift[from:to], a.Lo[from:to]}
}

// activated returns act(src), or src itself if there is nothing to do.
func activated(act Act, src []float32, n, c, size int) []float32 {
	if act.Scale == nil {
		return src
	}
	dst := make([]float32, len(src))
	act.Apply(dst, src, n, c, size)
	return dst
}
