package selftest

import (
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// The kernels with 8-bit products, of layers of whole blocks of channels.

func whole(s Shape) bool { return s.IC%16 == 0 && s.OC%16 == 0 }

func wideWhole(s Shape) bool { return wide(s) && whole(s) }
func upWhole(s Shape) bool   { return up(s) && whole(s) }

// quantised holds the weights of a layer, taps matrices for each block of output
// channels, and scales: to integers, and from sums.
type quantised struct {
	weights        []int8
	in, out        []float32
	packed, offset *int32
}

// quantised packs random weights; inputs take ranges sets of scales.
func (b *bench) quantised(s Shape, taps, ranges int) quantised {
	q := quantised{in: b.zeros(ranges * s.IC), out: b.zeros(taps * s.OC)}
	n := s.OC / 16 * taps
	q.weights = unsafe.Slice((*int8)(unsafe.Pointer(&b.zeros(n * s.IC * 4)[0])), n*s.IC*16)
	for i := range q.weights {
		q.weights[i] = int8(b.IntN(255) - 127)
	}
	for i := range q.in {
		q.in[i] = 32 * b.Float32()
	}
	for i := range q.out {
		q.out[i] = (0.5 + b.Float32()) / 4096
	}
	q.packed = (*int32)(unsafe.Pointer(&b.zeros(n * s.IC * 8)[0]))
	q.offset = (*int32)(unsafe.Pointer(&b.zeros(n * 16)[0]))
	b.do(csrc.OpPackQ, unsafe.Pointer(&csrc.QPack{Src: &q.weights[0], Dst: q.packed, Offset: q.offset, N: int32(n), K: int32(s.IC)}))
	return q
}

func qwino43(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	q, src := b.quantised(s, 36, 36), b.normal(s.N*s.IC*size)
	x, y := b.tensor(src, s.N, s.IC, size), b.zeros(s.N*blocks(s.OC)*size*16)
	args := &csrc.QWino43{Conv: csrc.Conv3x3{Src: &x[0], Dst: &y[0], SrcImage: image(s.IC, size), DstImage: image(s.OC, size),
		N: int32(s.N), H: int32(s.H), W: int32(s.W), ICB: int32(blocks(s.IC)), OCB: int32(blocks(s.OC))},
		Packed: q.packed, Offset: q.offset, VScale: &q.in[0], MScale: &q.out[0]}
	b.timed(csrc.OpQWino43, unsafe.Pointer(args), true)
	return func() []float32 { return dense(y, s.N, s.OC, size) }, func() []float32 {
		want := make([]float32, s.N*s.OC*size)
		ref.QConv3x3(dims(s), want, src, ref.Act{}, q.weights, q.in, q.out, nil, false)
		return want
	}
}

func qtconv(b *bench, s Shape) (values, values) {
	size := s.H * s.W
	q, src := b.quantised(s, 4, 1), b.normal(s.N*s.IC*size)
	x, y := b.tensor(src, s.N, s.IC, size), b.zeros(s.N*blocks(s.OC)*4*size*16)
	args := &csrc.QTConv{TConv: csrc.TConv{Src: &x[0], Dst: &y[0], SrcImage: image(s.IC, size), DstImage: image(s.OC, 4*size),
		N: int32(s.N), H: int32(s.H), W: int32(s.W), ICB: int32(blocks(s.IC)), OCB: int32(blocks(s.OC))},
		Packed: q.packed, Offset: q.offset, AScale: &q.in[0], MScale: &q.out[0]}
	b.timed(csrc.OpQTConv, unsafe.Pointer(args), true)
	return func() []float32 { return dense(y, s.N, s.OC, 4*size) }, func() []float32 {
		want := make([]float32, s.N*s.OC*4*size)
		ref.QTConv2x2(dims(s), want, src, ref.Act{}, q.weights, q.in, q.out, nil)
		return want
	}
}

// ranges measures the greatest values that Winograd's tiles take.
func ranges(b *bench, s Shape) (values, values) {
	size, c := s.H*s.W, blocks(s.IC)*16
	src := b.normal(s.N * s.IC * size)
	x, most := b.tensor(src, s.N, s.IC, size), b.zeros(36*c)
	args := &csrc.Range{Src: &x[0], Most: &most[0], SrcImage: image(s.IC, size), Tiles: 1}
	args.N, args.H, args.W, args.CB = s.same()
	b.timed(csrc.OpRange, unsafe.Pointer(args), true)
	return func() []float32 {
			var list []float32
			for tap := range 36 {
				list = append(list, most[tap*c:][:s.IC]...)
			}
			return list
		}, func() []float32 {
			want := make([]float32, 36*s.IC)
			ref.Range(dims(s), want, src, ref.Act{})
			return want
		}
}
