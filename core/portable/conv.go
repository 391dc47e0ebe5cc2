package portable

import (
	"unet/core/ref"
	"unet/csrc"
)

// Operations by package ref: the direct convolution of images smaller than two
// tiles, gradients, and bfloat16. Packed weights are the master weights with
// channels padded to blocks: [ocb*16][icb*16][3][3] for the 3x3 convolution (rotated
// and swapped for the data gradient), [icb*16][ocb*16][2][2] for the transposed one.

func conv3x3(op csrc.Op, a *csrc.Conv3x3, t int) {
	i, y0, y1 := band(t, a.H)
	icb, ocb := int(a.ICB), int(a.OCB)
	conv := ref.Conv3x3
	h0, h1 := max(0, y0-1), min(a.H, y1+1) // with the neighbouring rows
	if op == csrc.OpBWino43 {
		conv = ref.BConv3x3
		h0, h1 = tileRows(y0, y1, a.H)
	}
	d := ref.Dims{N: 1, IC: icb * 16, OC: ocb * 16, H: int(h1 - h0), W: int(a.W)}
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, icb, a.H, a.W, h0, h1)
	dst := make([]float32, d.OC*d.H*d.W)
	conv(d, dst, src, activation(a.Act, i, icb), floats(a.Weight, d.OC*d.IC*9), bias(a.Bias, d.OC), a.ReLU != 0 && a.Add == 0)
	d.H = int(y1 - y0)
	dst = rows(dst, d.OC, int(h1-h0), d.W, int(y0-h0), d.H)
	addTo(a, dst, i, y0, y1)
	packTo(offset(a.Dst, int64(i)*a.DstImage), dst, 0, ocb, a.H, a.W, y0, y1)

	d.IC = d.OC // what follows reads dst
	poolInto(a, d, dst, i, y0, y1)
	if a.GateY != nil {
		y := unpack(offset(a.GateY, int64(i)*a.GateImage), 0, 1, 0, ocb, a.H, a.W, y0, y1)
		sums := floats(offset(a.Sums, int64(t*2*d.OC)), 2*d.OC)
		ref.BNSums(d, sums[:d.OC], sums[d.OC:], y, activation(a.Gate, i, ocb), dst, floats(a.GateMean, d.OC))
	} else if a.Stats != nil {
		statistics(d, a.Stats, a.Counts, t, dst)
	}
}

// addTo adds what the output held to rows y0..y1-1 of it, if that is asked for.
func addTo(a *csrc.Conv3x3, dst []float32, i int, y0, y1 int32) {
	if a.Add == 0 {
		return
	}
	for k, v := range unpack(offset(a.Dst, int64(i)*a.DstImage), 0, 1, 0, int(a.OCB), a.H, a.W, y0, y1) {
		dst[k] += v
	}
	rectify(dst, a.ReLU)
}

// poolInto writes the max-pool of rows y0..y1-1 of the convolution's output,
// if there is one to write.
func poolInto(a *csrc.Conv3x3, d ref.Dims, dst []float32, i int, y0, y1 int32) {
	if a.Pool == nil || y1/2 == y0/2 {
		return
	}
	pool := make([]float32, d.OC*(d.H/2)*(d.W/2))
	ref.Pool(d, pool, dst, ref.Act{})
	packTo(offset(a.Pool, int64(i)*a.PoolImage), pool, 0, d.OC/16, a.H/2, a.W/2, y0/2, y1/2)
}

// rows copies rows y0..y0+n-1 of c planes of h x w.
func rows(src []float32, c, h, w, y0, n int) []float32 {
	dst := make([]float32, c*n*w)
	for p := range c {
		copy(dst[p*n*w:][:n*w], src[(p*h+y0)*w:])
	}
	return dst
}

func bias(p *float32, n int) []float32 {
	if p == nil {
		return nil
	}
	return floats(p, n)
}

// wgrad writes the rows of dw of output block t into partial, which is laid
// out as dw. src, activated, has c >= a.IC channels.
func wgrad(a *csrc.Wgrad3x3, src []float32, c, t int) {
	d := ref.Dims{N: int(a.N), IC: c, OC: 16, H: int(a.H), W: int(a.W)}
	dy := unpack(a.DY, a.DYImage, a.N, t, t+1, a.H, a.W, 0, a.H)
	dw := make([]float32, d.OC*d.IC*9)
	ref.Conv3x3Wgrad(d, dw, src, ref.Act{}, dy)
	ic := int(a.IC)
	for o := 16 * t; o < min(16*t+16, int(a.OC)); o++ {
		copy(floats(offset(a.Partial, int64(o*ic*9)), ic*9), dw[(o-16*t)*c*9:])
	}
}

func packConv(op csrc.Op, a *csrc.Pack) {
	oc, ic := int(a.OC), int(a.IC)
	w := append([]float32(nil), floats(a.Src, oc*ic*9)...)
	if a.Scale != nil {
		for at := range w {
			w[at] *= floats(a.Scale, oc)[at/(ic*9)]
		}
	}
	if a.Flip != 0 {
		w = ref.Flip3x3(w, oc, ic)
		oc, ic = ic, oc
	}
	padded := (ic + 15) / 16 * 16
	size := (oc + 15) / 16 * 16 * padded * 9
	switch op {
	case csrc.OpPackWino43:
		packWino43(floats(a.Dst, 4*size), w, oc, ic)
	case csrc.OpPackFirst:
		packFirst(floats(a.Dst, (oc+15)/16*16*ic*9), w, oc, ic)
	case csrc.OpPackBWino43:
		padOIK(floats(a.Dst, 4*size), w, oc, ic, padded, 9) // the room of 6x6 values for each kernel
	default:
		padOIK(floats(a.Dst, size), w, oc, ic, padded, 9)
	}
}

func packTConv(op csrc.Op, a *csrc.Pack) {
	oc, ic := int(a.OC), int(a.IC)
	w := append([]float32(nil), floats(a.Src, ic*oc*4)...)
	if a.Scale != nil {
		for at := range w {
			w[at] *= floats(a.Scale, oc)[at/4%oc]
		}
	}
	padded := (oc + 15) / 16 * 16
	dst := floats(a.Dst, (ic+15)/16*16*padded*4)
	if op == csrc.OpPackTConv && a.Flip == 0 {
		packTConvPairs(dst, w, ic, oc)
		return
	}
	padOIK(dst, w, ic, oc, padded, 4)
}

// padOIK copies w [m][n][k] to dst [..][padded][k], whose other values are 0.
func padOIK(dst, w []float32, m, n, padded, k int) {
	clear(dst)
	for i := range m {
		copy(dst[i*padded*k:], w[i*n*k:][:n*k])
	}
}

func btconv(a *csrc.TConv, t int) {
	i, y0, y1 := band(t, a.H)
	icb, ocb := int(a.ICB), int(a.OCB)
	d := ref.Dims{N: 1, IC: icb * 16, OC: ocb * 16, H: int(y1 - y0), W: int(a.W)}
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, icb, a.H, a.W, y0, y1)
	dst := make([]float32, d.OC*4*d.H*d.W)
	ref.BTConv2x2(d, dst, src, activation(a.Act, i, icb), floats(a.Weight, d.IC*d.OC*4), bias(a.Bias, d.OC))
	packTo(offset(a.Dst, int64(i)*a.DstImage), dst, 0, ocb, 2*a.H, 2*a.W, 2*y0, 2*y1)
}

func tconvDgrad(a *csrc.TConv, t int) {
	i, y0, y1 := band(t, a.H)
	icb, ocb := int(a.ICB), int(a.OCB)
	d := ref.Dims{N: 1, IC: icb * 16, OC: ocb * 16, H: int(y1 - y0), W: int(a.W)}
	dy := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, ocb, 2*a.H, 2*a.W, 2*y0, 2*y1)
	dst := make([]float32, d.IC*d.H*d.W)
	ref.TConv2x2Dgrad(d, dst, dy, floats(a.Weight, d.IC*d.OC*4))
	packTo(offset(a.Dst, int64(i)*a.DstImage), dst, 0, icb, a.H, a.W, y0, y1)
}

// tconvWgrad writes the columns of dw and db of output block t into
// partial: dw [ic][oc][2][2], then db [oc].
func tconvWgrad(a *csrc.TConvWgrad, t int) {
	ic, oc, icb := int(a.IC), int(a.OC), blocks(a.IC)
	d := ref.Dims{N: int(a.N), IC: icb * 16, OC: 16, H: int(a.H), W: int(a.W)}
	src := activated(a.Act, unpack(a.Src, a.SrcImage, a.N, 0, icb, a.H, a.W, 0, a.H), d)
	dy := unpack(a.DY, a.DYImage, a.N, t, t+1, 2*a.H, 2*a.W, 0, 2*a.H)
	dw, db := make([]float32, d.IC*d.OC*4), make([]float32, d.OC)
	ref.TConv2x2Wgrad(d, dw, db, src, ref.Act{}, dy)
	partial := floats(a.Partial, ic*oc*4+oc)
	n := min(16, oc-16*t)
	for i := range ic {
		copy(partial[(i*oc+16*t)*4:][:n*4], dw[i*16*4:])
	}
	copy(partial[ic*oc*4+16*t:][:n], db)
}
