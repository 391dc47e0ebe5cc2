package core

import (
	"math"
	"testing"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

func (c *check) pool() (d ref.Dims, src []float32, act ref.Act, args csrc.Pool) {
	d = ref.Dims{N: 1 + c.IntN(3), IC: c.channels()}
	for d.H < 2 || d.W < 2 {
		d.H, d.W = c.size(2000)
	}
	if c.number%2 == 1 { // two or three strips, the last one smaller
		d = ref.Dims{N: 1 + c.IntN(2), IC: 3 + c.IntN(20), H: 60 + c.IntN(40), W: 180 + c.IntN(60)}
	}
	src = c.coarse(d.N * d.IC * d.H * d.W)
	x := c.tensor(d.N, d.IC, d.H, d.W, src)
	args = csrc.Pool{Src: x.ptr(), SrcImage: x.image,
		N: int32(d.N), H: int32(d.H), W: int32(d.W), CB: int32(x.cb())}
	act, args.Act = c.act(d.IC)
	return d, src, act, args
}

func TestPool(t *testing.T) {
	checkOps(t, func(c *check) {
		d, src, act, args := c.pool()
		y := c.tensor(d.N, d.IC, d.H/2, d.W/2, nil)
		args.Dst, args.DstImage = y.ptr(), y.image
		c.exec(csrc.OpPool, unsafe.Pointer(&args))
		want := make([]float32, d.N*d.IC*(d.H/2)*(d.W/2))
		ref.Pool(d, want, src, act)
		c.near("dst", c.nchw(y), want, exactly)
	}, csrc.OpPool)
}

func TestPoolBwd(t *testing.T) {
	checkOps(t, func(c *check) {
		d, src, act, args := c.pool()
		dd, want := c.normal(d.N*d.IC*(d.H/2)*(d.W/2)), c.normal(len(src))
		dt, ds := c.tensor(d.N, d.IC, d.H/2, d.W/2, dd), c.tensor(d.N, d.IC, d.H, d.W, want)
		ds.written = true
		args.DDst, args.DDstImage, args.DSrc, args.DSrcImage = dt.ptr(), dt.image, ds.ptr(), ds.image
		c.exec(csrc.OpPoolBwd, unsafe.Pointer(&args))
		before := append([]float32(nil), want...)
		ref.PoolBwd(d, want, dd, src, act)
		got := c.nchw(ds)
		c.near("dsrc", got, want, exactly)

		// The map picks the greatest of each four: of themselves, the pooled values.
		picked, passed := make([]float32, len(dd)), make([]float32, len(src))
		ref.Pool(d, picked, src, act)
		act.Apply(passed, src, d.N, d.IC, d.H*d.W)
		for i := range got {
			got[i] -= before[i]
		}
		c.sameDot("<pool(x),d> = <x,dx>", picked, dd, passed, got)
	}, csrc.OpPoolBwd)
}

// headCase is a random 1x1 convolution.
type headCase struct {
	ref.Dims
	src, w, b []float32
	act       ref.Act
	args      csrc.Head
}

func (c *check) head() headCase {
	d := ref.Dims{N: 1 + c.IntN(3), IC: c.channels(), OC: 1 + c.IntN(8)}
	d.H, d.W = c.size(5000)
	h := headCase{Dims: d, src: c.coarse(d.N * d.IC * d.H * d.W), w: c.normal(d.OC * d.IC), b: c.normal(d.OC)}
	x := c.tensor(d.N, d.IC, d.H, d.W, h.src)
	var w []float32
	for o := range d.OC {
		w = append(w, padTo16(h.w[o*d.IC:][:d.IC])...)
	}
	h.args = csrc.Head{Src: x.ptr(), SrcImage: x.image, Weight: c.in(w).ptr(), Bias: c.in(h.b).ptr(),
		N: int32(d.N), H: int32(d.H), W: int32(d.W), CB: int32(x.cb()), K: int32(d.OC)}
	h.act, h.args.Act = c.act(d.IC)
	return h
}

func (h headCase) activated() []float32 {
	a := make([]float32, len(h.src))
	h.act.Apply(a, h.src, h.N, h.IC, h.H*h.W)
	return a
}

func TestHead(t *testing.T) {
	checkOps(t, func(c *check) {
		h := c.head()
		size := h.N * h.OC * h.H * h.W
		logits, args := c.out(size), h.args
		args.Logits = logits.ptr()
		c.exec(csrc.OpHead, unsafe.Pointer(&args))
		want, mag := make([]float32, size), make([]float32, size)
		ref.Head(h.Dims, want, h.src, h.act, h.w, h.b)
		ref.Head(h.Dims, mag, abs(h.activated()), ref.Act{}, abs(h.w), biasMagnitude(h.b, h.IC))
		c.near("logits", logits.f[:size], want, within(4, mag))
		c.untouched(logits, size)
	}, csrc.OpHead)
}

// untouched fails if g was written to after its first n floats.
func (c *check) untouched(g *guarded, n int) {
	c.Helper()
	for i, v := range g.f[n:] {
		if math.Float32bits(v) != poisonBits {
			c.Fatalf("float %d was written, %d after the end", n+i, i+1)
		}
	}
}

func TestHeadBwd(t *testing.T) {
	checkOps(t, func(c *check) {
		h := c.head()
		dl := c.normal(h.N * h.OC * h.H * h.W)
		ds, args := c.tensor(h.N, h.IC, h.H, h.W, nil), h.args
		args.DLogits, args.DSrc, args.DSrcImage = c.in(dl).ptr(), ds.ptr(), ds.image
		cp := ds.cb() * 16
		n := c.tasks(csrc.OpHeadBwd, unsafe.Pointer(&args))
		partial := c.out(n * h.OC * (cp + 16))
		args.Partial = partial.ptr()
		c.exec(csrc.OpHeadBwd, unsafe.Pointer(&args))

		dsrc, dw, db := make([]float32, len(h.src)), make([]float32, len(h.w)), make([]float32, h.OC)
		ref.HeadBwd(h.Dims, dsrc, dw, db, h.src, h.act, h.w, dl)
		msrc, mw, mb := make([]float32, len(h.src)), make([]float32, len(h.w)), make([]float32, h.OC)
		ref.HeadBwd(h.Dims, msrc, mw, mb, abs(h.activated()), ref.Act{}, abs(h.w), abs(dl))
		c.near("dsrc", c.nchw(ds), dsrc, within(4, msrc))
		x, fwd := c.normal(len(h.src)), make([]float32, len(dl))
		ref.Head(h.Dims, fwd, x, ref.Act{}, h.w, make([]float32, h.OC))
		c.sameDot("<head(x),d> = <x,dx>", fwd, dl, x, c.nchw(ds))
		gotW, gotB := make([]float32, len(dw)), make([]float32, len(db))
		for o := range h.OC {
			sum := func(at int) (s float32) {
				var f float64
				for t := range n {
					f += float64(partial.f[(t*h.OC+o)*(cp+16)+at])
				}
				return float32(f)
			}
			for i := range h.IC {
				gotW[o*h.IC+i] = sum(i)
			}
			gotB[o] = sum(cp)
		}
		c.near("dw", gotW, dw, within(4, mw))
		c.near("db", gotB, db, within(4, mb))
	}, csrc.OpHeadBwd)
}

func (c *check) loss() (args csrc.Loss, z, t, w []float32) {
	args = csrc.Loss{N: int32(1 + c.IntN(3)), Beta: 0.25}
	args.Size = []int64{1, 15, 16, 17, 300, 16384, 16385, 40000}[c.IntN(8)]
	args.Stride, args.StrideT = args.Size+c.Int64N(20), args.Size+c.Int64N(20)
	// Logits from saturation to saturation; targets hard or soft.
	z = make([]float32, args.Stride*int64(args.N))
	t, w = make([]float32, args.StrideT*int64(args.N)), make([]float32, args.StrideT*int64(args.N))
	for i := range z {
		z[i] = float32(c.NormFloat64() * []float64{0.1, 3, 30}[c.IntN(3)])
	}
	soft := c.IntN(2) == 0
	for i := range t {
		t[i], w[i] = float32(c.IntN(2)), float32(c.IntN(4))
		if soft {
			t[i] = c.Float32()
		}
	}
	if c.IntN(2) == 0 {
		w = nil
	}
	args.T, args.W = c.in(t).ptr(), c.optional(w)
	return args, z, t, w
}

// plane returns the values of image i, nil for nil.
func plane(v []float32, i int32, stride, size int64) []float32 {
	if v == nil {
		return nil
	}
	return v[int64(i)*stride:][:size]
}

func TestLossFwd(t *testing.T) {
	checkOps(t, func(c *check) {
		args, z, target, w := c.loss()
		p := c.out(len(z))
		n := c.tasks(csrc.OpLossFwd, unsafe.Pointer(&args))
		sums := c.out(n * 16)
		args.Z, args.P, args.Sums = c.in(z).ptr(), p.ptr(), sums.float64s()
		c.exec(csrc.OpLossFwd, unsafe.Pointer(&args))
		var want ref.LossSums
		for i := range args.N {
			probs := make([]float32, args.Size)
			s := ref.Loss(probs, plane(z, i, args.Stride, args.Size), plane(target, i, args.StrideT, args.Size),
				plane(w, i, args.StrideT, args.Size), args.Beta)
			for k := range s {
				want[k] += s[k]
			}
			// A few ulp, and e^-87 = 1.6e-38 is where the kernel's exp ends.
			c.near("p", plane(p.f, i, args.Stride, args.Size), probs, func(i int) float64 {
				return 4*eps*float64(probs[i]) + 2e-38
			})
			for j := int64(i)*args.Stride + args.Size; j < min(int64(i+1)*args.Stride, int64(len(z))); j++ {
				if math.Float32bits(p.f[j]) != poisonBits {
					c.Fatalf("p was written between the planes")
				}
			}
		}
		got := unsafe.Slice(args.Sums, 8*n)
		for k := range want {
			var sum float64
			for t := range n {
				sum += got[8*t+k]
			}
			// All terms are positive: relative error. Counts are exact but
			// where p rounds to the other side of one half.
			bound := 16 * eps * want[k]
			if k >= 4 && k <= 6 {
				bound = 0
			}
			if err := math.Abs(sum - want[k]); !(err <= bound+1e-30) {
				c.Errorf("sum %d is %g, want %g", k, sum, want[k])
			}
		}
	}, csrc.OpLossFwd)
}

func TestLossBwd(t *testing.T) {
	checkOps(t, func(c *check) {
		args, z, target, w := c.loss()
		p := make([]float32, len(z))
		for i, v := range z {
			p[i] = float32(1 / (1 + math.Exp(-float64(v))))
		}
		dz := c.out(len(z))
		args.P, args.DZ = c.in(p).ptr(), dz.ptr()
		co := ref.LossCoeffs{BCE: c.Float32(), T: float32(c.NormFloat64()), One: float32(c.NormFloat64()), L1: c.Float32(), Beta: args.Beta}
		if c.IntN(3) == 0 {
			co.T, co.One, co.L1 = 0, 0, 0
		}
		args.CBCE, args.CT, args.C1, args.CL1 = co.BCE, co.T, co.One, co.L1
		c.exec(csrc.OpLossBwd, unsafe.Pointer(&args))
		for i := range args.N {
			want := make([]float32, args.Size)
			ti, wi := plane(target, i, args.StrideT, args.Size), plane(w, i, args.StrideT, args.Size)
			pi := plane(p, i, args.Stride, args.Size)
			ref.LossBwd(want, pi, ti, wi, co)
			c.near("dz", plane(dz.f, i, args.Stride, args.Size), want, func(i int) float64 {
				w := 1.0
				if wi != nil {
					w = float64(wi[i])
				}
				q := float64(pi[i]) * (1 - float64(pi[i]))
				return 8*eps*(float64(co.BCE)*w+q*(math.Abs(float64(co.T))+math.Abs(float64(co.One))+float64(co.L1)*w)) + 1e-37
			})
		}
	}, csrc.OpLossBwd)
}

func TestAdam(t *testing.T) {
	checkOps(t, func(c *check) {
		size := []int{16, 48, 16384, 16400, 40000}[c.IntN(5)]
		p, g, m, v, ema := c.normal(size), c.normal(size), c.normal(size), c.normal(size), c.normal(size)
		for i := range v {
			v[i] *= v[i]
		}
		s := ref.AdamStep{Step: 1e-3 / (1 - 0.9), C1: 0.1, C2: 0.001, Eps: 1e-8,
			InvSqrtBC2: float32(1 / math.Sqrt(1-0.999)), Decay: 1e-5, GScale: 0.5, CEMA: 0.01}
		args := csrc.Adam{Size: int64(size), Step: s.Step, C1: s.C1, C2: s.C2, Eps: s.Eps,
			InvSqrtBC2: s.InvSqrtBC2, Decay: s.Decay, GScale: s.GScale, CEMA: s.CEMA}
		pt, mt, vt, et := c.inout(p), c.inout(m), c.inout(v), c.inout(ema)
		args.P, args.G, args.M, args.V, args.EMA = pt.ptr(), c.in(g).ptr(), mt.ptr(), vt.ptr(), et.ptr()
		if c.IntN(2) == 0 {
			ema, args.EMA = nil, nil
		}
		c.exec(csrc.OpAdam, unsafe.Pointer(&args))
		mm, mv := make([]float32, size), make([]float32, size)
		for i := range mm {
			a := math.Abs(float64(g[i]))
			mm[i] = float32(math.Abs(float64(m[i])) + a)
			mv[i] = float32(float64(v[i]) + a*a)
		}
		p0 := append([]float32(nil), p...)
		ref.Adam(p, g, m, v, ema, s)
		c.near("m", mt.f, m, within(2, mm))
		c.near("v", vt.f, v, within(2, mv))
		c.near("p", pt.f, p, func(i int) float64 {
			// The step inherits the relative errors of m (cancellation) and v.
			root := math.Sqrt(float64(v[i]))*float64(s.InvSqrtBC2) + float64(s.Eps)
			return eps*(2*math.Abs(float64(p0[i]))+8*float64(s.Step)*float64(mm[i])/root) + 1e-37
		})
		if ema != nil {
			c.near("ema", et.f, ema, func(i int) float64 {
				return 4 * eps * (math.Abs(float64(ema[i])) + math.Abs(float64(p[i])) + math.Abs(float64(p0[i])) + 1e-3)
			})
		}
	}, csrc.OpAdam)
}

func TestSumSq(t *testing.T) {
	checkOps(t, func(c *check) {
		g := c.normal([]int{16, 48, 16384, 16400, 40000}[c.IntN(5)])
		args := csrc.Adam{Size: int64(len(g)), G: c.in(g).ptr()}
		n := c.tasks(csrc.OpSumSq, unsafe.Pointer(&args))
		args.Out = c.out(2 * n).float64s()
		c.exec(csrc.OpSumSq, unsafe.Pointer(&args))
		var got float64
		for _, v := range unsafe.Slice(args.Out, n) {
			got += v
		}
		if want := ref.SumSq(g); !(math.Abs(got-want) <= 64*eps*want) {
			c.Fatalf("sum of squares is %g, want %g", got, want)
		}
	}, csrc.OpSumSq)
}
