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

// The random cases are too small for the ways Winograd divides its work. These
// have ranges of several blocks of tiles, several chunks of output channels
// per range, and several groups in the weight gradient.
var winoShapes = []struct {
	d                ref.Dims
	chunked, grouped bool
}{
	{ref.Dims{N: 2, IC: 40, OC: 32, H: 24, W: 23}, false, false},
	{ref.Dims{N: 1, IC: 128, OC: 128, H: 16, W: 16}, true, false},
	{ref.Dims{N: 1, IC: 160, OC: 144, H: 13, W: 14}, true, false},
	{ref.Dims{N: 2, IC: 32, OC: 32, H: 64, W: 64}, false, true},
}

// winoError bounds max error / rms.
const winoError = 2e-5

// relativeError returns max |got-want| / rms(want).
func relativeError(got, want []float32) float64 {
	worst := 0.0
	for i, w := range want {
		err := math.Abs(float64(got[i]) - float64(w))
		if !(err <= worst) {
			worst = err
		}
	}
	return worst / math.Sqrt(ref.SumSq(want)/float64(len(want)))
}

func TestWinogradShapes(t *testing.T) {
	for i, s := range winoShapes {
		d := s.d
		size := d.H * d.W
		in := &check{T: t, Rand: rand.New(rand.NewPCG(1, uint64(i)))}
		src, w, dy := in.normal(d.N*d.IC*size), in.normal(d.OC*d.IC*9), in.normal(d.N*d.OC*size)
		for k := range src {
			src[k] = max(src[k], 0) // as after ReLU
		}
		conv := make([]float32, len(dy))
		ref.Conv3x3(d, conv, src, ref.Act{}, w, nil, false)
		dsrc := make([]float32, len(src))
		ref.Conv3x3Dgrad(d, dsrc, dy, w)
		dw := make([]float32, len(w))
		ref.Conv3x3Wgrad(d, dw, src, ref.Act{}, dy)

		for _, isa := range ISAs() {
			b := backendOf(isa)
			if _, native := b.(native); !native {
				continue
			}
			c := &check{T: t, backend: b, Rand: in.Rand}
			x, y := c.tensor(d.N, d.IC, d.H, d.W, src), c.tensor(d.N, d.OC, d.H, d.W, nil)
			args := csrc.Conv3x3{
				Src: x.ptr(), Dst: y.ptr(), SrcImage: x.image, DstImage: y.image,
				Weight: c.packed(csrc.OpPackWino43, w, nil, d.OC, d.IC, false),
				N:      int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(x.cb()), OCB: int32(y.cb()),
			}
			stats := c.statistics(csrc.OpWino43, unsafe.Pointer(&args), y)
			args.Stats, args.Counts = stats.sums.ptr(), stats.counts.int32s()
			c.exec(csrc.OpWino43, unsafe.Pointer(&args))
			got := c.nchw(y)
			if e := relativeError(got, conv); !(e < winoError) {
				t.Errorf("%s %+v: convolution is off by %.3g rms", isa, d, e)
			}
			stats.check(c, got)
			args.Compact, args.Weight = 1, c.packed(csrc.OpPackConv3x3, w, nil, d.OC, d.IC, false)
			c.exec(csrc.OpWino43, unsafe.Pointer(&args))
			if !slices.Equal(c.nchw(y), got) {
				t.Errorf("%s %+v: compact weights give other bits", isa, d)
			}
			counts := unsafe.Slice(args.Counts, c.tasks(csrc.OpWino43, unsafe.Pointer(&args)))
			if last := counts[len(counts)-1]; s.chunked != (last == 0) {
				t.Errorf("%s %+v: %d tasks, the last has %d pixels; is the shape chunked?", isa, d, len(counts), last)
			}

			g, dx := c.tensor(d.N, d.OC, d.H, d.W, dy), c.tensor(d.N, d.IC, d.H, d.W, nil)
			args = csrc.Conv3x3{
				Src: g.ptr(), Dst: dx.ptr(), SrcImage: g.image, DstImage: dx.image,
				Weight: c.packed(csrc.OpPackWino43, w, nil, d.OC, d.IC, true),
				N:      int32(d.N), H: int32(d.H), W: int32(d.W), ICB: int32(g.cb()), OCB: int32(dx.cb()),
			}
			gate := c.gateSums(d.N, d.IC, d.H, d.W, c.tasks(csrc.OpWino43, unsafe.Pointer(&args)))
			args.GateY, args.GateImage, args.Gate = gate.y.ptr(), gate.y.image, gate.cact
			args.GateMean, args.Sums = gate.cmean, gate.sums.ptr()
			c.exec(csrc.OpWino43, unsafe.Pointer(&args))
			got = c.nchw(dx)
			if e := relativeError(got, dsrc); !(e < winoError) {
				t.Errorf("%s %+v: data gradient is off by %.3g rms", isa, d, e)
			}
			gate.check(c, got)

			grad := c.out(len(dw))
			wg := csrc.Wgrad3x3{
				Src: x.ptr(), SrcImage: x.image, DY: g.ptr(), DYImage: g.image, DW: grad.ptr(),
				N: int32(d.N), H: int32(d.H), W: int32(d.W), IC: int32(d.IC), OC: int32(d.OC),
			}
			size := c.backend.scratch(csrc.OpWgradWino43Reduce, unsafe.Pointer(&wg))
			if groups := size / (x.cb() * y.cb() * 9 * 256); s.grouped != (groups > 1) {
				t.Errorf("%s %+v: %d groups", isa, d, groups)
			}
			partial := c.out(size)
			wg.Partial = partial.ptr()
			c.exec(csrc.OpWgradWino43, unsafe.Pointer(&wg))
			partial.written = false
			c.exec(csrc.OpWgradWino43Reduce, unsafe.Pointer(&wg))
			if e := relativeError(grad.f[:len(dw)], dw); !(e < winoError) {
				t.Errorf("%s %+v: weight gradient is off by %.3g rms", isa, d, e)
			}
			c.free()
		}
	}
}
