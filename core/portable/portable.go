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
	case csrc.OpConv3x3:
		s := newConvSplit((*csrc.Conv3x3)(args))
		return int((*csrc.Conv3x3)(args).N) * s.blocks * s.chunks
	case csrc.OpBWino43:
		a := (*csrc.Conv3x3)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpFirst:
		a := (*csrc.First)(args)
		return int(a.N) * up(int(a.H), firstRows(a))
	case csrc.OpWgrad3x3, csrc.OpWgradWino43, csrc.OpWgradFirst, csrc.OpWgrad1x1,
		csrc.OpWgrad3x3Reduce, csrc.OpWgradWino43Reduce, csrc.OpWgradFirstReduce, csrc.OpWgrad1x1Reduce:
		return wgradTasks(op, (*csrc.Wgrad3x3)(args))
	case csrc.OpTConv:
		a := (*csrc.TConv)(args)
		return int(a.N * a.OCB * a.H)
	case csrc.OpTConvDgrad:
		a := (*csrc.TConv)(args)
		return int(a.N * a.H)
	case csrc.OpBTConv:
		a := (*csrc.TConv)(args)
		return int(a.N) * bands(a.H)
	case csrc.OpQWino43:
		a := &(*csrc.QWino43)(args).Conv
		return int(a.N) * bands(a.H)
	case csrc.OpQTConv:
		a := &(*csrc.QTConv)(args).TConv
		return int(a.N) * bands(a.H)
	case csrc.OpTConvWgrad:
		s := newTConvWgradSplit((*csrc.TConvWgrad)(args))
		return s.tasks()
	case csrc.OpTConvWgradReduce:
		return blocks((*csrc.TConvWgrad)(args).IC)
	case csrc.OpConv1x1:
		return tasks1x1((*csrc.Conv1x1)(args))
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
		return poolTasks((*csrc.Pool)(args))
	case csrc.OpBNStats, csrc.OpBNSums, csrc.OpBNBwd:
		a := (*csrc.BN)(args)
		return pixelTasks(a.N, a.H, a.W)
	case csrc.OpHead:
		a := (*csrc.Head)(args)
		return int(a.N * a.H)
	case csrc.OpHeadBwd:
		a := (*csrc.Head)(args)
		return pixelTasks(a.N, a.H, a.W)
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

// wgradTasks is Tasks of a weight gradient.
func wgradTasks(op csrc.Op, a *csrc.Wgrad3x3) int {
	switch op {
	case csrc.OpWgrad3x3:
		s := newWgradSplit(a)
		return s.tasks()
	case csrc.OpWgradWino43:
		p := newWinoWgradPlan(a)
		return p.tasks()
	case csrc.OpWgradFirst:
		s := newFirstWgradSplit(a)
		return s.parts * s.ocb
	case csrc.OpWgrad1x1:
		s := newSplit1x1(a)
		return s.parts * s.icb
	case csrc.OpWgrad1x1Reduce:
		return blocks(a.IC)
	}
	return blocks(a.OC)
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
	case csrc.OpConv3x3:
		return conv3x3Scratch((*csrc.Conv3x3)(args))
	case csrc.OpWgrad3x3:
		s := newWgradSplit((*csrc.Wgrad3x3)(args))
		return s.scratch((*csrc.Wgrad3x3)(args).W)
	case csrc.OpWgradWino43:
		return newWinoWgradPlan((*csrc.Wgrad3x3)(args)).scratch
	case csrc.OpWgradFirst:
		return firstWgradScratch((*csrc.Wgrad3x3)(args))
	case csrc.OpTConvDgrad:
		return tconvDgradScratch((*csrc.TConv)(args))
	case csrc.OpTConvWgrad:
		return int((*csrc.TConvWgrad)(args).W) * 16
	case csrc.OpWgrad3x3Reduce:
		s := newWgradSplit((*csrc.Wgrad3x3)(args))
		return s.tasks() * 9 * wgradBlock
	case csrc.OpWgradWino43Reduce:
		p := newWinoWgradPlan((*csrc.Wgrad3x3)(args))
		return p.groups * p.ocb * p.icb * 9 * wgradBlock
	case csrc.OpWgradFirstReduce:
		a := (*csrc.Wgrad3x3)(args)
		s := newFirstWgradSplit(a)
		return s.parts * s.ocb * int(a.IC) * 9 * 16
	case csrc.OpWgrad1x1Reduce:
		s := newSplit1x1((*csrc.Wgrad3x3)(args))
		return s.parts * s.icb * s.ocb * wgradBlock
	case csrc.OpWgrad1x1:
		return strip1x1 * 16
	case csrc.OpConv1x1:
		return scratch1x1((*csrc.Conv1x1)(args))
	case csrc.OpTConvWgradReduce:
		s := newTConvWgradSplit((*csrc.TConvWgrad)(args))
		return s.parts * (s.weights() + s.ocb*16)
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
		case csrc.OpConv3x3:
			conv3x3((*csrc.Conv3x3)(args), t, scratch)
		case csrc.OpBWino43:
			bconv3x3((*csrc.Conv3x3)(args), t)
		case csrc.OpFirst:
			first((*csrc.First)(args), t)
		case csrc.OpWgrad3x3:
			wgrad3x3((*csrc.Wgrad3x3)(args), t, scratch)
		case csrc.OpWgrad3x3Reduce:
			a := (*csrc.Wgrad3x3)(args)
			wgradReduce(a, newWgradSplit(a).parts, t)
		case csrc.OpWgradWino43:
			wgradWino43((*csrc.Wgrad3x3)(args), t, scratch)
		case csrc.OpWgradWino43Reduce:
			a := (*csrc.Wgrad3x3)(args)
			wgradReduce(a, newWinoWgradPlan(a).groups, t)
		case csrc.OpWgradFirst:
			wgradFirst((*csrc.Wgrad3x3)(args), t, scratch)
		case csrc.OpWgradFirstReduce:
			wgradFirstReduce((*csrc.Wgrad3x3)(args), t)
		case csrc.OpWgrad1x1:
			wgrad1x1((*csrc.Wgrad3x3)(args), t, scratch)
		case csrc.OpWgrad1x1Reduce:
			wgrad1x1Reduce((*csrc.Wgrad3x3)(args), t)
		case csrc.OpConv1x1:
			conv1x1((*csrc.Conv1x1)(args), t, scratch)
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
		case csrc.OpPackConv3x3, csrc.OpPackWino43, csrc.OpPackBWino43, csrc.OpPackFirst:
			packConv(op, (*csrc.Pack)(args))
		case csrc.OpPackTConv, csrc.OpPackBTConv:
			packTConv(op, (*csrc.Pack)(args))
		case csrc.OpTConv:
			tconv((*csrc.TConv)(args), t, scratch)
		case csrc.OpBTConv:
			btconv((*csrc.TConv)(args), t)
		case csrc.OpTConvDgrad:
			tconvDgrad((*csrc.TConv)(args), t, scratch)
		case csrc.OpTConvWgrad:
			tconvWgrad((*csrc.TConvWgrad)(args), t, scratch)
		case csrc.OpTConvWgradReduce:
			tconvWgradReduce((*csrc.TConvWgrad)(args), t)
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
		case csrc.OpLossFwd:
			lossFwd((*csrc.Loss)(args), t)
		case csrc.OpLossBwd:
			lossBwd((*csrc.Loss)(args), t)
		case csrc.OpRange:
			ranges((*csrc.Range)(args), t)
		case csrc.OpAdam:
			adam((*csrc.Adam)(args), t)
		case csrc.OpSumSq:
			sumSq((*csrc.Adam)(args), t)
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

// statistics writes the statistics of task t, whose pixels are y.
func statistics(d ref.Dims, stats *float32, counts *int32, t int, y []float32) {
	c := d.IC
	s := floats(offset(stats, int64(t*3*c)), 3*c)
	ref.PivotSums(d, s[:c], s[c:2*c], s[2*c:], y)
	*int32At(counts, t) = int32(d.H * d.W)
}
