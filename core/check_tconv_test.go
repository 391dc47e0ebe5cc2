package core

import (
	"testing"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// tconvDims returns dimensions whose large side is what dims draws.
func (c *check) tconvDims() ref.Dims {
	d := c.dims()
	d.H, d.W = (d.H+1)/2, (d.W+1)/2
	return d
}

// scaledOC returns w [ic][oc][2][2] with every output channel multiplied by scale.
func scaledOC(w, scale []float32) []float32 {
	s := append([]float32(nil), w...)
	if scale != nil {
		for i := range s {
			s[i] *= scale[i/4%len(scale)]
		}
	}
	return s
}

func TestTConv(t *testing.T) {
	checkOps(t, func(c *check) {
		d := c.tconvDims()
		src, w := c.coarse(d.N*d.IC*d.H*d.W), c.normal(d.IC*d.OC*4)
		scale, bias := c.chance(c.normal(d.OC)), c.chance(c.normal(d.OC))
		act, cact := c.act(d.IC)
		x, y := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, 2*d.H, 2*d.W, nil)
		args := csrc.TConv{
			Src: x.ptr(), Act: cact, Weight: c.packed(csrc.OpPackTConv, w, scale, d.OC, d.IC, false),
			Bias: c.optional(bias), Dst: y.ptr(), SrcImage: x.image, DstImage: y.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()),
		}
		c.exec(csrc.OpTConv, unsafe.Pointer(&args))
		w = scaledOC(w, scale)
		want, mag := make([]float32, 4*d.N*d.OC*d.H*d.W), make([]float32, 4*d.N*d.OC*d.H*d.W)
		ref.TConv2x2(d, want, src, act, w, bias)
		a := make([]float32, len(src))
		act.Apply(a, src, d.N, d.IC, d.H*d.W)
		ref.TConv2x2(d, mag, abs(a), ref.Act{}, abs(w), biasMagnitude(bias, d.IC))
		c.near("dst", c.nchw(y), want, within(4, mag))
	}, csrc.OpTConv, csrc.OpPackTConv)
}

func TestTConvDgrad(t *testing.T) {
	checkOps(t, func(c *check) {
		d := c.tconvDims()
		dy, w := c.normal(4*d.N*d.OC*d.H*d.W), c.normal(d.IC*d.OC*4)
		y, dx := c.tensor(d.N, d.OC, 2*d.H, 2*d.W, dy), c.tensor(d.N, d.IC, d.H, d.W, nil)
		args := csrc.TConv{
			Src: y.ptr(), Weight: c.packed(csrc.OpPackTConv, w, nil, d.OC, d.IC, true),
			Dst: dx.ptr(), SrcImage: y.image, DstImage: dx.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(dx.cb()), OCB: int32(y.cb()),
		}
		c.exec(csrc.OpTConvDgrad, unsafe.Pointer(&args))
		want, mag := make([]float32, d.N*d.IC*d.H*d.W), make([]float32, d.N*d.IC*d.H*d.W)
		ref.TConv2x2Dgrad(d, want, dy, w)
		ref.TConv2x2Dgrad(d, mag, abs(dy), abs(w))
		got := c.nchw(dx)
		c.near("dsrc", got, want, within(4, mag))

		v, fwd := c.normal(len(want)), make([]float32, len(dy))
		ref.TConv2x2(d, fwd, v, ref.Act{}, w, nil)
		c.sameDot("<tconv(x),dy> = <x,dgrad(dy)>", fwd, dy, v, got)
	}, csrc.OpTConvDgrad, csrc.OpPackTConv)
}

func TestTConvWgrad(t *testing.T) {
	checkOps(t, func(c *check) {
		d := c.tconvDims()
		src, dy := c.coarse(d.N*d.IC*d.H*d.W), c.normal(4*d.N*d.OC*d.H*d.W)
		x, y := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, 2*d.H, 2*d.W, dy)
		dw, db := c.out(d.IC*d.OC*4), c.out(d.OC)
		act, cact := c.act(d.IC)
		args := csrc.TConvWgrad{
			Src: x.ptr(), SrcImage: x.image, Act: cact, DY: y.ptr(), DYImage: y.image, DW: dw.ptr(), DB: db.ptr(),
			N: int32(d.N), H: int32(d.H), W: int32(d.W), IC: int32(d.IC), OC: int32(d.OC),
		}
		partial := c.out(c.backend.scratch(csrc.OpTConvWgradReduce, unsafe.Pointer(&args)))
		args.Partial = partial.ptr()
		c.exec(csrc.OpTConvWgrad, unsafe.Pointer(&args))
		partial.written = false
		c.exec(csrc.OpTConvWgradReduce, unsafe.Pointer(&args))

		want, wantB := make([]float32, d.IC*d.OC*4), make([]float32, d.OC)
		ref.TConv2x2Wgrad(d, want, wantB, src, act, dy)
		mag, magB, a := make([]float32, len(want)), make([]float32, d.OC), make([]float32, len(src))
		act.Apply(a, src, d.N, d.IC, d.H*d.W)
		ref.TConv2x2Wgrad(d, mag, magB, abs(a), ref.Act{}, abs(dy))
		got := dw.f[:len(want)]
		c.near("dw", got, want, within(4, mag))
		c.near("db", db.f[:d.OC], wantB, within(4, magB))
		c.untouched(dw, len(want))
		c.untouched(db, d.OC)

		w, fwd := c.normal(len(want)), make([]float32, len(dy))
		ref.TConv2x2(d, fwd, src, act, w, nil)
		c.sameDot("<tconv(x,w),dy> = <w,wgrad(x,dy)>", fwd, dy, w, got)
	}, csrc.OpTConvWgrad, csrc.OpTConvWgradReduce)
}
