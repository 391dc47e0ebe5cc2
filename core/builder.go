package core

import (
	"fmt"

	"unet/csrc"
)

// Builder records the layers of a network and turns them into a Program.
// With training it keeps what the backward pass needs and appends the backward
// steps when Build is called; without, it folds batch-norm into the weights
// and lets memory be reused at once.
type Builder struct {
	prog      *Program
	params    *Params
	n         int // images of a micro-batch
	batch     int // images of all of them, those of peers included
	first     int // the number of this process's first micro-batch
	training  bool
	direct    bool // never use Winograd
	bfloat16  bool
	group     bool // see Options.GroupNorm
	recompute bool
	ranges    map[string][]float32
	tape      []func()
	unsummed  []gradient
	written   map[place]*writer // which convolution wrote a tensor
	// declaring: parameters are declared, nothing is built; see NewDeclarer.
	declaring bool
	layers    []Quantisable
}

// place identifies a tensor: its memory and first channel block.
type place struct {
	root *root
	at   int
}

// writer is the convolution that wrote a tensor, into whose step a reader may
// move work.
type writer struct {
	layer *layer
	op    *operation
	args  *csrc.Conv3x3 // nil: the first layer
}

// Options of a program.
type Options struct {
	Batch    int  // images, those of Peers included
	Training bool // build the backward phase, use batch statistics
	Direct   bool // direct convolution everywhere, to check Winograd against
	// GroupNorm normalises each image by itself, in groups of 16 channels (Wu &
	// He 2018), where batch-norm takes statistics of the batch, or in inference
	// the running ones.
	GroupNorm bool
	// BFloat16 multiplies bfloat16 numbers in inference; see bfloat16.go.
	BFloat16 bool
	// Recompute has the backward pass compute most activations a second time, with
	// the same bits, instead of keeping them (Chen et al. 2016): less memory,
	// more time.
	Recompute bool
	// MicroBatches, a power of two, is the number of equal parts of the batch of a
	// training program that run side by side; 0 is 1. What is summed over the images
	// is summed within each of them and then in a binary tree over their numbers.
	MicroBatches int
	// Peers, unless nil, are processes that run a share of the micro-batches each:
	// inputs, targets and maps are those of this process's share.
	Peers Peers
	// Dry lays the program out and takes no memory, neither for it nor for the
	// parameters, which need only be declared: all it tells is Memory.
	Dry bool
	// Ranges, unless nil, gathers by layer the ranges of inputs that its 8-bit
	// products need, whenever the program runs; see quant.go.
	Ranges map[string][]float32
	// Shared, unless nil, holds the memory of an inference program together with
	// that of others.
	Shared *Shared
}

// NewBuilder starts a program on engine e with the parameters p, which must
// be allocated.
func NewBuilder(e *Engine, p *Params, o Options) *Builder {
	micros, processes, rank := max(o.MicroBatches, 1), 1, 0
	if o.Peers != nil {
		processes, rank = o.Peers.Size(), o.Peers.Rank()
	}
	share := micros / processes
	return &Builder{
		prog: &Program{engine: e, shared: o.Shared, dry: o.Dry, micros: share, peers: o.Peers}, params: p,
		n: o.Batch / micros, batch: o.Batch, first: rank * share, training: o.Training,
		direct: o.Direct, group: o.GroupNorm, bfloat16: o.BFloat16 && !o.Training, recompute: o.Recompute && o.Training,
		ranges: o.Ranges, written: map[place]*writer{},
	}
}

// NewDeclarer returns a builder that declares the parameters of the layers it is
// given instead of building a program, so that one description of a network
// serves for both. What it returns is good for shapes only.
func NewDeclarer(p *Params, o Options) *Builder {
	return &Builder{params: p, declaring: true, group: o.GroupNorm}
}

// Quantisable is a layer that may compute with 8-bit products.
type Quantisable struct {
	Name   string
	C, H   int  // channels and height of its input
	Double bool // a transposed convolution
}

// Quantisable lists the declared layers that may compute with 8-bit products, in
// the order they run: all 3x3 and transposed convolutions but the first.
func (b *Builder) Quantisable() []Quantisable { return b.layers }

// folded reports whether normalisations become part of the weights.
func (b *Builder) folded() bool { return !b.training && !b.group }

// acts is the number of images that have activations of their own, or 1.
func (b *Builder) acts() int {
	if b.group {
		return b.n * b.prog.micros
	}
	return 1
}

// perAct is a buffer of so many floats for each of acts.
func (b *Builder) perAct(name string, size int) *buffer {
	if b.group {
		return b.prog.buffer(name, size*b.n)
	}
	return b.prog.common(name, size)
}

// Input declares a planar input of c channels.
func (b *Builder) Input(c, h, w int) Planar {
	if b.declaring {
		return Planar{C: c, H: h, W: w}
	}
	buf := b.prog.planes("input", b.n*c*h*w)
	buf.liveIn, buf.liveOut = true, b.training
	return Planar{C: c, H: h, W: w, buf: buf}
}

// Tensor reserves an activation of c channels, a multiple of 16, to be written
// by layers as a whole or in slices.
func (b *Builder) Tensor(name string, c, h, w int) Tensor {
	r := &root{name: name, cb: c / block, h: h, w: w}
	t := Tensor{C: c, H: h, W: w, root: r}
	if b.declaring {
		return t
	}
	r.data = b.prog.buffer(name, b.n*int(r.image()))
	if b.training {
		r.grad = b.prog.buffer(name+".grad", b.n*int(r.image()))
	}
	if b.folded() {
		return t
	}
	r.act = b.perAct(name+".act", 3*c)
	none := func() {
		for act := b.prog.slice(r.act)[:3*c*b.acts()]; len(act) > 0; act = act[3*c:] {
			for i := range c {
				act[i], act[c+i], act[2*c+i] = 1, 0, noClamp
			}
		}
	}
	if b.training {
		r.act.keep()
		b.prog.init = append(b.prog.init, none)
	} else { // other programs may have used the memory
		b.prog.fn(Forward, name+".act", none, r.act)
	}
	return t
}

// Interleave adds the planar input as a tensor of 16 channels, those it has not
// being 0. No gradient reaches it.
func (b *Builder) Interleave(name string, in Planar) Tensor {
	r := &root{name: name, cb: 1, h: in.H, w: in.W}
	out := Tensor{C: block, H: in.H, W: in.W, root: r}
	if b.declaring {
		return out
	}
	r.data = b.prog.buffer(name, b.n*int(r.image()))
	args := &csrc.Interleave{N: int32(b.n), H: int32(in.H), W: int32(in.W), C: int32(in.C), DstImage: r.image()}
	b.prog.op(Forward, csrc.OpInterleave, args, name)
	b.prog.bind(&args.Src, in.buf, 0)
	b.bindData(&args.Dst, out)
	return out
}

// bindAct makes act of the newest step read t's pending activation.
func (b *Builder) bindAct(act *csrc.Act, t Tensor) {
	if t.root.act == nil {
		return
	}
	c := t.root.cb * block
	if b.group {
		act.Image = int64(3 * c)
	}
	b.prog.bind(&act.Scale, t.root.act, t.at*block)
	b.prog.bind(&act.Shift, t.root.act, c+t.at*block)
	b.prog.bind(&act.Lo, t.root.act, 2*c+t.at*block)
}

func (b *Builder) bindData(at **float32, t Tensor) { b.bindTensor(at, t, t.root.data) }
func (b *Builder) bindGrad(at **float32, t Tensor) { b.bindTensor(at, t, t.root.grad) }

func (b *Builder) bindTensor(at **float32, t Tensor, buf *buffer) {
	size := 0 // slices of several images lie between each other
	if b.n == 1 {
		size = t.C * t.H * t.W
	}
	b.prog.newest.to(at, buf, t.offset(), size)
}

// recomputable records that run computes all of out again from in (nil: the
// input).
func (b *Builder) recomputable(in *root, out Tensor, run func()) {
	if b.recompute && out.C == out.root.cb*block {
		out.root.recompute = &recompute{in, func() {
			if in != nil {
				b.need(in)
			}
			out.root.data = b.prog.buffer(out.root.name+".recompute", b.n*int(out.root.image()))
			run()
		}}
	}
}

// need sees to it that the backward pass can read what the forward pass wrote to
// r.
func (b *Builder) need(r *root) {
	if c := r.recompute; c != nil {
		r.recompute = nil
		c.run()
	}
}

// keep keeps r and what it was computed from.
func (b *Builder) keep(r *root) {
	for r != nil && r.recompute != nil {
		from := r.recompute.from
		r.recompute, r = nil, from
	}
}

// Build appends the backward steps and lays out memory. The builder must not
// be used afterwards.
func (b *Builder) Build() (*Program, error) {
	for i := len(b.tape) - 1; i >= 0; i-- {
		b.tape[i]()
		b.sumGradients()
	}
	b.prog.flush(Backward)
	b.sumGradients()
	if err := b.prog.compile(); err != nil {
		return nil, err
	}
	return b.prog, nil
}

// pack adds a step that packs parameter `name` for a kernel. Training packs in
// every step; inference keeps the packed weights until the next Pack phase.
func (b *Builder) pack(phase Phase, op csrc.Op, name string, oc, ic, flip, size int, scale *buffer) *buffer {
	buf := b.prog.weights(fmt.Sprintf("%s.packed%d", name, op), size)
	if b.training {
		buf.liveIn, buf.liveOut = false, false
	} else {
		phase = Pack
	}
	args := &csrc.Pack{OC: int32(oc), IC: int32(ic), Flip: int32(flip), Src: b.params.ptr(name)}
	if b.training { // parameters change between steps only
		b.prog.beside(phase, op, args, name+".pack")
	} else {
		b.prog.op(phase, op, args, name+".pack")
	}
	if scale != nil {
		b.prog.bind(&args.Scale, scale, 0)
	}
	b.prog.bind(&args.Dst, buf, 0)
	return buf
}

// Pool adds a 2x2 max-pool of in.
func (b *Builder) Pool(name string, in Tensor) Tensor {
	out := b.Tensor(name, in.C, in.H/2, in.W/2)
	if b.declaring {
		return out
	}
	if w := b.written[place{in.root, in.at}]; b.folded() && w != nil && w.args != nil && w.layer.oc == in.C {
		// Nothing is pending: the convolution that writes in can pool it too.
		w.args.PoolImage = out.root.image()
		w.op.to(&w.args.Pool, out.root.data, out.offset(), 0)
		return out
	}
	args := &csrc.Pool{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), CB: int32(in.cb()),
		SrcImage: in.root.image(), DstImage: out.root.image(),
	}
	b.prog.op(Forward, csrc.OpPool, args, name)
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.bindData(&args.Dst, out)
	if !b.training {
		return out
	}
	b.tape = append(b.tape, func() {
		b.need(in.root)
		args := &csrc.Pool{
			N: int32(b.n), H: int32(in.H), W: int32(in.W), CB: int32(in.cb()),
			SrcImage: in.root.image(), DSrcImage: in.root.image(), DDstImage: out.root.image(),
		}
		b.prog.op(Backward, csrc.OpPoolBwd, args, name+".bwd")
		b.bindData(&args.Src, in)
		b.bindAct(&args.Act, in)
		b.bindGrad(&args.DDst, out)
		b.bindGrad(&args.DSrc, in)
	})
	return out
}
