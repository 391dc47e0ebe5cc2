package core

import (
	"math"
	"unsafe"

	"unet/csrc"
)

// Epsilon and Momentum of batch-norm: running = (1-Momentum)*running +
// Momentum*batch, the variance of the batch taken unbiased, as in PyTorch.
const (
	Epsilon  = 1e-5
	Momentum = 0.1
)

// DeclareConv declares the parameters of a 3x3 convolution followed by
// batch-norm (norm names it) or, where norm is "", by a bias.
func DeclareConv(p *Params, conv, norm string, ic, oc int) {
	p.Weight(conv+".weight", oc, ic, 3, 3)
	if norm == "" {
		p.Plain(conv+".bias", oc)
		return
	}
	p.Plain(norm+".weight", oc)
	p.Plain(norm+".bias", oc)
	p.Statistic(norm+".running_mean", oc)
	p.Statistic(norm+".running_var", oc)
}

// layer is a 3x3 convolution with batch-norm (or bias) and ReLU being built.
type layer struct {
	b          *Builder
	conv, norm string
	ic, oc     int
	out        Tensor
	tasks      int // of the statistics or sums
	stats      *buffer
	counts     *buffer
	mean       *buffer // batch mean, then 1/sqrt(var+eps), of each channel
	scale      *buffer // inference: folded batch-norm
	bias       *buffer
	flops      float64
	sums       *buffer // set when another step computes the batch-norm sums
	sumTasks   int
}

func (b *Builder) newLayer(conv, norm string, ic int, out Tensor) *layer {
	l := &layer{b: b, conv: conv, norm: norm, ic: ic, oc: out.C, out: out}
	l.flops = 2 * 9 * float64(b.n*ic*out.C*out.H*out.W)
	if b.training {
		l.mean = b.prog.buffer(conv+".mean", 2*l.oc)
		l.mean.keep()
		return l
	}
	l.scale = b.prog.weights(conv+".scale", l.oc)
	l.bias = b.prog.weights(conv+".bias", l.oc)
	b.prog.fn(Pack, conv+".fold", l.fold, l.scale, l.bias)
	return l
}

// fold turns running statistics into a scale of the weights and a bias.
func (l *layer) fold() {
	p := l.b.params
	scale, bias := l.b.prog.slice(l.scale), l.b.prog.slice(l.bias)
	if l.norm == "" {
		for i, v := range p.must(l.conv + ".bias").Value {
			scale[i], bias[i] = 1, v
		}
		return
	}
	gamma, beta := p.must(l.norm+".weight").Value, p.must(l.norm+".bias").Value
	mean, variance := p.must(l.norm+".running_mean").Value, p.must(l.norm+".running_var").Value
	for i := range l.oc {
		s := float64(gamma[i]) / math.Sqrt(float64(variance[i])+Epsilon)
		scale[i] = float32(s)
		bias[i] = float32(float64(beta[i]) - float64(mean[i])*s)
	}
}

// Conv adds a 3x3 convolution of in with batch-norm (or bias, where norm is
// "") and ReLU, written to out.
func (b *Builder) Conv(conv, norm string, in, out Tensor) {
	l := b.newLayer(conv, norm, in.C, out)
	b.observe(conv, in, winoTaps)
	if r := b.quantised(conv); r != nil && winogradFits(in.H, in.W) {
		b.quantConv(l, in, out, r)
		return
	}
	args := &csrc.Conv3x3{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), ICB: int32(in.cb()), OCB: int32(out.cb()),
		SrcImage: in.root.image(), DstImage: out.root.image(),
	}
	algo := b.algorithm(in.H, in.W, in.C, out.C)
	args.Compact = algo.compact
	weight := b.pack(Forward, algo.pack, conv+".weight", l.oc, l.ic, 0, algo.size(in.C, out.C), l.scale)
	l.prepare(algo.conv, unsafe.Pointer(args), &args.ReLU)
	s := b.prog.op(Forward, algo.conv, unsafe.Pointer(args), conv)
	s.flops = l.flops
	b.written[place{out.root, out.at}] = &writer{l, s, args}
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.prog.bind(&args.Weight, weight, 0)
	b.bindData(&args.Dst, out)
	if !b.training {
		b.prog.bind(&args.Bias, l.bias, 0)
		return
	}
	l.normalise(&args.Stats, &args.Counts)
	b.recomputable(in.root, out, func() {
		args := &csrc.Conv3x3{
			N: args.N, H: args.H, W: args.W, ICB: args.ICB, OCB: args.OCB,
			SrcImage: args.SrcImage, DstImage: args.DstImage, Compact: args.Compact,
		}
		weight := b.pack(Backward, algo.pack, conv+".weight", l.oc, l.ic, 0, algo.size(in.C, out.C), nil)
		s := b.prog.op(Backward, algo.conv, unsafe.Pointer(args), conv+".recompute")
		s.flops = l.flops
		b.bindData(&args.Src, in)
		b.bindAct(&args.Act, in)
		b.prog.bind(&args.Weight, weight, 0)
		b.bindData(&args.Dst, out)
	})
	b.tape = append(b.tape, func() {
		b.need(out.root)
		b.need(in.root)
		l.backward()
		// Weight gradient, then the gradient of in.
		wg := &csrc.Wgrad3x3{
			N: int32(b.n), H: int32(in.H), W: int32(in.W), IC: int32(in.C), OC: int32(out.C),
			SrcImage: in.root.image(), DYImage: out.root.image(),
		}
		dg := b.algorithm(in.H, in.W, in.C, out.C)
		flipped := b.pack(Backward, dg.pack, conv+".weight", l.oc, l.ic, 1, dg.size(in.C, out.C), nil)
		w := b.wgradAlgorithm(in.H, in.W)
		reduce := l.wgrad(w.conv, w.reduce, wg, func() {
			b.bindData(&wg.Src, in)
			b.bindAct(&wg.Act, in)
		})
		args := &csrc.Conv3x3{
			N: int32(b.n), H: int32(in.H), W: int32(in.W), ICB: int32(out.cb()), OCB: int32(in.cb()),
			SrcImage: out.root.image(), DstImage: in.root.image(), Compact: dg.compact,
		}
		s := b.prog.beside(Backward, dg.conv, unsafe.Pointer(args), conv+".dgrad")
		s.flops = l.flops
		b.bindGrad(&args.Src, out)
		b.prog.bind(&args.Weight, flipped, 0)
		b.bindGrad(&args.Dst, in)
		if w := b.written[place{in.root, in.at}]; w != nil && w.layer.oc == in.root.cb*block {
			// in is one convolution's output and this its whole gradient: take
			// the sums that its batch-norm needs on the way.
			w.layer.gate(args, dg.conv)
		}
		reduce()
	})
}

// FirstConv is Conv for the planar input of the network, of 1 to 4 channels.
func (b *Builder) FirstConv(conv, norm string, in Planar, out Tensor) {
	l := b.newLayer(conv, norm, in.C, out)
	args := &csrc.First{
		N: int32(b.n), IC: int32(in.C), H: int32(in.H), W: int32(in.W), OCB: int32(out.cb()),
		DstImage: out.root.image(),
	}
	weight := b.pack(Forward, csrc.OpPackFirst, conv+".weight", l.oc, l.ic, 0, 9*in.C*out.C, l.scale)
	l.prepare(csrc.OpFirst, unsafe.Pointer(args), &args.ReLU)
	s := b.prog.op(Forward, csrc.OpFirst, unsafe.Pointer(args), conv)
	s.flops = l.flops
	b.written[place{out.root, out.at}] = &writer{layer: l}
	b.prog.bind(&args.Src, in.buf, 0)
	b.prog.bind(&args.Weight, weight, 0)
	b.bindData(&args.Dst, out)
	if !b.training {
		b.prog.bind(&args.Bias, l.bias, 0)
		return
	}
	l.normalise(&args.Stats, &args.Counts)
	b.recomputable(nil, out, func() {
		args := &csrc.First{N: args.N, IC: args.IC, H: args.H, W: args.W, OCB: args.OCB, DstImage: args.DstImage}
		weight := b.pack(Backward, csrc.OpPackFirst, conv+".weight", l.oc, l.ic, 0, 9*in.C*out.C, nil)
		s := b.prog.op(Backward, csrc.OpFirst, unsafe.Pointer(args), conv+".recompute")
		s.flops = l.flops
		b.prog.bind(&args.Src, in.buf, 0)
		b.prog.bind(&args.Weight, weight, 0)
		b.bindData(&args.Dst, out)
	})
	b.tape = append(b.tape, func() {
		b.need(out.root)
		l.backward()
		wg := &csrc.Wgrad3x3{
			N: int32(b.n), H: int32(in.H), W: int32(in.W), IC: int32(in.C), OC: int32(out.C),
			DYImage: out.root.image(),
		}
		l.wgrad(csrc.OpWgradFirst, csrc.OpWgradFirstReduce, wg, func() { b.prog.bind(&wg.Src, in.buf, 0) })()
	})
}

// prepare sizes the statistics of the convolution about to be added.
func (l *layer) prepare(op csrc.Op, args unsafe.Pointer, relu *int32) {
	if !l.b.training {
		*relu = 1
		return
	}
	if l.norm != "" {
		l.tasks = l.b.prog.engine.backend.tasks(op, args)
		l.stats = l.b.prog.buffer(l.conv+".stats", l.tasks*3*l.oc)
		l.counts = l.b.prog.buffer(l.conv+".counts", l.tasks)
	}
}

// normalise adds the step from the statistics of the convolution just added to
// the pending activation of its output.
func (l *layer) normalise(stats **float32, counts **int32) {
	prog, act := l.b.prog, l.out.root.act
	if l.norm == "" {
		prog.fn(Forward, l.conv+".bias", func() {
			scale, shift, lo := l.act()
			copy(shift, l.b.params.must(l.conv+".bias").Value)
			for i := range scale {
				scale[i], lo[i] = 1, 0
			}
		}, act)
		return
	}
	prog.bind(stats, l.stats, 0)
	prog.bindInt(counts, l.counts)
	prog.fn(Forward, l.norm, l.statistics, l.stats, l.counts, act, l.mean)
}

// act returns the pending activation of the layer's output.
func (l *layer) act() (scale, shift, lo []float32) {
	all, c := l.b.prog.slice(l.out.root.act), l.out.root.cb*block
	from := l.out.at * block
	return all[from:][:l.oc], all[c+from:][:l.oc], all[2*c+from:][:l.oc]
}

// statistics merges the per-task sums (Chan et al. 1983, in float64 and in
// task order) into mean and variance, and sets activation and running values.
func (l *layer) statistics() {
	p, c := l.b.params, l.oc
	stats, counts := l.b.prog.slice(l.stats), int32s(l.b.prog.slice(l.counts))
	mean, inv := l.b.prog.slice(l.mean)[:c], l.b.prog.slice(l.mean)[c:2*c]
	gamma, beta := p.must(l.norm+".weight").Value, p.must(l.norm+".bias").Value
	rm, rv := p.must(l.norm+".running_mean").Value, p.must(l.norm+".running_var").Value
	scale, shift, lo := l.act()
	for i := range c {
		var n, mu, m2 float64
		for t := range l.tasks {
			k, s, q := stats[3*t*c+i], stats[(3*t+1)*c+i], stats[(3*t+2)*c+i]
			nt := float64(counts[t])
			if nt == 0 { // another task has taken this one's pixels along
				continue
			}
			mt := float64(s) / nt // relative to the pivot
			d := float64(k) + mt - mu
			m2 += float64(q) - float64(s)*mt + d*d*n*nt/(n+nt)
			mu += d * nt / (n + nt)
			n += nt
		}
		variance := max(m2/n, 0)
		is := 1 / math.Sqrt(variance+Epsilon)
		mean[i], inv[i] = float32(mu), float32(is)
		scale[i] = float32(float64(gamma[i]) * is)
		shift[i] = float32(float64(beta[i]) - mu*float64(gamma[i])*is)
		lo[i] = 0
		rm[i] += float32(Momentum * (mu - float64(rm[i])))
		rv[i] += float32(Momentum * (variance*n/max(n-1, 1) - float64(rv[i])))
	}
}

// gate lets the data gradient that was just added compute the sums of the
// layer's batch-norm, the gradient being that of the layer's output.
func (l *layer) gate(args *csrc.Conv3x3, op csrc.Op) {
	b := l.b
	args.GateImage = l.out.root.image()
	l.sumTasks = b.prog.engine.backend.tasks(op, unsafe.Pointer(args))
	l.sums = b.prog.buffer(l.conv+".sums", l.sumTasks*2*l.oc)
	b.bindData(&args.GateY, l.out)
	b.bindAct(&args.Gate, l.out)
	b.prog.bind(&args.GateMean, l.mean, 0)
	b.prog.bind(&args.Sums, l.sums, 0)
}

// backward adds the backward pass through ReLU and batch-norm: the gradient of the
// activated output becomes, in place, that of the convolution's result.
func (l *layer) backward() {
	b, out := l.b, l.out
	newArgs := func() *csrc.BN {
		return &csrc.BN{
			N: int32(b.n), H: int32(out.H), W: int32(out.W), CB: int32(out.cb()),
			YImage: out.root.image(), DAImage: out.root.image(),
		}
	}
	args := newArgs()
	if l.sums == nil {
		l.sumTasks = b.prog.engine.backend.tasks(csrc.OpBNSums, unsafe.Pointer(args))
		l.sums = b.prog.buffer(l.conv+".sums", l.sumTasks*2*l.oc)
		b.prog.op(Backward, csrc.OpBNSums, unsafe.Pointer(args), l.conv+".bn_sums")
		b.bindData(&args.Y, out)
		b.bindAct(&args.Act, out)
		b.bindGrad(&args.DA, out)
		b.prog.bind(&args.Mean, l.mean, 0)
		b.prog.bind(&args.Sums, l.sums, 0)
	}
	coef := b.prog.buffer(l.conv+".coef", 3*l.oc)
	b.prog.fn(Backward, l.conv+".bn_coef", func() { l.coefficients(b.prog.slice(l.sums), l.sumTasks, b.prog.slice(coef)) },
		l.sums, coef, l.mean)

	args = newArgs()
	b.prog.op(Backward, csrc.OpBNBwd, unsafe.Pointer(args), l.conv+".bn_bwd")
	b.bindData(&args.Y, out)
	b.bindAct(&args.Act, out)
	b.bindGrad(&args.DA, out)
	b.prog.bind(&args.CA, coef, 0)
	b.prog.bind(&args.CY, coef, l.oc)
	b.prog.bind(&args.C0, coef, 2*l.oc)
}

// coefficients computes dy = ca*dz + cy*y + c0 of the batch-norm gradient
// (Ioffe & Szegedy 2015) and the gradients of scale and shift (or bias).
func (l *layer) coefficients(sums []float32, tasks int, coef []float32) {
	p, c := l.b.params, l.oc
	n := float64(l.b.n * l.out.H * l.out.W)
	mean, inv := l.b.prog.slice(l.mean)[:c], l.b.prog.slice(l.mean)[c:2*c]
	var gamma, dGamma, dBeta []float32
	if l.norm == "" {
		dBeta = p.must(l.conv + ".bias").Grad
	} else {
		gamma = p.must(l.norm + ".weight").Value
		dGamma, dBeta = p.must(l.norm+".weight").Grad, p.must(l.norm+".bias").Grad
	}
	for i := range c {
		var s, q float64
		for t := range tasks {
			s += float64(sums[2*t*c+i])
			q += float64(sums[(2*t+1)*c+i])
		}
		dBeta[i] = float32(s)
		if gamma == nil {
			coef[i], coef[c+i], coef[2*c+i] = 1, 0, 0
			continue
		}
		is := float64(inv[i])
		dGamma[i] = float32(q * is)
		ca := float64(gamma[i]) * is
		cy := -ca * is * is * q / n
		coef[i], coef[c+i] = float32(ca), float32(cy)
		coef[2*c+i] = float32(-ca*s/n - cy*float64(mean[i]))
	}
}

// wgrad adds the first phase of a weight gradient; src binds its input. The
// function it returns adds the second, which waits for a next step.
func (l *layer) wgrad(op, reduce csrc.Op, args *csrc.Wgrad3x3, src func()) (second func()) {
	b := l.b
	partial := b.prog.buffer(l.conv+".partial", b.prog.engine.backend.scratch(reduce, unsafe.Pointer(args)))
	args.DW = b.params.gradPtr(l.conv + ".weight")
	s := b.prog.op(Backward, op, unsafe.Pointer(args), l.conv+".wgrad")
	s.flops = l.flops
	src()
	b.bindGrad(&args.DY, l.out)
	b.prog.bind(&args.Partial, partial, 0)
	return func() {
		b.prog.later(reduce, unsafe.Pointer(args), l.conv+".wgrad_reduce")
		b.prog.use(partial)
	}
}
