package core

import "unet/csrc"

// Gate adds an additive attention gate (Oktay et al. 2018): out is skip times one
// weight per pixel,
//
//	sigmoid(psi * ReLU(conv * both + bias) + psi's bias)
//
// with 1x1 convolutions, the first to half as many channels as skip has. both is
// the skip connection and the gating signal side by side, skip a part of it.
// The gradient of skip is set and that of both added to, so that the reader of
// out and of the gating signal is to be added later.
func (b *Builder) Gate(name string, both, skip, out Tensor) {
	hidden := b.Tensor(name+".hidden", max(block, skip.C/2/block*block), skip.H, skip.W)
	b.Conv1x1(Layer{Conv: name + ".conv"}, both, hidden)
	if b.declaring {
		declareHead(b.params, name+".psi", hidden.C, 1)
		return
	}
	z := b.prog.buffer(name+".z", b.n*skip.H*skip.W)
	var dz *buffer
	if b.training {
		dz = b.prog.buffer(name+".z.grad", b.n*skip.H*skip.W)
	}
	b.maps(name+".psi", hidden, 1, z, dz)
	newArgs := func() *csrc.Gate {
		return &csrc.Gate{
			N: int32(b.n), H: int32(skip.H), W: int32(skip.W), CB: int32(skip.cb()),
			SrcImage: skip.root.image(), DSrcImage: skip.root.image(),
			DstImage: out.root.image(), DDstImage: out.root.image(),
		}
	}
	args := newArgs()
	b.prog.op(Forward, csrc.OpGate, args, name)
	b.bindData(&args.Src, skip)
	b.bindAct(&args.Act, skip)
	b.prog.bind(&args.Z, z, 0)
	b.bindData(&args.Dst, out)
	if !b.training {
		return
	}
	b.tape = append(b.tape, func() {
		args := newArgs()
		b.prog.op(Backward, csrc.OpGateBwd, args, name+".bwd")
		b.bindData(&args.Src, skip)
		b.bindAct(&args.Act, skip)
		b.prog.bind(&args.Z, z, 0)
		b.bindGrad(&args.DDst, out)
		b.bindGrad(&args.DSrc, skip)
		b.prog.bind(&args.DZ, dz, 0)
	})
}
