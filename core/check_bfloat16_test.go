package core

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// Products of bfloat16 numbers and their sums are the same bits everywhere, but
// with the portable C kernels, which round a*b + c twice on the way to them.

// bfloatBound is 2^-6, four times what rounding to bfloat16 does at most, of the
// product of the norms that winoBound is relative to.
func bfloatBound(d ref.Dims, a, w, bias []float32) func(i int) float64 {
	bound := winoBound(d, a, w, bias)
	return func(i int) float64 { return 1 << 11 * bound(i) }
}

func TestBWino43(t *testing.T) { testConv(t, csrc.OpBWino43, csrc.OpPackBWino43, bfloatBound) }

// checkBFloat16 runs f on every backend and compares what it returns with what
// it wants.
func checkBFloat16(t *testing.T, f func(c *check) (got, want []float32)) {
	for name, b := range backends() {
		t.Run(name, func(t *testing.T) {
			for i := range *checkCases {
				c := &check{T: t, backend: b, Rand: rand.New(rand.NewPCG(*checkSeed, uint64(i)))}
				got, want := f(c)
				if b != backend(native(csrc.C)) {
					c.near("result", got, want, exactly)
				} else if e := relativeError(got, want); !(e < 0.02) {
					t.Errorf("case %d is off by %.3g rms", i, e)
				}
				c.free()
			}
		})
	}
}

func TestBWino43Bits(t *testing.T) {
	checkBFloat16(t, func(c *check) (got, want []float32) {
		d := c.dims()
		src, w := c.coarse(d.N*d.IC*d.H*d.W), c.normal(d.OC*d.IC*9)
		scale, bias, relu := c.chance(c.normal(d.OC)), c.chance(c.normal(d.OC)), c.IntN(2) == 0
		act, cact := c.act(d.IC)
		x, y := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, d.H, d.W, nil)
		args := csrc.Conv3x3{
			Src: x.ptr(), Act: cact, Weight: c.packed(csrc.OpPackBWino43, w, scale, d.OC, d.IC, false),
			Bias: c.optional(bias), Dst: y.ptr(), SrcImage: x.image, DstImage: y.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()), ReLU: b32(relu),
		}
		c.exec(csrc.OpBWino43, unsafe.Pointer(&args))
		want = make([]float32, d.N*d.OC*d.H*d.W)
		ref.BConv3x3(d, want, src, act, scaled(w, scale), bias, relu)
		return c.nchw(y), want
	})
}

func TestBTConv(t *testing.T) {
	checkBFloat16(t, func(c *check) (got, want []float32) {
		d := c.tconvDims()
		src, w := c.normal(d.N*d.IC*d.H*d.W), c.normal(d.IC*d.OC*4)
		scale, bias := c.chance(c.normal(d.OC)), c.chance(c.normal(d.OC))
		act, cact := c.act(d.IC)
		if act.Scale != nil { // see coarse
			src = c.coarse(len(src))
		}
		x, y := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, 2*d.H, 2*d.W, nil)
		args := csrc.TConv{
			Src: x.ptr(), Act: cact, Weight: c.packed(csrc.OpPackBTConv, w, scale, d.OC, d.IC, false),
			Bias: c.optional(bias), Dst: y.ptr(), SrcImage: x.image, DstImage: y.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()),
		}
		c.exec(csrc.OpBTConv, unsafe.Pointer(&args))
		want = make([]float32, 4*d.N*d.OC*d.H*d.W)
		ref.BTConv2x2(d, want, src, act, scaledOC(w, scale), bias)
		return c.nchw(y), want
	})
}
