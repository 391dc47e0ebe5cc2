package core

import "unet/csrc"

// Upsample adds an enlargement of in to twice its size by nearest neighbour.
func (b *Builder) Upsample(name string, in Tensor) Tensor {
	out := b.Tensor(name, in.C, 2*in.H, 2*in.W)
	if b.declaring {
		return out
	}
	newArgs := func() *csrc.Upsample {
		return &csrc.Upsample{
			N: int32(b.n), H: int32(in.H), W: int32(in.W), CB: int32(in.cb()),
			SrcImage: in.root.image(), DstImage: out.root.image(),
		}
	}
	args := newArgs()
	b.prog.op(Forward, csrc.OpUpsample, args, name)
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.bindData(&args.Dst, out)
	if b.training {
		b.tape = append(b.tape, func() {
			args := newArgs()
			b.prog.op(Backward, csrc.OpUpsampleBwd, args, name+".bwd")
			b.bindGrad(&args.DDst, out)
			b.bindGrad(&args.DSrc, in)
		})
	}
	return out
}
