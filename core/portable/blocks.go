package portable

import (
	"unet/core/ref"
	"unet/csrc"
)

// What the blocks of a network are made of besides 3x3 convolutions: the 1x1
// convolution in the order of csrc/conv1x1_tmpl.h, the others by package ref.

const strip1x1 = 64 // pixels at a time

// chunk1x1 returns into how many chunks of how many output blocks the 1x1 convolution
// falls.
func chunk1x1(a *csrc.Conv1x1) (chunk, chunks int) {
	block := 512 * float64(a.ICB) * float64(pixelRows(a.H, a.W)) * float64(a.W)
	chunk = min(max(int(taskFlops/block), 1), int(a.OCB))
	return chunk, up(int(a.OCB), chunk)
}

func tasks1x1(a *csrc.Conv1x1) int {
	_, chunks := chunk1x1(a)
	return pixelTasks(a.N, a.H, a.W) * chunks
}

func scratch1x1(a *csrc.Conv1x1) int { return int(a.ICB) * strip1x1 * 16 }

// conv1x1 is task t: some rows of an image and a chunk of the output blocks. Weights
// are a matrix [icb*16][16 oc] for gemm of each block. The statistics of all chunks are
// in the slot of the first one.
func conv1x1(a *csrc.Conv1x1, t int, scratch *float32) {
	chunk, chunks := chunk1x1(a)
	icb, ocb, hw := int(a.ICB), int(a.OCB), int(a.H)*int(a.W)
	part, b0 := t/chunks, t%chunks*chunk
	i, p0, n := pixelTask(a.H, a.W, part)
	x := floats(scratch, scratch1x1(a))
	weight := floats(a.Weight, ocb*icb*256)
	if a.Stats != nil && b0 > 0 {
		*int32At(a.Counts, t) = 0
		clear(floats(offset(a.Stats, int64(t*3*ocb*16)), 3*ocb*16))
	} else if a.Stats != nil {
		*int32At(a.Counts, t) = int32(n)
	}
	b1 := min(b0+chunk, ocb)
	output := func(b int) []float32 {
		return floats(offset(a.Dst, int64(i)*a.DstImage+int64((b*hw+p0)*16)), n*16)
	}
	for p := 0; p < n; p += strip1x1 {
		m := min(strip1x1, n-p)
		for k := range icb {
			act := actOf(a.Act, i, k)
			src := floats(offset(a.Src, int64(i)*a.SrcImage+int64((k*hw+p0+p)*16)), m*16)
			activate(x[k*strip1x1*16:][:m*16], src, &act)
		}
		for b := b0; b < b1; b++ {
			dst := output(b)[p*16:][:m*16]
			if a.Add == 0 {
				clear(dst)
			}
			gemm(dst, 16, x, strip1x1*16, weight[b*icb*256:][:icb*256], m)
			if a.Bias != nil {
				startRow(dst, offset(a.Bias, int64(16*b)), true)
			}
			rectify(dst, a.ReLU)
		}
	}
	for b := b0; a.Stats != nil && b < b1; b++ {
		pivotSums(a.Stats, part*chunks, b, ocb, output(b))
	}
}

func rectify(v []float32, relu int32) {
	for i := range v {
		if relu != 0 {
			v[i] = max(v[i], 0)
		}
	}
}

func packConv1x1(a *csrc.Pack) {
	oc, ic := int(a.OC), int(a.IC)
	src := floats(a.Src, oc*ic)
	w := make([]float32, oc*ic)
	for o := range oc {
		for i := range ic {
			switch {
			case a.Flip != 0:
				w[i*oc+o] = src[o*ic+i]
			case a.Scale != nil:
				w[o*ic+i] = src[o*ic+i] * floats(a.Scale, oc)[o]
			default:
				w[o*ic+i] = src[o*ic+i]
			}
		}
	}
	if a.Flip != 0 {
		oc, ic = ic, oc
	}
	n := (ic + 15) &^ 15
	dst := floats(a.Dst, (oc+15)&^15*n)
	clear(dst)
	for o := range oc {
		for i := range ic {
			packPairs(dst[o/16*n*16:], n, i, o%16, w[o*ic+i])
		}
	}
}

// split1x1 is how the gradient of the 1x1 convolution falls into parts of the tasks
// of pixelTask.
type split1x1 struct{ icb, ocb, units, parts int }

func newSplit1x1(a *csrc.Wgrad3x3) split1x1 {
	s := split1x1{icb: blocks(a.IC), ocb: blocks(a.OC), units: pixelTasks(a.N, a.H, a.W)}
	flops := 512 * float64(s.ocb) * float64(a.N) * float64(a.H) * float64(a.W)
	s.parts = max(1, min(int(flops/taskFlops), 64/s.icb, s.units))
	return s
}

// wgrad1x1 is task t: an input block and a part of the pixels. Partial is
// [part][icb][ocb][16 ic][16 oc].
func wgrad1x1(a *csrc.Wgrad3x3, t int, scratch *float32) {
	s := newSplit1x1(a)
	part, ib, hw := t/s.icb, t%s.icb, int(a.H)*int(a.W)
	dw := floats(offset(a.Partial, int64(t*s.ocb*wgradBlock)), s.ocb*wgradBlock)
	clear(dw)
	x := floats(scratch, strip1x1*16)
	for u := s.units * part / s.parts; u < s.units*(part+1)/s.parts; u++ {
		i, p0, n := pixelTask(a.H, a.W, u)
		act := actOf(a.Act, i, ib)
		for p := 0; p < n; p += strip1x1 {
			m := min(strip1x1, n-p)
			src := floats(offset(a.Src, int64(i)*a.SrcImage+int64((ib*hw+p0+p)*16)), m*16)
			activate(x[:m*16], src, &act)
			for b := range s.ocb {
				dy := floats(offset(a.DY, int64(i)*a.DYImage+int64((b*hw+p0+p)*16)), m*16)
				gemmT(dw[b*wgradBlock:][:wgradBlock], x, dy, 16, m)
			}
		}
	}
}

func wgrad1x1Reduce(a *csrc.Wgrad3x3, ib int) {
	s := newSplit1x1(a)
	ic := int(a.IC)
	for b := range s.ocb {
		for i := range min(16, ic-16*ib) {
			sum := sumParts(a.Partial, ((ib*s.ocb+b)*16+i)*16, s.icb*s.ocb*wgradBlock, s.parts)
			for o := range min(16, int(a.OC)-16*b) {
				*offset(a.DW, int64((16*b+o)*ic+16*ib+i)) = sum[o]
			}
		}
	}
}

func upsample(op csrc.Op, a *csrc.Upsample, t int) {
	i, y0, y1 := band(t, a.H)
	cb := int(a.CB)
	d := ref.Dims{N: 1, IC: cb * 16, H: int(y1 - y0), W: int(a.W)}
	if op == csrc.OpUpsample {
		src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
		dst := make([]float32, 4*len(src))
		ref.Upsample(d, dst, src, activation(a.Act, i, cb))
		packTo(offset(a.Dst, int64(i)*a.DstImage), dst, 0, cb, 2*a.H, 2*a.W, 2*y0, 2*y1)
		return
	}
	ddst := unpack(offset(a.DDst, int64(i)*a.DstImage), 0, 1, 0, cb, 2*a.H, 2*a.W, 2*y0, 2*y1)
	dsrc := make([]float32, len(ddst)/4)
	ref.UpsampleBwd(d, dsrc, ddst)
	packTo(offset(a.DSrc, int64(i)*a.SrcImage), dsrc, 0, cb, a.H, a.W, y0, y1)
}

func add(op csrc.Op, a *csrc.Add, t int) {
	i, y0, y1 := band(t, a.H)
	cb := int(a.CB)
	d := ref.Dims{N: 1, IC: cb * 16, H: int(y1 - y0), W: int(a.W)}
	read := func(p *float32, image int64) []float32 {
		return unpack(offset(p, int64(i)*image), 0, 1, 0, cb, a.H, a.W, y0, y1)
	}
	write := func(p *float32, image int64, v []float32) {
		packTo(offset(p, int64(i)*image), v, 0, cb, a.H, a.W, y0, y1)
	}
	v := make([]float32, d.IC*d.H*d.W)
	if op == csrc.OpAdd {
		ref.Add(d, v, read(a.X, a.XImage), read(a.Y, a.YImage), activation(a.XAct, i, cb), activation(a.YAct, i, cb))
		write(a.Dst, a.DstImage, v)
		return
	}
	ref.AddBwd(v, read(a.Dst, a.DstImage), read(a.DDst, a.DDstImage))
	write(a.DX, a.XImage, v)
	write(a.DY, a.YImage, v)
}

func interleave(a *csrc.Interleave, t int) {
	i, y0, y1 := band(t, a.H)
	size := int((y1 - y0) * a.W)
	planes := make([]float32, 16*size)
	for c := range int(a.C) {
		from := ((int64(i)*int64(a.C)+int64(c))*int64(a.H) + int64(y0)) * int64(a.W)
		copy(planes[c*size:], floats(offset(a.Src, from), size))
	}
	packTo(offset(a.Dst, int64(i)*a.DstImage), planes, 0, 1, a.H, a.W, y0, y1)
}

func gate(op csrc.Op, a *csrc.Gate, t int) {
	i, y0, y1 := band(t, a.H)
	cb := int(a.CB)
	d := ref.Dims{N: 1, IC: cb * 16, H: int(y1 - y0), W: int(a.W)}
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
	plane := (int64(i)*int64(a.H) + int64(y0)) * int64(a.W)
	z, act := floats(offset(a.Z, plane), d.H*d.W), activation(a.Act, i, cb)
	v := make([]float32, len(src))
	if op == csrc.OpGate {
		ref.Gate(d, v, src, act, z)
		packTo(offset(a.Dst, int64(i)*a.DstImage), v, 0, cb, a.H, a.W, y0, y1)
		return
	}
	ddst := unpack(offset(a.DDst, int64(i)*a.DDstImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
	ref.GateBwd(d, v, floats(offset(a.DZ, plane), len(z)), src, act, z, ddst)
	packTo(offset(a.DSrc, int64(i)*a.DSrcImage), v, 0, cb, a.H, a.W, y0, y1)
}
