package portable

import "unet/csrc"

// tconvWgradSplit is how the gradient of the transposed convolution falls into parts
// of the rows of all images, output blocks and chunks of input blocks.
type tconvWgradSplit struct{ icb, ocb, parts, chunk, chunks int }

func newTConvWgradSplit(a *csrc.TConvWgrad) tconvWgradSplit {
	s := tconvWgradSplit{icb: blocks(a.IC), ocb: blocks(a.OC)}
	lines, pairs := int(a.N*a.H), s.icb*s.ocb
	flops := 2048 * float64(lines) * float64(a.W)
	parts := min(int(flops*float64(pairs)/taskFlops), 128/pairs)
	s.parts = min(max(parts, 1), lines)
	s.chunk = int(min(max(taskFlops*float64(s.parts)/flops, 1), float64(s.icb)))
	s.chunks = up(s.icb, s.chunk)
	return s
}

func (s *tconvWgradSplit) tasks() int { return s.parts * s.ocb * s.chunks }

// weights is the number of sums of a part, without those of the bias.
func (s *tconvWgradSplit) weights() int { return s.ocb * s.icb * 4 * wgradBlock }

// tconvWgrad is task t. Partial is [part][ocb][icb][4 taps][16 ic][16 oc], then
// [part][ocb][16] for the bias.
func tconvWgrad(a *csrc.TConvWgrad, t int, scratch *float32) {
	s := newTConvWgradSplit(a)
	h, w := int(a.H), int(a.W)
	chunk, ob, part := t%s.chunks, t/s.chunks%s.ocb, t/s.chunks/s.ocb
	b0, b1 := chunk*s.chunk, min((chunk+1)*s.chunk, s.icb)
	lines, block := int(a.N)*h, part*s.ocb+ob
	dw := floats(offset(a.Partial, int64(block*s.icb*4*wgradBlock)), s.icb*4*wgradBlock)
	clear(dw[b0*4*wgradBlock : b1*4*wgradBlock])
	x := floats(scratch, w*16)
	var bias [16]float32
	for line := lines * part / s.parts; line < lines*(part+1)/s.parts; line++ {
		i, y := line/h, line%h
		dy := floats(offset(a.DY, int64(i)*a.DYImage+int64((4*ob*h+4*y)*w*16)), 4*w*16) // two rows
		for b := b0; b < b1; b++ {
			act := actOf(a.Act, i, b)
			activate(x, floats(offset(a.Src, int64(i)*a.SrcImage+int64((b*h+y)*w*16)), w*16), &act)
			for tap := range 4 {
				gemmT(dw[(b*4+tap)*wgradBlock:][:wgradBlock], x, dy[(tap/2*2*w+tap%2)*16:], 32, w)
			}
		}
		for p := 0; p < len(dy); p += 32 {
			u, v := (*[16]float32)(dy[p:]), (*[16]float32)(dy[p+16:])
			for l := range bias {
				bias[l] += u[l] + v[l]
			}
		}
	}
	if chunk == 0 {
		*vector(offset(a.Partial, int64(s.parts*s.weights()+block*16))) = bias
	}
}

// tconvWgradReduce writes the rows of dw [ic][oc][2][2] of input block ib, with the
// first one db [oc] too.
func tconvWgradReduce(a *csrc.TConvWgrad, ib int) {
	s := newTConvWgradSplit(a)
	ic, oc := int(a.IC), int(a.OC)
	for ob := range s.ocb {
		n := min(16, oc-16*ob)
		for k := range 4 {
			for i := range min(16, ic-16*ib) {
				sum := sumParts(a.Partial, (((ob*s.icb+ib)*4+k)*16+i)*16, s.weights(), s.parts)
				for o := range n {
					*offset(a.DW, int64(((16*ib+i)*oc+16*ob+o)*4+k)) = sum[o]
				}
			}
		}
		if ib == 0 {
			sum := sumParts(a.Partial, s.parts*s.weights()+16*ob, s.ocb*16, s.parts)
			copy(floats(offset(a.DB, int64(16*ob)), n), sum[:])
		}
	}
}

// tconvDgrad is task t of the data gradient of the transposed convolution: two rows
// of the output's gradient to one of the input's. The weights are a matrix
// [ocb*4 taps*16 oc][16 ic] for gemm, one for each input block.
func tconvDgrad(a *csrc.TConv, t int, scratch *float32) {
	h, w, icb, ocb := int(a.H), int(a.W), int(a.ICB), int(a.OCB)
	i, y := t/h, t%h
	x := floats(scratch, tconvDgradScratch(a))
	for b := range ocb {
		dy := floats(offset(a.Src, int64(i)*a.SrcImage+int64((4*b*h+4*y)*w*16)), 4*w*16)
		for tap := range 4 {
			to, from := x[(4*b+tap)*w*16:], dy[(tap/2*2*w+tap%2)*16:]
			for p := range w {
				*(*[16]float32)(to[16*p:]) = *(*[16]float32)(from[32*p:])
			}
		}
	}
	size := ocb * 4 * 256
	weight := floats(a.Weight, icb*size)
	for b := range icb {
		dst := floats(offset(a.Dst, int64(i)*a.DstImage+int64((b*h+y)*w*16)), w*16)
		clear(dst)
		gemm(dst, 16, x, w*16, weight[b*size:][:size], w)
	}
}

func tconvDgradScratch(a *csrc.TConv) int { return int(4*a.OCB*a.W) * 16 }

// packTConvDgrad packs weights [ic][oc][2][2] for tconvDgrad.
func packTConvDgrad(dst, w []float32, ic, oc int) {
	n := (oc + 15) / 16 * 64
	clear(dst)
	for i := range ic {
		for o := range oc {
			for tap := range 4 {
				packPairs(dst[i/16*n*16:], n, (o/16*4+tap)*16+o%16, i%16, w[(i*oc+o)*4+tap])
			}
		}
	}
}
