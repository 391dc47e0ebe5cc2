package portable

import "unet/csrc"

// Weight gradients, in the order of the C kernels: csrc/wgrad3x3_tmpl.h,
// wgrad_first_tmpl.h, wgrad_wino43_tmpl.h and tconv_tmpl.h. What belongs to different
// parts of the pixels is added up afterwards, in the order of the parts.

const (
	taskFlops  = 16e6 // operations of a task, about
	wgradStrip = 512  // pixels whose products are summed before they are added to others
	mostTasks  = 256  // wanted at most
	wgradBlock = 256  // values of a pair of channel blocks: [16 ic][16 oc]
)

// parted is into how many parts from 1 to most work of so many operations falls.
func parted(flops, each, tasks float64, most int) int {
	parts := min(flops/each, tasks)
	return int(min(max(parts, 1), float64(most)))
}

// wgradSplit is how the direct gradient falls into strips of some rows, or of some
// whole images, and those into parts.
type wgradSplit struct{ rows, blocks, images, strips, icb, ocb, parts int }

func newWgradSplit(a *csrc.Wgrad3x3) wgradSplit {
	n, h, w := int(a.N), int(a.H), int(a.W)
	s := wgradSplit{icb: blocks(a.IC), ocb: blocks(a.OC)}
	rows := max(4, wgradStrip/w)
	s.blocks = up(h, rows)
	s.rows = up(h, s.blocks)
	s.images = min(max(1, rows/h), n)
	s.strips = up(n, s.images) * s.blocks
	s.parts = parted(4608*float64(n)*float64(h)*float64(w), taskFlops, mostTasks/float64(s.ocb*s.icb), s.strips)
	return s
}

func (s *wgradSplit) tasks() int { return s.parts * s.ocb * s.icb }

// scratch holds the padded rows of a strip and its sums.
func (s *wgradSplit) scratch(w int32) int {
	return s.images*(s.rows+2)*(int(w)+2)*16 + 9*wgradBlock
}

// wgrad3x3 is task t: one input and one output block, and one part of the pixels.
func wgrad3x3(a *csrc.Wgrad3x3, t int, scratch *float32) {
	s := newWgradSplit(a)
	h, w := int(a.H), int(a.W)
	ib, b, part := t%s.icb, t/s.icb%s.ocb, t/s.icb/s.ocb
	partial := floats(offset(a.Partial, int64(((part*s.ocb+b)*s.icb+ib)*9*wgradBlock)), 9*wgradBlock)
	clear(partial)
	mem := floats(scratch, s.scratch(a.W))
	sums, x := mem[:9*wgradBlock], mem[9*wgradBlock:]
	padded := (s.rows + 2) * (w + 2) * 16
	first := s.strips * part / s.parts
	for strip := first; strip < s.strips*(part+1)/s.parts; strip++ {
		i0, y0 := strip/s.blocks*s.images, strip%s.blocks*s.rows
		rows := min(s.rows, h-y0)
		clear(sums)
		for i := i0; i < min(i0+s.images, int(a.N)); i++ {
			act := actOf(a.Act, i, ib)
			src := floats(offset(a.Src, int64(i)*a.SrcImage+int64(ib*h*w*16)), h*w*16)
			padRows(x[(i-i0)*padded:][:padded], src, h, w, y0, rows, &act)
		}
		for i := range min(s.images, int(a.N)-i0) {
			dy := floats(offset(a.DY, int64(i0+i)*a.DYImage+int64((b*h+y0)*w*16)), rows*w*16)
			for y := range rows {
				for k := range 9 {
					at := i*padded + ((y+k/3)*(w+2)+k%3)*16
					gemmT(sums[k*wgradBlock:][:wgradBlock], x[at:], dy[y*w*16:], 16, w)
				}
			}
		}
		for k, v := range sums {
			if strip == first {
				partial[k] = v
			} else {
				partial[k] += v
			}
		}
	}
}

// padRows copies act(src), rows y0-1 to y0+rows of a block, with a border of zeros.
func padRows(dst, src []float32, h, w, y0, rows int, act *act) {
	clear(dst)
	for y := max(0, y0-1); y < min(h, y0+rows+1); y++ {
		to := dst[((y-y0+1)*(w+2)+1)*16:][:w*16]
		activate(to, src[y*w*16:], act)
	}
}

// activate writes act(src) of len(dst)/16 pixels.
func activate(dst, src []float32, act *act) {
	if act.none {
		copy(dst, src)
		return
	}
	for at := 0; at < len(dst); at += 16 {
		act.apply((*[16]float32)(dst[at:]), (*[16]float32)(src[at:]))
	}
}

// wgradReduce adds up the parts of [oc blocks][ic blocks][9][16 ic][16 oc], that
// of output block t, and writes them to dw [oc][ic][9].
func wgradReduce(a *csrc.Wgrad3x3, parts, t int) {
	icb, ic := blocks(a.IC), int(a.IC)
	size := blocks(a.OC) * icb * 9 * wgradBlock
	for ib := range icb {
		for k := range 9 {
			for i := range min(16, ic-16*ib) {
				sum := sumParts(a.Partial, (((t*icb+ib)*9+k)*16+i)*16, size, parts)
				for o := range min(16, int(a.OC)-16*t) {
					*offset(a.DW, int64(((16*t+o)*ic+16*ib+i)*9+k)) = sum[o]
				}
			}
		}
	}
}

// sumParts is the sum of the vectors at, at+size, ... of so many parts.
func sumParts(partial *float32, at, size, parts int) [16]float32 {
	sum := *vector(offset(partial, int64(at)))
	for part := 1; part < parts; part++ {
		for l, v := range vector(offset(partial, int64(at+part*size))) {
			sum[l] += v
		}
	}
	return sum
}

// firstWgradSplit is how the gradient of the first layer falls into strips.
type firstWgradSplit struct{ rows, blocks, strips, ocb, parts int }

func newFirstWgradSplit(a *csrc.Wgrad3x3) firstWgradSplit {
	n, h, w := int(a.N), int(a.H), int(a.W)
	s := firstWgradSplit{ocb: blocks(a.OC)}
	s.blocks = up(h, max(4, 2*wgradStrip/w))
	s.rows = up(h, s.blocks)
	s.strips = n * s.blocks
	pixels := float64(n) * float64(h) * float64(w)
	s.parts = parted(9*32*float64(a.IC)*pixels, taskFlops/2, mostTasks/float64(s.ocb), s.strips)
	return s
}

// firstTaps is the number of weights of an output channel of the first layer, in whole
// vectors.
func firstTaps(a *csrc.Wgrad3x3) int { return up(9*int(a.IC), 16) * 16 }

func firstWgradScratch(a *csrc.Wgrad3x3) int { return firstTaps(a) * (int(a.W) + 16) }

// wgradFirst is task t: an output block and a part of the pixels. The 3x3 pixels
// around a pixel are a row of a matrix.
func wgradFirst(a *csrc.Wgrad3x3, t int, scratch *float32) {
	s := newFirstWgradSplit(a)
	h, w, ic, taps := int(a.H), int(a.W), int(a.IC), firstTaps(a)
	b, part := t%s.ocb, t/s.ocb
	partial := floats(offset(a.Partial, int64(t*9*ic*16)), 9*ic*16)
	mem := floats(scratch, firstWgradScratch(a))
	sums, x := mem[:taps*16], mem[taps*16:]
	clear(x)
	first := s.strips * part / s.parts
	for strip := first; strip < s.strips*(part+1)/s.parts; strip++ {
		i, y0 := strip/s.blocks, strip%s.blocks*s.rows
		image := floats(offset(a.Src, int64(i*ic*h*w)), ic*h*w)
		clear(sums)
		for y := y0; y < min(y0+s.rows, h); y++ {
			var window [36]float32
			for p := range w {
				firstWindow(&window, image, ic, h, w, y, p)
				for k, v := range window[:9*ic] {
					x[(k/16*w+p)*16+k%16] = v
				}
			}
			dy := floats(offset(a.DY, int64(i)*a.DYImage+int64((b*h+y)*w*16)), w*16)
			for k := 0; k < taps; k += 16 {
				gemmT(sums[k*16:][:wgradBlock], x[k*w:], dy, 16, w)
			}
		}
		for k := range partial {
			if strip == first {
				partial[k] = sums[k]
			} else {
				partial[k] += sums[k]
			}
		}
	}
}

func wgradFirstReduce(a *csrc.Wgrad3x3, b int) {
	s := newFirstWgradSplit(a)
	taps := 9 * int(a.IC)
	for k := range taps {
		sum := sumParts(a.Partial, (b*taps+k)*16, s.ocb*taps*16, s.parts)
		for o := range min(16, int(a.OC)-16*b) {
			*offset(a.DW, int64((16*b+o)*taps+k)) = sum[o]
		}
	}
}
