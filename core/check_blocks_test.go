package core

import (
	"math"
	"slices"
	"testing"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// The kernels of blocks: 1x1 convolutions, sums, enlarging, gates.

func (c *check) conv1x1() (ref.Dims, csrc.Conv1x1) {
	d := c.dims()
	return d, csrc.Conv1x1{N: int32(d.N), H: int32(d.H), W: int32(d.W),
		ICB: int32((d.IC + 15) / 16), OCB: int32((d.OC + 15) / 16)}
}

// pack1x1 packs w [oc][ic].
func (c *check) pack1x1(w, scale []float32, oc, ic, flip int) *float32 {
	args := csrc.Pack{Src: c.in(w).ptr(), Scale: c.optional(scale), OC: int32(oc), IC: int32(ic), Flip: int32(flip)}
	packed := c.out((oc + 15) / 16 * ((ic + 15) / 16) * 256)
	args.Dst = packed.ptr()
	c.exec(csrc.OpPackConv1x1, unsafe.Pointer(&args))
	packed.written = false
	return packed.ptr()
}

func transpose(w []float32, oc, ic int) []float32 {
	t := make([]float32, len(w))
	for o := range oc {
		for i := range ic {
			t[i*oc+o] = w[o*ic+i]
		}
	}
	return t
}

func TestConv1x1(t *testing.T) {
	checkOps(t, func(c *check) {
		d, args := c.conv1x1()
		src, w := c.coarse(d.N*d.IC*d.H*d.W), c.normal(d.OC*d.IC)
		x := c.tensor(d.N, d.IC, d.H, d.W, src)
		act, cact := c.act(d.IC)
		args.Src, args.SrcImage, args.Act = x.ptr(), x.image, cact
		scale, bias := c.chance(c.normal(d.OC)), c.chance(c.normal(d.OC))
		args.Weight, args.Bias, args.ReLU = c.pack1x1(w, scale, d.OC, d.IC, 0), c.optional(bias), b32(c.IntN(2) == 0)
		for i := range w {
			if scale != nil {
				w[i] *= scale[i/d.IC]
			}
		}
		y := c.tensor(d.N, d.OC, d.H, d.W, nil)
		args.Dst, args.DstImage = y.ptr(), y.image
		var stats *statistics
		if args.ReLU == 0 && c.IntN(2) == 0 {
			stats = c.statistics(csrc.OpConv1x1, unsafe.Pointer(&args), y)
			args.Stats, args.Counts = stats.sums.ptr(), stats.counts.int32s()
		}
		c.exec(csrc.OpConv1x1, unsafe.Pointer(&args))
		if bias == nil {
			bias = make([]float32, d.OC)
		}
		want, mag := make([]float32, d.N*d.OC*d.H*d.W), make([]float32, d.N*d.OC*d.H*d.W)
		ref.Head(d, want, src, act, w, bias)
		a := make([]float32, len(src))
		act.Apply(a, src, d.N, d.IC, d.H*d.W)
		ref.Head(d, mag, abs(a), ref.Act{}, abs(w), biasMagnitude(bias, d.IC))
		for i := range want {
			if args.ReLU != 0 {
				want[i] = max(want[i], 0)
			}
		}
		got := c.nchw(y)
		c.near("dst", got, want, within(4, mag))
		stats.check(c, got)
	}, csrc.OpConv1x1, csrc.OpPackConv1x1)
}

// TestConv1x1Dgrad: the kernel with flipped weights adds the transposed product.
func TestConv1x1Dgrad(t *testing.T) {
	checkOps(t, func(c *check) {
		d, args := c.conv1x1()
		w := c.normal(d.OC * d.IC)
		dy, before := c.normal(d.N*d.OC*d.H*d.W), c.normal(d.N*d.IC*d.H*d.W)
		yt, xt := c.tensor(d.N, d.OC, d.H, d.W, dy), c.tensor(d.N, d.IC, d.H, d.W, before)
		xt.written = true
		args.ICB, args.OCB, args.Add = args.OCB, args.ICB, 1
		args.Src, args.SrcImage, args.Dst, args.DstImage = yt.ptr(), yt.image, xt.ptr(), xt.image
		args.Weight = c.pack1x1(w, nil, d.OC, d.IC, 1)
		c.exec(csrc.OpConv1x1, unsafe.Pointer(&args))
		r := ref.Dims{N: d.N, IC: d.OC, OC: d.IC, H: d.H, W: d.W}
		want, mag := make([]float32, len(before)), make([]float32, len(before))
		zero := make([]float32, d.IC)
		ref.Head(r, want, dy, ref.Act{}, transpose(w, d.OC, d.IC), zero)
		ref.Head(r, mag, abs(dy), ref.Act{}, abs(transpose(w, d.OC, d.IC)), zero)
		for i, v := range before {
			want[i] += v
			mag[i] += abs([]float32{v})[0]
		}
		got := c.nchw(xt)
		c.near("dsrc", got, want, within(4, mag))

		x, fwd, back := c.normal(len(got)), make([]float32, len(dy)), make([]float32, len(got))
		ref.Head(d, fwd, x, ref.Act{}, w, make([]float32, d.OC))
		for i := range back {
			back[i] = got[i] - before[i]
		}
		c.sameDot("<conv(x),dy> = <x,dgrad(dy)>", fwd, dy, x, back)
	}, csrc.OpConv1x1, csrc.OpPackConv1x1)
}

func TestWgrad1x1(t *testing.T) {
	checkOps(t, func(c *check) {
		d := c.dims()
		src, dy := c.coarse(d.N*d.IC*d.H*d.W), c.normal(d.N*d.OC*d.H*d.W)
		xt, yt := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, d.H, d.W, dy)
		act, cact := c.act(d.IC)
		args := csrc.Wgrad3x3{Src: xt.ptr(), SrcImage: xt.image, Act: cact, DY: yt.ptr(), DYImage: yt.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), IC: int32(d.IC), OC: int32(d.OC)}
		partial := c.out(c.backend.scratch(csrc.OpWgrad1x1Reduce, unsafe.Pointer(&args)))
		args.Partial = partial.ptr()
		c.exec(csrc.OpWgrad1x1, unsafe.Pointer(&args))
		partial.written = false
		dw := c.out(d.OC * d.IC)
		args.DW = dw.ptr()
		c.exec(csrc.OpWgrad1x1Reduce, unsafe.Pointer(&args))
		a := make([]float32, len(src))
		act.Apply(a, src, d.N, d.IC, d.H*d.W)
		want, mag, rest := make([]float32, d.OC*d.IC), make([]float32, d.OC*d.IC), make([]float32, d.OC)
		ref.HeadBwd(d, make([]float32, len(src)), want, rest, a, ref.Act{}, want, dy)
		ref.HeadBwd(d, make([]float32, len(src)), mag, rest, abs(a), ref.Act{}, mag, abs(dy))
		c.near("dw", dw.f[:len(want)], want, within(8, mag))

		w, fwd := c.normal(len(want)), make([]float32, len(dy))
		ref.Head(d, fwd, a, ref.Act{}, w, make([]float32, d.OC))
		c.sameDot("<conv(x;w),dy> = <w,wgrad(x,dy)>", fwd, dy, w, dw.f[:len(want)])
	}, csrc.OpWgrad1x1, csrc.OpWgrad1x1Reduce)
}

func TestAdd(t *testing.T) {
	checkOps(t, func(c *check) {
		d := ref.Dims{N: 1 + c.IntN(3), IC: c.channels()}
		d.H, d.W = c.size(2000)
		n := d.N * d.IC * d.H * d.W
		x, y := c.coarse(n), c.coarse(n)
		xt, yt, dst := c.tensor(d.N, d.IC, d.H, d.W, x), c.tensor(d.N, d.IC, d.H, d.W, y), c.tensor(d.N, d.IC, d.H, d.W, nil)
		xact, cx := c.act(d.IC)
		yact, cy := c.act(d.IC)
		args := csrc.Add{X: xt.ptr(), XImage: xt.image, XAct: cx, Y: yt.ptr(), YImage: yt.image, YAct: cy,
			Dst: dst.ptr(), DstImage: dst.image, N: int32(d.N), H: int32(d.H), W: int32(d.W), CB: int32(xt.cb())}
		c.exec(csrc.OpAdd, unsafe.Pointer(&args))
		want := make([]float32, n)
		ref.Add(d, want, x, y, xact, yact)
		c.near("dst", c.nchw(dst), want, exactly)

		dd := c.normal(n)
		dt, dx, dy := c.tensor(d.N, d.IC, d.H, d.W, dd), c.tensor(d.N, d.IC, d.H, d.W, nil), c.tensor(d.N, d.IC, d.H, d.W, nil)
		dst.written = false
		args.DDst, args.DDstImage, args.DX, args.DY = dt.ptr(), dt.image, dx.ptr(), dy.ptr()
		args.XImage, args.YImage = dx.image, dy.image
		c.exec(csrc.OpAddBwd, unsafe.Pointer(&args))
		dwant := make([]float32, n)
		ref.AddBwd(dwant, want, dd)
		c.near("dx", c.nchw(dx), dwant, exactly)
		c.near("dy", c.nchw(dy), dwant, exactly)

		// Where the sum passes the map is x+y.
		u, v := c.normal(n), c.normal(n)
		fwd := make([]float32, n)
		for i := range fwd {
			if want[i] > 0 {
				fwd[i] = u[i] + v[i]
			}
		}
		c.sameDot("<x+y,d> = <x,dx> + <y,dy>", fwd, dd, append(u, v...), append(c.nchw(dx), c.nchw(dy)...))
	}, csrc.OpAdd, csrc.OpAddBwd)
}

func TestUpsample(t *testing.T) {
	checkOps(t, func(c *check) {
		d := ref.Dims{N: 1 + c.IntN(3), IC: c.channels()}
		d.H, d.W = c.size(1000)
		src := c.coarse(d.N * d.IC * d.H * d.W)
		xt, yt := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.IC, 2*d.H, 2*d.W, nil)
		act, cact := c.act(d.IC)
		args := csrc.Upsample{Src: xt.ptr(), SrcImage: xt.image, Act: cact, Dst: yt.ptr(), DstImage: yt.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), CB: int32(xt.cb())}
		c.exec(csrc.OpUpsample, unsafe.Pointer(&args))
		want := make([]float32, 4*len(src))
		ref.Upsample(d, want, src, act)
		c.near("dst", c.nchw(yt), want, exactly)

		dd := c.normal(4 * len(src))
		dt, ds := c.tensor(d.N, d.IC, 2*d.H, 2*d.W, dd), c.tensor(d.N, d.IC, d.H, d.W, nil)
		args.DDst, args.DstImage, args.DSrc, args.SrcImage = dt.ptr(), dt.image, ds.ptr(), ds.image
		c.exec(csrc.OpUpsampleBwd, unsafe.Pointer(&args))
		dwant, mag := make([]float32, len(src)), make([]float32, len(src))
		ref.UpsampleBwd(d, dwant, dd)
		ref.UpsampleBwd(d, mag, abs(dd))
		c.near("dsrc", c.nchw(ds), dwant, within(2, mag))

		up := make([]float32, len(dd))
		ref.Upsample(d, up, src, ref.Act{})
		c.sameDot("<up(x),d> = <x,dx>", up, dd, src, c.nchw(ds))
	}, csrc.OpUpsample, csrc.OpUpsampleBwd)
}

func TestInterleave(t *testing.T) {
	checkOps(t, func(c *check) {
		n, ch := 1+c.IntN(3), 1+c.IntN(4)
		h, w := c.size(3000)
		src := c.normal(n * ch * h * w)
		y := c.tensor(n, ch, h, w, nil)
		args := csrc.Interleave{Src: c.in(src).ptr(), Dst: y.ptr(), DstImage: y.image,
			N: int32(n), H: int32(h), W: int32(w), C: int32(ch)}
		c.exec(csrc.OpInterleave, unsafe.Pointer(&args))
		c.near("dst", c.nchw(y), src, exactly)
	}, csrc.OpInterleave)
}

func TestGate(t *testing.T) {
	checkOps(t, func(c *check) {
		d := ref.Dims{N: 1 + c.IntN(3), IC: c.channels()}
		d.H, d.W = c.size(2000)
		n := d.N * d.IC * d.H * d.W
		src, z := c.coarse(n), c.normal(d.N*d.H*d.W)
		for i := range z { // to saturation
			z[i] *= []float32{1, 30}[c.IntN(2)]
		}
		xt, yt := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.IC, d.H, d.W, nil)
		act, cact := c.act(d.IC)
		args := csrc.Gate{Src: xt.ptr(), SrcImage: xt.image, Act: cact, Z: c.in(z).ptr(), Dst: yt.ptr(), DstImage: yt.image,
			N: int32(d.N), H: int32(d.H), W: int32(d.W), CB: int32(xt.cb())}
		c.exec(csrc.OpGate, unsafe.Pointer(&args))
		want := make([]float32, n)
		ref.Gate(d, want, src, act, z)
		c.near("dst", c.nchw(yt), want, func(i int) float64 { return 8*eps*math.Abs(float64(want[i])) + 1e-36 })

		dd := c.normal(n)
		dt, ds, dz := c.tensor(d.N, d.IC, d.H, d.W, dd), c.tensor(d.N, d.IC, d.H, d.W, nil), c.out(len(z))
		yt.written = false
		args.DDst, args.DDstImage, args.DSrc, args.DSrcImage, args.DZ = dt.ptr(), dt.image, ds.ptr(), ds.image, dz.ptr()
		c.exec(csrc.OpGateBwd, unsafe.Pointer(&args))
		dsrc, wantZ := make([]float32, n), make([]float32, len(z))
		ref.GateBwd(d, dsrc, wantZ, src, act, z, dd)
		c.near("dsrc", c.nchw(ds), dsrc, func(i int) float64 { return 8*eps*math.Abs(float64(dsrc[i])) + 1e-36 })
		x, fwd := c.normal(n), make([]float32, n)
		ref.Gate(d, fwd, x, ref.Act{}, z)
		c.sameDot("<gate(x),d> = <x,dx>", fwd, dd, x, c.nchw(ds))
		a := make([]float32, n)
		act.Apply(a, src, d.N, d.IC, d.H*d.W)
		mag := make([]float32, len(z))
		ref.GateBwd(d, make([]float32, n), mag, abs(a), ref.Act{}, z, abs(dd))
		// 1 - sigmoid cancels where the gate is open.
		c.near("dz", dz.f[:len(z)], wantZ, func(i int) float64 {
			g := 1 / (1 + math.Exp(-float64(z[i])))
			return 8*eps*(float64(mag[i])+float64(mag[i])/max(1-g, 1e-7)) + 1e-36
		})
	}, csrc.OpGate, csrc.OpGateBwd)
}

// TestShortcut: a convolution adds the 1x1 convolution of a shortcut, of blocks or of
// planes, before ReLU.
func TestShortcut(t *testing.T) {
	for _, way := range []struct{ conv, pack csrc.Op }{
		{csrc.OpConv3x3, csrc.OpPackConv3x3}, {csrc.OpWino43, csrc.OpPackWino43}, {csrc.OpBWino43, csrc.OpPackBWino43},
	} {
		checkOps(t, func(c *check) {
			d := c.dims()
			src, w := c.coarse(d.N*d.IC*d.H*d.W), c.normal(d.OC*d.IC*9)
			x := c.tensor(d.N, d.IC, d.H, d.W, src)
			sd := ref.Dims{N: d.N, IC: 1 + c.IntN(4), OC: d.OC, H: d.H, W: d.W}
			planar := c.IntN(2) == 0
			if !planar {
				sd.IC = c.dims().IC
			}
			other, sw := c.coarse(d.N*sd.IC*d.H*d.W), c.normal(d.OC*sd.IC)
			s := csrc.Shortcut{Weight: c.pack1x1(sw, nil, d.OC, sd.IC, 0)}
			if planar {
				s.Src, s.Image, s.Planes = c.in(other).ptr(), int64(sd.IC*d.H*d.W), int32(sd.IC)
			} else {
				y := c.tensor(d.N, sd.IC, d.H, d.W, other)
				s.Src, s.Image, s.ICB = y.ptr(), y.image, int32(y.cb())
			}
			run := func(s csrc.Shortcut, relu int32, dst tensor) {
				packed := c.out(36 * ((d.OC + 15) / 16) * ((d.IC + 15) / 16) * 256)
				pack := csrc.Pack{Src: c.in(w).ptr(), Dst: packed.ptr(), OC: int32(d.OC), IC: int32(d.IC)}
				c.backend.run(way.pack, unsafe.Pointer(&pack), 0, c.tasks(way.pack, unsafe.Pointer(&pack)), nil)
				packed.written = false
				args := csrc.Conv3x3{Src: x.ptr(), SrcImage: x.image, Weight: packed.ptr(), Dst: dst.ptr(), DstImage: dst.image,
					N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(dst.cb()), Shortcut: s, ReLU: relu}
				c.exec(way.conv, unsafe.Pointer(&args))
				dst.written = false
			}
			plain := c.tensor(d.N, d.OC, d.H, d.W, nil)
			run(csrc.Shortcut{}, 0, plain)
			sum := c.tensor(d.N, d.OC, d.H, d.W, nil)
			run(s, 1, sum)
			add, addMag, zero := make([]float32, len(c.nchw(plain))), make([]float32, len(c.nchw(plain))), make([]float32, d.OC)
			ref.Head(sd, add, other, ref.Act{}, sw, zero)
			ref.Head(sd, addMag, abs(other), ref.Act{}, abs(sw), zero)
			want := c.nchw(plain)
			mag := abs(want)
			for i := range want {
				mag[i] += addMag[i] + 1
				want[i] = max(want[i]+add[i], 0)
			}
			c.near("dst", c.nchw(sum), want, within(64, mag))
		}, way.conv, way.pack)
	}
}

// TestActPerImage: an activation of each image by itself gives what the images
// activated beforehand give, to the bit.
func TestActPerImage(t *testing.T) {
	checkOps(t, func(c *check) {
		d := c.dims()
		for d.H < 2 || d.W < 2 {
			d = c.dims()
		}
		d.N = 2 + c.IntN(2)
		cb := (d.IC + 15) / 16
		src := c.coarse(d.N * d.IC * d.H * d.W)
		values := make([]float32, d.N*3*cb*16)
		activated := make([]float32, len(src))
		for i := range d.N {
			of, size := values[i*3*cb*16:], d.IC*d.H*d.W
			a := ref.Act{Scale: of[:d.IC], Shift: of[cb*16:][:d.IC], Lo: of[2*cb*16:][:d.IC]}
			for k := range d.IC {
				a.Scale[k], a.Shift[k] = []float32{0.5, 1, 2, -1}[c.IntN(4)], c.coarse(1)[0]
			}
			a.Apply(activated[i*size:][:size], src[i*size:][:size], 1, d.IC, d.H*d.W)
		}
		base := c.in(values).ptr()
		at := func(k int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(base), 4*16*cb*k)) }
		act := csrc.Act{Scale: at(0), Shift: at(1), Lo: at(2), Image: int64(3 * cb * 16)}
		raw, ready := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.IC, d.H, d.W, activated)
		for name, op := range c.readers(d) {
			a, b := op(raw, act), op(ready, csrc.Act{})
			if !slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) || x == 0 && y == 0 }) {
				c.Errorf("%s: other values", name)
			}
		}
	}, csrc.OpWino43)
}

// readers are operations that read a tensor of dimensions d through an activation.
func (c *check) readers(d ref.Dims) map[string]func(x tensor, act csrc.Act) []float32 {
	n, h, w, icb, ocb := int32(d.N), int32(d.H), int32(d.W), int32((d.IC+15)/16), int32((d.OC+15)/16)
	w3, w2 := c.in(c.normal(d.OC*d.IC*9)), c.in(c.normal(d.OC*d.IC*4))
	dy := c.tensor(d.N, d.OC, d.H, d.W, c.normal(d.N*d.OC*d.H*d.W))
	dy2 := c.tensor(d.N, d.OC, 2*d.H, 2*d.W, c.normal(4*d.N*d.OC*d.H*d.W))
	run := func(op csrc.Op, args unsafe.Pointer) {
		var scratch *float32
		switch op {
		case csrc.OpWgrad3x3Reduce, csrc.OpWgradWino43Reduce, csrc.OpWgrad1x1Reduce, csrc.OpTConvWgradReduce:
		default:
			scratch = c.alloc(max(c.backend.scratch(op, args), 16)).ptr()
		}
		c.backend.run(op, args, 0, c.tasks(op, args), scratch)
	}
	packed := func(op csrc.Op, src *guarded, taps int) *float32 {
		dst := c.alloc(taps * int(icb*ocb) * 256)
		run(op, unsafe.Pointer(&csrc.Pack{Src: src.ptr(), Dst: dst.ptr(), OC: int32(d.OC), IC: int32(d.IC)}))
		return dst.ptr()
	}
	conv := func(op, pack csrc.Op) func(x tensor, act csrc.Act) []float32 {
		weight := packed(pack, w3, 36)
		return func(x tensor, act csrc.Act) []float32 {
			y := c.tensor(d.N, d.OC, d.H, d.W, nil)
			run(op, unsafe.Pointer(&csrc.Conv3x3{Src: x.ptr(), SrcImage: x.image, Act: act, Weight: weight,
				Dst: y.ptr(), DstImage: y.image, N: n, H: h, W: w, ICB: icb, OCB: ocb}))
			return c.nchw(y)
		}
	}
	wgrad := func(op, reduce csrc.Op, taps int) func(x tensor, act csrc.Act) []float32 {
		return func(x tensor, act csrc.Act) []float32 {
			args := csrc.Wgrad3x3{Src: x.ptr(), SrcImage: x.image, Act: act, DY: dy.ptr(), DYImage: dy.image,
				N: n, H: h, W: w, IC: int32(d.IC), OC: int32(d.OC)}
			dw := c.alloc(d.OC * d.IC * taps)
			args.Partial, args.DW = c.alloc(c.backend.scratch(reduce, unsafe.Pointer(&args))).ptr(), dw.ptr()
			run(op, unsafe.Pointer(&args))
			run(reduce, unsafe.Pointer(&args))
			return dw.f[:d.OC*d.IC*taps]
		}
	}
	tconv := func(op, pack csrc.Op) func(x tensor, act csrc.Act) []float32 {
		weight := packed(pack, w2, 4)
		return func(x tensor, act csrc.Act) []float32 {
			y := c.tensor(d.N, d.OC, 2*d.H, 2*d.W, nil)
			run(op, unsafe.Pointer(&csrc.TConv{Src: x.ptr(), SrcImage: x.image, Act: act, Weight: weight,
				Dst: y.ptr(), DstImage: y.image, N: n, H: h, W: w, ICB: icb, OCB: ocb}))
			return c.nchw(y)
		}
	}
	return map[string]func(x tensor, act csrc.Act) []float32{
		"conv3x3": conv(csrc.OpConv3x3, csrc.OpPackConv3x3), "wino43": conv(csrc.OpWino43, csrc.OpPackWino43),
		"bwino43": conv(csrc.OpBWino43, csrc.OpPackBWino43),
		"tconv":   tconv(csrc.OpTConv, csrc.OpPackTConv), "btconv": tconv(csrc.OpBTConv, csrc.OpPackBTConv),
		"wgrad3x3":     wgrad(csrc.OpWgrad3x3, csrc.OpWgrad3x3Reduce, 9),
		"wgrad_wino43": wgrad(csrc.OpWgradWino43, csrc.OpWgradWino43Reduce, 9),
		"wgrad1x1":     wgrad(csrc.OpWgrad1x1, csrc.OpWgrad1x1Reduce, 1),
		"tconv_wgrad": func(x tensor, act csrc.Act) []float32 {
			args := csrc.TConvWgrad{Src: x.ptr(), SrcImage: x.image, Act: act, DY: dy2.ptr(), DYImage: dy2.image,
				N: n, H: h, W: w, IC: int32(d.IC), OC: int32(d.OC)}
			dw, db := c.alloc(d.OC*d.IC*4), c.alloc(d.OC)
			args.Partial = c.alloc(c.backend.scratch(csrc.OpTConvWgradReduce, unsafe.Pointer(&args))).ptr()
			args.DW, args.DB = dw.ptr(), db.ptr()
			run(csrc.OpTConvWgrad, unsafe.Pointer(&args))
			run(csrc.OpTConvWgradReduce, unsafe.Pointer(&args))
			return dw.f[:d.OC*d.IC*4]
		},
		"pool": func(x tensor, act csrc.Act) []float32 {
			y := c.tensor(d.N, d.IC, d.H/2, d.W/2, nil)
			run(csrc.OpPool, unsafe.Pointer(&csrc.Pool{Src: x.ptr(), SrcImage: x.image, Act: act,
				Dst: y.ptr(), DstImage: y.image, N: n, H: h, W: w, CB: icb}))
			return c.nchw(y)
		},
		"head": func(x tensor, act csrc.Act) []float32 {
			y := c.alloc(d.N * d.H * d.W)
			run(csrc.OpHead, unsafe.Pointer(&csrc.Head{Src: x.ptr(), SrcImage: x.image, Act: act,
				Weight: w3.ptr(), Bias: w3.ptr(), Logits: y.ptr(), N: n, H: h, W: w, CB: icb, K: 1}))
			return y.f[:d.N*d.H*d.W]
		},
		"range": func(x tensor, act csrc.Act) []float32 {
			most := c.in(make([]float32, 36*int(icb)*16))
			run(csrc.OpRange, unsafe.Pointer(&csrc.Range{Src: x.ptr(), SrcImage: x.image, Act: act, Most: most.ptr(),
				N: n, H: h, W: w, CB: icb, Tiles: 1}))
			return most.f
		},
	}
}
