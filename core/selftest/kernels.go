package selftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
	"unsafe"

	"unet/csrc"
)

// Kernel is one way to compute something that package ref specifies.
type Kernel struct {
	Name    string
	Op      csrc.Op
	Fits    func(s Shape) bool
	Work    func(s Shape) float64 // floating-point operations of the direct algorithm, or bytes if Memory
	Memory  bool                  // waits for memory rather than compute
	Allowed float64               // greatest error relative to the RMS of the result
	OneDNN  string                // what oneDNN calls it; "" if it has no such kernel
	setup   func(b *bench, s Shape) (result func() []float32, want func() []float32)
}

func wide(s Shape) bool   { return !s.TConv && s.IC > 4 }
func narrow(s Shape) bool { return !s.TConv && s.IC <= 4 }
func up(s Shape) bool     { return s.TConv }
func square(s Shape) bool { return wide(s) && s.IC == s.OC } // once per level of the network
func pooled(s Shape) bool { return square(s) && min(s.H, s.W) > 1 }

// macs returns the work of perCall operations per pixel and pair of channels.
func macs(perCall int) func(s Shape) float64 {
	return func(s Shape) float64 {
		return float64(perCall) * float64(s.N) * float64(s.IC) * float64(s.OC) * float64(s.H) * float64(s.W)
	}
}

// moved returns the bytes of so many tensors of the layer and planar maps.
func moved(tensors float64, planes int) func(s Shape) float64 {
	return func(s Shape) float64 { return tensors*s.bytes(s.IC) + s.planes(planes) }
}

// roundings is what an input that comes out as the next integer may change: the
// portable kernels round a*b + c twice.
const roundings = 0.1

// Kernels are all kernels. Direct ones, and sums over pixels, make errors of float32 sums; the
// Winograd bounds are those of the kernels' specification, 2e-5, and its
// square-root-of-pixels growth in the weight gradient. With bfloat16 values are
// off by up to 2^-8 before they are multiplied.
var Kernels = []Kernel{
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
	{"adam", csrc.OpAdam, square, func(s Shape) float64 { return 9 * 4 * float64(weights(s)) }, true, 2e-6, "", adam},
	{"sum_sq", csrc.OpSumSq, square, func(s Shape) float64 { return 4 * float64(weights(s)) }, true, 2e-6, "", sumSq},
	{"conv1x1", csrc.OpConv1x1, wide, macs(2), false, 2e-5, "", conv1x1},
	{"wgrad1x1", csrc.OpWgrad1x1, wide, macs(2), false, 2e-5, "", wgrad1x1},
	{"upsample", csrc.OpUpsample, square, moved(5, 0), true, 0, "", upsample},
	{"upsample_bwd", csrc.OpUpsampleBwd, square, moved(5, 0), true, 2e-6, "", upsampleBwd},
	{"add", csrc.OpAdd, square, moved(3, 0), true, 0, "", sum(false)},
	{"add_bwd", csrc.OpAddBwd, square, moved(4, 0), true, 0, "", sum(true)},
	{"gate", csrc.OpGate, square, moved(2, 1), true, 2e-6, "", gate(false)},
	{"gate_bwd", csrc.OpGateBwd, square, moved(3, 2), true, 2e-6, "", gate(true)},
	{"interleave", csrc.OpInterleave, narrow, moved(1, 0), true, 0, "", interleave},
	{"qwino43", csrc.OpQWino43, wideWhole, macs(18), false, roundings, "", qwino43},
	{"qtconv", csrc.OpQTConv, upWhole, macs(8), false, roundings, "", qtconv},
	{"range", csrc.OpRange, square, moved(1, 0), true, 2e-6, "", ranges},
}

// On reports whether isa has the kernel, and one of its own.
func (k Kernel) On(isa csrc.ISA) bool {
	if isa == csrc.AVX512BF16 && k.Op != csrc.OpBWino43 && k.Op != csrc.OpBTConv {
		return false
	}
	return csrc.Has(isa, k.Op)
}

// Verdict is the outcome of a check: the greatest error relative to the RMS of
// the result.
type Verdict struct{ Err, Allowed float64 }

// OK reports whether the kernel computes what it should.
func (v Verdict) OK() bool { return v.Err <= v.Allowed } // not if NaN

func (v Verdict) String() string {
	if !v.OK() {
		return fmt.Sprintf("FAILED %.1e", v.Err)
	}
	return fmt.Sprintf("%.1e", v.Err)
}

// Check holds the kernel against package ref, on at most two images of
// 19 x 21 pixels, because the reference is slow.
func (k Kernel) Check(isa csrc.ISA, s Shape) Verdict {
	s.N, s.H, s.W = min(s.N, 2), min(s.H, 19), min(s.W, 21)
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
	return Verdict{worst / math.Sqrt(square/float64(len(r))), k.Allowed}
}

// Time returns the median and the best of count timings, each of some runs
// that last 10 ms together.
func (k Kernel) Time(isa csrc.ISA, s Shape, count int) (median, best time.Duration) {
	run, free := k.Prepare(isa, s)
	defer free()
	start := now()
	run()
	runs := max(1, int(10*time.Millisecond/max(now()-start, time.Microsecond)))
	var times []time.Duration
	for range count {
		start := now()
		for range runs {
			run()
		}
		times = append(times, (now()-start)/time.Duration(runs))
	}
	slices.Sort(times)
	return times[len(times)/2], times[0]
}

// Prepare makes the kernel ready to run any number of times on a layer, and runs it
// once.
func (k Kernel) Prepare(isa csrc.ISA, s Shape) (run, free func()) {
	b := newBench(isa)
	k.setup(b, s)
	b.run() // touches all memory
	return b.run, b.free
}

// bench is the memory and the operations of one measurement.
type bench struct {
	*rand.Rand
	isa     csrc.ISA
	mem     []unsafe.Pointer
	steps   []step
	used    []csrc.Op
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
	b.used = append(b.used, op)
	csrc.Run(b.isa, op, args, 0, csrc.Tasks(b.isa, op, args), nil)
}

func (b *bench) timed(op csrc.Op, args unsafe.Pointer, needsScratch bool) {
	b.used = append(b.used, op)
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
