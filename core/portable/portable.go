package portable

import (
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// Work is split into bands of at most bandRows rows, stretches of chunkSize
// values, or blocks of 16 channels.
const (
	bandRows  = 32 // even, so that pooling windows stay within a band
	chunkSize = 16384
)

// Has reports whether the package implements op: it does all of package csrc.
func Has(op csrc.Op) bool { return op >= 0 && op < csrc.Ops }

// Tasks returns into how many independent tasks op on args falls.
func Tasks(op csrc.Op, args unsafe.Pointer) int {
	switch op {
	case csrc.OpWino43:
		p := newWinoPlan((*csrc.Conv3x3)(args))
		return p.tasks()
	case csrc.OpConv3x3, csrc.OpBWino43:
		a := (*csrc.Conv3x3)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpFirst:
		a := (*csrc.First)(args)
		return int(a.N) * up(int(a.H), firstRows(a))
	case csrc.OpWgrad3x3, csrc.OpWgradWino43, csrc.OpWgradFirst, csrc.OpWgrad1x1:
		return blocks((*csrc.Wgrad3x3)(args).OC)
	case csrc.OpTConv:
		a := (*csrc.TConv)(args)
		return int(a.N * a.OCB * a.H)
	case csrc.OpBTConv, csrc.OpTConvDgrad:
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
	case csrc.OpConv1x1:
		a := (*csrc.Conv1x1)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpUpsample, csrc.OpUpsampleBwd:
		a := (*csrc.Upsample)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpAdd, csrc.OpAddBwd:
		a := (*csrc.Add)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpInterleave:
		a := (*csrc.Interleave)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpGate, csrc.OpGateBwd:
		a := (*csrc.Gate)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpPool, csrc.OpPoolBwd:
		a := (*csrc.Pool)(args)
		return int(a.N * a.CB)
	case csrc.OpBNStats, csrc.OpBNSums, csrc.OpBNBwd:
		a := (*csrc.BN)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpHead:
		a := (*csrc.Head)(args)
		return int(a.N * a.H)
	case csrc.OpHeadBwd:
		a := (*csrc.Head)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpLossFwd, csrc.OpLossBwd:
		a := (*csrc.Loss)(args)
		return int(a.N) * chunks(a.Size)
	case csrc.OpRange:
		return int((*csrc.Range)(args).CB)
	case csrc.OpAdam, csrc.OpSumSq:
		return chunks((*csrc.Adam)(args).Size)
	}
	return 1 // packing and reductions
}

// Scratch returns the floats of scratch memory one call of Run needs and, as the C
// kernels do, the size of `partial` for the reductions.
func Scratch(op csrc.Op, args unsafe.Pointer) int {
	switch op {
	case csrc.OpWino43:
		p := newWinoPlan((*csrc.Conv3x3)(args))
		return p.scratch()
	case csrc.OpTConv:
		a := (*csrc.TConv)(args)
		return int(a.ICB*a.W) * 16
	case csrc.OpWgrad3x3Reduce, csrc.OpWgradWino43Reduce, csrc.OpWgradFirstReduce:
		a := (*csrc.Wgrad3x3)(args)
		return int(a.OC * a.IC * 9)
	case csrc.OpWgrad1x1Reduce:
		a := (*csrc.Wgrad3x3)(args)
		return int(a.OC * a.IC)
	case csrc.OpTConvWgradReduce:
		a := (*csrc.TConvWgrad)(args)
		return int(a.OC*a.IC*4 + a.OC)
	}
	return 0
}

// Run does tasks t0..t1-1 of op. args points to the struct of op.
//
//nolint:funlen // a table: a case for each operation
func Run(op csrc.Op, args unsafe.Pointer, t0, t1 int, scratch *float32) {
	if op == csrc.OpWino43 { // neighbouring tasks share work
		wino43((*csrc.Conv3x3)(args), t0, t1, scratch)
		return
	}
	for t := t0; t < t1; t++ {
		switch op {
		case csrc.OpConv3x3, csrc.OpBWino43:
			conv3x3(op, (*csrc.Conv3x3)(args), t)
		case csrc.OpFirst:
			first((*csrc.First)(args), t)
		case csrc.OpWgrad3x3, csrc.OpWgradWino43:
			a := (*csrc.Wgrad3x3)(args)
			d := ref.Dims{N: int(a.N), IC: blocks(a.IC) * 16, H: int(a.H), W: int(a.W)}
			src := unpack(a.Src, a.SrcImage, a.N, 0, blocks(a.IC), a.H, a.W, 0, a.H)
			wgrad(a, activated(a.Act, src, d), d.IC, t)
		case csrc.OpWgrad1x1:
			wgrad1x1((*csrc.Wgrad3x3)(args), t)
		case csrc.OpWgrad1x1Reduce:
			a := (*csrc.Wgrad3x3)(args)
			copy(floats(a.DW, int(a.OC*a.IC)), floats(a.Partial, int(a.OC*a.IC)))
		case csrc.OpConv1x1:
			conv1x1((*csrc.Conv1x1)(args), t)
		case csrc.OpPackConv1x1:
			packConv1x1((*csrc.Pack)(args))
		case csrc.OpUpsample, csrc.OpUpsampleBwd:
			upsample(op, (*csrc.Upsample)(args), t)
		case csrc.OpAdd, csrc.OpAddBwd:
			add(op, (*csrc.Add)(args), t)
		case csrc.OpInterleave:
			interleave((*csrc.Interleave)(args), t)
		case csrc.OpGate, csrc.OpGateBwd:
			gate(op, (*csrc.Gate)(args), t)
		case csrc.OpWgradFirst:
			a := (*csrc.Wgrad3x3)(args)
			wgrad(a, floats(a.Src, int(a.N*a.IC*a.H*a.W)), int(a.IC), t)
		case csrc.OpWgrad3x3Reduce, csrc.OpWgradWino43Reduce, csrc.OpWgradFirstReduce:
			a := (*csrc.Wgrad3x3)(args)
			size := int(a.OC * a.IC * 9)
			copy(floats(a.DW, size), floats(a.Partial, size))
		case csrc.OpPackConv3x3, csrc.OpPackWino43, csrc.OpPackBWino43, csrc.OpPackFirst:
			packConv(op, (*csrc.Pack)(args))
		case csrc.OpPackTConv, csrc.OpPackBTConv:
			packTConv(op, (*csrc.Pack)(args))
		case csrc.OpTConv:
			tconv((*csrc.TConv)(args), t, scratch)
		case csrc.OpBTConv:
			btconv((*csrc.TConv)(args), t)
		case csrc.OpTConvDgrad:
			tconvDgrad((*csrc.TConv)(args), t)
		case csrc.OpTConvWgrad:
			tconvWgrad((*csrc.TConvWgrad)(args), t)
		case csrc.OpTConvWgradReduce:
			a := (*csrc.TConvWgrad)(args)
			dw, db := int(a.OC*a.IC*4), int(a.OC)
			partial := floats(a.Partial, dw+db)
			copy(floats(a.DW, dw), partial)
			copy(floats(a.DB, db), partial[dw:])
		case csrc.OpQWino43:
			qwino43((*csrc.QWino43)(args), t)
		case csrc.OpQTConv:
			qtconv((*csrc.QTConv)(args), t)
		case csrc.OpPackQ:
			a := (*csrc.QPack)(args)
			size := int(a.N * a.K * 16)
			copy(int8s(a.Dst, size), unsafe.Slice(a.Src, size))
			clear(floats((*float32)(unsafe.Pointer(a.Offset)), int(a.N*16)))
		case csrc.OpPool, csrc.OpPoolBwd:
			pool(op, (*csrc.Pool)(args), t)
		case csrc.OpBNStats, csrc.OpBNSums, csrc.OpBNBwd:
			batchNorm(op, (*csrc.BN)(args), t)
		case csrc.OpHead:
			head((*csrc.Head)(args), t)
		case csrc.OpHeadBwd:
			headBwd((*csrc.Head)(args), t)
		case csrc.OpLossFwd, csrc.OpLossBwd:
			loss(op, (*csrc.Loss)(args), t)
		case csrc.OpRange:
			ranges((*csrc.Range)(args), t)
		case csrc.OpAdam, csrc.OpSumSq:
			adam(op, (*csrc.Adam)(args), t)
		}
	}
}

func bands(h int32) int  { return (int(h) + bandRows - 1) / bandRows }
func blocks(c int32) int { return (int(c) + 15) / 16 }
func up(a, b int) int    { return (a + b - 1) / b }
func chunks(n int64) int { return int((n + chunkSize - 1) / chunkSize) }

// band returns image and rows y0..y1-1 of task t of an operation split by
// images and bands.
func band(t int, h int32) (image int, y0, y1 int32) {
	y0 = int32(t%bands(h)) * bandRows
	return t / bands(h), y0, min(y0+bandRows, h)
}

// chunk returns image and values i0..i1-1 of task t.
func chunk(t int, size int64) (image, i0, i1 int64) {
	i0 = int64(t%chunks(size)) * chunkSize
	return int64(t / chunks(size)), i0, min(i0+chunkSize, size)
}

// unpack copies rows y0..y1-1 of the channel blocks b0..b1-1 of n images at p
// to dense NCHW.
func unpack(p *float32, image int64, n int32, b0, b1 int, h, w, y0, y1 int32) []float32 {
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

// packTo is the reverse of unpack for one image: the planes of src are rows
// y0..y1-1 of the image at p.
func packTo(p *float32, src []float32, b0, b1 int, h, w, y0, y1 int32) {
	size := int((y1 - y0) * w)
	for b := b0; b < b1; b++ {
		dst := floats(offset(p, (int64(b)*int64(h)+int64(y0))*int64(w)*16), size*16)
		planes := src[(b-b0)*16*size:]
		for at := range dst {
			dst[at] = planes[at%16*size+at/16]
		}
	}
}

// activation is that of image i, of cb channel blocks.
func activation(a csrc.Act, i, cb int) ref.Act {
	if a.Scale == nil {
		return ref.Act{}
	}
	of := func(p *float32) []float32 { return floats(offset(p, int64(i)*a.Image), cb*16) }
	return ref.Act{Scale: of(a.Scale), Shift: of(a.Shift), Lo: of(a.Lo)}
}

// activated is a(src) of d.N images of d.IC channels.
func activated(a csrc.Act, src []float32, d ref.Dims) []float32 {
	if a.Scale == nil {
		return src
	}
	dst := make([]float32, len(src))
	n := len(src) / d.N
	for i := range d.N {
		activation(a, i, d.IC/16).Apply(dst[i*n:][:n], src[i*n:][:n], 1, d.IC, d.H*d.W)
	}
	return dst
}

func pool(op csrc.Op, a *csrc.Pool, t int) {
	i, b := int64(t/int(a.CB)), t%int(a.CB)
	d := ref.Dims{N: 1, IC: 16, H: int(a.H), W: int(a.W)}
	act := activation(a.Act, int(i), int(a.CB)).Of(b*16, b*16+16)
	src := unpack(offset(a.Src, i*a.SrcImage), 0, 1, b, b+1, a.H, a.W, 0, a.H)
	h2, w2 := a.H/2, a.W/2
	if op == csrc.OpPool {
		dst := make([]float32, 16*h2*w2)
		ref.Pool(d, dst, src, act)
		packTo(offset(a.Dst, i*a.DstImage), dst, b, b+1, h2, w2, 0, h2)
		return
	}
	ddst := unpack(offset(a.DDst, i*a.DDstImage), 0, 1, b, b+1, h2, w2, 0, h2)
	dsrc := unpack(offset(a.DSrc, i*a.DSrcImage), 0, 1, b, b+1, a.H, a.W, 0, a.H)
	ref.PoolBwd(d, dsrc, ddst, src, act)
	packTo(offset(a.DSrc, i*a.DSrcImage), dsrc, b, b+1, a.H, a.W, 0, a.H)
}

func batchNorm(op csrc.Op, a *csrc.BN, t int) {
	i, y0, y1 := band(t, a.H)
	cb := int(a.CB)
	c := cb * 16
	d := ref.Dims{N: 1, IC: c, H: int(y1 - y0), W: int(a.W)}
	y := unpack(offset(a.Y, int64(i)*a.YImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
	if op == csrc.OpBNStats {
		statistics(d, a.Stats, a.Counts, t, y)
		return
	}
	at := offset(a.DA, int64(i)*a.DAImage)
	da := unpack(at, 0, 1, 0, cb, a.H, a.W, y0, y1)
	if op == csrc.OpBNSums {
		sums := floats(offset(a.Sums, int64(t*2*c)), 2*c)
		ref.BNSums(d, sums[:c], sums[c:], y, activation(a.Act, i, cb), da, floats(offset(a.Mean, int64(i)*a.ParamImage), c))
		return
	}
	param := func(p *float32) []float32 { return floats(offset(p, int64(i)*a.ParamImage), c) }
	ref.BNBwd(d, da, y, activation(a.Act, i, cb), param(a.CA), param(a.CY), param(a.C0))
	packTo(at, da, 0, cb, a.H, a.W, y0, y1)
}

// statistics writes the statistics of task t, whose pixels are y.
func statistics(d ref.Dims, stats *float32, counts *int32, t int, y []float32) {
	c := d.IC
	s := floats(offset(stats, int64(t*3*c)), 3*c)
	ref.PivotSums(d, s[:c], s[c:2*c], s[2*c:], y)
	*int32At(counts, t) = int32(d.H * d.W)
}

func headBwd(a *csrc.Head, t int) {
	i, y0, y1 := band(t, a.H)
	cb, k := int(a.CB), int(a.K)
	c := cb * 16
	d := ref.Dims{N: 1, IC: c, OC: k, H: int(y1 - y0), W: int(a.W)}
	size := d.H * d.W
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
	maps := make([]float32, k*size)
	for o := range k {
		copy(maps[o*size:], floats(offset(a.DLogits, (int64(i*k+o)*int64(a.H)+int64(y0))*int64(a.W)), size))
	}
	dsrc, dw, db := make([]float32, c*size), make([]float32, k*c), make([]float32, k)
	ref.HeadBwd(d, dsrc, dw, db, src, activation(a.Act, i, cb), floats(a.Weight, k*c), maps)
	packTo(offset(a.DSrc, int64(i)*a.DSrcImage), dsrc, 0, cb, a.H, a.W, y0, y1)
	partial := floats(offset(a.Partial, int64(t*k*(c+16))), k*(c+16))
	clear(partial)
	for o := range k {
		copy(partial[o*(c+16):], dw[o*c:][:c])
		partial[o*(c+16)+c] = db[o]
	}
}

func loss(op csrc.Op, a *csrc.Loss, t int) {
	i, i0, i1 := chunk(t, a.Size)
	n := int(i1 - i0)
	target := floats(offset(a.T, i*a.StrideT+i0), n)
	var w []float32
	if a.W != nil {
		w = floats(offset(a.W, i*a.StrideT+i0), n)
	}
	p := floats(offset(a.P, i*a.Stride+i0), n)
	if op == csrc.OpLossFwd {
		z := floats(offset(a.Z, i*a.Stride+i0), n)
		sums := ref.Loss(p, z, target, w, a.Beta)
		copy(unsafe.Slice(a.Sums, 8*(t+1))[8*t:], sums[:])
		for k, v := range z {
			p[k] = sigmoid(v)
		}
		return
	}
	ref.LossBwd(floats(offset(a.DZ, i*a.Stride+i0), n), p, target, w,
		ref.LossCoeffs{BCE: a.CBCE, T: a.CT, One: a.C1, L1: a.CL1, Beta: a.Beta})
}

func adam(op csrc.Op, a *csrc.Adam, t int) {
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
		Step: a.Step, C1: a.C1, C2: a.C2, Eps: a.Eps, InvSqrtBC2: a.InvSqrtBC2,
		Decay: a.Decay, GScale: a.GScale, CEMA: a.CEMA,
	})
}
