package core

import (
	"unsafe"

	"unet/csrc"
)

// TConv adds a 2x2 transposed convolution of stride 2 with bias, from in to
// out, which is twice as wide and high.
func (b *Builder) TConv(name string, in, out Tensor) {
	if b.declaring {
		b.params.Weight(name+".weight", in.C, out.C, 2, 2)
		b.params.Plain(name+".bias", out.C)
		b.layers = append(b.layers, Quantisable{Name: name, C: in.C, H: in.H, Double: true})
		return
	}
	bias, phase := b.prog.weights(name+".bias", out.C), Pack
	if b.training {
		phase = Forward
	}
	b.prog.fn(phase, name+".bias", func() {
		copy(b.prog.slice(bias), b.params.must(name+".bias").Value)
	}, bias)
	flops := 2 * 4 * float64(b.n*in.C*out.C*in.H*in.W)
	b.observe(name, in, 1)
	if r := b.quantised(name); r != nil {
		b.quantTConv(name, in, out, bias, r).flops = flops
		return
	}
	args := b.tconvArgs(in, out)
	args.SrcImage, args.DstImage = in.root.image(), out.root.image()
	algo := b.tconvAlgorithm()
	weight := b.pack(Forward, algo.pack, name+".weight", out.C, in.C, 0, algo.size(in.C, out.C), nil)
	s := b.prog.op(Forward, algo.conv, args, name)
	s.flops = flops
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.prog.bind(&args.Weight, weight, 0)
	b.prog.bind(&args.Bias, bias, 0)
	b.bindData(&args.Dst, out)
	if b.training {
		b.tape = append(b.tape, func() { b.tconvBackward(name, in, out, flops) })
	}
}

// tconvArgs are the sizes of a transposed convolution from in to out.
func (b *Builder) tconvArgs(in, out Tensor) *csrc.TConv {
	return &csrc.TConv{N: int32(b.n), H: int32(in.H), W: int32(in.W), ICB: int32(in.cb()), OCB: int32(out.cb())}
}

// tconvBackward adds a transposed convolution's backward pass: the gradients of
// its weights and of in.
func (b *Builder) tconvBackward(name string, in, out Tensor, flops float64) {
	b.need(in.root)
	wg := &csrc.TConvWgrad{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), IC: int32(in.C), OC: int32(out.C),
		SrcImage: in.root.image(), DYImage: out.root.image(),
	}
	partial := b.prog.buffer(name+".partial",
		b.prog.engine.backend.scratch(csrc.OpTConvWgradReduce, unsafe.Pointer(wg)))
	flipped := b.pack(Backward, csrc.OpPackTConv, name+".weight", out.C, in.C, 1, 4*in.C*out.C, nil)
	s := b.prog.op(Backward, csrc.OpTConvWgrad, wg, name+".wgrad")
	s.flops = flops
	b.bindData(&wg.Src, in)
	b.bindAct(&wg.Act, in)
	b.bindGrad(&wg.DY, out)
	b.prog.bind(&wg.Partial, partial, 0)
	args := b.tconvArgs(in, out)
	args.SrcImage, args.DstImage = out.root.image(), in.root.image()
	s = b.prog.beside(Backward, csrc.OpTConvDgrad, args, name+".dgrad")
	s.flops = flops
	b.bindGrad(&args.Src, out)
	b.prog.bind(&args.Weight, flipped, 0)
	b.bindGrad(&args.Dst, in)
	b.prog.later(csrc.OpTConvWgradReduce, wg, name+".wgrad_reduce")
	b.prog.use(partial)
	b.bindGradient(&wg.DW, name+".weight")
	b.bindGradient(&wg.DB, name+".bias")
}

func declareHead(p *Params, name string, ic, k int) {
	p.Weight(name+".weight", k, ic, 1, 1)
	p.Plain(name+".bias", k)
}

// Head adds a 1x1 convolution with bias from in to k <= 8 planar maps.
func (b *Builder) Head(name string, in Tensor, k int) *Maps {
	if b.declaring {
		declareHead(b.params, name, in.C, k)
		return nil
	}
	hw := in.H * in.W
	m := &Maps{K: k, N: b.n * b.prog.micros, H: in.H, W: in.W, b: b}
	m.logits = b.prog.planes("logits", b.n*k*hw)
	m.prob = b.prog.planes("prob", b.n*k*hw)
	m.logits.liveOut, m.prob.liveOut = true, true
	if b.training {
		m.dLogits = b.prog.planes("logits.grad", b.n*k*hw)
		m.dLogits.keep()
	}
	b.maps(name, in, k, m.logits, m.dLogits)
	// The backward pass begins here: nothing would be gained by recomputing.
	b.tape = append(b.tape, func() { b.keep(in.root) })
	return m
}

// maps adds the 1x1 convolution of Head, to planes in logits, and in training the
// backward pass from their gradient.
func (b *Builder) maps(name string, in Tensor, k int, logits, dLogits *buffer) {
	newArgs := func() *csrc.Head {
		return &csrc.Head{
			N: int32(b.n), H: int32(in.H), W: int32(in.W), CB: int32(in.cb()), K: int32(k),
			SrcImage: in.root.image(), Weight: b.params.ptr(name + ".weight"), Bias: b.params.ptr(name + ".bias"),
		}
	}
	args := newArgs()
	s := b.prog.op(Forward, csrc.OpHead, args, name)
	s.flops = 2 * float64(b.n*k*in.C*in.H*in.W)
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.prog.bind(&args.Logits, logits, 0)
	if !b.training {
		return
	}
	b.tape = append(b.tape, func() {
		b.need(in.root)
		args := newArgs()
		args.DSrcImage = in.root.image()
		tasks := b.prog.engine.backend.tasks(csrc.OpHeadBwd, unsafe.Pointer(args))
		row := in.C + block
		partial := b.prog.buffer(name+".partial", tasks*k*row)
		b.prog.op(Backward, csrc.OpHeadBwd, args, name+".bwd")
		b.bindData(&args.Src, in)
		b.bindAct(&args.Act, in)
		b.prog.bind(&args.DLogits, dLogits, 0)
		b.bindGrad(&args.DSrc, in)
		b.prog.bind(&args.Partial, partial, 0)
		sums := b.meeting(k * (in.C + 1))
		b.prog.fn(Backward, name+".bwd_reduce", func() {
			dw, db := b.params.must(name+".weight").Grad, b.params.must(name+".bias").Grad
			all := sums.of(func(micro int, v []float64) {
				part := b.prog.part(partial, micro)
				for i := range k {
					for c := range in.C + 1 {
						sum := 0.0
						for t := range tasks {
							sum += float64(part[(t*k+i)*row+c])
						}
						v[i*(in.C+1)+c] = sum
					}
				}
			}, addSums)
			for i := range k {
				of := all[i*(in.C+1):][:in.C+1]
				for c, v := range of[:in.C] {
					dw[i*in.C+c] = float32(v)
				}
				db[i] = float32(of[in.C])
			}
		}, partial)
	})
}

// Dropout zeroes elements of t with probability rate and scales the others by
// 1/(1-rate), in training programs only. Which ones depends on *seed, which
// the caller changes from step to step, on salt and on the position. t must
// hold final values (a pooled tensor, not one with pending batch-norm).
func (b *Builder) Dropout(name string, t Tensor, rate float64, seed *uint64, salt uint64) {
	if !b.training || rate <= 0 {
		return
	}
	size := b.n * t.C * t.H * t.W
	before := uint64(b.first * size)
	size *= b.prog.micros
	apply := func(buf *buffer) func() {
		return func() {
			const chunk = 1 << 14
			data := b.prog.slice(buf)[:size]
			key := (*seed + salt) * 0x9e3779b97f4a7c15
			keep := float32(1 / (1 - rate))
			limit := uint64(rate * (1 << 32))
			b.prog.engine.parallel((size+chunk-1)/chunk, func(i int) {
				for j := i * chunk; j < min((i+1)*chunk, size); j++ {
					if mix(key+before+uint64(j))>>32 < limit {
						data[j] = 0
					} else {
						data[j] *= keep
					}
				}
			})
		}
	}
	b.prog.fn(Forward, name, apply(t.root.data), t.root.data)
	b.tape = append(b.tape, func() {
		b.prog.fn(Backward, name+".bwd", apply(t.root.grad), t.root.grad)
	})
}

// mix is the finaliser of SplitMix64 (Steele et al. 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
