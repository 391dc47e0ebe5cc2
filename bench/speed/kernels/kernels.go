package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
	"unsafe"

	"unet/csrc"
)

// A kernel is one way to compute something that package ref specifies.
type kernel struct {
	name    string
	op      csrc.Op
	fits    func(s shape) bool
	work    func(s shape) float64 // floating-point operations of the direct algorithm, or bytes if memory
	memory  bool                  // waits for memory rather than compute
	allowed float64               // greatest error relative to the RMS of the result
	onednn  string                // what oneDNN calls it; "" if it has no such kernel
	setup   func(b *bench, s shape) (result func() []float32, want func() []float32)
}

func wide(s shape) bool   { return !s.tconv && s.ic > 4 }
func narrow(s shape) bool { return !s.tconv && s.ic <= 4 }
func up(s shape) bool     { return s.tconv }
func square(s shape) bool { return wide(s) && s.ic == s.oc } // once per level of the network
func pooled(s shape) bool { return square(s) && min(s.h, s.w) > 1 }

// macs returns the work of perCall operations per pixel and pair of channels.
func macs(perCall int) func(s shape) float64 {
	return func(s shape) float64 {
		return float64(perCall) * float64(s.n) * float64(s.ic) * float64(s.oc) * float64(s.h) * float64(s.w)
	}
}

// moved returns the bytes of so many tensors of the layer and planar maps.
func moved(tensors float64, planes int) func(s shape) float64 {
	return func(s shape) float64 { return tensors*s.bytes(s.ic) + s.planes(planes) }
}

// Direct kernels, and sums over pixels, make errors of float32 sums; the
// Winograd bounds are those of the kernels' specification, 2e-5, and its
// square-root-of-pixels growth in the weight gradient. With bfloat16 values are
// off by up to 2^-8 before they are multiplied.
var kernels = []kernel{
	{"conv3x3", csrc.OpConv3x3, wide, macs(18), false, 2e-5, "conv3x3_fwd", conv(csrc.OpConv3x3, csrc.OpPackConv3x3, false)},
	{"conv3x3_dgrad", csrc.OpConv3x3, wide, macs(18), false, 2e-5, "conv3x3_dgrad", conv(csrc.OpConv3x3, csrc.OpPackConv3x3, true)},
	{"wino43", csrc.OpWino43, wide, macs(18), false, 2e-5, "conv3x3_fwd", conv(csrc.OpWino43, csrc.OpPackWino43, false)},
	{"wino43_dgrad", csrc.OpWino43, wide, macs(18), false, 2e-5, "conv3x3_dgrad", conv(csrc.OpWino43, csrc.OpPackWino43, true)},
	{"wino43_compact", csrc.OpWino43, wide, macs(18), false, 2e-5, "conv3x3_fwd", conv(csrc.OpWino43, csrc.OpPackConv3x3, false)},
	{"wino43_bf16", csrc.OpBWino43, wide, macs(18), false, 0.1, "", conv(csrc.OpBWino43, csrc.OpPackBWino43, false)},
	{"wgrad3x3", csrc.OpWgrad3x3, wide, macs(18), false, 2e-5, "conv3x3_wgrad", wgrad(csrc.OpWgrad3x3, csrc.OpWgrad3x3Reduce)},
	{"wgrad_wino43", csrc.OpWgradWino43, wide, macs(18), false, 1e-4, "conv3x3_wgrad", wgrad(csrc.OpWgradWino43, csrc.OpWgradWino43Reduce)},
	{"first", csrc.OpFirst, narrow, macs(18), false, 2e-5, "conv3x3_fwd", first},
	{"wgrad_first", csrc.OpWgradFirst, narrow, macs(18), false, 2e-5, "conv3x3_wgrad", wgrad(csrc.OpWgradFirst, csrc.OpWgradFirstReduce)},
	{"tconv", csrc.OpTConv, up, macs(8), false, 2e-5, "tconv_fwd", tconv(csrc.OpTConv, csrc.OpPackTConv)},
	{"tconv_bf16", csrc.OpBTConv, up, macs(8), false, 0.1, "", tconv(csrc.OpBTConv, csrc.OpPackBTConv)},
	{"tconv_dgrad", csrc.OpTConvDgrad, up, macs(8), false, 2e-5, "tconv_dgrad", tconvDgrad},
	{"tconv_wgrad", csrc.OpTConvWgrad, up, macs(8), false, 2e-5, "tconv_wgrad", tconvWgrad},
	{"pool", csrc.OpPool, pooled, moved(1.25, 0), true, 0, "", pool(false)},
	{"pool_bwd", csrc.OpPoolBwd, pooled, moved(3.25, 0), true, 0, "", pool(true)},
	{"bn_stats", csrc.OpBNStats, square, moved(1, 0), true, 2e-5, "", batchNorm(csrc.OpBNStats)},
	{"bn_sums", csrc.OpBNSums, square, moved(2, 0), true, 2e-5, "", batchNorm(csrc.OpBNSums)},
	{"bn_bwd", csrc.OpBNBwd, square, moved(3, 0), true, 2e-6, "", batchNorm(csrc.OpBNBwd)},
	{"head", csrc.OpHead, square, moved(1, headMaps), true, 2e-6, "", head(false)},
	{"head_bwd", csrc.OpHeadBwd, square, moved(2, headMaps), true, 2e-5, "", head(true)},
	{"loss", csrc.OpLossFwd, square, moved(0, 4), true, 2e-6, "", loss(false)},
	{"loss_bwd", csrc.OpLossBwd, square, moved(0, 4), true, 2e-6, "", loss(true)},
	{"adam", csrc.OpAdam, square, func(s shape) float64 { return 9 * 4 * float64(weights(s)) }, true, 2e-6, "", adam},
}

// on says whether isa has the kernel, and one of its own.
func (k kernel) on(isa csrc.ISA) bool {
	if isa == csrc.AVX512BF16 && k.op != csrc.OpBWino43 && k.op != csrc.OpBTConv {
		return false
	}
	return csrc.Has(isa, k.op)
}

func kernelNames() []string {
	var names []string
	for _, k := range kernels {
		names = append(names, k.name)
	}
	return names
}

// verdict is the outcome of a check: the greatest error relative to the RMS of
// the result.
type verdict struct{ err, allowed float64 }

func (v verdict) ok() bool { return v.err <= v.allowed } // not if NaN

func (v verdict) String() string {
	if !v.ok() {
		return fmt.Sprintf("FAILED %.1e", v.err)
	}
	return fmt.Sprintf("%.1e", v.err)
}

// check holds the kernel against package ref, on at most two images of
// 19 x 21 pixels, because the reference is slow.
func (k kernel) check(isa csrc.ISA, s shape) verdict {
	s.n, s.h, s.w = min(s.n, 2), min(s.h, 19), min(s.w, 21)
	b := newBench(isa)
	defer b.free()
	result, want := k.setup(b, s)
	b.run()
	var worst, square float64
	r := want()
	for i, g := range result() {
		if e := math.Abs(float64(g) - float64(r[i])); !(e <= worst) {
			worst = e
		}
		square += float64(r[i]) * float64(r[i])
	}
	return verdict{worst / math.Sqrt(square/float64(len(r))), k.allowed}
}

// time returns the median and the best of count timings, each of some runs
// that last 10 ms together.
func (k kernel) time(isa csrc.ISA, s shape, count int) (median, best time.Duration) {
	b := newBench(isa)
	defer b.free()
	k.setup(b, s)
	b.run() // touches all memory
	start := now()
	b.run()
	runs := max(1, int(10*time.Millisecond/max(now()-start, time.Microsecond)))
	var times []time.Duration
	for range count {
		start := now()
		for range runs {
			b.run()
		}
		times = append(times, (now()-start)/time.Duration(runs))
	}
	slices.Sort(times)
	return times[len(times)/2], times[0]
}

// bench is the memory and the operations of one measurement.
type bench struct {
	*rand.Rand
	isa     csrc.ISA
	mem     []unsafe.Pointer
	steps   []step
	scratch []float32
}

type step struct {
	op    csrc.Op
	args  unsafe.Pointer
	tasks int
}

func newBench(isa csrc.ISA) *bench {
	return &bench{Rand: rand.New(rand.NewPCG(1, 2)), isa: isa}
}

func (b *bench) free() {
	for _, p := range b.mem {
		csrc.Free(p)
	}
}

// zeros returns n floats outside Go's heap.
func (b *bench) zeros(n int) []float32 {
	p := csrc.Alloc(max(n, 1) * 4)
	if p == nil {
		panic(fmt.Sprintf("no memory for %d bytes", n*4))
	}
	b.mem = append(b.mem, p)
	return unsafe.Slice((*float32)(p), n)
}

func (b *bench) normal(n int) []float32 {
	v := b.zeros(n)
	for i := range v {
		v[i] = float32(b.NormFloat64())
	}
	return v
}

// do runs op at once; timed adds it to what run does.
func (b *bench) do(op csrc.Op, args unsafe.Pointer) {
	csrc.Run(b.isa, op, args, 0, csrc.Tasks(b.isa, op, args), nil)
}

func (b *bench) timed(op csrc.Op, args unsafe.Pointer, needsScratch bool) {
	b.steps = append(b.steps, step{op, args, csrc.Tasks(b.isa, op, args)})
	if needsScratch {
		if n := csrc.Scratch(b.isa, op, args); n > len(b.scratch) {
			b.scratch = b.zeros(n)
		}
	}
}

func (b *bench) run() {
	for _, s := range b.steps {
		csrc.Run(b.isa, s.op, s.args, 0, s.tasks, unsafe.SliceData(b.scratch))
	}
}

// blocks is the number of blocks of 16 channels.
func blocks(c int) int { return (c + 15) / 16 }

// tensor returns the NCHW16c tensor of v [n][c][size].
func (b *bench) tensor(v []float32, n, c, size int) []float32 {
	t := b.zeros(n * blocks(c) * size * 16)
	for i := range v {
		t[at(i, c, size)] = v[i]
	}
	return t
}

// dense is the inverse of tensor.
func dense(t []float32, n, c, size int) []float32 {
	v := make([]float32, n*c*size)
	for i := range v {
		v[i] = t[at(i, c, size)]
	}
	return v
}

// at is where element i of [n][c][size] lies in the NCHW16c tensor.
func at(i, c, size int) int {
	n, ch, p := i/(c*size), i/size%c, i%size
	return ((n*blocks(c)+ch/16)*size+p)*16 + ch%16
}
