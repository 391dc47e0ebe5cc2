package core

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// The cross-check holds every kernel of every instruction set the CPU has, and
// the pure Go backend, against package ref: random odd shapes, tensors with
// gaps between images, guard zones around every buffer, poisoned outputs,
// work split in two ways. The same cases every time, unless -check.seed says
// otherwise; a failure is repeated with -check.seed and -run.

var (
	checkSeed  = flag.Uint64("check.seed", 1, "seed of the kernel cross-check, 0: from the clock")
	checkCases = flag.Int("check.cases", 6, "random cases per operation and instruction set")
)

const eps = 1.0 / (1 << 23)

// checkOps runs f for every backend that has all of ops, on checkCases random
// cases each.
func checkOps(t *testing.T, f func(c *check), ops ...csrc.Op) {
	seed := *checkSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for _, isa := range ISAs() {
		t.Run(isa, func(t *testing.T) {
			b := backendOf(isa)
			for _, op := range ops {
				if !b.has(op) {
					t.Fatalf("operation %d is missing", op)
				}
			}
			for i := range *checkCases {
				ok := t.Run(fmt.Sprint(i), func(t *testing.T) {
					c := &check{T: t, backend: b, Rand: rand.New(rand.NewPCG(seed, uint64(i))), number: i}
					defer func() {
						c.free()
						if t.Failed() {
							t.Logf("repeat with: go test ./core -run '%s' -check.seed=%d", t.Name(), seed)
						}
					}()
					f(c)
				})
				if !ok {
					break
				}
			}
		})
	}
}

// check is one case: a backend and the memory it works in.
type check struct {
	*testing.T
	*rand.Rand
	backend backend
	mem     []*guarded
	number  int // of the case, from 0
}

const (
	guardFloats = 64
	guardBits   = 0xDEADBEEF
	poisonBits  = 0x7FC0DEAD // a NaN
)

// guarded is a 64-byte aligned buffer between two guard zones.
type guarded struct {
	base    unsafe.Pointer
	all     []uint32 // guard zones included
	f       []float32
	written bool // by the kernel
	before  []uint32
}

// alloc returns n floats of poison.
func (c *check) alloc(n int) *guarded {
	n += -n & 15
	size := n + 2*guardFloats
	g := &guarded{base: csrc.Alloc(size * 4)}
	g.all = unsafe.Slice((*uint32)(g.base), size)
	for i := range g.all {
		g.all[i] = guardBits
	}
	g.f = unsafe.Slice((*float32)(unsafe.Add(g.base, guardFloats*4)), n)
	g.poison()
	c.mem = append(c.mem, g)
	return g
}

func (g *guarded) poison() {
	for i := range g.f {
		g.f[i] = math.Float32frombits(poisonBits)
	}
}

func (g *guarded) bits() []uint32 { return g.all[guardFloats : guardFloats+len(g.f)] }

func (g *guarded) ptr() *float32 {
	if g == nil {
		return nil
	}
	return &g.f[0]
}

func (g *guarded) int32s() *int32     { return (*int32)(unsafe.Pointer(g.ptr())) }
func (g *guarded) float64s() *float64 { return (*float64)(unsafe.Pointer(g.ptr())) }

// in returns a buffer that holds v; out one of n floats for results.
func (c *check) in(v []float32) *guarded {
	g := c.alloc(len(v))
	copy(g.f, v)
	return g
}

func (c *check) out(n int) *guarded {
	g := c.alloc(n)
	g.written = true
	return g
}

func (c *check) inout(v []float32) *guarded {
	g := c.in(v)
	g.written = true
	return g
}

func (c *check) free() {
	for _, g := range c.mem {
		csrc.Free(g.base)
	}
}

func (c *check) tasks(op csrc.Op, args unsafe.Pointer) int {
	n := c.backend.tasks(op, args)
	if n < 1 {
		c.Fatalf("op %d has %d tasks", op, n)
	}
	return n
}

// exec runs all tasks of op twice, in one call and then one by one in random
// order and in calls of random length, and fails if the results differ in a
// bit, a guard zone was touched, or a buffer that is not an output changed.
func (c *check) exec(op csrc.Op, args unsafe.Pointer) {
	c.Helper()
	n := c.tasks(op, args)
	var scratch *guarded
	switch op {
	case csrc.OpWgrad3x3Reduce, csrc.OpWgradWino43Reduce, csrc.OpWgradFirstReduce, csrc.OpWgrad1x1Reduce, csrc.OpTConvWgradReduce:
		// their scratch is the size of `partial`
	default:
		if s := c.backend.scratch(op, args); s > 0 {
			scratch = c.alloc(s)
			scratch.written = true
		}
	}
	for _, g := range c.mem {
		g.before = append(g.before[:0], g.bits()...)
	}
	c.backend.run(op, args, 0, n, scratch.ptr())
	after := make([][]uint32, len(c.mem))
	for i, g := range c.mem {
		if g.written && g != scratch {
			after[i] = append(after[i], g.bits()...)
			copy(g.bits(), g.before)
		}
	}
	if c.backend == (inGo{}) && csrc.Compiled(csrc.C) && slices.Contains(bitsOfC, op) {
		c.inC(op, args, after)
	}
	for from, order := 0, c.Perm(n); from < n; {
		// Ascending runs of the permutation are done in one call.
		to := from + 1
		for to < n && order[to] == order[to-1]+1 {
			to++
		}
		if scratch != nil {
			scratch.poison()
		}
		c.backend.run(op, args, order[from], order[to-1]+1, scratch.ptr())
		from = to
	}
	for i, g := range c.mem {
		for at, v := range g.all {
			k := at - guardFloats
			switch {
			case k < 0 || k >= len(g.f):
				if v != guardBits {
					c.Fatalf("op %d wrote outside buffer %d of %d floats, at %d", op, i, len(g.f), k)
				}
			case g == scratch:
			case !g.written && v != g.before[k]:
				c.Fatalf("op %d changed its input buffer %d at %d", op, i, k)
			case g.written && v != after[i][k]:
				c.Fatalf("op %d: buffer %d at %d is %g with all %d tasks in one call, %g with tasks in another order",
					op, i, k, math.Float32frombits(after[i][k]), n, math.Float32frombits(v))
			}
		}
	}
}

// bitsOfC are operations without packed weights whose results package portable
// shares with the portable C kernels, bit by bit.
var bitsOfC = []csrc.Op{
	csrc.OpWgrad3x3, csrc.OpWgrad3x3Reduce, csrc.OpWgradWino43, csrc.OpWgradWino43Reduce,
	csrc.OpWgradFirst, csrc.OpWgradFirstReduce, csrc.OpTConvWgrad, csrc.OpTConvWgradReduce,
	csrc.OpWgrad1x1, csrc.OpWgrad1x1Reduce,
	csrc.OpPool, csrc.OpPoolBwd, csrc.OpBNStats, csrc.OpBNSums, csrc.OpBNBwd,
	csrc.OpHead, csrc.OpHeadBwd, csrc.OpLossFwd, csrc.OpLossBwd, csrc.OpAdam, csrc.OpSumSq,
}

// inC runs op by the portable C kernels, which flush what is below 2^-126 to zero, and
// fails if what it writes differs from results, by buffers. It leaves the buffers as
// they were before.
func (c *check) inC(op csrc.Op, args unsafe.Pointer, results [][]uint32) {
	c.Helper()
	b := native(csrc.C)
	scratch := csrc.Alloc(b.scratch(op, args)*4 + 64)
	defer csrc.Free(scratch)
	b.run(op, args, 0, b.tasks(op, args), (*float32)(scratch))
	for i, want := range results {
		for k, v := range want {
			if got := c.mem[i].bits()[k]; got != v && (got != v&(1<<31) || v&0x7f800000 != 0) {
				c.Fatalf("op %d: buffer %d at %d of %d is %g in Go, %g in C", op, i, k, len(want),
					math.Float32frombits(v), math.Float32frombits(got))
			}
		}
		if want != nil {
			copy(c.mem[i].bits(), c.mem[i].before)
		}
	}
}

// tensor is an NCHW16c tensor in guarded memory, with gaps between images that
// hold poison.
type tensor struct {
	n, c, h, w int
	image      int64
	*guarded
}

func (t tensor) cb() int { return (t.c + 15) / 16 }

// at returns the index of channel ch of pixel p of image i.
func (t tensor) at(i, ch, p int) int {
	return i*int(t.image) + (ch/16*t.h*t.w+p)*16 + ch%16
}

// tensor places v, dense NCHW, in a tensor; v == nil leaves it poisoned, for
// output.
func (c *check) tensor(n, ch, h, w int, v []float32) tensor {
	t := tensor{n: n, c: ch, h: h, w: w}
	dense := t.cb() * h * w * 16
	t.image = int64(dense + c.IntN(3)*16*(1+c.IntN(40)))
	if v == nil {
		t.guarded = c.out((n-1)*int(t.image) + dense)
		return t
	}
	t.guarded = c.alloc((n-1)*int(t.image) + dense)
	for i := range n {
		for k := range t.cb() * 16 {
			for p := range h * w {
				x := float32(0)
				if k < ch {
					x = v[(i*ch+k)*h*w+p]
				}
				t.f[t.at(i, k, p)] = x
			}
		}
	}
	return t
}

// nchw returns the dense values of t, after checking that its padding
// channels are zero and the gaps between images untouched.
func (c *check) nchw(t tensor) []float32 {
	c.Helper()
	v := make([]float32, t.n*t.c*t.h*t.w)
	for i := range t.n {
		for k := range t.cb() * 16 {
			for p := range t.h * t.w {
				x := t.f[t.at(i, k, p)]
				if k < t.c {
					v[(i*t.c+k)*t.h*t.w+p] = x
				} else if x != 0 {
					c.Fatalf("padding channel %d of image %d, pixel %d is %g", k, i, p, x)
				}
			}
		}
		if i < t.n-1 {
			for g := i*int(t.image) + t.cb()*t.h*t.w*16; g < (i+1)*int(t.image); g++ {
				if math.Float32bits(t.f[g]) != poisonBits {
					c.Fatalf("the gap after image %d was written to", i)
				}
			}
		}
	}
	return v
}

// near compares got with want; bound(i) is the greatest error allowed at i.
func (c *check) near(what string, got, want []float32, bound func(i int) float64) {
	c.Helper()
	worst, at := 0.0, -1
	for i := range want {
		err := math.Abs(float64(got[i]) - float64(want[i]))
		if b := bound(i); !(err <= b) { // NaN fails
			if r := err / b; !(r <= worst) || at < 0 {
				worst, at = r, i
			}
		}
	}
	if at >= 0 {
		c.Fatalf("%s: element %d of %d is %g, want %g: %.3g times the error allowed", what, at, len(want), got[at], want[at], worst)
	}
}

// within is a bound relative to the magnitudes of the terms of a sum.
func within(factor float64, magnitude []float32) func(i int) float64 {
	return func(i int) float64 { return factor*eps*float64(magnitude[i]) + 1e-37 }
}

func exactly(int) float64 { return 0 }

// normal returns n values of a normal distribution, now and then one that is
// exactly zero.
func (c *check) normal(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		if c.IntN(16) > 0 {
			v[i] = float32(c.NormFloat64())
		}
	}
	return v
}

// coarse returns n multiples of 1/64 in [-2, 2]: products with the scales of
// act are exact, so activations and comparisons are the same with and without
// fused multiply-add, and equal values are frequent.
func (c *check) coarse(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(c.IntN(257)-128) / 64
	}
	return v
}

func abs(v []float32) []float32 {
	a := make([]float32, len(v))
	for i, x := range v {
		a[i] = float32(math.Abs(float64(x)))
	}
	return a
}

// padTo16 returns v and zeros up to a multiple of 16.
func padTo16(v []float32) []float32 {
	return append(append([]float32(nil), v...), make([]float32, -len(v)&15)...)
}

// size returns a random odd image size of at most maxPixels.
func (c *check) size(maxPixels int) (h, w int) {
	odd := []int{1, 1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 19, 23, 31, 32, 37, 64, 67, 131}
	for {
		h, w = odd[c.IntN(len(odd))], odd[c.IntN(len(odd))]
		if h*w <= maxPixels {
			return h, w
		}
	}
}

// channels returns a random number of channels, often a multiple of 16.
func (c *check) channels() int {
	if c.IntN(3) == 0 {
		return 16 * (1 + c.IntN(4))
	}
	return 3 + c.IntN(65)
}

// dims returns random dimensions of a convolution of at most a few million
// multiplications per tap.
func (c *check) dims() ref.Dims {
	for {
		d := ref.Dims{N: 1 + c.IntN(3), IC: c.channels(), OC: c.channels()}
		d.H, d.W = c.size(5000)
		if d.N*d.H*d.W*d.IC*d.OC <= 1_200_000 {
			return d
		}
	}
}

// act returns a random pending activation of ch channels, sometimes none, for
// package ref and for the kernels. Its scales are powers of two; see coarse.
func (c *check) act(ch int) (ref.Act, csrc.Act) {
	if c.IntN(3) == 0 {
		return ref.Act{}, csrc.Act{}
	}
	a := ref.Act{Scale: make([]float32, ch), Shift: c.coarse(ch), Lo: make([]float32, ch)}
	for i := range a.Scale {
		a.Scale[i] = []float32{0.5, 1, 2, -1}[c.IntN(4)]
		if c.IntN(8) == 0 {
			a.Lo[i] = -math.MaxFloat32
		}
	}
	return a, csrc.Act{
		Scale: c.in(padTo16(a.Scale)).ptr(), Shift: c.in(padTo16(a.Shift)).ptr(), Lo: c.in(padTo16(a.Lo)).ptr(),
	}
}

// chance returns v or nil.
func (c *check) chance(v []float32) []float32 {
	if c.IntN(2) == 0 {
		return nil
	}
	return v
}

// optional places v, padded to blocks, in memory; nil stays NULL.
func (c *check) optional(v []float32) *float32 {
	if v == nil {
		return nil
	}
	return c.in(padTo16(v)).ptr()
}

func b32(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
