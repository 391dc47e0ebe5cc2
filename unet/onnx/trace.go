package onnx

import (
	"errors"
	"fmt"
	"os"
)

// expr is one layer's output: what a graph computes, freed from how exporters
// write it. Layers that are the same node are the same pointer.
type expr struct {
	op   op
	in   []*expr
	conv *convolution // of opConv, opUp
	// Shape for the image size that is traced.
	c, h, w int
	scale   float64    // of opImage
	node    *nodeProto // the first node of which it is made
}

type op string

const (
	opImage   op = "image"
	opConv    op = "convolution" // 3x3 or 1x1, batch-norm included
	opUp      op = "transposed convolution"
	opNearest op = "nearest upsampling" // by 2
	opReLU    op = "ReLU"
	opPool    op = "max-pool"
	opConcat  op = "concatenation"
	opSum     op = "sum"
	opProduct op = "product"
	opSigmoid op = "sigmoid"
	opSoftmax op = "softmax"
)

// convolution holds weights: OIHW of 3x3 or 1x1, or IOHW of 2x2 for a
// transposed one, and what follows it linearly.
type convolution struct {
	weight    []float32
	ic, oc, k int
	bias      []float64
	norm      *norm
	group     *groupNorm
}

// norm is a batch-norm: gamma * (x - mean) / sqrt(variance + eps) + beta.
type norm struct {
	gamma, beta, mean, variance []float64
	eps                         float64
}

// groupNorm normalises groups of groupSize channels of an image, with gamma and
// beta of each channel.
type groupNorm struct{ gamma, beta []float64 }

// value is what a name in the graph stands for: a constant, or a layer and how
// its elements are laid out.
type value struct {
	constant *constant
	layer    *expr
	view     view
}

// nodeError is a node that does not fit.
type nodeError struct {
	node    *nodeProto
	problem string
}

func (e *nodeError) Error() string {
	name := e.node.name
	if name == "" && len(e.node.outputs) > 0 {
		name = e.node.outputs[0]
	}
	return fmt.Sprintf("node %.80q (%.40s): %s", name, e.node.op, e.problem)
}

func misfit(e *expr, format string, args ...any) error {
	problem := fmt.Sprintf(format, args...)
	if e.node == nil {
		return errors.New(problem)
	}
	return &nodeError{e.node, problem}
}

// tracer follows a graph for an image of one size.
type tracer struct {
	graph  *graphProto
	folder *os.Root
	values map[string]value
	loaded map[*tensorProto]*constant
}

// trace returns the graph's outputs for an image of h x w, where the graph
// leaves its size open.
func (t *tracer) trace(h, w int) ([]value, error) {
	t.values = map[string]value{}
	for _, q := range t.graph.initializers {
		c, err := t.constant(q)
		if err != nil {
			return nil, fmt.Errorf("tensor %.80q: %w", q.name, err)
		}
		t.values[q.name] = value{constant: c}
	}
	if err := t.image(h, w); err != nil {
		return nil, err
	}
	for _, n := range t.graph.nodes {
		if len(n.outputs) == 0 {
			return nil, &nodeError{n, "it has no output"}
		}
		if err := t.node(n); err != nil {
			return nil, &nodeError{n, err.Error()}
		}
	}
	var outs []value
	for _, o := range t.graph.outputs {
		v, ok := t.values[o.name]
		if !ok || v.layer == nil {
			return nil, fmt.Errorf("output %.80q is not a map", o.name)
		}
		outs = append(outs, v)
	}
	if len(outs) == 0 {
		return nil, errors.New("the graph has no output")
	}
	return outs, nil
}

func (t *tracer) constant(q *tensorProto) (*constant, error) {
	if c := t.loaded[q]; c != nil {
		return c, nil
	}
	c, err := q.load(t.folder)
	if err != nil {
		return nil, err
	}
	t.loaded[q] = c
	return c, nil
}

// image finds the input that is no initialiser.
func (t *tracer) image(h, w int) error {
	var input *valueProto
	for _, in := range t.graph.inputs {
		if _, ok := t.values[in.name]; ok {
			continue
		}
		if input != nil {
			return fmt.Errorf("the graph has two inputs, %.80q and %.80q: one image is expected", input.name, in.name)
		}
		input = in
	}
	if input == nil || input.kind == nil || input.kind.tensor == nil || input.kind.tensor.shape == nil || len(input.kind.tensor.shape.dims) != 4 {
		return errors.New("the graph has no image of four dimensions as input")
	}
	if input.kind.tensor.elem != typeFloat {
		return errors.New("the graph's input is not float32")
	}
	var d [4]int
	for i, q := range input.kind.tensor.shape.dims {
		if q.value < 0 || q.value > 1<<15 {
			return fmt.Errorf("the graph's input has a dimension of %d", q.value)
		}
		d[i] = int(q.value) // 0: any
	}
	last := d[3] >= 1 && d[3] <= 4 && (d[1] == 0 || d[1] > 4)
	c, ih, iw := d[1], d[2], d[3]
	if last {
		c, ih, iw = d[3], d[1], d[2]
	}
	if c < 1 || c > 4 {
		return fmt.Errorf("the graph's input has %d channels: 1 to 4 are possible", c)
	}
	if ih > 0 && iw > 0 {
		h, w = ih, iw
	}
	x := &expr{op: opImage, c: c, h: h, w: w, scale: 1}
	t.values[input.name] = value{layer: x, view: layout(x, last)}
	return nil
}

// No layer here is larger, for an image of the sizes that are traced. A graph
// may join a layer with itself over and over, which takes no weights.
const (
	maxChannels = 2 * 4096
	maxSide     = 1 << 15
)

// node computes the outputs of a node.
func (t *tracer) node(n *nodeProto) error {
	if n.domain != "" && n.domain != "ai.onnx" {
		return fmt.Errorf("an operator of domain %q", n.domain)
	}
	in := make([]value, len(n.inputs))
	layers := 0
	for i, name := range n.inputs {
		v, ok := t.values[name]
		if !ok && name != "" {
			return fmt.Errorf("its input %.80q is not computed before it", name)
		}
		if in[i] = v; v.layer != nil {
			layers++
		}
	}
	if layers > 0 {
		v, err := layerOf(n, in)
		t.values[n.outputs[0]] = v
		if x := v.layer; err == nil && x != nil && (x.c > maxChannels || x.h > maxSide || x.w > maxSide) {
			err = fmt.Errorf("a layer of %d x %d with %d channels is larger than any here", x.h, x.w, x.c)
		}
		return err
	}
	list := constants(in)
	if n.op == "Split" {
		parts, err := split(n, list)
		for i, c := range parts {
			t.values[n.outputs[i]] = value{constant: c}
		}
		return err
	}
	var c *constant
	ok, err := true, error(nil)
	if n.op == "Constant" {
		c, err = t.constantNode(n)
	} else {
		c, ok, err = arithmetic(n, list)
	}
	if !ok {
		err = errors.New("not known in the arithmetic of shapes")
	}
	t.values[n.outputs[0]] = value{constant: c}
	return err
}

// layerOf applies the rule of a node with a layer among its inputs.
func layerOf(n *nodeProto, in []value) (value, error) {
	if n.op == "Shape" && in[0].layer != nil {
		return shape(n, in[0])
	}
	rule := rules[n.op]
	if rule == nil {
		return value{}, errors.New("the network here has no such layer")
	}
	if n.op != "Concat" && (in[0].layer == nil || len(in) > 1 && in[1].layer != nil) {
		// Sums and products know either order, and two layers.
		if n.op != "Add" && n.op != "Mul" {
			return value{}, errors.New("its inputs are not those of a layer")
		}
		if in[0].layer == nil && len(in) == 2 {
			in[0], in[1] = in[1], in[0]
		}
	}
	return rule(n, in)
}

func (t *tracer) constantNode(n *nodeProto) (*constant, error) {
	switch {
	case n.tensor("value") != nil:
		return t.constant(n.tensor("value"))
	case n.attribute("value_int") != nil:
		return &constant{values: []float64{float64(n.integer("value_int", 0))}, whole: true}, nil
	case n.attribute("value_float") != nil:
		return &constant{values: []float64{n.float("value_float", 0)}}, nil
	case n.attribute("value_ints") != nil:
		var list []float64
		for _, v := range n.ints("value_ints") {
			list = append(list, float64(v))
		}
		return vector(list, true), nil
	case n.attribute("value_floats") != nil:
		var list []float64
		for _, v := range n.attribute("value_floats").floats {
			list = append(list, float64(v))
		}
		return vector(list, false), nil
	}
	return nil, errors.New("a constant that is not a tensor of numbers")
}

func shape(n *nodeProto, v value) (value, error) {
	dims := v.view.dims(v.layer)
	at := func(name string, missing int) int {
		i := int(min(max(n.integer(name, int64(missing)), -8), 8))
		if i < 0 {
			i += len(dims)
		}
		return min(max(i, 0), len(dims))
	}
	var list []float64
	for i := at("start", 0); i < at("end", len(dims)); i++ {
		list = append(list, float64(dims[i]))
	}
	return value{constant: vector(list, true)}, nil
}
