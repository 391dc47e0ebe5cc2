package core

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// backends are all that the CPU can run, with those that faster instructions
// stand in for.
func backends() map[string]backend {
	list := map[string]backend{"go": inGo{}}
	for _, isa := range ISAs() {
		for _, i := range Variants(isa) {
			list[i.String()] = native(i)
		}
	}
	return list
}

// quantCase is a case of an 8-bit operation with taps matrices per output
// block; scales are such that inputs spread over the 8 bits and some clamp.
type quantCase struct {
	*check
	d                       ref.Dims
	w                       []int8
	in, out                 []float32
	packed, offset, inp, mp *int32
}

func newQuantCase(c *check, d ref.Dims, taps, ranges int) *quantCase {
	q := &quantCase{check: c, d: d, w: make([]int8, d.OC/16*taps*d.IC*16),
		in: make([]float32, ranges*d.IC), out: make([]float32, taps*d.OC)}
	for i := range q.w {
		q.w[i] = int8(c.IntN(255) - 127)
	}
	for i := range q.in {
		q.in[i] = 100 * c.Float32() // now and then 0
		if c.IntN(16) == 0 {
			q.in[i] = 0
		}
	}
	for i := range q.out {
		q.out[i] = c.Float32() / 4096
	}
	n := d.OC / 16 * taps
	src := c.alloc(len(q.w) / 4)
	copy(unsafe.Slice((*int8)(unsafe.Pointer(src.ptr())), len(q.w)), q.w)
	packed, offset := c.out(len(q.w)/2), c.out(n*16)
	args := csrc.QPack{Src: (*int8)(unsafe.Pointer(src.ptr())), Dst: packed.int32s(), Offset: offset.int32s(),
		N: int32(n), K: int32(d.IC)}
	c.exec(csrc.OpPackQ, unsafe.Pointer(&args))
	packed.written, offset.written = false, false
	q.packed, q.offset = packed.int32s(), offset.int32s()
	q.inp, q.mp = c.in(q.in).int32s(), c.in(q.out).int32s()
	return q
}

func (q *quantCase) scales() (in, out *float32) {
	return (*float32)(unsafe.Pointer(q.inp)), (*float32)(unsafe.Pointer(q.mp))
}

// quantDims returns dimensions of whole channel blocks.
func quantDims(r *check) ref.Dims {
	for {
		d := ref.Dims{N: 1 + r.IntN(3), IC: 16 * (1 + r.IntN(5)), OC: 16 * (1 + r.IntN(5))}
		d.H, d.W = r.size(700)
		if d.N*d.H*d.W*d.IC*d.OC <= 1_500_000 {
			return d
		}
	}
}

// checkQuant runs f on every backend and compares what it returns with what it
// wants: bit for bit, as sums are of integers, but with the portable C kernels,
// which round a*b + c twice. There an input may come out as the next integer,
// so that a few results are off by the product of one, as much as `step`.
func checkQuant(t *testing.T, f func(c *check) (got, want []float32, step float64)) {
	for name, b := range backends() {
		t.Run(name, func(t *testing.T) {
			for i := range *checkCases {
				c := &check{T: t, backend: b, Rand: rand.New(rand.NewPCG(*checkSeed, uint64(i)))}
				got, want, step := f(c)
				if b != backend(native(csrc.C)) {
					c.near("result", got, want, exactly)
				} else {
					c.near("result", got, want, func(int) float64 { return 4 * step })
					off := 0
					for k := range want {
						if d := float64(got[k] - want[k]); d > step/64 || d < -step/64 {
							off++
						}
					}
					if off > len(want)/4 {
						t.Errorf("case %d: %d of %d results differ", i, off, len(want))
					}
				}
				c.free()
			}
		})
	}
}

func TestQWino43(t *testing.T) {
	checkQuant(t, func(c *check) (got, want []float32, step float64) {
		d := quantDims(c)
		q := newQuantCase(c, d, 36, 36)
		src := c.coarse(d.N * d.IC * d.H * d.W)
		act, cact := c.act(d.IC)
		bias, relu := c.chance(c.normal(d.OC)), c.IntN(2) == 0
		x, y := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, d.H, d.W, nil)
		args := csrc.QWino43{Conv: csrc.Conv3x3{
			Src: x.ptr(), Act: cact, Dst: y.ptr(), SrcImage: x.image, DstImage: y.image, Bias: c.optional(bias),
			N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()), ReLU: b32(relu),
		}, Packed: q.packed, Offset: q.offset}
		args.VScale, args.MScale = q.scales()
		var pool tensor
		if d.H > 1 && d.W > 1 {
			pool = c.tensor(d.N, d.OC, d.H/2, d.W/2, nil)
			args.Conv.Pool, args.Conv.PoolImage = pool.ptr(), pool.image
		}
		c.exec(csrc.OpQWino43, unsafe.Pointer(&args))
		want = make([]float32, d.N*d.OC*d.H*d.W)
		ref.QConv3x3(d, want, src, act, q.w, q.in, q.out, bias, relu)
		got = c.nchw(y)
		if pool.guarded != nil {
			pd := d
			pd.IC = d.OC
			pooled := make([]float32, d.N*d.OC*(d.H/2)*(d.W/2))
			ref.Pool(pd, pooled, got, ref.Act{})
			c.near("pool", c.nchw(pool), pooled, exactly)
		}
		return got, want, 127.0 / 4096 * 8
	})
}

func TestQTConv(t *testing.T) {
	checkQuant(t, func(c *check) (got, want []float32, step float64) {
		d := quantDims(c)
		q := newQuantCase(c, d, 4, 1)
		src := c.coarse(d.N * d.IC * d.H * d.W)
		act, cact := c.act(d.IC)
		bias := c.chance(c.normal(d.OC))
		x, y := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, 2*d.H, 2*d.W, nil)
		args := csrc.QTConv{TConv: csrc.TConv{
			Src: x.ptr(), Act: cact, Dst: y.ptr(), SrcImage: x.image, DstImage: y.image, Bias: c.optional(bias),
			N: int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()),
		}, Packed: q.packed, Offset: q.offset}
		args.AScale, args.MScale = q.scales()
		c.exec(csrc.OpQTConv, unsafe.Pointer(&args))
		want = make([]float32, d.N*d.OC*4*d.H*d.W)
		ref.QTConv2x2(d, want, src, act, q.w, q.in, q.out, bias)
		return c.nchw(y), want, 127.0 / 4096
	})
}

// Weights and ranges a layer may have hold the results of 8-bit and bfloat16
// layers near that of the float layer.
func TestReducedPrecisionIsNearFloat(t *testing.T) {
	for _, isa := range ISAs() {
		t.Run(isa, func(t *testing.T) {
			e, err := NewEngine(isa, 2)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			rng := rand.New(rand.NewPCG(1, 2))
			n, size := 1, 24
			if isa != "go" {
				n = 2
			}
			in := make([]float32, n*size*size)
			for i := range in {
				in[i] = rng.Float32()
			}
			network := func(b *Builder, size int) (Planar, *Maps) {
				x := b.Input(1, size, size)
				a, c := b.Tensor("a", 32, size, size), b.Tensor("c", 32, size, size)
				u := b.Tensor("u", 16, 2*size, 2*size)
				b.FirstConv(Layer{Conv: "first"}, x, a)
				b.Conv(Layer{Conv: "conv", Norm: "norm"}, a, c)
				b.TConv("up", c, u)
				return x, b.Head("head", u, 1)
			}
			ranges := map[string][]float32{}
			weights := map[string][]float32{}
			run := func(o Options, quantised bool) []float32 {
				p := NewParams()
				network(NewDeclarer(p, Options{}), size)
				if quantised {
					DeclareConvRange(p, "conv", 32)
					DeclareTConvRange(p, "up", 32)
				}
				if err := p.Alloc(false); err != nil {
					t.Fatal(err)
				}
				defer p.Free()
				for _, q := range p.All() {
					if len(weights[q.Name]) == 0 {
						for range q.Value {
							weights[q.Name] = append(weights[q.Name], rng.Float32()-0.3)
						}
						if q.Name == "norm.running_var" {
							for i := range weights[q.Name] {
								weights[q.Name][i]++
							}
						}
					}
					copy(q.Value, weights[q.Name])
				}
				for layer, r := range ranges {
					if q := p.Get(RangeName(layer)); q != nil {
						copy(q.Value, r)
					}
				}
				b := NewBuilder(e, p, o)
				x, m := network(b, size)
				m.Sigmoid()
				prog, err := b.Build()
				if err != nil {
					t.Fatal(err)
				}
				defer prog.Free()
				copy(prog.Data(x), in)
				if err := prog.Run(t.Context(), Pack, Forward); err != nil {
					t.Fatal(err)
				}
				return append([]float32(nil), m.Logits()...)
			}
			want := run(Options{Batch: n, Ranges: ranges}, false)
			for name, got := range map[string][]float32{
				"8-bit":    run(Options{Batch: n}, true),
				"bfloat16": run(Options{Batch: n, BFloat16: true}, false),
			} {
				if worst := relativeError(got, want); !(worst > 1e-5 && worst < 0.03) {
					t.Errorf("the %s network is off by %.3g rms", name, worst)
				}
			}
			if len(ranges) != 2 || len(ranges["conv"]) != 36*32 || len(ranges["up"]) != 32 {
				t.Errorf("ranges of %d layers", len(ranges))
			}
		})
	}
}

func TestRange(t *testing.T) {
	checkOps(t, func(c *check) {
		d := ref.Dims{N: 1 + c.IntN(3), IC: c.channels()}
		d.H, d.W = c.size(2000)
		src := c.coarse(d.N * d.IC * d.H * d.W)
		x := c.tensor(d.N, d.IC, d.H, d.W, src)
		args := csrc.Range{Src: x.ptr(), SrcImage: x.image, N: int32(d.N), H: int32(d.H), W: int32(d.W), CB: int32(x.cb())}
		act, cact := c.act(d.IC)
		args.Act = cact
		taps := 1
		if c.IntN(2) == 0 {
			args.Tiles, taps = 1, 36
		}
		want, before := make([]float32, taps*d.IC), make([]float32, taps*x.cb()*16)
		for i := range want { // some above all values, most below
			want[i] = float32(c.IntN(64))
			before[i/d.IC*x.cb()*16+i%d.IC] = want[i]
		}
		most := c.inout(before)
		args.Most = most.ptr()
		c.exec(csrc.OpRange, unsafe.Pointer(&args))
		ref.Range(d, want, src, act)
		for i := range want {
			got := most.f[i/d.IC*x.cb()*16+i%d.IC]
			if math.Abs(float64(got-want[i])) > 4*eps*64 {
				c.Fatalf("range %d is %g, want %g", i, got, want[i])
			}
		}
	}, csrc.OpRange)
}

func TestWinogradWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var g [9]float32
		for i := range g {
			g[i] = rng.Float32() - 0.5
		}
		if got, want := winogradWeights(g), ref.Wino43Weights(g[:]); got != want {
			t.Fatalf("%v: %v, want %v", g, got, want)
		}
	}
}
