package onnx

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"unet/core"
	"unet/unet"
)

const (
	opset     = 17
	irVersion = 8 // the one of opset 17
	// inputName is the graph's input, [N, channels, height, width], normalised.
	inputName = "image"
	// cardKey is the entry of the metadata that holds the model card.
	cardKey = "unet"
)

// Write writes the network of m as an ONNX model. Its input "image" is
// [N, C, height, width], normalised as the card says; its outputs are the
// probability maps, [N, 1, height, width] each, named as the heads. Images
// whose sides are no multiple of the network's are continued by reflection
// and the maps cut back, as the predictor does; sides below the multiple are
// too short for that. Batch-norm is folded into the convolutions. A quantised
// model is written with the float weights it was made from.
func Write(w io.Writer, m *unet.Model) error { return write(w, m, false) }

// write is Write; with nuclei there is one more output, of that name: the
// landscape that nuclei are separated on, -1 where there are none.
func write(w io.Writer, m *unet.Model, nuclei bool) error {
	card := m.Card
	card.Precision, card.FloatLayers = "", nil
	text, err := json.Marshal(card)
	if err != nil {
		return err
	}
	g := &exporter{model: m, graph: &graphProto{name: "unet"}}
	g.network()
	if nuclei {
		g.landscape()
	}
	_, err = w.Write(encode(&modelProto{
		irVersion: irVersion, producer: "unet", producerVersion: card.Training.Program, graph: g.graph,
		doc:      "U-Net for nuclei segmentation. Input: normalised image; outputs: probability maps.",
		opsets:   []*opsetProto{{version: opset}},
		metadata: []*entryProto{{cardKey, string(text)}},
	}))
	return err
}

// exporter appends the nodes of a network to a graph.
type exporter struct {
	model  *unet.Model
	graph  *graphProto
	scales string // of nearest upsampling, once it is there
}

func (g *exporter) node(op, out string, ins []string, attributes ...*attributeProto) string {
	g.graph.nodes = append(g.graph.nodes, &nodeProto{op: op, name: out, inputs: ins, outputs: []string{out}, attributes: attributes})
	return out
}

func integer(name string, v int64) *attributeProto {
	return &attributeProto{name: name, i: v, kind: kindInt}
}

func integers(name string, v ...int64) *attributeProto {
	return &attributeProto{name: name, ints: v, kind: kindInts}
}

func word(name, v string) *attributeProto {
	return &attributeProto{name: name, s: []byte(v), kind: kindString}
}

func (g *exporter) floats(name string, values []float32, dims ...int) string {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return g.tensor(name, typeFloat, raw, dims)
}

func (g *exporter) integers(name string, values ...int64) string {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return g.tensor(name, typeInt64, raw, []int{len(values)})
}

func (g *exporter) tensor(name string, kind int64, raw []byte, dims []int) string {
	t := &tensorProto{name: name, dataType: kind, raw: raw}
	for _, d := range dims {
		t.dims = append(t.dims, int64(d))
	}
	g.graph.initializers = append(g.graph.initializers, t)
	return name
}

func (g *exporter) value(name string) []float32 { return g.model.Params.Get(name).Value }

// network writes the graph; names are those of the parameters.
func (g *exporter) network() {
	arch := g.model.Card.Arch
	g.graph.inputs = []*valueProto{planes(inputName, arch.Channels)}
	x := g.pad(inputName, arch.Multiple())
	skips := make([]string, arch.Depth)
	for l := range arch.Depth {
		name := fmt.Sprintf("enc%d", l)
		skips[l] = g.block(name, x)
		x = g.node("MaxPool", name+".pool", []string{skips[l]}, integers("kernel_shape", 2, 2), integers("strides", 2, 2))
	}
	x = g.block("bottom", x)
	for l := arch.Depth - 1; l >= 0; l-- {
		name := fmt.Sprintf("dec%d", l)
		up, skip := g.up(name+".up", x), skips[l]
		if arch.Attention {
			skip = g.gate(name+".gate", skip, up)
		}
		x = g.block(name, g.node("Concat", name+".cat", []string{up, skip}, integer("axis", 1)))
	}
	g.heads(x, arch)
}

// pad continues the image to multiples of k.
func (g *exporter) pad(x string, k int) string {
	size := g.node("Shape", "size", []string{x}, integer("start", 2))
	missing := g.node("Mod", "missing", []string{
		g.node("Neg", "size.negative", []string{size}), g.integers("multiple", int64(k), int64(k))})
	pads := g.node("Concat", "pads", []string{g.integers("pads.none", 0, 0, 0, 0, 0, 0), missing}, integer("axis", -1))
	return g.node("Pad", "padded", []string{x, pads}, word("mode", "reflect"))
}

// up enlarges x to twice its size.
func (g *exporter) up(name, x string) string {
	if g.model.Card.Arch.Up == "nearest" {
		if len(g.scales) == 0 {
			g.scales = g.floats("scales", []float32{1, 1, 2, 2}, 4)
		}
		x = g.node("Resize", name, []string{x, "", g.scales}, word("mode", "nearest"),
			word("coordinate_transformation_mode", "asymmetric"), word("nearest_mode", "floor"))
		return g.relu(name+".relu", g.conv(name+".conv", name+".norm", x))
	}
	q := g.model.Params.Get(name + ".weight")
	weight := g.floats(name+".weight", q.Value, q.Shape...)
	bias := g.floats(name+".bias", g.value(name+".bias"), q.Shape[1])
	return g.node("ConvTranspose", name, []string{x, weight, bias}, integers("kernel_shape", 2, 2), integers("strides", 2, 2))
}

// gate is an additive attention gate: one weight per pixel of the skip
// connection.
func (g *exporter) gate(name, skip, up string) string {
	both := g.node("Concat", name+".both", []string{skip, up}, integer("axis", 1))
	hidden := g.relu(name+".relu", g.conv(name+".conv", "", both))
	psi := g.node("Sigmoid", name+".weight", []string{g.conv(name+".psi", "", hidden)})
	return g.node("Mul", name, []string{skip, psi})
}

// block is two 3x3 convolutions with ReLU, a residual one with a shortcut.
func (g *exporter) block(name, x string) string {
	mid := g.relu(name+".relu1", g.conv(name+".conv1", name+".norm1", x))
	y := g.conv(name+".conv2", name+".norm2", mid)
	if g.model.Card.Arch.Block == "residual" {
		y = g.node("Add", name+".sum", []string{y, g.conv(name+".shortcut", name+".norm0", x)})
	}
	return g.relu(name+".relu2", y)
}

func (g *exporter) relu(name, x string) string { return g.node("Relu", name, []string{x}) }

// conv is a convolution with the network's normalisation, or a bias where norm
// is "".
func (g *exporter) conv(name, norm, x string) string {
	q := g.model.Params.Get(name + ".weight")
	kind := g.model.Card.Arch.Norm
	if norm == "" {
		kind = "none"
	}
	in := []string{x}
	switch kind {
	case "batch":
		weight, bias := g.fold(q, norm)
		in = append(in, g.floats(name+".weight", weight, q.Shape...), g.floats(name+".bias", bias, q.Shape[0]))
	case "group":
		in = append(in, g.floats(name+".weight", q.Value, q.Shape...))
	default:
		in = append(in, g.floats(name+".weight", q.Value, q.Shape...), g.floats(name+".bias", g.value(name+".bias"), q.Shape[0]))
	}
	k := int64(q.Shape[2])
	y := g.node("Conv", name, in, integers("kernel_shape", k, k), integers("pads", k/2, k/2, k/2, k/2))
	if kind == "group" {
		y = g.groupNorm(norm, y, q.Shape[0])
	}
	return y
}

// groupSize is how many channels of a group norm share their statistics.
const groupSize = 16

// groupNorm normalises groups of c channels: opset 17 has no such operator, but
// instance norm does it to each group laid out as one channel.
func (g *exporter) groupNorm(name, x string, c int) string {
	groups := c / groupSize
	ones, zeros := make([]float32, groups), make([]float32, groups)
	for i := range ones {
		ones[i] = 1
	}
	shape := g.node("Shape", name+".shape", []string{x})
	y := g.node("Reshape", name+".groups", []string{x, g.integers(name+".split", 0, int64(groups), -1)})
	y = g.node("InstanceNormalization", name+".normal", []string{y, g.floats(name+".ones", ones, groups), g.floats(name+".zeros", zeros, groups)},
		&attributeProto{name: "epsilon", f: core.Epsilon, kind: kindFloat})
	y = g.node("Reshape", name+".channels", []string{y, shape})
	y = g.node("Mul", name+".scaled", []string{y, g.floats(name+".weight", g.value(name+".weight"), c, 1, 1)})
	return g.node("Add", name, []string{y, g.floats(name+".bias", g.value(name+".bias"), c, 1, 1)})
}

// fold multiplies the scale of a batch-norm into the weights before it and
// returns them with its shift.
func (g *exporter) fold(q *core.Param, norm string) (weight, bias []float32) {
	gamma, beta := g.value(norm+".weight"), g.value(norm+".bias")
	mean, variance := g.value(norm+".running_mean"), g.value(norm+".running_var")
	weight, bias = make([]float32, len(q.Value)), make([]float32, q.Shape[0])
	n := len(q.Value) / q.Shape[0]
	for o := range bias {
		s := float64(gamma[o]) / math.Sqrt(float64(variance[o])+core.Epsilon)
		bias[o] = float32(float64(beta[o]) - float64(mean[o])*s)
		for i := range n {
			weight[o*n+i] = float32(float64(q.Value[o*n+i]) * s)
		}
	}
	return weight, bias
}

// heads makes an output of each map: a 1x1 convolution and a sigmoid, cut to
// the size of the image.
func (g *exporter) heads(x string, arch unet.Arch) {
	weight, bias := g.value("head.weight"), g.value("head.bias")
	from, axes := g.integers("crop.from", 0, 0), g.integers("crop.axes", 2, 3)
	for i, name := range arch.Heads {
		n := arch.Width
		logits := g.node("Conv", "head."+name, []string{x, g.floats("head."+name+".weight", weight[i*n:][:n], 1, n, 1, 1),
			g.floats("head."+name+".bias", bias[i:i+1], 1)}, integers("kernel_shape", 1, 1))
		p := g.node("Sigmoid", "padded."+name, []string{logits})
		g.node("Slice", name, []string{p, from, "size", axes})
		g.graph.outputs = append(g.graph.outputs, planes(name, 1))
	}
}

// nucleiName is the output of landscape.
const nucleiName = "nuclei"

// landscape makes the one of package instance, -1 for background, an output.
func (g *exporter) landscape() {
	card := g.model.Card
	has := func(name string) bool { return slices.Contains(card.Arch.Heads, name) }
	inside := g.node("Greater", "inside", []string{unet.HeadForeground, g.floats("inside.above", []float32{float32(card.Instance.Foreground)})})
	height := g.floats("height.all", []float32{1})
	switch {
	case has(unet.HeadDistance):
		height = unet.HeadDistance
	case has(unet.HeadBorder):
		height = unet.HeadForeground
	}
	if has(unet.HeadBorder) {
		cut := g.node("Mul", "cut", []string{unet.HeadBorder, g.floats("cut.weight", []float32{float32(card.Instance.Border)})})
		left := g.node("Sub", "left", []string{g.floats("left.of", []float32{1}), cut})
		height = g.node("Mul", "height", []string{height, left})
	}
	g.node("Where", nucleiName, []string{inside, height, g.floats("outside", []float32{-1})})
	g.graph.outputs = append(g.graph.outputs, planes(nucleiName, 1))
}

// planes describes a value [N, c, height, width].
func planes(name string, c int) *valueProto {
	return &valueProto{name, &typeProto{&tensorTypeProto{typeFloat, &shapeProto{[]*dimProto{
		{param: "N"}, {value: int64(c)}, {param: "height"}, {param: "width"},
	}}}}}
}
