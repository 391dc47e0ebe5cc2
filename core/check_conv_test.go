package core

import (
	"math"
	"testing"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// packedSize is the number of floats of packed weights.
func packedSize(b backend, op csrc.Op, oc, ic int) int {
	ocb, icb := (oc+15)/16, (ic+15)/16
	bfloats := 1 // in the place of a float
	if b == backend(native(csrc.AVX512BF16)) {
		bfloats = 2
	}
	switch op {
	case csrc.OpPackBWino43:
		return ocb * icb * 36 * 256 / bfloats
	case csrc.OpPackBTConv:
		return ocb * icb * 4 * 256 / bfloats
	case csrc.OpPackConv1x1:
		return ocb * icb * 256
	case csrc.OpPackConv3x3:
		return ocb * icb * 9 * 256
	case csrc.OpPackWino43:
		return ocb * icb * 36 * 256
	case csrc.OpPackFirst:
		return ocb * ic * 9 * 16
	case csrc.OpPackTConv:
		return ocb * icb * 4 * 256
	}
	panic("not a packing operation")
}

// packed returns the weights packed by op.
func (c *check) packed(op csrc.Op, w, scale []float32, oc, ic int, flip bool) *float32 {
	dst := c.out(packedSize(c.backend, op, oc, ic))
	args := csrc.Pack{Src: c.in(w).ptr(), Scale: c.optional(scale), Dst: dst.ptr(),
		OC: int32(oc), IC: int32(ic), Flip: b32(flip)}
	c.exec(op, unsafe.Pointer(&args))
	for i, v := range dst.f {
		if v != v {
			c.Fatalf("packed weight %d of %d was not written", i, len(dst.f))
		}
	}
	dst.written = false
	return dst.ptr()
}

// scaled returns w [oc][...] with every output channel multiplied by scale.
func scaled(w, scale []float32) []float32 {
	if scale == nil {
		return w
	}
	s := make([]float32, len(w))
	for i := range w {
		s[i] = w[i] * scale[i/(len(w)/len(scale))]
	}
	return s
}

// convBound returns the allowed error of each element of a direct convolution
// of a with w.
func convBound(d ref.Dims, a, w, bias []float32) func(i int) float64 {
	mag := make([]float32, d.N*d.OC*d.H*d.W)
	ref.Conv3x3(d, mag, abs(a), ref.Act{}, abs(w), biasMagnitude(bias, 9*d.IC), false)
	return within(4, mag)
}

// biasMagnitude is what a bias adds to the magnitude of a sum of n terms: a sum
// that starts with it rounds n times to its precision, however small the terms.
func biasMagnitude(bias []float32, n int) []float32 {
	if bias == nil {
		return nil
	}
	m := abs(bias)
	for i := range m {
		m[i] *= float32(math.Sqrt(float64(n)))
	}
	return m
}

// winoBound is the same for F(4,3): relative to the norms of the 6x6 input
// tile over all channels and of the weights of the output channel.
func winoBound(d ref.Dims, a, w, bias []float32) func(i int) float64 {
	norms := make([]float64, d.OC)
	for o := range d.OC {
		norms[o] = math.Sqrt(ref.SumSq(w[o*d.IC*9:][:d.IC*9]))
	}
	th, tw := (d.H+3)/4, (d.W+3)/4
	tiles := make([]float64, d.N*th*tw)
	for t := range tiles {
		n, ty, tx := t/(th*tw), t/tw%th, t%tw
		for i := range d.IC {
			for y := max(0, 4*ty-1); y < min(d.H, 4*ty+5); y++ {
				for x := max(0, 4*tx-1); x < min(d.W, 4*tx+5); x++ {
					v := float64(a[((n*d.IC+i)*d.H+y)*d.W+x])
					tiles[t] += v * v
				}
			}
		}
		tiles[t] = math.Sqrt(tiles[t])
	}
	return func(i int) float64 {
		x, y, o, n := i%d.W, i/d.W%d.H, i/(d.H*d.W)%d.OC, i/(d.H*d.W*d.OC)
		b := 64 * eps * tiles[(n*th+y/4)*tw+x/4] * norms[o]
		if bias != nil {
			b += 4 * eps * math.Abs(float64(bias[o]))
		}
		return b + 1e-37
	}
}

type convBounds = func(d ref.Dims, a, w, bias []float32) func(i int) float64

func TestConv3x3(t *testing.T) { testConv(t, csrc.OpConv3x3, csrc.OpPackConv3x3, convBound) }
func TestWino43(t *testing.T)  { testConv(t, csrc.OpWino43, csrc.OpPackWino43, winoBound) }

// The weights packed for the direct kernel are compact weights for Winograd's.
func TestWino43Compact(t *testing.T) { testConv(t, csrc.OpWino43, csrc.OpPackConv3x3, winoBound) }

func compact(op, pack csrc.Op) int32 {
	return b32(op == csrc.OpWino43 && pack == csrc.OpPackConv3x3)
}

func testConv(t *testing.T, op, pack csrc.Op, bounds convBounds) {
	checkOps(t, func(c *check) {
		d := c.dims()
		src, w := c.coarse(d.N*d.IC*d.H*d.W), c.normal(d.OC*d.IC*9)
		scale, bias := c.chance(c.normal(d.OC)), c.chance(c.normal(d.OC))
		relu := c.IntN(2) == 0
		act, cact := c.act(d.IC)
		x, y := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, d.H, d.W, nil)
		args := csrc.Conv3x3{
			Src: x.ptr(), Act: cact, Weight: c.packed(pack, w, scale, d.OC, d.IC, false), Bias: c.optional(bias),
			Dst: y.ptr(), SrcImage: x.image, DstImage: y.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()), ReLU: b32(relu),
			Compact: compact(op, pack),
		}
		var pool tensor
		if d.H > 1 && d.W > 1 && c.IntN(2) == 0 {
			pool = c.tensor(d.N, d.OC, d.H/2, d.W/2, nil)
			args.Pool, args.PoolImage = pool.ptr(), pool.image
		}
		var stats *statistics
		if !relu && c.IntN(2) == 0 {
			stats = c.statistics(op, unsafe.Pointer(&args), y)
			args.Stats, args.Counts = stats.sums.ptr(), stats.counts.int32s()
		}
		c.exec(op, unsafe.Pointer(&args))

		want := make([]float32, len(src)/d.IC*d.OC)
		w = scaled(w, scale)
		ref.Conv3x3(d, want, src, act, w, bias, relu)
		a := make([]float32, len(src))
		act.Apply(a, src, d.N, d.IC, d.H*d.W)
		got := c.nchw(y)
		c.near("dst", got, want, bounds(d, a, w, bias))
		if pool.guarded != nil {
			want := make([]float32, d.N*d.OC*(d.H/2)*(d.W/2))
			ref.Pool(ref.Dims{N: d.N, IC: d.OC, H: d.H, W: d.W}, want, got, ref.Act{})
			c.near("pool", c.nchw(pool), want, exactly)
		}
		stats.check(c, got)
	}, op, pack)
}

// TestPoolOfTasks: the pool is that of dst also at heights at which equal parts
// have an odd number of rows, so that no task may end within a pooling window. The
// width is such that tasks have some 34 rows (csrc/conv3x3_tmpl.h).
func TestPoolOfTasks(t *testing.T) {
	for _, k := range []struct{ conv, pack csrc.Op }{{csrc.OpConv3x3, csrc.OpPackConv3x3}, {csrc.OpWino43, csrc.OpPackWino43}} {
		checkOps(t, func(c *check) {
			for _, h := range []int{37, 69} {
				d := ref.Dims{N: 1, IC: 3, OC: 16, H: h, W: 60}
				x, y := c.tensor(1, d.IC, d.H, d.W, c.coarse(d.IC*d.H*d.W)), c.tensor(1, d.OC, d.H, d.W, nil)
				pool := c.tensor(1, d.OC, d.H/2, d.W/2, nil)
				args := csrc.Conv3x3{Src: x.ptr(), Weight: c.packed(k.pack, c.normal(d.OC*d.IC*9), nil, d.OC, d.IC, false),
					Dst: y.ptr(), Pool: pool.ptr(), SrcImage: x.image, DstImage: y.image, PoolImage: pool.image,
					N: 1, H: int32(d.H), W: int32(d.W), ICB: 1, OCB: 1}
				c.exec(k.conv, unsafe.Pointer(&args))
				want := make([]float32, d.OC*(d.H/2)*(d.W/2))
				ref.Pool(ref.Dims{N: 1, IC: d.OC, H: d.H, W: d.W}, want, c.nchw(y), ref.Act{})
				c.near("pool", c.nchw(pool), want, exactly)
			}
		}, k.conv, k.pack)
	}
}

func TestConv3x3Dgrad(t *testing.T) { testDgrad(t, csrc.OpConv3x3, csrc.OpPackConv3x3, convBound) }
func TestWino43Dgrad(t *testing.T)  { testDgrad(t, csrc.OpWino43, csrc.OpPackWino43, winoBound) }
func TestWino43CompactDgrad(t *testing.T) {
	testDgrad(t, csrc.OpWino43, csrc.OpPackConv3x3, winoBound)
}

// testDgrad checks the data gradient: against ref, as the adjoint of ref's
// forward convolution, and the sums of the gate.
func testDgrad(t *testing.T, op, pack csrc.Op, bounds convBounds) {
	checkOps(t, func(c *check) {
		d := c.dims()
		size := d.H * d.W
		dy, w := c.normal(d.N*d.OC*size), c.normal(d.OC*d.IC*9)
		y, dx := c.tensor(d.N, d.OC, d.H, d.W, dy), c.tensor(d.N, d.IC, d.H, d.W, nil)
		args := csrc.Conv3x3{
			Src: y.ptr(), Weight: c.packed(pack, w, nil, d.OC, d.IC, true), Dst: dx.ptr(),
			SrcImage: y.image, DstImage: dx.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(y.cb()), OCB: int32(dx.cb()),
			Compact: compact(op, pack),
		}
		var gate *gateSums
		if c.IntN(2) == 0 {
			gate = c.gateSums(d.N, d.IC, d.H, d.W, c.tasks(op, unsafe.Pointer(&args)))
			args.GateY, args.GateImage, args.Gate = gate.y.ptr(), gate.y.image, gate.cact
			args.GateMean, args.Sums = gate.cmean, gate.sums.ptr()
		}
		c.exec(op, unsafe.Pointer(&args))
		want := make([]float32, d.N*d.IC*size)
		ref.Conv3x3Dgrad(d, want, dy, w)
		got := c.nchw(dx)
		back := ref.Dims{N: d.N, IC: d.OC, OC: d.IC, H: d.H, W: d.W}
		c.near("dsrc", got, want, bounds(back, dy, ref.Flip3x3(w, d.OC, d.IC), nil))
		gate.check(c, got)

		x, fwd := c.normal(d.N*d.IC*size), make([]float32, len(dy))
		ref.Conv3x3(d, fwd, x, ref.Act{}, w, nil, false)
		c.sameDot("<conv(x),dy> = <x,dgrad(dy)>", fwd, dy, x, got)
	}, op, pack)
}

// sameDot fails unless <a,b> = <x,y>, which is how a linear map and its
// adjoint are told apart from almost right ones without looking at layouts.
func (c *check) sameDot(what string, a, b, x, y []float32) {
	c.Helper()
	p, pm := dot(a, b)
	q, qm := dot(x, y)
	if err := math.Abs(p - q); !(err <= 64*eps*(pm+qm)) {
		c.Fatalf("%s: %g against %g", what, p, q)
	}
}

// dot returns the scalar product of a and b and that of their magnitudes'
// root sum of squares.
func dot(a, b []float32) (sum, magnitude float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum, math.Sqrt(ref.SumSq(a) * ref.SumSq(b))
}

func TestFirst(t *testing.T) {
	checkOps(t, func(c *check) {
		d := ref.Dims{N: 1 + c.IntN(3), IC: 1 + c.IntN(4), OC: c.channels()}
		d.H, d.W = c.size(5000)
		src, w := c.normal(d.N*d.IC*d.H*d.W), c.normal(d.OC*d.IC*9)
		scale, bias := c.chance(c.normal(d.OC)), c.chance(c.normal(d.OC))
		relu := c.IntN(2) == 0
		y := c.tensor(d.N, d.OC, d.H, d.W, nil)
		args := csrc.First{
			Src: c.in(src).ptr(), Weight: c.packed(csrc.OpPackFirst, w, scale, d.OC, d.IC, false),
			Bias: c.optional(bias), Dst: y.ptr(), DstImage: y.image,
			N: int32(d.N), IC: int32(d.IC), H: int32(d.H), W: int32(d.W), OCB: int32(y.cb()), ReLU: b32(relu),
		}
		var stats *statistics
		if !relu && c.IntN(2) == 0 {
			stats = c.statistics(csrc.OpFirst, unsafe.Pointer(&args), y)
			args.Stats, args.Counts = stats.sums.ptr(), stats.counts.int32s()
		}
		c.exec(csrc.OpFirst, unsafe.Pointer(&args))
		want := make([]float32, d.N*d.OC*d.H*d.W)
		w = scaled(w, scale)
		ref.Conv3x3(d, want, src, ref.Act{}, w, bias, relu)
		got := c.nchw(y)
		c.near("dst", got, want, convBound(d, src, w, bias))
		stats.check(c, got)
	}, csrc.OpFirst, csrc.OpPackFirst)
}

func TestWgrad3x3(t *testing.T) {
	testWgrad(t, csrc.OpWgrad3x3, csrc.OpWgrad3x3Reduce, wgradBound)
}

func TestWgradWino43(t *testing.T) {
	testWgrad(t, csrc.OpWgradWino43, csrc.OpWgradWino43Reduce, wgradWinoBound)
}

func TestWgradFirst(t *testing.T) {
	testWgrad(t, csrc.OpWgradFirst, csrc.OpWgradFirstReduce, wgradBound)
}

func wgradBound(d ref.Dims, a, dy []float32) func(i int) float64 {
	mag := make([]float32, d.OC*d.IC*9)
	ref.Conv3x3Wgrad(d, mag, abs(a), ref.Act{}, abs(dy))
	return within(4, mag)
}

// wgradWinoBound is relative to the norms of the two channels.
func wgradWinoBound(d ref.Dims, a, dy []float32) func(i int) float64 {
	norms := func(v []float32, c int) []float64 {
		s := make([]float64, c)
		for p := range d.N * c {
			s[p%c] += ref.SumSq(v[p*d.H*d.W:][:d.H*d.W])
		}
		return s
	}
	na, ny := norms(a, d.IC), norms(dy, d.OC)
	return func(i int) float64 {
		return 64*eps*math.Sqrt(na[i/9%d.IC]*ny[i/(9*d.IC)]) + 1e-37
	}
}

func testWgrad(t *testing.T, op, reduce csrc.Op, bounds func(d ref.Dims, a, dy []float32) func(i int) float64) {
	checkOps(t, func(c *check) {
		d := c.dims()
		if op == csrc.OpWgradFirst {
			d.IC = 1 + c.IntN(4)
		}
		src, dy := c.coarse(d.N*d.IC*d.H*d.W), c.normal(d.N*d.OC*d.H*d.W)
		y := c.tensor(d.N, d.OC, d.H, d.W, dy)
		dw := c.out(d.OC * d.IC * 9)
		args := csrc.Wgrad3x3{
			DY: y.ptr(), DYImage: y.image, DW: dw.ptr(),
			N: int32(d.N), H: int32(d.H), W: int32(d.W), IC: int32(d.IC), OC: int32(d.OC),
		}
		var act ref.Act
		if op == csrc.OpWgradFirst {
			args.Src = c.in(src).ptr()
		} else {
			x := c.tensor(d.N, d.IC, d.H, d.W, src)
			act, args.Act = c.act(d.IC)
			args.Src, args.SrcImage = x.ptr(), x.image
		}
		partial := c.out(c.backend.scratch(reduce, unsafe.Pointer(&args)))
		args.Partial = partial.ptr()
		c.exec(op, unsafe.Pointer(&args))
		partial.written = false
		c.exec(reduce, unsafe.Pointer(&args))

		want, a := make([]float32, d.OC*d.IC*9), make([]float32, len(src))
		ref.Conv3x3Wgrad(d, want, src, act, dy)
		act.Apply(a, src, d.N, d.IC, d.H*d.W)
		got := dw.f[:len(want)]
		c.near("dw", got, want, bounds(d, a, dy))

		w, fwd := c.normal(len(want)), make([]float32, len(dy))
		ref.Conv3x3(d, fwd, src, act, w, nil, false)
		c.sameDot("<conv(x,w),dy> = <w,wgrad(x,dy)>", fwd, dy, w, got)
	}, op, reduce)
}
