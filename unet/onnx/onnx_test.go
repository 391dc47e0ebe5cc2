package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"unet/unet"
	"unet/unet/instance"
)

// model returns a small network with weights and statistics that all matter.
func model(t testing.TB, a unet.Arch) *unet.Model {
	t.Helper()
	card := unet.Card{Kind: unet.Nuclei, Name: "test", Arch: a, Threshold: 0.4, Instance: instance.DefaultParams(),
		Input: unet.Input{Normalise: "range"}, Training: unet.Training{License: "CC0-1.0"}}
	m, err := unet.NewModel(card, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Params.Free() })
	rng := rand.New(rand.NewPCG(1, 1))
	for _, q := range m.Params.All() {
		for i := range q.Value {
			switch {
			case strings.HasSuffix(q.Name, "running_var"), strings.Contains(q.Name, "norm") && strings.HasSuffix(q.Name, ".weight"):
				q.Value[i] = 0.5 + rng.Float32()
			case len(q.Shape) == 1:
				q.Value[i] = 0.4 * (rng.Float32() - 0.5)
			}
		}
	}
	return m
}

func small(norm string, channels int, heads ...string) unet.Arch {
	return unet.Arch{Channels: channels, Depth: 2, Width: 16, Norm: norm, Heads: heads}
}

func exportedBytes(t testing.TB, m *unet.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRoundTrip: a model that was written and read predicts the same maps and
// keeps its card, apart from batch-norm, which is folded.
func TestRoundTrip(t *testing.T) {
	for _, a := range []unet.Arch{
		small("batch", 1, "foreground", "border", "distance"),
		small("none", 3, "foreground"),
		{Channels: 1, Depth: 2, Width: 16, Norm: "batch", Block: "residual", Heads: []string{"foreground"}},
		{Channels: 1, Depth: 2, Width: 32, Norm: "batch", Up: "nearest", Attention: true, Heads: []string{"foreground"}},
		{Channels: 1, Depth: 3, Width: 16, Norm: "none", Block: "residual", Up: "nearest", Attention: true, Heads: []string{"foreground", "border"}},
		{Channels: 2, Depth: 4, Width: 16, Norm: "batch", Heads: []string{"foreground", "distance"}},
		small("group", 1, "foreground"),
		{Channels: 3, Depth: 2, Width: 32, Norm: "group", Block: "residual", Up: "nearest", Attention: true, Heads: []string{"foreground", "border"}},
	} {
		m := model(t, a)
		back, s, err := read("test.onnx", exportedBytes(t, m), nil, Options{Name: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if !s.Card || back.Card.Name != "test" || back.Card.Threshold != 0.4 || back.Card.Training.License != "CC0-1.0" {
			t.Errorf("card %+v", back.Card)
		}
		if got := back.Card.Arch; got.Norm == "group" != (a.Norm == "group") || got.Block != a.Block || got.Up != a.Up || got.Attention != a.Attention || got.Width != a.Width {
			t.Errorf("network %+v, want %+v", got, a)
		}
		const h, w = 48, 80
		x := make([]float32, h*w)
		for i := range x {
			x[i] = float32(i*i%97) / 96
		}
		if d := furthest(t, mapsOf(t, back, 1, h, w, x), mapsOf(t, m, 1, h, w, x)); !(d <= 1e-5) {
			t.Errorf("%+v: maps differ by %g", a, d)
		}
		// Once it is folded, nothing changes.
		twice, _, err := read("test.onnx", exportedBytes(t, back), nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range back.Params.All() {
			if !slices.Equal(twice.Params.Get(q.Name).Value, q.Value) {
				t.Errorf("%s differs", q.Name)
			}
		}
		back.Params.Free()
		twice.Params.Free()
	}
}

// edited returns an exported model after a change to its graph.
func edited(t testing.TB, change func(m *modelProto)) []byte {
	t.Helper()
	return editedOf(t, small("batch", 1, "foreground"), change)
}

func editedOf(t testing.TB, a unet.Arch, change func(m *modelProto)) []byte {
	t.Helper()
	var p modelProto
	if err := decode(exportedBytes(t, model(t, a)), &p); err != nil {
		t.Fatal(err)
	}
	p.metadata = nil
	change(&p)
	return encode(&p)
}

func node(p *modelProto, name string) *nodeProto {
	for _, n := range p.graph.nodes {
		if n.name == name {
			return n
		}
	}
	panic("no node " + name)
}

func initializer(p *modelProto, name string) *tensorProto {
	for _, q := range p.graph.initializers {
		if q.name == name {
			return q
		}
	}
	panic("no tensor " + name)
}

// TestMisfits: whatever the network here cannot do exactly is refused, with
// the node that does not fit.
func TestMisfits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *modelProto)
		want   string
	}{
		"no padding":     {func(p *modelProto) { node(p, "enc0.conv1").attributes[1].ints = []int64{0, 0, 0, 0} }, `"enc0.conv1" (Conv): padding`},
		"uneven padding": {func(p *modelProto) { node(p, "enc1.conv1").attributes[1].ints = []int64{0, 0, 2, 2} }, `"enc1.conv1" (Conv): padding`},
		"dilation": {func(p *modelProto) {
			n := node(p, "bottom.conv1")
			n.attributes = append(n.attributes, integers("dilations", 2, 2))
		}, "dilations"},
		"groups": {func(p *modelProto) {
			n := node(p, "bottom.conv1")
			n.attributes = append(n.attributes, integer("group", 2))
		}, "groups"},
		"stride": {func(p *modelProto) {
			n := node(p, "bottom.conv1")
			n.attributes = append(n.attributes, integers("strides", 2, 2))
		}, "strides"},
		"average pool": {func(p *modelProto) { node(p, "enc0.pool").op = "AveragePool" }, `"enc0.pool" (AveragePool): the network here has no such layer`},
		"pool of 3":    {func(p *modelProto) { node(p, "enc0.pool").attributes[0].ints = []int64{3, 3} }, "2 x 2 is possible"},
		"leaky":        {func(p *modelProto) { node(p, "enc0.relu1").op = "LeakyRelu" }, `"enc0.relu1" (LeakyRelu)`},
		"no ReLU":      {func(p *modelProto) { node(p, "enc0.relu1").op = "Identity" }, "no ReLU follows"},
		"other domain": {func(p *modelProto) { node(p, "enc0.relu1").domain = "com.example" }, "domain"},
		"no skip":      {func(p *modelProto) { node(p, "dec0.cat").inputs[1] = "enc0.relu1" }, "it pools another layer"},
		"three joined": {func(p *modelProto) { n := node(p, "dec0.cat"); n.inputs = append(n.inputs, n.inputs[1]) }, "weights of shape"},
		"joined twice": {func(p *modelProto) { n := node(p, "dec0.cat"); n.inputs[0] = n.inputs[1] }, "neither of its inputs"},
		"a sum": {func(p *modelProto) {
			n := node(p, "enc0.relu2")
			n.op, n.inputs = "Add", []string{"enc0.relu1", "enc0.conv2"}
		}, `"enc0.relu2" (Add)`},
		"a product": {func(p *modelProto) {
			n := node(p, "enc0.relu2")
			n.op, n.inputs = "Mul", []string{"enc0.relu1", "enc0.conv2"}
		}, "not an attention gate"},
		"joined for ever": {func(p *modelProto) {
			x := "enc0.relu2"
			for i := range 40 {
				out := fmt.Sprint("twice", i)
				p.graph.nodes = append(p.graph.nodes, &nodeProto{op: "Concat", inputs: []string{x, x}, outputs: []string{out}, attributes: []*attributeProto{integer("axis", 1)}})
				x = out
			}
		}, "larger than any here"},
		"joined across":     {func(p *modelProto) { node(p, "dec0.cat").attributes[0].i = 3 }, "axis 3"},
		"tanh":              {func(p *modelProto) { node(p, "padded.foreground").op = "Tanh" }, "(Tanh)"},
		"logits":            {func(p *modelProto) { node(p, "padded.foreground").op = "Identity" }, "not a probability"},
		"missing input":     {func(p *modelProto) { node(p, "enc1.conv1").inputs[0] = "nothing" }, `"nothing" is not computed`},
		"node order":        {func(p *modelProto) { g := p.graph.nodes; g[5], g[6] = g[6], g[5] }, "is not computed before it"},
		"cropped":           {func(p *modelProto) { initializer(p, "crop.from").raw[0] = 8 }, "crops nothing"},
		"padded":            {func(p *modelProto) { initializer(p, "pads.none").raw[16] = 1 }, "pads within its convolutions"},
		"weights too short": {func(p *modelProto) { q := initializer(p, "enc0.conv1.weight"); q.raw = q.raw[4:] }, "bytes for shape"},
		"huge shape":        {func(p *modelProto) { initializer(p, "enc0.conv1.weight").dims[0] = 1 << 40 }, "dimension"},
		"huge product": {func(p *modelProto) { initializer(p, "enc0.conv1.weight").dims = []int64{1 << 20, 1 << 20, 3, 3} },
			"too large"},
		"half precision": {func(p *modelProto) { initializer(p, "enc0.conv1.weight").dataType = 10 }, "float32"},
		"NaN": {func(p *modelProto) {
			binary.LittleEndian.PutUint32(initializer(p, "enc0.conv1.weight").raw, math.Float32bits(float32(math.NaN())))
		}, "not a number"},
		"five channels":   {func(p *modelProto) { p.graph.inputs[0].kind.tensor.shape.dims[1].value = 5 }, "5 channels"},
		"two inputs":      {func(p *modelProto) { p.graph.inputs = append(p.graph.inputs, planes("other", 1)) }, "two inputs"},
		"no output":       {func(p *modelProto) { p.graph.outputs = nil }, "no output"},
		"output missing":  {func(p *modelProto) { p.graph.outputs[0].name = "none" }, "is not a map"},
		"constant output": {func(p *modelProto) { p.graph.outputs[0].name = "head.foreground.bias" }, "is not a map"},
		"functions":       {func(p *modelProto) { p.functions = [][]byte{{}} }, "functions"},
		"no graph":        {func(p *modelProto) { p.graph = nil }, "no graph"},
		"own shape":       {func(p *modelProto) { node(p, "size").op = "NonZero" }, "(NonZero)"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := read("test.onnx", edited(t, c.change), nil, Options{Input: raw})
			if err == nil {
				m.Params.Free()
				t.Fatal("it was read")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q", err, c.want)
			}
		})
	}
}

// TestAlterations: what is written differently but is the same network.
func TestAlterations(t *testing.T) {
	const h, w = 32, 32
	x := make([]float32, h*w)
	for i := range x {
		x[i] = float32(i%31) / 31
	}
	want := mapsOf(t, model(t, small("batch", 1, "foreground")), 1, h, w, x)
	for name, c := range map[string]struct {
		change func(p *modelProto)
		scale  float32 // of x
	}{
		"as it is": {func(p *modelProto) {}, 1},
		"scaled input": {func(p *modelProto) {
			p.graph.nodes = append([]*nodeProto{{op: "Div", inputs: []string{"image", "by"}, outputs: []string{"scaled"}}}, p.graph.nodes...)
			p.graph.initializers = append(p.graph.initializers, &tensorProto{name: "by", dataType: typeFloat, floats: []float32{4}})
			for _, n := range p.graph.nodes[1:] {
				for i, in := range n.inputs {
					if in == "image" {
						n.inputs[i] = "scaled"
					}
				}
			}
		}, 4},
		"bias of its own": {func(p *modelProto) {
			n, r := node(p, "enc1.conv2"), node(p, "enc1.relu2")
			bias := n.inputs[2]
			n.inputs = n.inputs[:2]
			initializer(p, bias).dims = []int64{32, 1, 1}
			r.inputs[0] = "sum"
			for i, q := range p.graph.nodes {
				if q == r {
					add := &nodeProto{op: "Add", inputs: []string{bias, n.outputs[0]}, outputs: []string{"sum"}}
					p.graph.nodes = append(p.graph.nodes[:i:i], append([]*nodeProto{add}, p.graph.nodes[i:]...)...)
					break
				}
			}
		}, 1},
		"weights as fields": {func(p *modelProto) {
			q := initializer(p, "enc0.conv1.weight")
			for i := 0; i < len(q.raw); i += 4 {
				q.floats = append(q.floats, math.Float32frombits(binary.LittleEndian.Uint32(q.raw[i:])))
			}
			q.raw = nil
		}, 1},
		"initializers as inputs": {func(p *modelProto) {
			p.graph.inputs = append([]*valueProto{planes("enc0.conv1.weight", 16)}, p.graph.inputs...)
		}, 1},
		"ReLU twice": {func(p *modelProto) {
			for i, n := range p.graph.nodes {
				if n.name == "bottom.relu2" {
					again := &nodeProto{op: "Relu", inputs: []string{"bottom.relu2"}, outputs: []string{"again"}}
					p.graph.nodes[i+1].inputs[0] = "again"
					p.graph.nodes = append(p.graph.nodes[:i+1:i+1], append([]*nodeProto{again}, p.graph.nodes[i+1:]...)...)
					return
				}
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := read("test.onnx", edited(t, c.change), nil, Options{Input: raw})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Params.Free()
			in := make([]float32, len(x))
			for i := range x {
				in[i] = x[i] * c.scale
			}
			if d := furthest(t, mapsOf(t, m, 1, h, w, in), want); !(d <= 1e-5) {
				t.Errorf("maps differ by %g", d)
			}
		})
	}
}

// groupMisfits are changes to a network with group norm.
var groupMisfits = map[string]struct {
	change func(p *modelProto)
	want   string
}{
	"groups of 8": {func(p *modelProto) {
		initializer(p, "enc1.norm1.split").raw[8] = 4
		for _, name := range []string{"enc1.norm1.ones", "enc1.norm1.zeros"} {
			q := initializer(p, name)
			q.dims, q.raw = []int64{4}, append(q.raw, q.raw...)
		}
	}, `(Reshape): group norm in groups of 8 channels`},
	"one group": {func(p *modelProto) { initializer(p, "enc1.norm1.split").raw[8] = 1 }, "(InstanceNormalization): group norm in groups of 32 channels"},
	"each channel": {func(p *modelProto) {
		n := node(p, "enc1.norm1.normal")
		n.inputs[0] = "enc1.conv1"
		node(p, "enc1.norm1.channels").inputs[0] = n.outputs[0]
	}, "groups of 1 channels"},
	"epsilon": {func(p *modelProto) { node(p, "enc0.norm2.normal").attributes[0].f = 1e-3 }, "an epsilon of 0.001"},
	"bias": {func(p *modelProto) {
		n := node(p, "bottom.conv1")
		raw := make([]byte, 4*64)
		binary.LittleEndian.PutUint32(raw, math.Float32bits(1))
		p.graph.initializers = append(p.graph.initializers, &tensorProto{name: "bias", dims: []int64{64}, dataType: typeFloat, raw: raw})
		n.inputs = append(n.inputs, "bias")
	}, "has a bias"},
	"one left out": {func(p *modelProto) { node(p, "dec0.relu2").inputs[0] = "dec0.conv2" }, "group norm after some"},
	"one too many": {func(p *modelProto) { normalise(p, "dec1.up", "dec1.cat", 32) }, "it follows a transposed convolution"},
}

// normalise puts the operator for group norm between two nodes.
func normalise(p *modelProto, after, before string, c int) {
	q := &tensorProto{name: after + ".ones", dims: []int64{int64(c)}, dataType: typeFloat, raw: make([]byte, 4*c)}
	for i := range c {
		binary.LittleEndian.PutUint32(q.raw[4*i:], math.Float32bits(1))
	}
	p.graph.initializers = append(p.graph.initializers, q)
	n := &nodeProto{op: "GroupNormalization", inputs: []string{after, q.name, q.name}, outputs: []string{after + ".normalised"},
		attributes: []*attributeProto{integer("num_groups", int64(c/groupSize))}}
	to := node(p, before)
	to.inputs[slices.Index(to.inputs, after)] = n.outputs[0]
	p.graph.nodes = slices.Insert(p.graph.nodes, slices.Index(p.graph.nodes, to), n)
}

// TestGroupNorm: what the network here does not have is refused; the operator of
// opset 21 is the same as that of opset 17 in parts.
func TestGroupNorm(t *testing.T) {
	a := small("group", 1, "foreground")
	for name, c := range groupMisfits {
		t.Run(name, func(t *testing.T) {
			m, _, err := read("test.onnx", editedOf(t, a, c.change), nil, Options{Input: raw})
			if err == nil {
				m.Params.Free()
				t.Fatal("it was read")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q", err, c.want)
			}
		})
	}
	want := model(t, a)
	m, _, err := read("test.onnx", editedOf(t, a, func(p *modelProto) {
		for _, n := range p.graph.nodes {
			name, ok := strings.CutSuffix(n.name, ".scaled")
			if !ok {
				continue
			}
			// In place of the last of its parts, the scale, and the shift.
			conv := strings.Replace(name, "norm", "conv", 1)
			c := initializer(p, name+".weight").dims[0]
			last := node(p, name)
			*last = nodeProto{op: "GroupNormalization", name: name, inputs: []string{conv, name + ".weight", name + ".bias"}, outputs: last.outputs,
				attributes: []*attributeProto{integer("num_groups", c/groupSize)}}
		}
		p.graph.nodes = slices.DeleteFunc(p.graph.nodes, func(n *nodeProto) bool {
			return strings.Contains(n.name, ".norm") && n.op != "GroupNormalization"
		})
	}), nil, Options{Input: raw})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	for _, q := range want.Params.All() {
		if !slices.Equal(m.Params.Get(q.Name).Value, q.Value) {
			t.Errorf("%s differs", q.Name)
		}
	}
}

// TestProportion: a small file does not become a model that takes all memory.
func TestProportion(t *testing.T) {
	a := unet.Arch{Channels: 1, Depth: 3, Width: 16, Norm: "none", Heads: []string{"foreground"}}
	b := editedOf(t, a, func(p *modelProto) {
		p.metadata = nil
		const oc = 2048 // of the bottom, by a 1x1 convolution
		for name, dims := range map[string][]int64{
			"bottom.conv1.weight": {oc, 64, 1, 1}, "bottom.conv1.bias": {oc},
			"dec2.up.weight": {oc, 1, 2, 2}, "dec2.up.bias": {1}, "dec2.conv1.weight": {64, 65, 3, 3},
		} {
			q := initializer(p, name)
			n := int64(4)
			for _, d := range dims {
				n *= d
			}
			q.dims, q.raw = dims, make([]byte, n)
		}
		node(p, "bottom.conv1").attributes = nil
		node(p, "dec2.up").inputs[0] = "bottom.relu1"
		p.graph.nodes = slices.DeleteFunc(p.graph.nodes, func(n *nodeProto) bool { return n.name == "bottom.conv2" || n.name == "bottom.relu2" })
	})
	_, _, err := read("test.onnx", b, nil, Options{Input: raw})
	if err == nil || !strings.Contains(err.Error(), "filled up with zeros") {
		t.Errorf("error %v", err)
	}
}

// TestExternal: values in files beside the model, and nowhere else.
func TestExternal(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "model")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	var weight []byte
	data := func(entries ...*entryProto) string {
		b := edited(t, func(p *modelProto) {
			q := initializer(p, "enc0.conv1.weight")
			weight, q.raw, q.location, q.external = q.raw, nil, 1, entries
		})
		file := filepath.Join(sub, "m.onnx")
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	entry := func(k, v string) *entryProto { return &entryProto{k, v} }
	data(entry("location", "x"))
	for _, name := range []string{filepath.Join(sub, "m.data"), filepath.Join(dir, "outside")} {
		if err := os.WriteFile(name, append(make([]byte, 16), weight...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../outside", filepath.Join(sub, "link")); err != nil {
		t.Skip(err)
	}
	m, _, err := Read(data(entry("location", "m.data"), entry("offset", "16"), entry("length", "576")), Options{Input: raw})
	if err != nil {
		t.Fatal(err)
	}
	m.Params.Free()
	for name, entries := range map[string][]*entryProto{
		"outside":       {entry("location", "../outside"), entry("offset", "16")},
		"absolute":      {entry("location", filepath.Join(sub, "m.data")), entry("offset", "16")},
		"link out":      {entry("location", "link"), entry("offset", "16")},
		"missing":       {entry("location", "nothing")},
		"folder":        {entry("location", ".")},
		"no name":       {},
		"beyond":        {entry("location", "m.data"), entry("offset", "17")},
		"far beyond":    {entry("location", "m.data"), entry("offset", "9223372036854775807")},
		"negative":      {entry("location", "m.data"), entry("offset", "-1")},
		"no number":     {entry("location", "m.data"), entry("offset", "x")},
		"too much data": {entry("location", "m.data"), entry("length", "577")},
	} {
		if m, _, err := Read(data(entries...), Options{Input: raw}); err == nil {
			m.Params.Free()
			t.Errorf("%s: it was read", name)
		}
	}
}

// TestHostile: bytes that claim more than they are end early.
func TestHostile(t *testing.T) {
	nodes := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), nil)
	graph := bytes.Repeat(nodes, maxParts+1)
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"text":            []byte("this is not a model"),
		"many nodes":      protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), graph),
		"length too long": {0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"wrong type":      {0x38, 0x01},
		"group":           {0x3b, 0x3c},
	} {
		if _, _, err := read("test.onnx", b, nil, Options{}); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

// FuzzONNX: no bytes make reading panic, or take memory out of proportion.
func FuzzONNX(f *testing.F) {
	f.Add(edited(f, func(*modelProto) {}))
	files, err := filepath.Glob("testdata/exported/*.onnx")
	if err != nil || len(files) == 0 {
		f.Fatal("no graphs", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, s, err := read("fuzz.onnx", b, nil, Options{Input: raw})
		if err != nil {
			return
		}
		defer m.Params.Free()
		if err := s.Arch.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
