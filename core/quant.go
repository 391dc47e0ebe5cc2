package core

import (
	"math"
	"unsafe"

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
	b.prog.op(Pack, csrc.OpPackQ, args, layer+".pack")
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
	prog.engine.parallel(q.oc/block, func(ob int) {
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
func (b *Builder) quantConv(l *layer, in, out Tensor, ranges *Param, shortcut *Shortcut) {
	weights := b.params.must(l.Conv + ".weight")
	q := b.quantise(l.Conv, ranges, winoTaps, in.C, out.C, func(c, o int, w []float64) {
		scale := float64(b.prog.slice(l.scale)[o])
		for i, u := range winogradWeights([9]float32(weights.Value[(o*in.C+c)*9:])) {
			w[i] = u * scale
		}
	})
	args := &csrc.QWino43{Conv: csrc.Conv3x3{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), ICB: int32(in.cb()), OCB: int32(out.cb()), ReLU: l.clamp(),
		SrcImage: in.root.image(), DstImage: out.root.image(),
	}}
	s := b.prog.op(Forward, csrc.OpQWino43, args, l.Conv)
	s.flops = l.flops
	b.written[place{out.root, out.at}] = &writer{l, s, &args.Conv}
	b.bindData(&args.Conv.Src, in)
	b.bindData(&args.Conv.Dst, out)
	b.prog.bind(&args.Conv.Bias, l.bias, 0)
	q.bind(&args.Packed, &args.Offset, &args.VScale, &args.MScale)
	shortcut.join(l, s, &args.Conv.Shortcut)
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
	s := b.prog.op(Forward, csrc.OpQTConv, args, name)
	b.bindData(&args.TConv.Src, in)
	b.prog.bind(&args.TConv.Bias, bias, 0)
	b.bindData(&args.TConv.Dst, out)
	q.bind(&args.Packed, &args.Offset, &args.AScale, &args.MScale)
	return s
}

// winogradWeights returns U = G g G' of a 3x3 kernel, row by row; G is that of
// csrc/wino43_tmpl.h.
func winogradWeights(g [9]float32) (u [winoTaps]float64) {
	transform := func(a, b, c float64) [6]float64 {
		p, q := -(2*a+c)/3, (a+2*c)/6
		c1, c2 := math.Sqrt2/3*b, math.Sqrt2/6*b
		return [6]float64{a, p - c1, p + c1, q + c2, q - c2, c}
	}
	var columns [3][6]float64
	for x := range columns {
		columns[x] = transform(float64(g[x]), float64(g[3+x]), float64(g[6+x]))
	}
	for y := range 6 {
		row := transform(columns[0][y], columns[1][y], columns[2][y])
		copy(u[6*y:], row[:])
	}
	return u
}

// observe adds steps that raise the ranges of layer to what it is about to read
// from in: of taps values per channel, those of Winograd's tiles or the inputs
// themselves.
func (b *Builder) observe(layer string, in Tensor, taps int) {
	if b.ranges == nil {
		return
	}
	if b.ranges[layer] == nil {
		b.ranges[layer] = make([]float32, taps*in.C)
	}
	ranges := b.ranges[layer]
	most := b.prog.buffer(layer+".range", taps*in.C)
	b.prog.fn(Forward, layer+".range_clear", func() { clear(b.prog.slice(most)) }, most)
	args := &csrc.Range{
		N: int32(b.n), H: int32(in.H), W: int32(in.W), CB: int32(in.cb()), SrcImage: in.root.image(),
	}
	if taps == winoTaps {
		args.Tiles = 1
	}
	b.prog.op(Forward, csrc.OpRange, args, layer+".range")
	b.bindData(&args.Src, in)
	b.bindAct(&args.Act, in)
	b.prog.bind(&args.Most, most, 0)
	b.prog.fn(Forward, layer+".observe", func() {
		for i, v := range b.prog.slice(most)[:len(ranges)] {
			ranges[i] = max(ranges[i], v)
		}
	}, most)
}
