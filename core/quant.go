package core

import (
	"math"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// Inference with 8-bit products. A layer computes so if the parameters hold the
// ranges of its inputs, measured by a program built with Options.Ranges:
// tensor <layer>.input_range, for a convolution [36][ic] of the values of
// Winograd's tiles, for a transposed one [ic] of its inputs. An input x of
// range r becomes the integer x*127/r; the ranges are moved into the weights,
// and these get one scale per output channel and place in the tile. Everything
// between the products is computed with floats.

const rangeSuffix = ".input_range"

// RangeName returns the name of the parameter with a layer's input ranges.
func RangeName(layer string) string { return layer + rangeSuffix }

// winoTaps is the number of values of a transformed tile.
const winoTaps = 36

// DeclareConvRange declares the input ranges of a 3x3 convolution.
func DeclareConvRange(p *Params, conv string, ic int) { p.Statistic(conv+rangeSuffix, winoTaps, ic) }

// DeclareTConvRange declares the input ranges of a transposed convolution.
func DeclareTConvRange(p *Params, name string, ic int) { p.Statistic(name+rangeSuffix, ic) }

// quantised returns the input ranges of a layer that is to compute with 8-bit
// products, else nil.
func (b *Builder) quantised(layer string) *Param {
	if b.training {
		return nil
	}
	return b.params.Get(layer + rangeSuffix)
}

// quantisation is the weights of one layer: taps matrices of ic x oc.
type quantisation struct {
	b        *Builder
	ranges   *Param  // [rows][ic], with rows = 1 or taps
	taps     int     // matrices per output block
	ic, oc   int     // multiples of 16
	in, out  *buffer // scales: [rows][ic] to integers, [taps][oc] from sums
	weight   *buffer // int8 [oc/16][taps][ic][16]
	packed   *buffer
	offset   *buffer
	weightOf func(c, o int, w []float64) // fills in the weights of all taps
}

// quantise adds the steps that ready the weights of a layer.
func (b *Builder) quantise(layer string, ranges *Param, taps, ic, oc int, weightOf func(c, o int, w []float64)) *quantisation {
	n := oc / block * taps
	q := &quantisation{b: b, ranges: ranges, taps: taps, ic: ic, oc: oc, weightOf: weightOf,
		in:     b.prog.weights(layer+".in_scale", ranges.Len()),
		out:    b.prog.weights(layer+".out_scale", taps*oc),
		weight: b.prog.buffer(layer+".int8", n*ic*block/4),
		packed: b.prog.weights(layer+".packed", n*ic*block/2),
		offset: b.prog.weights(layer+".offset", n*block),
	}
	b.prog.fn(Pack, layer+".quantise", q.run, q.weight, q.in, q.out)
	args := &csrc.QPack{N: int32(n), K: int32(ic)}
	b.prog.op(Pack, csrc.OpPackQ, unsafe.Pointer(args), layer+".pack")
	b.prog.bind((**float32)(unsafe.Pointer(&args.Src)), q.weight, 0)
	b.prog.bindInt(&args.Dst, q.packed)
	b.prog.bindInt(&args.Offset, q.offset)
	return q
}

// bind lets the newest step read the packed weights and scales.
func (q *quantisation) bind(packed, offset **int32, in, out **float32) {
	q.b.prog.bindInt(packed, q.packed)
	q.b.prog.bindInt(offset, q.offset)
	q.b.prog.bind(in, q.in, 0)
	q.b.prog.bind(out, q.out, 0)
}

// run computes scales and 8-bit weights.
func (q *quantisation) run() {
	prog := q.b.prog
	in, out := prog.slice(q.in), prog.slice(q.out)
	weight := prog.slice(q.weight)
	w8 := unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(weight))), 4*len(weight))
	for i, r := range q.ranges.Value {
		in[i] = 0 // a channel that is never used
		if r > 0 {
			in[i] = 127 / r
		}
	}
	prog.engine.Parallel(q.oc/block, func(ob int) {
		w := make([]float64, q.ic*q.taps)
		for k := range block {
			o := ob*block + k
			for c := range q.ic {
				v := w[c*q.taps:][:q.taps]
				q.weightOf(c, o, v)
				for tap := range v {
					v[tap] *= float64(q.ranges.Value[(tap*q.ic+c)%len(q.ranges.Value)]) / 127
				}
			}
			for tap := range q.taps {
				most := 0.0
				for c := range q.ic {
					most = max(most, math.Abs(w[c*q.taps+tap]))
				}
				out[tap*q.oc+o] = float32(most / 127)
				for c := range q.ic {
					v := 0.0
					if most > 0 {
						v = math.RoundToEven(w[c*q.taps+tap] * 127 / most)
					}
					w8[((ob*q.taps+tap)*q.ic+c)*block+k] = int8(v)
				}
			}
		}
	})
}

// quantConv adds the convolution of layer l with 8-bit products.
func (b *Builder) quantConv(l *layer, in, out Tensor, ranges *Param) {
	weights := b.params.must(l.conv + ".weight")
	q := b.quantise(l.conv, ranges, winoTaps, in.C, out.C, func(c, o int, w []float64) {
		scale := float64(b.prog.slice(l.scale)[o])
		for i, u := range ref.Wino43Weights(weights.Value[(o*in.C+c)*9:][:9]) {
			w[i] = u * scale
		}
	})
	args := &csrc.QWino43{Conv: csrc.Conv3x3{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), ICB: int32(in.cb()), OCB: int32(out.cb()), ReLU: 1,
		SrcImage: in.root.image(), DstImage: out.root.image(),
	}}
	s := b.prog.op(Forward, csrc.OpQWino43, unsafe.Pointer(args), l.conv)
	s.flops = l.flops
	b.written[place{out.root, out.at}] = &writer{l, s, &args.Conv}
	b.bindData(&args.Conv.Src, in)
	b.bindData(&args.Conv.Dst, out)
	b.prog.bind(&args.Conv.Bias, l.bias, 0)
	q.bind(&args.Packed, &args.Offset, &args.VScale, &args.MScale)
}

// quantTConv adds a transposed convolution with 8-bit products.
func (b *Builder) quantTConv(name string, in, out Tensor, bias *buffer, ranges *Param) *operation {
	weights := b.params.must(name + ".weight")
	q := b.quantise(name, ranges, 4, in.C, out.C, func(c, o int, w []float64) {
		for i, v := range weights.Value[(c*out.C+o)*4:][:4] {
			w[i] = float64(v)
		}
	})
	args := &csrc.QTConv{TConv: csrc.TConv{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), ICB: int32(in.cb()), OCB: int32(out.cb()),
		SrcImage: in.root.image(), DstImage: out.root.image(),
	}}
	s := b.prog.op(Forward, csrc.OpQTConv, unsafe.Pointer(args), name)
	b.bindData(&args.TConv.Src, in)
	b.prog.bind(&args.TConv.Bias, bias, 0)
	b.bindData(&args.TConv.Dst, out)
	q.bind(&args.Packed, &args.Offset, &args.AScale, &args.MScale)
	return s
}

// observe adds a step that raises the ranges of layer to what it is about to
// read from in: of taps values per channel, those of Winograd's tiles or the
// inputs themselves.
func (b *Builder) observe(layer string, in Tensor, taps int) {
	if b.ranges == nil {
		return
	}
	if b.ranges[layer] == nil {
		b.ranges[layer] = make([]float32, taps*in.C)
	}
	ranges := b.ranges[layer]
	size := in.H * in.W * block
	b.prog.fn(Forward, layer+".observe", func() {
		data := b.prog.slice(in.root.data)[in.offset():]
		b.prog.engine.Parallel(in.C, func(c int) {
			for i := range b.n {
				plane := data[i*int(in.root.image())+c/block*size:][:size][c%block:]
				if taps == 1 {
					for p := 0; p < len(plane); p += block {
						raise(&ranges[c], plane[p])
					}
					continue
				}
				var tile [winoTaps]float32
				for y := 0; y < in.H; y += 4 {
					for x := 0; x < in.W; x += 4 {
						ref.Tile(&tile, plane, block, in.H, in.W, y, x)
						for xi, v := range ref.Wino43Input(&tile) {
							raise(&ranges[xi*in.C+c], v)
						}
					}
				}
			}
		})
	}, in.root.data)
}

func raise(most *float32, v float32) { *most = max(*most, v, -v) }
