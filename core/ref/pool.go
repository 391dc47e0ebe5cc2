package ref

// Pool is the 2x2 max-pool with stride 2 of act(src); dst has H/2 x W/2
// pixels, rounded down. d.OC is not used.
func Pool(d Dims, dst, src []float32, act Act) {
	h2, w2 := d.H/2, d.W/2
	for p := range d.N * d.IC {
		for y := range h2 {
			for x := range w2 {
				_, best := firstMax(d, src, act, p, y, x)
				dst[(p*h2+y)*w2+x] = best
			}
		}
	}
}

// PoolBwd adds each value of ddst to dsrc at the first maximum of its window,
// in the order top left, top right, bottom left, bottom right.
func PoolBwd(d Dims, dsrc, ddst, src []float32, act Act) {
	h2, w2 := d.H/2, d.W/2
	for p := range d.N * d.IC {
		for y := range h2 {
			for x := range w2 {
				at, _ := firstMax(d, src, act, p, y, x)
				dsrc[at] += ddst[(p*h2+y)*w2+x]
			}
		}
	}
}

// firstMax returns the index in src and the activated value of the first
// maximum of the window (y, x) of plane p.
func firstMax(d Dims, src []float32, act Act, p, y, x int) (at int, best float32) {
	for k := range 4 {
		i := (p*d.H+2*y+k/2)*d.W + 2*x + k%2
		if v := act.At(p%d.IC, src[i]); k == 0 || v > best {
			at, best = i, v
		}
	}
	return at, best
}
