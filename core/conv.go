package core

import (
	"math"
	"unsafe"

	"unet/csrc"
)

// Epsilon of batch-norm and group norm, and Momentum of batch-norm: running = (1-Momentum)*running +
// Momentum*batch, the variance of the batch taken unbiased, as in PyTorch.
const (
	Epsilon  = 1e-5
	Momentum = 0.1
)

// Layer names a convolution and says what follows it.
type Layer struct {
	Conv   string // names its weights
	Norm   string // names its normalisation; "": it has a bias instead
	Linear bool   // no ReLU follows
}

// declareConv declares the parameters of a convolution with kernels of k x k.
func (b *Builder) declareConv(l Layer, k, ic, oc int) {
	p := b.params
	p.Weight(l.Conv+".weight", oc, ic, k, k)
	if l.Norm == "" {
		p.Plain(l.Conv+".bias", oc)
		return
	}
	p.Plain(l.Norm+".weight", oc)
	p.Plain(l.Norm+".bias", oc)
	if !b.group {
		p.Statistic(l.Norm+".running_mean", oc)
		p.Statistic(l.Norm+".running_var", oc)
	}
}

// layer is a convolution with its normalisation (or bias) and ReLU being built.
type layer struct {
	Layer
	b        *Builder
	ic, oc   int
	out      Tensor
	tasks    int // of the statistics or sums
	stats    *buffer
	counts   *buffer
	mean     *buffer // of each channel the mean, then 1/sqrt(var+eps), for each of Builder.acts
	scale    *buffer // folded normalisation
	bias     *buffer
	flops    float64
	sums     *buffer // set when another step computes the sums of normalisation
	sumTasks int
	moments  *meeting // of the statistics
	gathered *meeting // of sums
	shortcut *layer   // whose bias this one's takes in, nil for none
}

func (b *Builder) newLayer(spec Layer, taps, ic int, out Tensor) *layer {
	l := &layer{Layer: spec, b: b, ic: ic, oc: out.C, out: out}
	l.flops = 2 * float64(taps*b.n*ic*out.C*out.H*out.W)
	if !l.folded() {
		l.mean = b.perAct(l.Conv+".mean", 2*l.oc)
		if b.training {
			l.mean.keep()
		}
		return l
	}
	l.scale = b.prog.weights(l.Conv+".scale", l.oc)
	l.bias = b.prog.weights(l.Conv+".bias", l.oc)
	b.prog.fn(Pack, l.Conv+".fold", l.fold, l.scale, l.bias)
	return l
}

// folded reports whether the layer's kernel does all of it.
func (l *layer) folded() bool { return l.b.folded() || !l.b.training && l.Norm == "" }

// fold makes the scale of the weights and the bias, to which that of a shortcut is
// added.
func (l *layer) fold() {
	l.foldNorm()
	if l.shortcut != nil {
		bias := l.b.prog.slice(l.bias)
		for i, v := range l.b.prog.slice(l.shortcut.bias) {
			bias[i] += v
		}
	}
}

// foldNorm turns running statistics into a scale of the weights and a bias.
func (l *layer) foldNorm() {
	p := l.b.params
	scale, bias := l.b.prog.slice(l.scale), l.b.prog.slice(l.bias)
	if l.Norm == "" {
		for i, v := range p.must(l.Conv + ".bias").Value {
			scale[i], bias[i] = 1, v
		}
		return
	}
	gamma, beta := p.must(l.Norm+".weight").Value, p.must(l.Norm+".bias").Value
	mean, variance := p.must(l.Norm+".running_mean").Value, p.must(l.Norm+".running_var").Value
	for i := range l.oc {
		s := float64(gamma[i]) / math.Sqrt(float64(variance[i])+Epsilon)
		scale[i] = float32(s)
		bias[i] = float32(float64(beta[i]) - float64(mean[i])*s)
	}
}

// Conv adds a 3x3 convolution of in with its normalisation (or bias) and ReLU,
// written to out.
func (b *Builder) Conv(spec Layer, in, out Tensor) { b.conv(spec, in, out, nil) }

// conv is Conv; a folded one adds the shortcut, unless it is nil, before ReLU.
func (b *Builder) conv(spec Layer, in, out Tensor, shortcut *Shortcut) {
	if b.declaring {
		b.declareConv(spec, 3, in.C, out.C)
		b.layers = append(b.layers, Quantisable{Name: spec.Conv, C: in.C, H: in.H})
		return
	}
	conv, l := spec.Conv, b.newLayer(spec, 9, in.C, out)
	b.observe(conv, in, winoTaps)
	if r := b.quantised(conv); r != nil && winogradFits(in.H, in.W) {
		b.quantConv(l, in, out, r, shortcut)
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
	s := b.prog.op(Forward, algo.conv, args, conv)
	s.flops = l.flops
	b.written[place{out.root, out.at}] = &writer{l, s, args}
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.prog.bind(&args.Weight, weight, 0)
	b.bindData(&args.Dst, out)
	l.finish(&args.Bias, &args.Stats, &args.Counts)
	shortcut.join(l, s, &args.Shortcut)
	if !b.training {
		return
	}
	b.recomputable(in.root, out, func() { b.recomputeConv(l, algo, args, in, out) })
	b.tape = append(b.tape, func() { b.convBackward(l, in, out) })
}

// recomputeConv adds the convolution of args once more, without statistics, to
// the backward pass.
func (b *Builder) recomputeConv(l *layer, algo algorithm, first *csrc.Conv3x3, in, out Tensor) {
	args := &csrc.Conv3x3{
		N: first.N, H: first.H, W: first.W, ICB: first.ICB, OCB: first.OCB,
		SrcImage: first.SrcImage, DstImage: first.DstImage, Compact: first.Compact,
	}
	weight := b.pack(Backward, algo.pack, l.Conv+".weight", l.oc, l.ic, 0, algo.size(in.C, out.C), nil)
	s := b.prog.op(Backward, algo.conv, args, l.Conv+".recompute")
	s.flops = l.flops
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.prog.bind(&args.Weight, weight, 0)
	b.bindData(&args.Dst, out)
}

// convBackward adds a convolution's backward pass: the gradients of its
// normalisation, of its weights and of in.
func (b *Builder) convBackward(l *layer, in, out Tensor) {
	b.need(out.root)
	b.need(in.root)
	l.backward()
	wg := &csrc.Wgrad3x3{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), IC: int32(in.C), OC: int32(out.C),
		SrcImage: in.root.image(), DYImage: out.root.image(),
	}
	dg := b.algorithm(in.H, in.W, in.C, out.C)
	flipped := b.pack(Backward, dg.pack, l.Conv+".weight", l.oc, l.ic, 1, dg.size(in.C, out.C), nil)
	w := b.wgradAlgorithm(in.H, in.W)
	reduce := l.wgrad(w.conv, w.reduce, wg, func() {
		b.bindData(&wg.Src, in)
		b.bindAct(&wg.Act, in)
	})
	args := &csrc.Conv3x3{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), ICB: int32(out.cb()), OCB: int32(in.cb()),
		SrcImage: out.root.image(), DstImage: in.root.image(), Compact: dg.compact,
	}
	s := b.prog.beside(Backward, dg.conv, args, l.Conv+".dgrad")
	s.flops = l.flops
	b.bindGrad(&args.Src, out)
	b.prog.bind(&args.Weight, flipped, 0)
	b.bindGrad(&args.Dst, in)
	if w := b.written[place{in.root, in.at}]; w != nil && !b.group && w.layer.oc == in.root.cb*block {
		// in is one convolution's output and this its whole gradient: take
		// the sums that its batch-norm needs on the way.
		w.layer.gate(args, dg.conv)
	}
	reduce()
}

// FirstConv is Conv for the planar input of the network, of 1 to 4 channels.
func (b *Builder) FirstConv(spec Layer, in Planar, out Tensor) {
	if b.declaring {
		b.declareConv(spec, 3, in.C, out.C)
		return
	}
	conv, l := spec.Conv, b.newLayer(spec, 9, in.C, out)
	args := &csrc.First{
		N: int32(b.n), IC: int32(in.C), H: int32(in.H), W: int32(in.W), OCB: int32(out.cb()),
		DstImage: out.root.image(),
	}
	weight := b.pack(Forward, csrc.OpPackFirst, conv+".weight", l.oc, l.ic, 0, 9*in.C*out.C, l.scale)
	l.prepare(csrc.OpFirst, unsafe.Pointer(args), &args.ReLU)
	s := b.prog.op(Forward, csrc.OpFirst, args, conv)
	s.flops = l.flops
	b.written[place{out.root, out.at}] = &writer{layer: l}
	b.prog.bind(&args.Src, in.buf, 0)
	b.prog.bind(&args.Weight, weight, 0)
	b.bindData(&args.Dst, out)
	l.finish(&args.Bias, &args.Stats, &args.Counts)
	if !b.training {
		return
	}
	b.recomputable(nil, out, func() {
		args := &csrc.First{N: args.N, IC: args.IC, H: args.H, W: args.W, OCB: args.OCB, DstImage: args.DstImage}
		weight := b.pack(Backward, csrc.OpPackFirst, conv+".weight", l.oc, l.ic, 0, 9*in.C*out.C, nil)
		s := b.prog.op(Backward, csrc.OpFirst, args, conv+".recompute")
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
	switch {
	case l.folded():
		*relu = l.clamp()
	case l.Norm != "" && !l.b.group:
		l.statisticsOf(l.b.prog.engine.backend.tasks(op, args))
	}
}

// clamp is 1 where a ReLU follows.
func (l *layer) clamp() int32 {
	if l.Linear {
		return 0
	}
	return 1
}

func (l *layer) statisticsOf(tasks int) {
	l.tasks = tasks
	l.stats = l.b.prog.buffer(l.Conv+".stats", tasks*3*l.oc)
	l.counts = l.b.prog.buffer(l.Conv+".counts", tasks)
}

// finish adds what follows the convolution just added: its bias where that is
// all, or the step from statistics to the pending activation of its output.
func (l *layer) finish(bias, stats **float32, counts **int32) {
	prog, act := l.b.prog, l.out.root.act
	switch {
	case l.folded():
		prog.bind(bias, l.bias, 0)
	case l.Norm == "":
		prog.fn(Forward, l.Conv+".bias", func() {
			for i := range l.b.acts() {
				scale, shift, lo := l.act(i)
				copy(shift, l.b.params.must(l.Conv+".bias").Value)
				for c := range scale {
					scale[c], lo[c] = 1, l.floor()
				}
			}
		}, act)
	case l.b.group:
		l.groupStatistics()
	default:
		prog.bind(stats, l.stats, 0)
		prog.bindInt(counts, l.counts)
		l.moments = l.b.meeting(3 * l.oc)
		prog.fn(Forward, l.Norm, l.batchNorm, l.stats, l.counts, act, l.mean)
	}
}

// act returns the pending activation of the layer's output for image i.
func (l *layer) act(i int) (scale, shift, lo []float32) {
	c := l.out.root.cb * block
	all, from := l.b.prog.slice(l.out.root.act)[3*c*i:], l.out.at*block
	return all[from:][:l.oc], all[c+from:][:l.oc], all[2*c+from:][:l.oc]
}

// floor is the least value of the layer's output.
func (l *layer) floor() float32 {
	if l.Linear {
		return noClamp
	}
	return 0
}

// moments are the number of values, their mean, and the sum of squared distances
// from it, merged as Chan et al. (1983) do.
type moments struct{ n, mean, m2 float64 }

func (m *moments) merge(n, mean, m2 float64) {
	d := mean - m.mean
	m.m2 += m2 + d*d*m.n*n/(m.n+n)
	m.mean += d * n / (m.n + n)
	m.n += n
}

// mergeMoments merges moments that lie in a row into others.
func mergeMoments(to, from []float64) {
	for i := 0; i < len(to); i += 3 {
		m := moments{to[i], to[i+1], to[i+2]}
		m.merge(from[i], from[i+1], from[i+2])
		to[i], to[i+1], to[i+2] = m.n, m.mean, m.m2
	}
}

// measured merges the sums of channel c over tasks t0..t1-1 of a micro-batch, in
// order.
func (l *layer) measured(micro, t0, t1, c int) (m moments) {
	stats, counts := l.b.prog.part(l.stats, micro), int32s(l.b.prog.part(l.counts, micro))
	for t := t0; t < t1; t++ {
		k, s, q := stats[3*t*l.oc+c], stats[(3*t+1)*l.oc+c], stats[(3*t+2)*l.oc+c]
		n := float64(counts[t])
		if n == 0 { // another task has taken this one's pixels along
			continue
		}
		mt := float64(s) / n // relative to the pivot
		m.merge(n, float64(k)+mt, float64(q)-float64(s)*mt)
	}
	return m
}

// batchNorm turns the statistics of the batch into mean and variance, and sets
// activation and running values.
func (l *layer) batchNorm() {
	p, c := l.b.params, l.oc
	mean, inv := l.b.prog.slice(l.mean)[:c], l.b.prog.slice(l.mean)[c:2*c]
	gamma, beta := p.must(l.Norm+".weight").Value, p.must(l.Norm+".bias").Value
	rm, rv := p.must(l.Norm+".running_mean").Value, p.must(l.Norm+".running_var").Value
	scale, shift, lo := l.act(0)
	of := l.moments.of(func(micro int, v []float64) {
		for i := range c {
			m := l.measured(micro, 0, l.tasks, i)
			v[3*i], v[3*i+1], v[3*i+2] = m.n, m.mean, m.m2
		}
	}, mergeMoments)
	for i := range c {
		m := moments{of[3*i], of[3*i+1], of[3*i+2]}
		variance := max(m.m2/m.n, 0)
		is := 1 / math.Sqrt(variance+Epsilon)
		mean[i], inv[i] = float32(m.mean), float32(is)
		scale[i] = float32(float64(gamma[i]) * is)
		shift[i] = float32(float64(beta[i]) - m.mean*float64(gamma[i])*is)
		lo[i] = l.floor()
		rm[i] += float32(Momentum * (m.mean - float64(rm[i])))
		rv[i] += float32(Momentum * (variance*m.n/max(m.n-1, 1) - float64(rv[i])))
	}
}

// gate lets the data gradient that was just added compute the sums of the
// layer's batch-norm, the gradient being that of the layer's output.
func (l *layer) gate(args *csrc.Conv3x3, op csrc.Op) {
	b := l.b
	args.GateImage = l.out.root.image()
	l.sumTasks = b.prog.engine.backend.tasks(op, unsafe.Pointer(args))
	l.sums = b.prog.buffer(l.Conv+".sums", l.sumTasks*2*l.oc)
	b.bindData(&args.GateY, l.out)
	b.bindAct(&args.Gate, l.out)
	b.prog.bind(&args.GateMean, l.mean, 0)
	b.prog.bind(&args.Sums, l.sums, 0)
}

// backward adds the backward pass through ReLU and normalisation: the gradient of
// the activated output becomes, in place, that of the convolution's result.
func (l *layer) backward() {
	b, out := l.b, l.out
	newArgs := func(perImage int) *csrc.BN {
		args := &csrc.BN{
			N: int32(b.n), H: int32(out.H), W: int32(out.W), CB: int32(out.cb()),
			YImage: out.root.image(), DAImage: out.root.image(),
		}
		if b.group {
			args.ParamImage = int64(perImage)
		}
		return args
	}
	args := newArgs(2 * l.oc)
	if l.sums == nil {
		l.sumTasks = b.prog.engine.backend.tasks(csrc.OpBNSums, unsafe.Pointer(args))
		l.sums = b.prog.buffer(l.Conv+".sums", l.sumTasks*2*l.oc)
		b.prog.op(Backward, csrc.OpBNSums, args, l.Conv+".bn_sums")
		b.bindData(&args.Y, out)
		b.bindAct(&args.Act, out)
		b.bindGrad(&args.DA, out)
		b.prog.bind(&args.Mean, l.mean, 0)
		b.prog.bind(&args.Sums, l.sums, 0)
	}
	coef := b.perAct(l.Conv+".coef", 3*l.oc)
	coefficients := l.coefficients
	if b.group {
		coefficients = l.groupCoefficients
	}
	l.gathered = b.meeting(2 * l.oc)
	b.prog.fn(Backward, l.Conv+".bn_coef", func() { coefficients(b.prog.slice(coef)) },
		l.sums, coef, l.mean)

	args = newArgs(3 * l.oc)
	b.prog.op(Backward, csrc.OpBNBwd, args, l.Conv+".bn_bwd")
	b.bindData(&args.Y, out)
	b.bindAct(&args.Act, out)
	b.bindGrad(&args.DA, out)
	b.prog.bind(&args.CA, coef, 0)
	b.prog.bind(&args.CY, coef, l.oc)
	b.prog.bind(&args.C0, coef, 2*l.oc)
}

// summed adds up both sums of channel c over tasks t0..t1-1 of a micro-batch.
func (l *layer) summed(micro, t0, t1, c int) (s, q float64) {
	sums := l.b.prog.part(l.sums, micro)
	for t := t0; t < t1; t++ {
		s += float64(sums[2*t*l.oc+c])
		q += float64(sums[(2*t+1)*l.oc+c])
	}
	return s, q
}

// allSums adds up both sums of every channel over the batch: first those of dz.
func (l *layer) allSums() []float64 {
	return l.gathered.of(func(micro int, v []float64) {
		for i := range l.oc {
			v[i], v[l.oc+i] = l.summed(micro, 0, l.sumTasks, i)
		}
	}, addSums)
}

// coefficients computes dy = ca*dz + cy*y + c0 of the batch-norm gradient
// (Ioffe & Szegedy 2015) and the gradients of scale and shift (or bias).
func (l *layer) coefficients(coef []float32) {
	p, c := l.b.params, l.oc
	n := float64(l.b.batch * l.out.H * l.out.W)
	mean, inv := l.b.prog.slice(l.mean)[:c], l.b.prog.slice(l.mean)[c:2*c]
	sums := l.allSums()
	for i := range c {
		s, q := sums[i], sums[c+i]
		if l.Norm == "" {
			p.must(l.Conv + ".bias").Grad[i] = float32(s)
			coef[i], coef[c+i], coef[2*c+i] = 1, 0, 0
			continue
		}
		p.must(l.Norm + ".bias").Grad[i] = float32(s)
		is := float64(inv[i])
		p.must(l.Norm + ".weight").Grad[i] = float32(q * is)
		ca := float64(p.must(l.Norm + ".weight").Value[i]) * is
		cy := -ca * is * is * q / n
		coef[i], coef[c+i] = float32(ca), float32(cy)
		coef[2*c+i] = float32(-ca*s/n - cy*float64(mean[i]))
	}
}

// wgrad adds the first phase of a weight gradient; src binds its input. The
// function it returns adds the second, which waits for a next step.
func (l *layer) wgrad(op, reduce csrc.Op, args *csrc.Wgrad3x3, src func()) (second func()) {
	b := l.b
	partial := b.prog.buffer(l.Conv+".partial", b.prog.engine.backend.scratch(reduce, unsafe.Pointer(args)))
	s := b.prog.op(Backward, op, args, l.Conv+".wgrad")
	s.flops = l.flops
	src()
	b.bindGrad(&args.DY, l.out)
	b.prog.bind(&args.Partial, partial, 0)
	return func() {
		b.prog.later(reduce, args, l.Conv+".wgrad_reduce")
		b.prog.use(partial)
		b.bindGradient(&args.DW, l.Conv+".weight")
	}
}
