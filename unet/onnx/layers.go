package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// rules turn a node with a layer among its inputs, the first but for Concat,
// into a layer.
var rules = map[string]func(n *nodeProto, in []value) (value, error){
	"Conv": conv, "ConvTranspose": transposed, "BatchNormalization": batchNorm,
	"InstanceNormalization": instanceNorm, "GroupNormalization": groupNormalization,
	"Relu": plain(opReLU), "Sigmoid": plain(opSigmoid), "Softmax": softmax,
	"MaxPool": pool, "Resize": resize, "Upsample": resize, "Concat": concat,
	"Add": add, "Sub": subtract, "Mul": multiply, "Div": divide,
	"Identity": same, "Cast": castLayer, "Dropout": dropout,
	"Transpose": transposeLayer, "Reshape": reshapeLayer, "Squeeze": squeezeLayer, "Unsqueeze": squeezeLayer, "Tile": tileLayer,
	"Pad": padLayer, "Slice": sliceLayer,
}

// first returns the layer of a node that wants channels second.
func first(in []value) (*expr, error) {
	v, err := in[0].settled()
	if err != nil {
		return nil, err
	}
	if !v.view.is(layout(v.layer, false)) {
		return nil, errors.New("it treats the image's width as channels")
	}
	return v.layer, nil
}

// made is a new layer laid out with channels second.
func made(e *expr) value { return value{layer: e, view: layout(e, false)} }

func constants(in []value) (list []*constant) {
	for _, v := range in {
		list = append(list, v.constant)
	}
	return list
}

func weightOf(in []value, i int) *constant {
	if i < len(in) {
		return in[i].constant
	}
	return nil
}

// kernel checks what convolutions have in common and returns the padding
// before and after on each axis: top, left, bottom, right.
func kernel(n *nodeProto, k, stride int) ([]int, error) {
	ones := func(name string, want int) bool {
		list := n.ints(name)
		return list == nil && want == 1 || len(list) == 2 && list[0] == want && list[1] == want
	}
	switch {
	case !ones("strides", stride):
		return nil, fmt.Errorf("strides %v: %d is possible", n.ints("strides"), stride)
	case !ones("dilations", 1):
		return nil, fmt.Errorf("dilations %v: the network here has none", n.ints("dilations"))
	case n.integer("group", 1) != 1:
		return nil, fmt.Errorf("%d groups: the network here has none", n.integer("group", 1))
	}
	pads := n.ints("pads")
	if pads == nil {
		pads = make([]int, 4)
	}
	switch auto := n.text("auto_pad", "NOTSET"); {
	case (auto == "SAME_UPPER" || auto == "SAME_LOWER") && stride == 1 && k%2 == 1:
		pads = []int{k / 2, k / 2, k / 2, k / 2}
	case (auto == "SAME_UPPER" || auto == "SAME_LOWER") && stride == k:
		pads = make([]int, 4)
	case auto == "VALID":
		pads = make([]int, 4)
	case auto != "NOTSET" && auto != "":
		return nil, fmt.Errorf("auto_pad %s with kernels of %d and stride %d", auto, k, stride)
	}
	return pads, nil
}

func conv(n *nodeProto, in []value) (value, error) {
	x, err := first(in)
	if err != nil {
		return value{}, err
	}
	c := &convolution{}
	w := weightOf(in, 1)
	if w == nil || w.weight == nil || len(w.dims) != 4 {
		return value{}, errors.New("its weights are not a constant of four dimensions")
	}
	c.oc, c.ic, c.k = w.dims[0], w.dims[1], w.dims[2]
	if c.k != w.dims[3] || c.k != 1 && c.k != 3 {
		return value{}, fmt.Errorf("kernels of %d x %d: 3 x 3 and 1 x 1 are possible", c.k, w.dims[3])
	}
	pads, err := kernel(n, c.k, 1)
	if err != nil {
		return value{}, err
	}
	if want := c.k / 2; slices.ContainsFunc(pads, func(p int) bool { return p != want }) || len(pads) != 4 {
		return value{}, fmt.Errorf("padding %v: the network here pads by %d (the map is as large as the image)", pads, want)
	}
	if c.ic != x.c || c.oc < 1 {
		return value{}, fmt.Errorf("weights of shape %v for %d channels", w.dims, x.c)
	}
	c.weight = w.weight
	if c.bias, err = biasOf(in, c.oc); err != nil {
		return value{}, err
	}
	return made(&expr{op: opConv, in: []*expr{x}, conv: c, c: c.oc, h: x.h, w: x.w, node: n}), nil
}

func biasOf(in []value, oc int) ([]float64, error) {
	bias := make([]float64, oc)
	b := weightOf(in, 2)
	if b == nil {
		if len(in) > 2 && in[2].layer != nil {
			return nil, errors.New("its bias is not a constant")
		}
		return bias, nil
	}
	if b.len() != oc {
		return nil, fmt.Errorf("a bias of %d values for %d channels", b.len(), oc)
	}
	for i := range bias {
		bias[i] = b.at(i)
	}
	return bias, nil
}

func transposed(n *nodeProto, in []value) (value, error) {
	x, err := first(in)
	if err != nil {
		return value{}, err
	}
	w := weightOf(in, 1)
	if w == nil || w.weight == nil || len(w.dims) != 4 {
		return value{}, errors.New("its weights are not a constant of four dimensions")
	}
	c := &convolution{ic: w.dims[0], oc: w.dims[1], k: 2, weight: w.weight}
	if w.dims[2] != 2 || w.dims[3] != 2 {
		return value{}, fmt.Errorf("a transposed convolution of %d x %d: 2 x 2 is possible", w.dims[2], w.dims[3])
	}
	pads, err := kernel(n, 2, 2)
	if err != nil {
		return value{}, err
	}
	shape := n.ints("output_shape")
	for _, v := range append(slices.Clone(pads), n.ints("output_padding")...) {
		if v != 0 {
			return value{}, errors.New("a transposed convolution with padding")
		}
	}
	if shape != nil && !slices.Equal(shape, []int{2 * x.h, 2 * x.w}) {
		return value{}, fmt.Errorf("output shape %v for an input of %d x %d", shape, x.h, x.w)
	}
	if c.ic != x.c || c.oc < 1 {
		return value{}, fmt.Errorf("weights of shape %v for %d channels", w.dims, x.c)
	}
	if c.bias, err = biasOf(in, c.oc); err != nil {
		return value{}, err
	}
	return made(&expr{op: opUp, in: []*expr{x}, conv: c, c: c.oc, h: 2 * x.h, w: 2 * x.w, node: n}), nil
}

// followed returns a convolution with its linear part changed.
func followed(n *nodeProto, v value, change func(c *convolution)) (value, error) {
	x := v.layer
	if x.op != opConv && x.op != opUp {
		return value{}, fmt.Errorf("it follows a %s: only after a convolution can it be part of it (zeros are padded after it)", x.op)
	}
	e, c := *x, *x.conv
	c.bias = slices.Clone(c.bias)
	if c.group != nil {
		c.group = &groupNorm{slices.Clone(c.group.gamma), slices.Clone(c.group.beta)}
	}
	change(&c)
	e.conv = &c
	return value{layer: &e, view: v.view}, nil
}

func batchNorm(n *nodeProto, in []value) (value, error) {
	x, err := first(in)
	if err != nil {
		return value{}, err
	}
	if n.integer("training_mode", 0) != 0 {
		return value{}, errors.New("it is in training mode: export the model in evaluation mode")
	}
	var p [4][]float64
	for i := range p {
		c := weightOf(in, i+1)
		if c == nil || c.len() != x.c {
			return value{}, fmt.Errorf("its parameters are not constants of %d values", x.c)
		}
		for j := range x.c {
			p[i] = append(p[i], c.at(j))
		}
	}
	eps := n.float("epsilon", 1e-5)
	for _, v := range p[3] {
		if !(v+eps > 0) {
			return value{}, errors.New("a variance that is not positive")
		}
	}
	if c := in[0].layer.conv; c != nil && c.group != nil {
		return value{}, errors.New("it follows a group norm")
	}
	return followed(n, in[0], func(c *convolution) {
		c.fold()
		c.norm = &norm{p[0], p[1], p[2], p[3], eps}
		if c.k == 2 {
			c.fold()
		}
	})
}

// fold makes the batch-norm part of weights and bias.
func (c *convolution) fold() {
	if c.norm == nil {
		return
	}
	scale := make([]float64, c.oc)
	for o := range scale {
		scale[o] = c.norm.gamma[o] / math.Sqrt(c.norm.variance[o]+c.norm.eps)
		c.bias[o] = (c.bias[o]-c.norm.mean[o])*scale[o] + c.norm.beta[o]
	}
	c.norm = nil
	c.scaleWeights(scale)
}

// scaleWeights multiplies the weights of each output channel.
func (c *convolution) scaleWeights(scale []float64) {
	w := make([]float32, len(c.weight))
	inner, group := c.k*c.k, c.ic
	for i, v := range c.weight {
		o := i / (inner * group) // OIHW
		if c.k == 2 {
			o = i / inner % c.oc // IOHW
		}
		w[i] = float32(float64(v) * scale[o])
	}
	c.weight = w
}

// perChannel spreads a constant over the channels of v; nil if it differs
// within one.
func perChannel(c *constant, v value) []float64 {
	n := v.layer.c
	if c.len() != 1 && c.len() != n || len(c.dims) > 4 {
		return nil
	}
	if c.len() > 1 { // the dimension of the channels, counted from the last
		at := slices.Index(v.view, "c") - len(v.view) + len(c.dims)
		if !slices.Contains(v.view, "c") || at < 0 || at >= len(c.dims) || c.dims[at] != n {
			return nil
		}
	}
	list := make([]float64, n)
	for i := range list {
		list[i] = c.at(min(i, c.len()-1))
	}
	return list
}

var errOperand = errors.New("it is neither a constant per channel nor part of a layer known here")

// linear applies x*scale + shift per channel.
func linear(n *nodeProto, v value, scale, shift []float64) (value, error) {
	if v.layer.op == opImage {
		s := scale[0]
		for i := range scale {
			if scale[i] != s || shift[i] != 0 {
				return value{}, errors.New("it shifts the image, or scales its channels differently, before zeros are padded: only one factor can be part of the first convolution")
			}
		}
		e := *v.layer
		e.scale *= s
		return value{layer: &e, view: v.view}, nil
	}
	return followed(n, v, func(c *convolution) {
		if g := c.group; g != nil {
			for o := range g.gamma {
				g.gamma[o] *= scale[o]
				g.beta[o] = g.beta[o]*scale[o] + shift[o]
			}
			return
		}
		c.fold()
		for o := range c.bias {
			c.bias[o] = c.bias[o]*scale[o] + shift[o]
		}
		if slices.ContainsFunc(scale, func(s float64) bool { return s != 1 }) {
			c.scaleWeights(scale)
		}
	})
}

// withConstant is linear for a binary operator: f gives scale and shift for a
// constant.
func withConstant(n *nodeProto, in []value, f func(v float64) (scale, shift float64)) (value, error) {
	if len(in) != 2 || in[1].constant == nil {
		return value{}, errOperand
	}
	list := perChannel(in[1].constant, in[0])
	if list == nil {
		return value{}, errOperand
	}
	scale, shift := make([]float64, len(list)), make([]float64, len(list))
	for i, v := range list {
		scale[i], shift[i] = f(v)
		if d := scale[i] - scale[i] + shift[i] - shift[i]; d != 0 { // infinite or NaN
			return value{}, errors.New("a constant that is not a number")
		}
	}
	return linear(n, in[0], scale, shift)
}

// together is a sum of two layers of one shape, or a product, in which one may
// have a single channel.
func together(o op, n *nodeProto, in []value) (value, error) {
	e := &expr{op: o, node: n}
	last := false
	for _, v := range in {
		v, err := v.settled()
		if err != nil {
			return value{}, err
		}
		x := v.layer
		if i := len(e.in); i > 0 && x.c > 1 && e.c > 1 && last != (v.view[3] == "c") {
			return value{}, fmt.Errorf("a %s of layers of different layout", o)
		}
		last = last || v.view[3] == "c"
		e.in = append(e.in, x)
		e.c, e.h, e.w = max(e.c, x.c), x.h, x.w
	}
	a, b := e.in[0], e.in[1]
	if a.h != b.h || a.w != b.w || a.c != b.c && (o == opSum || a.c != 1 && b.c != 1) {
		return value{}, fmt.Errorf("a %s of %d x %d x %d and %d x %d x %d", o, a.c, a.h, a.w, b.c, b.h, b.w)
	}
	return value{layer: e, view: layout(e, last)}, nil
}

func add(n *nodeProto, in []value) (value, error) {
	if len(in) == 2 && in[1].layer != nil {
		return together(opSum, n, in)
	}
	return withConstant(n, in, func(v float64) (float64, float64) { return 1, v })
}

func subtract(n *nodeProto, in []value) (value, error) {
	return withConstant(n, in, func(v float64) (float64, float64) { return 1, -v })
}

func multiply(n *nodeProto, in []value) (value, error) {
	if len(in) == 2 && in[1].layer != nil {
		return together(opProduct, n, in)
	}
	return withConstant(n, in, func(v float64) (float64, float64) { return v, 0 })
}

func divide(n *nodeProto, in []value) (value, error) {
	return withConstant(n, in, func(v float64) (float64, float64) { return 1 / v, 0 })
}

// plain is a layer without parameters that keeps the shape.
func plain(o op) func(n *nodeProto, in []value) (value, error) {
	return func(n *nodeProto, in []value) (value, error) {
		x := in[0].layer
		if o == opReLU && x.op == opReLU {
			return in[0], nil
		}
		return value{layer: &expr{op: o, in: []*expr{x}, c: x.c, h: x.h, w: x.w, node: n}, view: in[0].view}, nil
	}
}

func softmax(n *nodeProto, in []value) (value, error) {
	if axis := n.integer("axis", -1); !in[0].view.channels(axis) {
		return value{}, fmt.Errorf("a softmax along axis %d, which are not the channels", axis)
	}
	return plain(opSoftmax)(n, in)
}

func pool(n *nodeProto, in []value) (value, error) {
	x, err := first(in)
	if err != nil {
		return value{}, err
	}
	if k := n.ints("kernel_shape"); !slices.Equal(k, []int{2, 2}) {
		return value{}, fmt.Errorf("kernels of %v: 2 x 2 is possible", k)
	}
	pads, err := kernel(n, 2, 2)
	if err != nil {
		return value{}, err
	}
	if x.h%2 != 0 || x.w%2 != 0 || slices.ContainsFunc(pads, func(p int) bool { return p != 0 }) {
		return value{}, fmt.Errorf("it pools %d x %d pixels with padding %v: both sides must be even, without padding", x.h, x.w, pads)
	}
	return made(&expr{op: opPool, in: []*expr{x}, c: x.c, h: x.h / 2, w: x.w / 2, node: n}), nil
}

// resize is upsampling by 2 to the nearest neighbour.
func resize(n *nodeProto, in []value) (value, error) {
	v, err := in[0].settled()
	if err != nil {
		return value{}, err
	}
	x := v.layer
	if mode := n.text("mode", "nearest"); mode != "nearest" {
		return value{}, fmt.Errorf("%s upsampling: the network here has transposed convolutions (or nearest neighbours, which they can express)", mode)
	}
	if n.op == "Resize" {
		mode, rounding := n.text("coordinate_transformation_mode", "half_pixel"), n.text("nearest_mode", "round_prefer_floor")
		half := mode == "half_pixel" || mode == "pytorch_half_pixel"
		if !(half && (rounding == "round_prefer_floor" || rounding == "round_prefer_ceil") ||
			mode == "asymmetric" && (rounding == "floor" || rounding == "round_prefer_floor")) {
			return value{}, fmt.Errorf("nearest neighbours by %s, %s: half_pixel or asymmetric ones that copy each pixel to 2 x 2 are possible", mode, rounding)
		}
	}
	up := &expr{op: opNearest, in: []*expr{x}, c: x.c, h: 2 * x.h, w: 2 * x.w, node: n}
	want, scales := v.view.dims(up), v.view.dims(&expr{c: 1, h: 2, w: 2})
	ok := false
	for i := 1; i < len(in); i++ { // roi, scales, sizes; or scales alone
		c := in[i].constant
		if c == nil || c.len() == 0 || n.op == "Resize" && i == 1 && len(in) > 2 {
			continue
		}
		list, err := c.ints()
		if err != nil {
			return value{}, err
		}
		fits := slices.Equal(list, scales) || slices.Equal(list, want)
		if i == 3 || !c.whole {
			ok = fits
		}
		if !fits {
			return value{}, fmt.Errorf("upsampling of %v by %v: 2 in height and width is possible", v.view.dims(x), list)
		}
	}
	if !ok {
		return value{}, errors.New("upsampling by a factor that is not a constant")
	}
	return value{layer: up, view: v.view}, nil
}

func concat(n *nodeProto, in []value) (value, error) {
	e := &expr{op: opConcat, node: n}
	last := false
	for i, v := range in {
		if v.layer == nil {
			return value{}, errors.New("it joins a layer with a constant")
		}
		v, err := v.settled()
		if err != nil {
			return value{}, err
		}
		x := v.layer
		isLast := !v.view.is(layout(x, false))
		if i > 0 && isLast != last {
			return value{}, errors.New("it joins layers of different layout")
		}
		last = isLast
		if i > 0 && (x.h != e.h || x.w != e.w) {
			return value{}, fmt.Errorf("it joins maps of %d x %d and %d x %d (an image of sides that are not a multiple of 2 to the depth?)", e.h, e.w, x.h, x.w)
		}
		e.in = append(e.in, x)
		e.c, e.h, e.w = e.c+x.c, x.h, x.w
	}
	view := layout(e, last)
	if axis := n.integer("axis", 1); !view.channels(axis) {
		return value{}, fmt.Errorf("it joins along axis %d, which are not the channels", axis)
	}
	return value{layer: e, view: view}, nil
}

func same(_ *nodeProto, in []value) (value, error) { return in[0], nil }

func castLayer(n *nodeProto, in []value) (value, error) {
	if to := n.integer("to", typeFloat); to != typeFloat {
		return value{}, fmt.Errorf("a cast to ONNX type %d: the network here is float32", to)
	}
	return in[0], nil
}

func dropout(n *nodeProto, in []value) (value, error) {
	if c := weightOf(in, 2); len(in) > 2 && (c == nil || c.len() != 1 || c.at(0) != 0) {
		return value{}, errors.New("it is in training mode: export the model in evaluation mode")
	}
	return in[0], nil
}

// padLayer knows padding by nothing, as it is for sides that fit.
func padLayer(n *nodeProto, in []value) (value, error) {
	pads := n.ints("pads")
	if c := weightOf(in, 1); c != nil {
		var err error
		if pads, err = c.ints(); err != nil {
			return value{}, err
		}
	}
	if len(pads) == 0 || slices.ContainsFunc(pads, func(p int) bool { return p != 0 }) {
		return value{}, fmt.Errorf("padding %v: the network here pads within its convolutions only", pads)
	}
	return in[0], nil
}

// sliceLayer knows slices that cut nothing off.
func sliceLayer(n *nodeProto, in []value) (value, error) {
	var lists [4][]int
	for i := range lists {
		c := weightOf(in, i+1)
		if c == nil {
			if i < 2 {
				return value{}, errors.New("a slice whose ends are not constants")
			}
			continue
		}
		var err error
		if lists[i], err = c.ints(); err != nil {
			return value{}, err
		}
	}
	starts, ends, axes, steps := lists[0], lists[1], lists[2], lists[3]
	dims := in[0].view.dims(in[0].layer)
	for i, start := range starts {
		axis := i
		if axes != nil {
			if i >= len(axes) {
				return value{}, errors.New("a slice of wrong parameters")
			}
			axis = axes[i]
		}
		if axis < 0 {
			axis += len(dims)
		}
		if axis < 0 || axis >= len(dims) || i >= len(ends) || start != 0 || ends[i] < dims[axis] || steps != nil && (i >= len(steps) || steps[i] != 1) {
			return value{}, fmt.Errorf("it cuts %v to %v:%v along %v: the network here crops nothing", dims, starts, ends, axes)
		}
	}
	return in[0], nil
}

// identity is a 1x1 convolution that changes nothing.
func identity(c int) *convolution {
	v := &convolution{ic: c, oc: c, k: 1, weight: make([]float32, c*c), bias: make([]float64, c)}
	for i := range c {
		v.weight[i*c+i] = 1
	}
	return v
}
