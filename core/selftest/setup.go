package selftest

import (
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

type values = func() []float32

// conv sets up a 3x3 convolution, or the data gradient of one: then the
// operation maps the layer's output channels to its input channels.
func conv(op, pack csrc.Op, dgrad bool) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		in, out, size := s.IC, s.OC, s.H*s.W
		p := &csrc.Pack{OC: int32(s.OC), IC: int32(s.IC)}
		if dgrad {
			in, out, p.Flip = out, in, 1
		}
		w, src := b.normal(s.OC*s.IC*9), b.normal(s.N*in*size)
		packed := b.zeros(blocks(in) * blocks(out) * 36 * 256) // Winograd's size; direct weights need less
		p.Src, p.Dst = &w[0], &packed[0]
		b.do(pack, unsafe.Pointer(p))
		x, y := b.tensor(src, s.N, in, size), b.zeros(s.N*blocks(out)*size*16)
		compact := int32(0)
		if op == csrc.OpWino43 && pack == csrc.OpPackConv3x3 {
			compact = 1
		}
		b.timed(op, unsafe.Pointer(&csrc.Conv3x3{Src: &x[0], Weight: &packed[0], Dst: &y[0],
			SrcImage: int64(blocks(in) * size * 16), DstImage: int64(blocks(out) * size * 16),
			N: int32(s.N), H: int32(s.H), W: int32(s.W), ICB: int32(blocks(in)), OCB: int32(blocks(out)), Compact: compact}), true)
		return func() []float32 { return dense(y, s.N, out, size) }, func() []float32 {
			want := make([]float32, s.N*out*size)
			if dgrad {
				ref.Conv3x3Dgrad(dims(s), want, src, w)
			} else {
				ref.Conv3x3(dims(s), want, src, ref.Act{}, w, nil, false)
			}
			return want
		}
	}
}

func dims(s Shape) ref.Dims { return ref.Dims{N: s.N, IC: s.IC, OC: s.OC, H: s.H, W: s.W} }

func first(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	w, src := b.normal(s.OC*s.IC*9), b.normal(s.N*s.IC*size)
	packed, y := b.zeros(blocks(s.OC)*s.IC*9*16), b.zeros(s.N*blocks(s.OC)*size*16)
	b.do(csrc.OpPackFirst, unsafe.Pointer(&csrc.Pack{Src: &w[0], Dst: &packed[0], OC: int32(s.OC), IC: int32(s.IC)}))
	b.timed(csrc.OpFirst, unsafe.Pointer(&csrc.First{Src: &src[0], Weight: &packed[0], Dst: &y[0],
		DstImage: int64(blocks(s.OC) * size * 16),
		N:        int32(s.N), IC: int32(s.IC), H: int32(s.H), W: int32(s.W), OCB: int32(blocks(s.OC))}), true)
	return func() []float32 { return dense(y, s.N, s.OC, size) }, func() []float32 {
		want := make([]float32, s.N*s.OC*size)
		ref.Conv3x3(dims(s), want, src, ref.Act{}, w, nil, false)
		return want
	}
}

// wgrad sets up a weight gradient with its reduction.
func wgrad(op, reduce csrc.Op) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		size := s.H * s.W
		src, dy := b.normal(s.N*s.IC*size), b.normal(s.N*s.OC*size)
		x, y, dw := src, b.tensor(dy, s.N, s.OC, size), b.zeros(s.OC*s.IC*9)
		if op != csrc.OpWgradFirst { // which reads planes
			x = b.tensor(src, s.N, s.IC, size)
		}
		args := &csrc.Wgrad3x3{Src: &x[0], DY: &y[0], DW: &dw[0],
			SrcImage: int64(blocks(s.IC) * size * 16), DYImage: int64(blocks(s.OC) * size * 16),
			N: int32(s.N), H: int32(s.H), W: int32(s.W), IC: int32(s.IC), OC: int32(s.OC)}
		args.Partial = &b.zeros(csrc.Scratch(b.isa, reduce, unsafe.Pointer(args)))[0]
		b.timed(op, unsafe.Pointer(args), true)
		b.timed(reduce, unsafe.Pointer(args), false)
		return func() []float32 { return dw }, func() []float32 {
			want := make([]float32, len(dw))
			ref.Conv3x3Wgrad(dims(s), want, src, ref.Act{}, dy)
			return want
		}
	}
}

// tconvArgs packs weights w for a transposed convolution of x to y.
func (b *bench) tconvArgs(pack csrc.Op, s Shape, w, x, y []float32, xc, yc, xsize, ysize int, flip int32) *csrc.TConv {
	packed := b.zeros(blocks(s.IC) * blocks(s.OC) * 4 * 256)
	b.do(pack, unsafe.Pointer(&csrc.Pack{Src: &w[0], Dst: &packed[0],
		OC: int32(s.OC), IC: int32(s.IC), Flip: flip}))
	return &csrc.TConv{Src: &x[0], Weight: &packed[0], Dst: &y[0],
		SrcImage: int64(blocks(xc) * xsize * 16), DstImage: int64(blocks(yc) * ysize * 16),
		N: int32(s.N), H: int32(s.H), W: int32(s.W), ICB: int32(blocks(s.IC)), OCB: int32(blocks(s.OC))}
}

func tconv(op, pack csrc.Op) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		size := s.H * s.W
		w, src := b.normal(s.IC*s.OC*4), b.normal(s.N*s.IC*size)
		x, y := b.tensor(src, s.N, s.IC, size), b.zeros(s.N*blocks(s.OC)*4*size*16)
		b.timed(op, unsafe.Pointer(b.tconvArgs(pack, s, w, x, y, s.IC, s.OC, size, 4*size, 0)), true)
		return func() []float32 { return dense(y, s.N, s.OC, 4*size) }, func() []float32 {
			want := make([]float32, s.N*s.OC*4*size)
			ref.TConv2x2(dims(s), want, src, ref.Act{}, w, nil)
			return want
		}
	}
}

func tconvDgrad(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	w, dy := b.normal(s.IC*s.OC*4), b.normal(s.N*s.OC*4*size)
	x, y := b.tensor(dy, s.N, s.OC, 4*size), b.zeros(s.N*blocks(s.IC)*size*16)
	b.timed(csrc.OpTConvDgrad, unsafe.Pointer(b.tconvArgs(csrc.OpPackTConv, s, w, x, y, s.OC, s.IC, 4*size, size, 1)), true)
	return func() []float32 { return dense(y, s.N, s.IC, size) }, func() []float32 {
		want := make([]float32, s.N*s.IC*size)
		ref.TConv2x2Dgrad(dims(s), want, dy, w)
		return want
	}
}

func tconvWgrad(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	src, dy := b.normal(s.N*s.IC*size), b.normal(s.N*s.OC*4*size)
	x, y := b.tensor(src, s.N, s.IC, size), b.tensor(dy, s.N, s.OC, 4*size)
	dw, db := b.zeros(s.IC*s.OC*4), b.zeros(s.OC)
	args := &csrc.TConvWgrad{Src: &x[0], DY: &y[0], DW: &dw[0], DB: &db[0],
		SrcImage: int64(blocks(s.IC) * size * 16), DYImage: int64(blocks(s.OC) * 4 * size * 16),
		N: int32(s.N), H: int32(s.H), W: int32(s.W), IC: int32(s.IC), OC: int32(s.OC)}
	args.Partial = &b.zeros(csrc.Scratch(b.isa, csrc.OpTConvWgradReduce, unsafe.Pointer(args)))[0]
	b.timed(csrc.OpTConvWgrad, unsafe.Pointer(args), true)
	b.timed(csrc.OpTConvWgradReduce, unsafe.Pointer(args), false)
	return func() []float32 { return dw }, func() []float32 {
		want := make([]float32, len(dw))
		ref.TConv2x2Wgrad(dims(s), want, make([]float32, s.OC), src, ref.Act{}, dy)
		return want
	}
}
