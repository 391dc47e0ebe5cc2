package onnx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet"
	"unet/unet/imageio/input"
	"unet/unet/instance"
)

// maxFile bounds a model and each of its external files: the largest network
// here takes less.
const maxFile = 1 << 30

// Options say what a graph does not tell.
type Options struct {
	// Heads names the maps, nil: by the graph's outputs where these are names
	// of maps, else a single map is the foreground.
	Heads []string
	// Logits: the outputs are meant to go through a sigmoid, which is not part
	// of the graph.
	Logits bool
	// Input says how images become the network's input. A model of Size > 0
	// is one of kind paper.
	Input unet.Input
	// Scale is what a normalised sample of 1 is in the input that the graph
	// expects: 255 for a graph that was trained on samples of 0 to 255.
	Scale float64
	Name  string
}

// Summary says what was read.
type Summary struct {
	Arch       unet.Arch `json:"arch"`            // the network
	Parameters int       `json:"parameters"`      // number of its parameters
	Card       bool      `json:"card"`            // the file holds a model card of this program, which says what the options would
	Notes      []string  `json:"notes,omitempty"` // what differs from the original without changing its maps
}

const hintExport = "the network must be a U-Net of 3x3 convolutions with ReLU (residual blocks and attention gates, too), 2x2 max-pools, and 2x2 transposed convolutions or nearest upsampling, as `unet export` writes it"

// Read reads a model from an ONNX file. The caller frees its Params.
func Read(path string, o Options) (*unet.Model, *Summary, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	folder, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	defer folder.Close()
	if o.Name == "" {
		o.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return read(path, data, folder, o)
}

// readFile reads a regular file of bounded size.
func readFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &unet.ModelError{Name: path, Problem: "not a file", Advice: "give the file itself"}
	}
	if st.Size() > maxFile {
		return nil, &unet.ModelError{Name: path, Problem: fmt.Sprintf("%d bytes: at most %d are read", st.Size(), maxFile), Advice: hintExport}
	}
	f, err := input.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, io.LimitReader(f, maxFile)) // as large as it is, whatever it claims
	return b.Bytes(), err
}

// read is Read for a file in memory; folder may be nil.
func read(name string, data []byte, folder *os.Root, o Options) (*unet.Model, *Summary, error) {
	fail := func(err error) error {
		hint, option := hintExport, ""
		var logits *logitsError
		var path *fs.PathError
		switch {
		case errors.As(err, &logits):
			hint, option = "if its outputs are meant to go through a sigmoid, say so", "logits"
		case errors.Is(err, errHeads):
			hint, option = "name them", "heads foreground,border,distance"
		case errors.As(err, &path):
			hint = "keep the files of a model in one folder"
		}
		return &unet.ModelError{Name: name, Problem: err.Error(), Advice: hint, Option: option}
	}
	var m modelProto
	if err := decode(data, &m); err != nil {
		return nil, nil, fail(err)
	}
	m.withoutNuclei()
	u, names, err := structure(&m, folder, o.Logits)
	if err != nil {
		return nil, nil, fail(err)
	}
	hash := sha256.Sum256(data)
	card, own, err := cardFor(&m, u, names, o)
	if err != nil {
		return nil, nil, fail(err)
	}
	card.Training.From = hex.EncodeToString(hash[:])
	model, err := build(u, card)
	if err != nil {
		return nil, nil, fail(err)
	}
	s := &Summary{Arch: card.Arch, Parameters: model.Params.Count(), Card: own}
	s.Notes = u.notes(card.Arch)
	return model, s, nil
}

// withoutNuclei takes away the output that packages with a watershed have beside
// the maps, and what it alone is computed by.
func (m *modelProto) withoutNuclei() {
	if m.graph == nil || !slices.ContainsFunc(m.metadata, func(e *entryProto) bool { return e.key == cardKey }) {
		return
	}
	g := m.graph
	n := len(g.outputs)
	g.outputs = slices.DeleteFunc(g.outputs, func(v *valueProto) bool { return v.name == nucleiName })
	if len(g.outputs) == n {
		return
	}
	needed := map[string]bool{}
	for _, v := range g.outputs {
		needed[v.name] = true
	}
	for _, node := range slices.Backward(g.nodes) {
		if slices.ContainsFunc(node.outputs, func(name string) bool { return needed[name] }) {
			for _, name := range node.inputs {
				needed[name] = true
			}
		}
	}
	g.nodes = slices.DeleteFunc(g.nodes, func(node *nodeProto) bool {
		return !slices.ContainsFunc(node.outputs, func(name string) bool { return needed[name] })
	})
}

// structure recognises the network of a file and names its maps.
func structure(m *modelProto, folder *os.Root, logits bool) (*found, []string, error) {
	switch {
	case m.graph == nil || len(m.graph.nodes) == 0:
		return nil, nil, errors.New("not an ONNX model: it has no graph")
	case len(m.functions) > 0:
		return nil, nil, errors.New("the model has functions of its own: export it without them")
	case len(m.graph.sparse) > 0:
		return nil, nil, errors.New("the model has sparse weights")
	}
	t := &tracer{graph: m.graph, folder: folder, loaded: map[*tensorProto]*constant{}}
	var u *found
	// Two sizes of image tell what belongs to the network from what belongs
	// to one size.
	for _, size := range [][2]int{{256, 384}, {512, 640}} {
		outs, err := t.trace(size[0], size[1])
		if err != nil {
			return nil, nil, err
		}
		if u, err = recognise(outs, logits); err != nil {
			return nil, nil, err
		}
	}
	var names []string
	for _, o := range m.graph.outputs {
		names = append(names, o.name)
	}
	return u, names, nil
}

var errHeads = errors.New("the names of its maps are not known")

// heads names the maps.
func (u *found) names(outputs []string, o Options) ([]string, error) {
	n := 0
	for _, c := range u.heads {
		n += c.oc
	}
	known := []string{unet.HeadForeground, unet.HeadBorder, unet.HeadDistance}
	switch {
	case o.Heads != nil:
		if len(o.Heads) != n {
			return nil, fmt.Errorf("%d names of maps for %d maps", len(o.Heads), n)
		}
		return o.Heads, nil
	case n == len(outputs) && !slices.ContainsFunc(outputs, func(s string) bool { return !slices.Contains(known, s) }):
		return outputs, nil
	case n == 1:
		return known[:1], nil
	}
	return nil, fmt.Errorf("it has %d maps: %w", n, errHeads)
}

// cardFor makes the model's card: its own if the file was written here, in place of
// all options.
func cardFor(m *modelProto, u *found, outputs []string, o Options) (card unet.Card, own bool, err error) {
	card = unet.Card{
		Kind: unet.Nuclei, Name: o.Name, Input: o.Input, Threshold: 0.5, Instance: instance.DefaultParams(),
		Training: unet.Training{Program: strings.TrimSpace(m.producer + " " + m.producerVersion)},
	}
	if o.Input.Size > 0 {
		card.Kind = unet.Paper
	}
	for _, e := range m.metadata {
		var c unet.Card
		if e.key == cardKey && json.Unmarshal([]byte(e.value), &c) == nil {
			card, own = c, true
		}
	}
	names := card.Arch.Heads
	switch {
	case !own:
		if names, err = u.names(outputs, o); err != nil {
			return card, false, err
		}
		if o.Scale > 0 {
			u.scale *= o.Scale
		}
	case len(names) != len(outputs):
		return card, false, errors.New("its card is of another model")
	}
	card.Precision, card.FloatLayers = "", nil
	if card.Arch, err = u.arch(names); err != nil {
		return card, false, err
	}
	return card, own, nil
}

// build makes the model, and checks it as one read from a file.
func build(u *found, card unet.Card) (*unet.Model, error) {
	if err := card.Arch.Check(); err != nil {
		return nil, err
	}
	if own, here := u.weights(card.Arch); here > someFilled && here/maxFilled > own {
		return nil, fmt.Errorf("its %d weights would have to be filled up with zeros to %d, since all levels here have %d << level channels", own, here, card.Arch.Width)
	}
	m, err := unet.NewModel(card, 0, false)
	if err != nil {
		return nil, err
	}
	defer m.Params.Free()
	if err := u.fill(m); err != nil {
		return nil, err
	}
	b, err := m.Bytes(false)
	if err != nil {
		return nil, err
	}
	return unet.ReadModel(card.Name, bytes.NewReader(b), int64(len(b)))
}

// weights counts those of the convolutions, and those of the network here.
func (u *found) weights(a unet.Arch) (own, here int) {
	u.blocks(func(_ string, _ int, b level) {
		for _, c := range b.convs {
			own += len(c.weight)
		}
	})
	ic := a.Channels
	for l := range a.Depth + 1 {
		oc := a.Width << l
		here += 9 * oc * (ic + oc)
		if ic = oc; l < a.Depth {
			here += 9 * oc * 3 * oc
		}
	}
	return own, here
}

// A network may be filled up with zeros to so many times its weights, and to
// so many weights in any case: a small file must not take all memory.
const (
	maxFilled  = 16
	someFilled = 1 << 25
)

// notes says what differs from the graph without changing its maps.
func (u *found) notes(a unet.Arch) []string {
	var notes []string
	own, here := u.weights(a)
	single := 0
	u.blocks(func(_ string, _ int, b level) {
		if len(b.convs) == 1 {
			single++
		}
	})
	if single > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d levels have one convolution: a second one that changes nothing was added", single, 2*a.Depth+1))
	}
	if here > own {
		notes = append(notes, fmt.Sprintf("the channels were filled up with zeros to %d << level: %.1f times the weights", a.Width, float64(here)/float64(own)))
	}
	if a.Norm == "none" {
		norms := 0
		u.blocks(func(_ string, _ int, b level) {
			for _, c := range b.convs {
				if c.norm != nil {
					norms++
				}
			}
		})
		if norms > 0 {
			notes = append(notes, fmt.Sprintf("only %d convolutions have batch-norm: it was folded into them", norms))
		} else {
			notes = append(notes, "the graph has no batch-norm (exporters fold it into the weights): fine-tuning goes on without it")
		}
	}
	return notes
}
