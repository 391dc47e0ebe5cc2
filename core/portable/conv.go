package portable

import (
	"unet/core/ref"
	"unet/csrc"
)

// convSplit is how the direct convolution falls into tasks: blocks of rows of an
// image, an even number of them, and chunks of output blocks.
type convSplit struct{ rows, blocks, chunk, chunks int }

func newConvSplit(a *csrc.Conv3x3) convSplit {
	var s convSplit
	h, w := int(a.H), int(a.W)
	pixel := 4608 * float64(a.ICB)
	rows := int(min(max(taskFlops/pixel, 256), 2048) / float64(w))
	if rows < 4 {
		rows = 4
	} else {
		rows = min(rows, h)
	}
	s.rows = (up(h, up(h, rows)) + 1) &^ 1
	s.blocks = up(h, s.rows)
	s.chunk = int(min(max(taskFlops/(pixel*float64(w)*float64(min(s.rows, h))), 1), float64(a.OCB)))
	s.chunks = up(int(a.OCB), s.chunk)
	return s
}

// conv3x3 is task t of the direct convolution, which images smaller than two tiles
// take. The 3x3 pixels around those of a row are a matrix for gemm, the weights another
// one, [9 * input channels][16] for each output block. Statistics and sums of all
// chunks of a block of rows are in the slot of its first task.
func conv3x3(a *csrc.Conv3x3, t int, scratch *float32) {
	s := newConvSplit(a)
	h, w, icb, ocb := int(a.H), int(a.W), int(a.ICB), int(a.OCB)
	part, chunk := t/s.chunks, t%s.chunks
	i, y0 := part/s.blocks, part%s.blocks*s.rows
	rows := min(s.rows, h-y0)
	b0, b1 := chunk*s.chunk, min((chunk+1)*s.chunk, ocb)
	mem := floats(scratch, conv3x3Scratch(a))
	x, padded := mem[:9*icb*w*16], mem[9*icb*w*16:]
	size := icb * 9 * 256
	weight := floats(a.Weight, ocb*size)
	output := func(b int) []float32 {
		return floats(offset(a.Dst, int64(i)*a.DstImage+int64((b*h+y0)*w*16)), rows*w*16)
	}
	for y := range rows {
		for b := range icb {
			act := actOf(a.Act, i, b)
			src := floats(offset(a.Src, int64(i)*a.SrcImage+int64(b*h*w*16)), h*w*16)
			padRows(padded, src, h, w, y0+y, 1, &act)
			for k := range 9 {
				copy(x[(9*b+k)*w*16:][:w*16], padded[(k/3*(w+2)+k%3)*16:])
			}
		}
		for b := b0; b < b1; b++ {
			dst := output(b)[y*w*16:][:w*16]
			startRow(dst, offset(a.Bias, int64(16*b)), shortcut(a, i, b, (y0+y)*w, dst))
			gemm(dst, 16, x, w*16, weight[b*size:][:size], w)
			rectify(dst, a.ReLU)
		}
	}
	if a.Counts != nil {
		*int32At(a.Counts, t) = int32(rows * w)
	}
	if chunk > 0 {
		noSums(a, t)
	}
	for b := b0; b < b1; b++ {
		convSums(a, part*s.chunks, i, b, y0, output(b))
		if a.Pool != nil {
			poolRows(offset(a.Pool, int64(i)*a.PoolImage+int64((b*(h/2)+y0/2)*(w/2)*16)), output(b), w)
		}
	}
}

// convSums writes the statistics and the sums of the gate of output block b, whose
// pixels from row y0 of image i on are dst.
func convSums(a *csrc.Conv3x3, slot, i, b, y0 int, dst []float32) {
	ocb := int(a.OCB)
	if a.Stats != nil {
		pivotSums(a.Stats, slot, b, ocb, dst)
	}
	if a.GateY != nil {
		y := floats(offset(a.GateY, int64(i)*a.GateImage+int64((b*int(a.H)+y0)*int(a.W)*16)), len(dst))
		gate := actOf(a.Gate, i, b)
		gateSums(a.Sums, slot, b, ocb, dst, y, &gate, vector(offset(a.GateMean, int64(16*b))))
	}
}

// noSums clears the slot of a task whose sums are in that of another.
func noSums(a *csrc.Conv3x3, t int) {
	channels := int(a.OCB) * 16
	if a.Counts != nil {
		*int32At(a.Counts, t) = 0
	}
	if a.Stats != nil {
		clear(floats(offset(a.Stats, int64(t*3*channels)), 3*channels))
	}
	if a.GateY != nil {
		clear(floats(offset(a.Sums, int64(t*2*channels)), 2*channels))
	}
}

// conv3x3Scratch holds a row's matrix and three padded rows.
func conv3x3Scratch(a *csrc.Conv3x3) int { return int(9*a.ICB*a.W+3*(a.W+2)) * 16 }

// startRow puts the bias into dst, or adds it to what is there.
func startRow(dst []float32, bias *float32, add bool) {
	var start [16]float32
	if bias != nil {
		start = *vector(bias)
	}
	if !add {
		fill(dst, &start)
		return
	}
	for at := range dst {
		dst[at] += start[at%16]
	}
}

// poolRows writes the maxima of 2x2 pixels of rows of w pixels.
func poolRows(dst *float32, rows []float32, w int) {
	for y := range len(rows) / (16 * w) / 2 {
		for x := range w / 2 {
			to, from := vector(offset(dst, int64((y*(w/2)+x)*16))), rows[(2*y*w+2*x)*16:]
			for l := range to {
				to[l] = max(from[l], from[16+l], from[w*16+l], from[w*16+16+l])
			}
		}
	}
}

// packDirect packs weights [oc][ic][3][3] for conv3x3.
func packDirect(dst, w []float32, oc, ic int) {
	n := (ic + 15) / 16 * 9 * 16
	clear(dst)
	for o := range oc {
		for i := range ic {
			for k := range 9 {
				packPairs(dst[o/16*n*16:], n, (i/16*9+k)*16+i%16, o%16, w[(o*ic+i)*9+k])
			}
		}
	}
}

// Operations by package ref: those on bfloat16, and those of quant.go. Packed weights
// are the master weights with channels padded to blocks: [ocb*16][icb*16][3][3] for the
// 3x3 convolution, [icb*16][ocb*16][2][2] for the transposed one.

func bconv3x3(a *csrc.Conv3x3, t int) {
	i, y0, y1 := band(t, a.H)
	icb, ocb := int(a.ICB), int(a.OCB)
	h0, h1 := tileRows(y0, y1, a.H)
	d := ref.Dims{N: 1, IC: icb * 16, OC: ocb * 16, H: int(h1 - h0), W: int(a.W)}
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, icb, a.H, a.W, h0, h1)
	dst := make([]float32, d.OC*d.H*d.W)
	ref.BConv3x3(d, dst, src, activation(a.Act, i, icb), floats(a.Weight, d.OC*d.IC*9), bias(a.Bias, d.OC), a.ReLU != 0 && a.Shortcut.Src == nil)
	d.H = int(y1 - y0)
	dst = rows(dst, d.OC, int(h1-h0), d.W, int(y0-h0), d.H)
	addShortcut(a, dst, i, y0, y1)
	packTo(offset(a.Dst, int64(i)*a.DstImage), dst, 0, ocb, a.H, a.W, y0, y1)
	d.IC = d.OC // what follows reads dst
	poolInto(a, d, dst, i, y0, y1)
	if a.Stats != nil {
		statistics(d, a.Stats, a.Counts, t, dst)
	}
}

// addShortcut adds the shortcut, if there is one, to rows y0..y1-1 of the output dst
// of image i.
func addShortcut(a *csrc.Conv3x3, dst []float32, i int, y0, y1 int32) {
	size := int((y1 - y0) * a.W)
	block := make([]float32, size*16)
	for b := range int(a.OCB) {
		if !shortcut(a, i, b, int(y0*a.W), block) {
			return
		}
		for at, v := range block {
			dst[(16*b+at%16)*size+at/16] += v
		}
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
		packDirect(floats(a.Dst, size), w, oc, ic)
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
	if a.Flip != 0 {
		packTConvDgrad(dst, w, ic, oc)
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
