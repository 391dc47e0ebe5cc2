package selftest

import (
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// The kernels of residual blocks, attention gates, nearest upsampling, and of
// training and quantising that belong to no layer.

// image is the number of floats of one image of a tensor of c channels.
func image(c, size int) int64 { return int64(blocks(c) * size * 16) }

// same returns arguments for a kernel of one tensor, c channels in and out.
func (s Shape) same() (n, h, w, cb int32) {
	return int32(s.N), int32(s.H), int32(s.W), int32(blocks(s.IC))
}

func conv1x1(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	w, src := b.normal(s.OC*s.IC), b.normal(s.N*s.IC*size)
	packed := b.zeros(blocks(s.OC) * blocks(s.IC) * 256)
	b.do(csrc.OpPackConv1x1, unsafe.Pointer(&csrc.Pack{Src: &w[0], Dst: &packed[0], OC: int32(s.OC), IC: int32(s.IC)}))
	x, y := b.tensor(src, s.N, s.IC, size), b.zeros(s.N*blocks(s.OC)*size*16)
	b.timed(csrc.OpConv1x1, unsafe.Pointer(&csrc.Conv1x1{Src: &x[0], Weight: &packed[0], Dst: &y[0],
		SrcImage: image(s.IC, size), DstImage: image(s.OC, size), N: int32(s.N), H: int32(s.H), W: int32(s.W),
		ICB: int32(blocks(s.IC)), OCB: int32(blocks(s.OC))}), true)
	return func() []float32 { return dense(y, s.N, s.OC, size) }, func() []float32 {
		want := make([]float32, s.N*s.OC*size)
		ref.Head(dims(s), want, src, ref.Act{}, w, make([]float32, s.OC))
		return want
	}
}

func wgrad1x1(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	src, dy := b.normal(s.N*s.IC*size), b.normal(s.N*s.OC*size)
	x, y, dw := b.tensor(src, s.N, s.IC, size), b.tensor(dy, s.N, s.OC, size), b.zeros(s.OC*s.IC)
	args := &csrc.Wgrad3x3{Src: &x[0], DY: &y[0], DW: &dw[0], SrcImage: image(s.IC, size), DYImage: image(s.OC, size),
		N: int32(s.N), H: int32(s.H), W: int32(s.W), IC: int32(s.IC), OC: int32(s.OC)}
	args.Partial = &b.zeros(csrc.Scratch(b.isa, csrc.OpWgrad1x1Reduce, unsafe.Pointer(args)))[0]
	b.timed(csrc.OpWgrad1x1, unsafe.Pointer(args), true)
	b.timed(csrc.OpWgrad1x1Reduce, unsafe.Pointer(args), false)
	return func() []float32 { return dw }, func() []float32 {
		want := make([]float32, len(dw))
		ref.HeadBwd(dims(s), make([]float32, len(src)), want, make([]float32, s.OC), src, ref.Act{}, want, dy)
		return want
	}
}

func upsample(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	src := b.normal(s.N * s.IC * size)
	act, cact := b.act(s.IC)
	x, y := b.tensor(src, s.N, s.IC, size), b.zeros(s.N*blocks(s.IC)*4*size*16)
	args := &csrc.Upsample{Src: &x[0], SrcImage: image(s.IC, size), Act: cact, Dst: &y[0], DstImage: image(s.IC, 4*size)}
	args.N, args.H, args.W, args.CB = s.same()
	b.timed(csrc.OpUpsample, unsafe.Pointer(args), false)
	return func() []float32 { return dense(y, s.N, s.IC, 4*size) }, func() []float32 {
		want := make([]float32, 4*len(src))
		ref.Upsample(dims(s), want, src, act)
		return want
	}
}

func upsampleBwd(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	dd := b.normal(s.N * s.IC * 4 * size)
	y, x := b.tensor(dd, s.N, s.IC, 4*size), b.zeros(s.N*blocks(s.IC)*size*16)
	args := &csrc.Upsample{DDst: &y[0], DstImage: image(s.IC, 4*size), DSrc: &x[0], SrcImage: image(s.IC, size)}
	args.N, args.H, args.W, args.CB = s.same()
	b.timed(csrc.OpUpsampleBwd, unsafe.Pointer(args), false)
	return func() []float32 { return dense(x, s.N, s.IC, size) }, func() []float32 {
		want := make([]float32, s.N*s.IC*size)
		ref.UpsampleBwd(dims(s), want, dd)
		return want
	}
}

// sum is the end of a residual block; backward, its result holds what the
// forward pass would have written.
func sum(backward bool) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		size := s.H * s.W
		n, im := s.N*s.IC*size, image(s.IC, size)
		first, second := b.normal(n), b.normal(n)
		x, y := b.tensor(first, s.N, s.IC, size), b.tensor(second, s.N, s.IC, size)
		args := &csrc.Add{XImage: im, YImage: im, DstImage: im, DDstImage: im}
		args.N, args.H, args.W, args.CB = s.same()
		if backward {
			dx, dy := b.zeros(len(x)), b.zeros(len(x))
			args.Dst, args.DDst, args.DX, args.DY = &x[0], &y[0], &dx[0], &dy[0]
			b.timed(csrc.OpAddBwd, unsafe.Pointer(args), false)
			return func() []float32 { return append(dense(dx, s.N, s.IC, size), dense(dy, s.N, s.IC, size)...) }, func() []float32 {
				want := make([]float32, n)
				ref.AddBwd(want, first, second)
				return append(want, want...)
			}
		}
		act, cact := b.act(s.IC)
		dst := b.zeros(len(x))
		args.X, args.Y, args.XAct, args.YAct, args.Dst = &x[0], &y[0], cact, cact, &dst[0]
		b.timed(csrc.OpAdd, unsafe.Pointer(args), false)
		return func() []float32 { return dense(dst, s.N, s.IC, size) }, func() []float32 {
			want := make([]float32, n)
			ref.Add(dims(s), want, first, second, act, act)
			return want
		}
	}
}

func gate(backward bool) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		size := s.H * s.W
		n, im := s.N*s.IC*size, image(s.IC, size)
		src, dd, z := b.normal(n), b.normal(n), b.normal(s.N*size)
		act, cact := b.act(s.IC)
		x, y := b.tensor(src, s.N, s.IC, size), b.tensor(dd, s.N, s.IC, size)
		out := b.zeros(len(x))
		args := &csrc.Gate{Src: &x[0], Act: cact, Z: &z[0], SrcImage: im, DstImage: im, DSrcImage: im, DDstImage: im}
		args.N, args.H, args.W, args.CB = s.same()
		if backward {
			dz := b.zeros(len(z))
			args.DDst, args.DSrc, args.DZ = &y[0], &out[0], &dz[0]
			b.timed(csrc.OpGateBwd, unsafe.Pointer(args), false)
			return func() []float32 { return append(dense(out, s.N, s.IC, size), dz...) }, func() []float32 {
				dsrc, want := make([]float32, n), make([]float32, len(z))
				ref.GateBwd(dims(s), dsrc, want, src, act, z, dd)
				return append(dsrc, want...)
			}
		}
		args.Dst = &out[0]
		b.timed(csrc.OpGate, unsafe.Pointer(args), false)
		return func() []float32 { return dense(out, s.N, s.IC, size) }, func() []float32 {
			want := make([]float32, n)
			ref.Gate(dims(s), want, src, act, z)
			return want
		}
	}
}

func interleave(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	src := b.normal(s.N * s.IC * size)
	y := b.zeros(s.N * blocks(s.IC) * size * 16)
	b.timed(csrc.OpInterleave, unsafe.Pointer(&csrc.Interleave{Src: &src[0], Dst: &y[0], DstImage: image(s.IC, size),
		N: int32(s.N), H: int32(s.H), W: int32(s.W), C: int32(s.IC)}), false)
	return func() []float32 { return dense(y, s.N, s.IC, size) }, func() []float32 { return src }
}

func sumSq(b *bench, s Shape) (values, values) {
	g := b.normal(weights(s))
	args := &csrc.Adam{G: &g[0], Size: int64(len(g))}
	parts := csrc.Tasks(b.isa, csrc.OpSumSq, unsafe.Pointer(args))
	out := unsafe.Slice((*float64)(unsafe.Pointer(&b.zeros(2 * parts)[0])), parts)
	args.Out = &out[0]
	b.timed(csrc.OpSumSq, unsafe.Pointer(args), false)
	return func() []float32 {
		all := 0.0
		for _, v := range out {
			all += v
		}
		return []float32{float32(all)}
	}, func() []float32 { return []float32{float32(ref.SumSq(g))} }
}
