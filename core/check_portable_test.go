package core

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// TestPortableBits holds package portable against the portable C kernels: what the
// usual networks are made of has the same bits. Those operations whose weights are not
// packed are compared in exec.
func TestPortableBits(t *testing.T) {
	if !csrc.Compiled(csrc.C) {
		t.Skip("built without C kernels")
	}
	for name, f := range map[string]func(c *check) []*guarded{
		"wino43": func(c *check) []*guarded { return c.onceConv(csrc.OpWino43, csrc.OpPackWino43, false) },
		"wino43 compact, statistics": func(c *check) []*guarded {
			return c.onceConv(csrc.OpWino43, csrc.OpPackConv3x3, true)
		},
		"direct": func(c *check) []*guarded { return c.onceConv(csrc.OpConv3x3, csrc.OpPackConv3x3, false) },
		"direct, statistics": func(c *check) []*guarded {
			return c.onceConv(csrc.OpConv3x3, csrc.OpPackConv3x3, true)
		},
		"gradient of wino43": func(c *check) []*guarded { return c.onceDgrad(csrc.OpWino43, csrc.OpPackWino43) },
		"gradient of direct": func(c *check) []*guarded { return c.onceDgrad(csrc.OpConv3x3, csrc.OpPackConv3x3) },
		"first":              (*check).onceFirst,
		"tconv":              (*check).onceTConv,
		"gradient of tconv":  (*check).onceTConvDgrad,
	} {
		t.Run(name, func(t *testing.T) {
			for i := range *checkCases {
				var results [2][]*guarded
				for k, b := range []backend{native(csrc.C), inGo{}} {
					c := &check{T: t, backend: b, Rand: rand.New(rand.NewPCG(*checkSeed, uint64(i)))}
					defer c.free()
					results[k] = f(c)
				}
				for k, want := range results[0] {
					if got := results[1][k]; !slices.Equal(got.bits(), want.bits()) {
						at := slices.IndexFunc(got.bits(), func(uint32) bool { return true })
						for at < len(got.f) && got.bits()[at] == want.bits()[at] {
							at++
						}
						t.Fatalf("case %d, result %d: element %d of %d is %x, in C %x", i, k, at, len(want.f),
							math.Float32bits(got.f[at]), math.Float32bits(want.f[at]))
					}
				}
			}
		})
	}
}

// once runs all of op in one call; unlike exec it draws no random numbers.
func (c *check) once(op csrc.Op, args unsafe.Pointer) {
	c.backend.run(op, args, 0, c.tasks(op, args), c.alloc(c.backend.scratch(op, args)+16).ptr())
}

func (c *check) oncePacked(op csrc.Op, oc, ic int, flip bool) *float32 {
	n, from, to := 9, oc, ic
	switch {
	case op == csrc.OpPackTConv:
		n = 4
	case op == csrc.OpPackConv1x1:
		n = 1
	case flip:
		from, to = ic, oc
	}
	dst := c.out(packedSize(c.backend, op, from, to))
	args := csrc.Pack{Src: c.in(c.normal(oc * ic * n)).ptr(), Dst: dst.ptr(), OC: int32(oc), IC: int32(ic), Flip: b32(flip)}
	if !flip {
		args.Scale = c.in(c.normal((oc + 15) &^ 15)).ptr()
	}
	c.once(op, unsafe.Pointer(&args))
	return dst.ptr()
}

func (c *check) onceConv(op, pack csrc.Op, stats bool) []*guarded {
	d := c.dims()
	act, ReLU := csrc.Act{}, b32(!stats)
	if stats {
		_, act = c.act(d.IC)
	}
	x, y := c.tensor(d.N, d.IC, d.H, d.W, c.normal(d.N*d.IC*d.H*d.W)), c.tensor(d.N, d.OC, d.H, d.W, nil)
	args := csrc.Conv3x3{
		Src: x.ptr(), Act: act, Weight: c.oncePacked(pack, d.OC, d.IC, false), Bias: c.in(padTo16(c.normal(d.OC))).ptr(),
		Dst: y.ptr(), SrcImage: x.image, DstImage: y.image,
		N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()), ReLU: ReLU,
		Compact: compact(op, pack),
	}
	results := []*guarded{y.guarded}
	if d.H > 1 && d.W > 1 {
		pool := c.tensor(d.N, d.OC, d.H/2, d.W/2, nil)
		args.Pool, args.PoolImage = pool.ptr(), pool.image
		results = append(results, pool.guarded)
	}
	if stats {
		n := c.tasks(op, unsafe.Pointer(&args))
		sums, counts := c.out(n*3*y.cb()*16), c.out(n)
		args.Stats, args.Counts = sums.ptr(), counts.int32s()
		results = append(results, sums, counts)
	} else if c.IntN(2) == 0 {
		args.Shortcut = c.onceShortcut(d)
	}
	c.once(op, unsafe.Pointer(&args))
	return results
}

// onceShortcut is a shortcut of blocks or of planes for a convolution of sizes d.
func (c *check) onceShortcut(d ref.Dims) csrc.Shortcut {
	ic, planar := c.channels(), c.IntN(2) == 0
	if planar {
		ic = 1 + c.IntN(4)
	}
	values := c.normal(d.N * ic * d.H * d.W)
	s := csrc.Shortcut{Weight: c.oncePacked(csrc.OpPackConv1x1, d.OC, ic, false)}
	if planar {
		s.Src, s.Image, s.Planes = c.in(values).ptr(), int64(ic*d.H*d.W), int32(ic)
	} else {
		x := c.tensor(d.N, ic, d.H, d.W, values)
		s.Src, s.Image, s.ICB = x.ptr(), x.image, int32(x.cb())
	}
	return s
}

func (c *check) onceFirst() []*guarded {
	ic, oc := 1+c.IntN(4), c.channels()
	h, w := c.size(5000)
	y := c.tensor(2, oc, h, w, nil)
	args := csrc.First{
		Src: c.in(c.normal(2 * ic * h * w)).ptr(), Weight: c.oncePacked(csrc.OpPackFirst, oc, ic, false), Dst: y.ptr(),
		DstImage: y.image, N: 2, IC: int32(ic), H: int32(h), W: int32(w), OCB: int32(y.cb()),
	}
	n := c.tasks(csrc.OpFirst, unsafe.Pointer(&args))
	sums, counts := c.out(n*3*y.cb()*16), c.out(n)
	args.Stats, args.Counts = sums.ptr(), counts.int32s()
	c.once(csrc.OpFirst, unsafe.Pointer(&args))
	return []*guarded{y.guarded, sums, counts}
}

func (c *check) onceTConv() []*guarded {
	d := c.dims()
	_, act := c.act(d.IC)
	x, y := c.tensor(d.N, d.IC, d.H, d.W, c.normal(d.N*d.IC*d.H*d.W)), c.tensor(d.N, d.OC, 2*d.H, 2*d.W, nil)
	args := csrc.TConv{
		Src: x.ptr(), Act: act, Weight: c.oncePacked(csrc.OpPackTConv, d.OC, d.IC, false), Bias: c.in(padTo16(c.normal(d.OC))).ptr(),
		Dst: y.ptr(), SrcImage: x.image, DstImage: y.image,
		N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()),
	}
	c.once(csrc.OpTConv, unsafe.Pointer(&args))
	return []*guarded{y.guarded}
}

// onceDgrad is the data gradient with the sums of its gate.
func (c *check) onceDgrad(op, pack csrc.Op) []*guarded {
	d := c.dims()
	y := c.tensor(d.N, d.OC, d.H, d.W, c.normal(d.N*d.OC*d.H*d.W))
	x := c.tensor(d.N, d.IC, d.H, d.W, nil)
	args := csrc.Conv3x3{
		Src: y.ptr(), Weight: c.oncePacked(pack, d.OC, d.IC, true), Dst: x.ptr(), SrcImage: y.image, DstImage: x.image,
		N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(y.cb()), OCB: int32(x.cb()),
	}
	gate := c.gateSums(d.N, d.IC, d.H, d.W, c.tasks(op, unsafe.Pointer(&args)))
	args.GateY, args.GateImage, args.Gate = gate.y.ptr(), gate.y.image, gate.cact
	args.GateMean, args.Sums = gate.cmean, gate.sums.ptr()
	c.once(op, unsafe.Pointer(&args))
	return []*guarded{x.guarded, gate.sums}
}

func (c *check) onceTConvDgrad() []*guarded {
	d := c.tconvDims()
	y := c.tensor(d.N, d.OC, 2*d.H, 2*d.W, c.normal(d.N*d.OC*4*d.H*d.W))
	x := c.tensor(d.N, d.IC, d.H, d.W, nil)
	args := csrc.TConv{
		Src: y.ptr(), Weight: c.oncePacked(csrc.OpPackTConv, d.OC, d.IC, true), Dst: x.ptr(), SrcImage: y.image, DstImage: x.image,
		N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()),
	}
	c.once(csrc.OpTConvDgrad, unsafe.Pointer(&args))
	return []*guarded{x.guarded}
}
