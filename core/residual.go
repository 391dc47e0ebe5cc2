package core

import (
	"unsafe"

	"unet/csrc"
)

// Conv1x1 adds a 1x1 convolution of in, otherwise as Conv. Its products are of
// float32 always. It adds to the gradient of in, which another reader of in that
// is added later has to set.
func (b *Builder) Conv1x1(spec Layer, in, out Tensor) { b.conv1x1(spec, in.C, in, out) }

// conv1x1 is Conv1x1 for weights of ic channels, of which in may have more.
func (b *Builder) conv1x1(spec Layer, ic int, in, out Tensor) {
	if b.declaring {
		b.declareConv(spec, 1, ic, out.C)
		return
	}
	l := b.newLayer(spec, 1, ic, out)
	newArgs := func(in, out Tensor) *csrc.Conv1x1 {
		return &csrc.Conv1x1{
			N: int32(b.n), H: int32(in.H), W: int32(in.W), ICB: int32(in.cb()), OCB: int32(out.cb()),
			SrcImage: in.root.image(), DstImage: out.root.image(),
		}
	}
	args := newArgs(in, out)
	weight := b.pack(Forward, csrc.OpPackConv1x1, l.Conv+".weight", l.oc, ic, 0, in.C*out.C, l.scale)
	l.prepare(csrc.OpConv1x1, unsafe.Pointer(args), &args.ReLU)
	b.prog.op(Forward, csrc.OpConv1x1, args, l.Conv).flops = l.flops
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.prog.bind(&args.Weight, weight, 0)
	b.bindData(&args.Dst, out)
	l.finish(&args.Bias, &args.Stats, &args.Counts)
	if !b.training {
		return
	}
	b.tape = append(b.tape, func() {
		b.need(in.root)
		l.backward()
		wg := &csrc.Wgrad3x3{
			N: int32(b.n), H: int32(in.H), W: int32(in.W), IC: int32(ic), OC: int32(out.C),
			SrcImage: in.root.image(), DYImage: out.root.image(),
		}
		var flipped *buffer
		if in.root.grad != nil {
			flipped = b.pack(Backward, csrc.OpPackConv1x1, l.Conv+".weight", l.oc, ic, 1, in.C*out.C, nil)
		}
		reduce := l.wgrad(csrc.OpWgrad1x1, csrc.OpWgrad1x1Reduce, wg, func() {
			b.bindData(&wg.Src, in)
			b.bindAct(&wg.Act, in)
		})
		if flipped != nil {
			args := newArgs(out, in)
			args.Add = 1
			b.prog.beside(Backward, csrc.OpConv1x1, args, l.Conv+".dgrad").flops = l.flops
			b.bindGrad(&args.Src, out)
			b.prog.bind(&args.Weight, flipped, 0)
			b.bindGrad(&args.Dst, in)
		}
		reduce()
	})
}

// A residual block (He et al. 2016) ends in the sum of two branches: the last 3x3
// convolution and the shortcut, a 1x1 convolution of the block's input.

// Shortcut is the shortcut of a block, to be handed to Residual.
type Shortcut struct {
	out Tensor // of a convolution of its own
	// Where nothing is pending, the block's last convolution does it besides:
	layer  *layer
	args   csrc.Shortcut
	in     *buffer // read from offset on
	offset int
	weight *buffer
}

// Shortcut adds the shortcut of a block from in to out. It comes first of the
// block's layers, as its gradient adds to theirs.
func (b *Builder) Shortcut(spec Layer, in, out Tensor) *Shortcut {
	if b.declaring || !b.folded() {
		return b.separate(spec, in.C, in, out)
	}
	s := b.joined(spec, in.C, out)
	s.args.Image, s.args.ICB = in.root.image(), int32(in.cb())
	s.in, s.offset = in.root.data, in.offset()
	return s
}

// FirstShortcut is Shortcut for the planar input of the network.
func (b *Builder) FirstShortcut(spec Layer, in Planar, out Tensor) *Shortcut {
	if b.declaring || !b.folded() {
		return b.separate(spec, in.C, b.Interleave(spec.Conv+".input", in), out)
	}
	s := b.joined(spec, in.C, out)
	s.args.Image, s.args.Planes = int64(in.C*in.H*in.W), int32(in.C)
	s.in = in.buf
	return s
}

// separate is a shortcut of ic channels that is a convolution of its own.
func (b *Builder) separate(spec Layer, ic int, in, out Tensor) *Shortcut {
	spec.Linear = true
	out = b.Tensor(spec.Conv+".out", out.C, out.H, out.W)
	b.conv1x1(spec, ic, in, out)
	return &Shortcut{out: out}
}

// joined is a shortcut of ic channels that another convolution does besides.
func (b *Builder) joined(spec Layer, ic int, out Tensor) *Shortcut {
	spec.Linear = true
	l := b.newLayer(spec, 1, ic, out)
	rows := (ic + block - 1) / block * block
	return &Shortcut{layer: l, weight: b.pack(Pack, csrc.OpPackConv1x1, l.Conv+".weight", l.oc, ic, 0, rows*l.oc, l.scale)}
}

// join makes the convolution just added, op of layer l with the arguments args,
// add s, unless it is nil.
func (s *Shortcut) join(l *layer, op *operation, args *csrc.Shortcut) {
	if s == nil {
		return
	}
	*args = s.args
	op.to(&args.Src, s.in, s.offset, 0)
	op.to(&args.Weight, s.weight, 0, 0)
	op.flops += s.layer.flops
	l.shortcut = s.layer
}

// Residual adds the end of a block: out is the ReLU of a 3x3 convolution of in,
// with its normalisation, and the shortcut.
func (b *Builder) Residual(spec Layer, in Tensor, shortcut *Shortcut, out Tensor) {
	if b.folded() {
		b.conv(spec, in, out, shortcut)
		return
	}
	spec.Linear = true
	x := b.Tensor(spec.Conv+".out", out.C, out.H, out.W)
	b.conv(spec, in, x, nil)
	if b.declaring {
		return
	}
	newArgs := func() *csrc.Add {
		return &csrc.Add{
			N: int32(b.n), H: int32(out.H), W: int32(out.W), CB: int32(out.cb()),
			XImage: x.root.image(), YImage: shortcut.out.root.image(), DstImage: out.root.image(), DDstImage: out.root.image(),
		}
	}
	args := newArgs()
	b.prog.op(Forward, csrc.OpAdd, args, spec.Conv+".add")
	b.bindData(&args.X, x)
	b.bindAct(&args.XAct, x)
	b.bindData(&args.Y, shortcut.out)
	b.bindAct(&args.YAct, shortcut.out)
	b.bindData(&args.Dst, out)
	if !b.training {
		return
	}
	b.tape = append(b.tape, func() {
		args := newArgs()
		b.prog.op(Backward, csrc.OpAddBwd, args, spec.Conv+".add_bwd")
		b.bindData(&args.Dst, out)
		b.bindGrad(&args.DDst, out)
		b.bindGrad(&args.DX, x)
		b.bindGrad(&args.DY, shortcut.out)
	})
}
