package core

import (
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// The pure Go backend: every operation unpacks its NCHW16c tensors to NCHW,
// calls package ref and packs the result. It serves builds without cgo and
// the tests; it is slow. Channels past the real count are computed like the
// others and come out zero because their inputs and weights are zero.

// Work is split into bands of at most refRows rows, stretches of refChunk
// values, or blocks of 16 channels.
const (
	refRows  = 32 // even, so that pooling windows stay within a band
	refChunk = 16384
)

func refHas(op csrc.Op) bool { return op >= 0 && op < csrc.Ops }

func refTasks(op csrc.Op, args unsafe.Pointer) int {
	switch op {
	case csrc.OpConv3x3, csrc.OpWino43, csrc.OpBWino43:
		a := (*csrc.Conv3x3)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpFirst:
		a := (*csrc.First)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpWgrad3x3, csrc.OpWgradWino43, csrc.OpWgradFirst:
		return blocks((*csrc.Wgrad3x3)(args).OC)
	case csrc.OpTConv, csrc.OpBTConv, csrc.OpTConvDgrad:
		a := (*csrc.TConv)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpQWino43:
		a := &(*csrc.QWino43)(args).Conv
		return int(a.N) * bands(a.H)
	case csrc.OpQTConv:
		a := &(*csrc.QTConv)(args).TConv
		return int(a.N) * bands(a.H)
	case csrc.OpTConvWgrad:
		return blocks((*csrc.TConvWgrad)(args).OC)
	case csrc.OpPool, csrc.OpPoolBwd:
		a := (*csrc.Pool)(args)
		return int(a.N * a.CB)
	case csrc.OpBNStats, csrc.OpBNSums, csrc.OpBNBwd:
		a := (*csrc.BN)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpHead, csrc.OpHeadBwd:
		a := (*csrc.Head)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpLossFwd, csrc.OpLossBwd:
		a := (*csrc.Loss)(args)
		return int(a.N) * chunks(a.Size)
	case csrc.OpAdam, csrc.OpSumSq:
		return chunks((*csrc.Adam)(args).Size)
	}
	return 1 // packing and reductions
}

// refScratch returns, as the C kernels do, the size of `partial` for the
// reductions; nothing here needs scratch memory.
func refScratch(op csrc.Op, args unsafe.Pointer) int {
	switch op {
	case csrc.OpWgrad3x3Reduce, csrc.OpWgradWino43Reduce, csrc.OpWgradFirstReduce:
		a := (*csrc.Wgrad3x3)(args)
		return int(a.OC * a.IC * 9)
	case csrc.OpTConvWgradReduce:
		a := (*csrc.TConvWgrad)(args)
		return int(a.OC*a.IC*4 + a.OC)
	}
	return 0
}

func refRun(op csrc.Op, args unsafe.Pointer, t0, t1 int, _ *float32) {
	for t := t0; t < t1; t++ {
		switch op {
		case csrc.OpConv3x3, csrc.OpWino43, csrc.OpBWino43:
			refConv3x3(op, (*csrc.Conv3x3)(args), t)
		case csrc.OpFirst:
			refFirst((*csrc.First)(args), t)
		case csrc.OpWgrad3x3, csrc.OpWgradWino43:
			a := (*csrc.Wgrad3x3)(args)
			src := refUnpack(a.Src, a.SrcImage, a.N, 0, blocks(a.IC), a.H, a.W, 0, a.H)
			refWgrad(a, src, refAct(a.Act, blocks(a.IC)), blocks(a.IC)*16, t)
		case csrc.OpWgradFirst:
			a := (*csrc.Wgrad3x3)(args)
			refWgrad(a, floats(a.Src, int(a.N*a.IC*a.H*a.W)), ref.Act{}, int(a.IC), t)
		case csrc.OpWgrad3x3Reduce, csrc.OpWgradWino43Reduce, csrc.OpWgradFirstReduce:
			a := (*csrc.Wgrad3x3)(args)
			size := int(a.OC * a.IC * 9)
			copy(floats(a.DW, size), floats(a.Partial, size))
		case csrc.OpPackConv3x3, csrc.OpPackWino43, csrc.OpPackBWino43, csrc.OpPackFirst:
			refPack(op, (*csrc.Pack)(args))
		case csrc.OpPackTConv, csrc.OpPackBTConv:
			refPackTConv((*csrc.Pack)(args))
		case csrc.OpTConv, csrc.OpBTConv:
			refTConv(op, (*csrc.TConv)(args), t)
		case csrc.OpTConvDgrad:
			refTConvDgrad((*csrc.TConv)(args), t)
		case csrc.OpTConvWgrad:
			refTConvWgrad((*csrc.TConvWgrad)(args), t)
		case csrc.OpTConvWgradReduce:
			a := (*csrc.TConvWgrad)(args)
			dw, db := int(a.OC*a.IC*4), int(a.OC)
			partial := floats(a.Partial, dw+db)
			copy(floats(a.DW, dw), partial)
			copy(floats(a.DB, db), partial[dw:])
		case csrc.OpQWino43:
			refQWino43((*csrc.QWino43)(args), t)
		case csrc.OpQTConv:
			refQTConv((*csrc.QTConv)(args), t)
		case csrc.OpPackQ:
			a := (*csrc.QPack)(args)
			size := int(a.N * a.K * 16)
			copy(int8s(a.Dst, size), unsafe.Slice(a.Src, size))
			clear(floats((*float32)(unsafe.Pointer(a.Offset)), int(a.N*16)))
		case csrc.OpPool, csrc.OpPoolBwd:
			refPool(op, (*csrc.Pool)(args), t)
		case csrc.OpBNStats, csrc.OpBNSums, csrc.OpBNBwd:
			refBN(op, (*csrc.BN)(args), t)
		case csrc.OpHead, csrc.OpHeadBwd:
			refHead(op, (*csrc.Head)(args), t)
		case csrc.OpLossFwd, csrc.OpLossBwd:
			refLoss(op, (*csrc.Loss)(args), t)
		case csrc.OpAdam, csrc.OpSumSq:
			refAdam(op, (*csrc.Adam)(args), t)
		}
	}
}

func bands(h int32) int  { return (int(h) + refRows - 1) / refRows }
func blocks(c int32) int { return (int(c) + 15) / 16 }
func chunks(n int64) int { return int((n + refChunk - 1) / refChunk) }

// band returns image and rows y0..y1-1 of task t of an operation split by
// images and bands.
func band(t int, h int32) (image int, y0, y1 int32) {
	y0 = int32(t%bands(h)) * refRows
	return t / bands(h), y0, min(y0+refRows, h)
}

// chunk returns image and values i0..i1-1 of task t.
func chunk(t int, size int64) (image, i0, i1 int64) {
	i0 = int64(t%chunks(size)) * refChunk
	return int64(t / chunks(size)), i0, min(i0+refChunk, size)
}

// floats views n floats at p; nil stays nil.
func floats(p *float32, n int) []float32 { return unsafe.Slice(p, n) }

// offset returns p + n floats, nil for nil.
func offset(p *float32, n int64) *float32 {
	if p == nil {
		return nil
	}
	return (*float32)(unsafe.Add(unsafe.Pointer(p), n*4))
}

// refUnpack copies rows y0..y1-1 of the channel blocks b0..b1-1 of n images at p
// to dense NCHW.
func refUnpack(p *float32, image int64, n int32, b0, b1 int, h, w, y0, y1 int32) []float32 {
	size := int((y1 - y0) * w)
	dst := make([]float32, int(n)*(b1-b0)*16*size)
	for i := range int(n) {
		for b := b0; b < b1; b++ {
			src := floats(offset(p, int64(i)*image+(int64(b)*int64(h)+int64(y0))*int64(w)*16), size*16)
			planes := dst[(i*(b1-b0)+b-b0)*16*size:]
			for at, v := range src {
				planes[at%16*size+at/16] = v
			}
		}
	}
	return dst
}

// refPackTo is the reverse of refUnpack for one image: the planes of src are rows
// y0..y1-1 of the image at p.
func refPackTo(p *float32, src []float32, b0, b1 int, h, w, y0, y1 int32) {
	size := int((y1 - y0) * w)
	for b := b0; b < b1; b++ {
		dst := floats(offset(p, (int64(b)*int64(h)+int64(y0))*int64(w)*16), size*16)
		planes := src[(b-b0)*16*size:]
		for at := range dst {
			dst[at] = planes[at%16*size+at/16]
		}
	}
}

func refAct(a csrc.Act, cb int) ref.Act {
	if a.Scale == nil {
		return ref.Act{}
	}
	return ref.Act{Scale: floats(a.Scale, cb*16), Shift: floats(a.Shift, cb*16), Lo: floats(a.Lo, cb*16)}
}

func refPool(op csrc.Op, a *csrc.Pool, t int) {
	i, b := int64(t/int(a.CB)), t%int(a.CB)
	d := ref.Dims{N: 1, IC: 16, H: int(a.H), W: int(a.W)}
	act := refAct(a.Act, int(a.CB)).Of(b*16, b*16+16)
	src := refUnpack(offset(a.Src, i*a.SrcImage), 0, 1, b, b+1, a.H, a.W, 0, a.H)
	h2, w2 := a.H/2, a.W/2
	if op == csrc.OpPool {
		dst := make([]float32, 16*h2*w2)
		ref.Pool(d, dst, src, act)
		refPackTo(offset(a.Dst, i*a.DstImage), dst, b, b+1, h2, w2, 0, h2)
		return
	}
	ddst := refUnpack(offset(a.DDst, i*a.DDstImage), 0, 1, b, b+1, h2, w2, 0, h2)
	dsrc := refUnpack(offset(a.DSrc, i*a.DSrcImage), 0, 1, b, b+1, a.H, a.W, 0, a.H)
	ref.PoolBwd(d, dsrc, ddst, src, act)
	refPackTo(offset(a.DSrc, i*a.DSrcImage), dsrc, b, b+1, a.H, a.W, 0, a.H)
}

func refBN(op csrc.Op, a *csrc.BN, t int) {
	i, y0, y1 := band(t, a.H)
	cb := int(a.CB)
	c := cb * 16
	d := ref.Dims{N: 1, IC: c, H: int(y1 - y0), W: int(a.W)}
	y := refUnpack(offset(a.Y, int64(i)*a.YImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
	if op == csrc.OpBNStats {
		refStats(d, a.Stats, a.Counts, t, y)
		return
	}
	at := offset(a.DA, int64(i)*a.DAImage)
	da := refUnpack(at, 0, 1, 0, cb, a.H, a.W, y0, y1)
	if op == csrc.OpBNSums {
		sums := floats(offset(a.Sums, int64(t*2*c)), 2*c)
		ref.BNSums(d, sums[:c], sums[c:], y, refAct(a.Act, cb), da, floats(a.Mean, c))
		return
	}
	ref.BNBwd(d, da, y, refAct(a.Act, cb), floats(a.CA, c), floats(a.CY, c), floats(a.C0, c))
	refPackTo(at, da, 0, cb, a.H, a.W, y0, y1)
}

// refStats writes the statistics of task t, whose pixels are y.
func refStats(d ref.Dims, stats *float32, counts *int32, t int, y []float32) {
	c := d.IC
	s := floats(offset(stats, int64(t*3*c)), 3*c)
	ref.PivotSums(d, s[:c], s[c:2*c], s[2*c:], y)
	unsafe.Slice(counts, t+1)[t] = int32(d.H * d.W)
}

func refHead(op csrc.Op, a *csrc.Head, t int) {
	i, y0, y1 := band(t, a.H)
	cb, k := int(a.CB), int(a.K)
	c := cb * 16
	d := ref.Dims{N: 1, IC: c, OC: k, H: int(y1 - y0), W: int(a.W)}
	size := d.H * d.W
	src := refUnpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
	act, weight := refAct(a.Act, cb), floats(a.Weight, k*c)
	plane := func(p *float32, o int) []float32 {
		return floats(offset(p, (int64(i*k+o)*int64(a.H)+int64(y0))*int64(a.W)), size)
	}
	maps := make([]float32, k*size)
	if op == csrc.OpHead {
		ref.Head(d, maps, src, act, weight, floats(a.Bias, k))
		for o := range k {
			copy(plane(a.Logits, o), maps[o*size:])
		}
		return
	}
	for o := range k {
		copy(maps[o*size:], plane(a.DLogits, o))
	}
	dsrc, dw, db := make([]float32, c*size), make([]float32, k*c), make([]float32, k)
	ref.HeadBwd(d, dsrc, dw, db, src, act, weight, maps)
	refPackTo(offset(a.DSrc, int64(i)*a.DSrcImage), dsrc, 0, cb, a.H, a.W, y0, y1)
	partial := floats(offset(a.Partial, int64(t*k*(c+16))), k*(c+16))
	clear(partial)
	for o := range k {
		copy(partial[o*(c+16):], dw[o*c:][:c])
		partial[o*(c+16)+c] = db[o]
	}
}

func refLoss(op csrc.Op, a *csrc.Loss, t int) {
	i, i0, i1 := chunk(t, a.Size)
	n := int(i1 - i0)
	target := floats(offset(a.T, i*a.StrideT+i0), n)
	var w []float32
	if a.W != nil {
		w = floats(offset(a.W, i*a.StrideT+i0), n)
	}
	p := floats(offset(a.P, i*a.Stride+i0), n)
	if op == csrc.OpLossFwd {
		sums := ref.Loss(p, floats(offset(a.Z, i*a.Stride+i0), n), target, w, a.Beta)
		copy(unsafe.Slice(a.Sums, 8*(t+1))[8*t:], sums[:])
		return
	}
	ref.LossBwd(floats(offset(a.DZ, i*a.Stride+i0), n), p, target, w,
		ref.LossCoeffs{BCE: a.CBCE, T: a.CT, One: a.C1, L1: a.CL1, Beta: a.Beta})
}

func refAdam(op csrc.Op, a *csrc.Adam, t int) {
	_, i0, i1 := chunk(t, a.Size)
	part := func(p *float32) []float32 { return floats(offset(p, i0), int(i1-i0)) }
	if op == csrc.OpSumSq {
		unsafe.Slice(a.Out, t+1)[t] = ref.SumSq(part(a.G))
		return
	}
	var ema []float32
	if a.EMA != nil {
		ema = part(a.EMA)
	}
	ref.Adam(part(a.P), part(a.G), part(a.M), part(a.V), ema, ref.AdamStep{
		Step: a.Step, B1: a.B1, B2: a.B2, Eps: a.Eps, InvSqrtBC2: a.InvSqrtBC2,
		Decay: a.Decay, GScale: a.GScale, EMADecay: a.EMADecay,
	})
}
