package onnx

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"unet/unet"
)

// Epsilons of batch-norm where nobody says another.
const (
	torchEpsilon = 1e-5
	kerasEpsilon = 1e-3
)

// ReadState reads the weights of a network from a safetensors file of bare
// tensors: a PyTorch state dict, or the weights of a Keras model by path. Its
// layers must have the shapes of like's network, which also gives the card.
// They are told apart by their shapes; of the second convolutions of a level,
// which look alike on the way down and up, and of batch-norms by names they
// share with a neighbour, or by their number. What is not unambiguous is
// refused. skipFirst says that a decoder's input begins with the skip
// connection, which shapes cannot tell. matched lists each layer here with the
// name it had there.
func ReadState(path string, like unet.Card, skipFirst bool) (m *unet.Model, matched [][2]string, err error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) error {
		return &unet.ModelError{Name: path, Problem: err.Error(),
			Advice: "export the network as ONNX instead: a graph tells what shapes do not"}
	}
	tensors, err := unet.ReadTensors(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, nil, fail(err)
	}
	s, err := newState(tensors)
	if err != nil {
		return nil, nil, fail(err)
	}
	if v := like.Arch.Variant(); len(v) > 0 && !slices.Equal(v, []string{"no normalisation"}) {
		return nil, nil, fail(fmt.Errorf("bare weights are matched to a plain U-Net, not to one with %s", strings.Join(v, ", ")))
	}
	u, err := s.network(like.Arch, !skipFirst)
	if err != nil {
		return nil, nil, fail(err)
	}
	hash := sha256.Sum256(data)
	like.Training = unet.Training{From: hex.EncodeToString(hash[:])}
	like.Precision, like.FloatLayers, like.Diameter = "", nil, [3]float64{}
	like.Arch.Norm = "none"
	if u.normalised(batchNormed) {
		like.Arch.Norm = "batch"
	}
	if m, err = build(u, like); err != nil {
		return nil, nil, fail(err)
	}
	return m, s.matched, nil
}

// state is a set of layers by name.
type state struct {
	convs, norms []*module // in natural order
	epsilon      float64
	matched      [][2]string
}

// module holds the tensors of one layer.
type module struct {
	name       string
	tokens     []string
	tensors    map[string]unet.Tensor // by last part of the name
	k, ic, oc  int                    // of a convolution
	used       bool
	convWeight []float32 // OIHW or IOHW
}

var tokenPattern = regexp.MustCompile(`[0-9]+|[A-Za-z]+|[^0-9A-Za-z]`)

func newState(tensors []unet.Tensor) (*state, error) {
	modules := map[string]*module{}
	var order []*module
	for _, t := range tensors {
		at := strings.LastIndexAny(t.Name, "./")
		name, role := "", t.Name
		if at >= 0 {
			name, role = t.Name[:at], t.Name[at+1:]
		}
		m := modules[name]
		if m == nil {
			m = &module{name: name, tokens: tokenPattern.FindAllString(name, -1), tensors: map[string]unet.Tensor{}}
			modules[name] = m
			order = append(order, m)
		}
		m.tensors[role] = t
	}
	slices.SortFunc(order, func(a, b *module) int { return natural(a.tokens, b.tokens) })
	s := &state{epsilon: torchEpsilon}
	for _, m := range order {
		switch {
		case m.has("weight", 4):
			m.torch(m.tensors["weight"])
			s.convs = append(s.convs, m)
		case m.has("kernel", 4):
			m.keras(m.tensors["kernel"])
			s.convs = append(s.convs, m)
			s.epsilon = kerasEpsilon
		case m.has("running_mean", 1), m.has("moving_mean", 1):
			s.norms = append(s.norms, m)
		default:
			return nil, fmt.Errorf("layer %.80q is neither a convolution nor a batch-norm", m.name)
		}
	}
	return s, nil
}

func (m *module) has(role string, rank int) bool {
	t, ok := m.tensors[role]
	return ok && len(t.Shape) == rank
}

// torch takes weights OIHW, or IOHW of 2x2.
func (m *module) torch(t unet.Tensor) {
	m.oc, m.ic, m.k = t.Shape[0], t.Shape[1], t.Shape[2]
	if m.k == 2 {
		m.oc, m.ic = m.ic, m.oc
	}
	if t.Shape[2] != t.Shape[3] {
		m.k = 0
	}
	m.convWeight = t.Data
}

// keras takes weights HWIO, or HWOI of 2x2.
func (m *module) keras(t unet.Tensor) {
	m.k, m.ic, m.oc = t.Shape[0], t.Shape[2], t.Shape[3]
	a, b := m.ic, m.oc
	if m.k == 2 {
		m.ic, m.oc = m.oc, m.ic
	}
	if t.Shape[0] != t.Shape[1] {
		m.k = 0
	}
	m.convWeight = make([]float32, 0, len(t.Data))
	for y := range b { // the slower dimension of the result
		for x := range a {
			for tap := range m.k * m.k {
				m.convWeight = append(m.convWeight, t.Data[(tap*a+x)*b+y])
			}
		}
	}
}

// natural orders names with numbers by their value.
func natural(a, b []string) int {
	return slices.CompareFunc(a, b, func(x, y string) int {
		n, err1 := strconv.Atoi(x)
		k, err2 := strconv.Atoi(y)
		if err1 == nil && err2 == nil {
			return cmp.Compare(n, k)
		}
		return strings.Compare(x, y)
	})
}

// shared counts the parts with which both names begin.
func shared(a, b *module) int {
	n := 0
	for n < min(len(a.tokens), len(b.tokens)) && a.tokens[n] == b.tokens[n] {
		n++
	}
	return n
}

// find returns the layers of a shape that are not used yet.
func (s *state) find(k, ic, oc int) (list []*module) {
	for _, m := range s.convs {
		if !m.used && m.k == k && m.ic == ic && m.oc == oc {
			list = append(list, m)
		}
	}
	return list
}

func (s *state) only(name string, k, ic, oc int) (*module, error) {
	list := s.find(k, ic, oc)
	if len(list) != 1 {
		return nil, fmt.Errorf("%s: %d layers of %dx%d from %d to %d channels, expected one", name, len(list), k, k, ic, oc)
	}
	list[0].used = true
	s.matched = append(s.matched, [2]string{name, list[0].name})
	return list[0], nil
}

// next is the 3x3 convolution after m.
func (s *state) next(m *module) *module {
	after := false
	for _, c := range s.convs {
		if after && c.k == 3 {
			return c
		}
		after = after || c == m
	}
	return nil
}

// seconds tells apart the second convolutions of a level, given the first ones.
func (s *state) seconds(level, channels int, enc, dec *module) (down, up *module, err error) {
	list := s.find(3, channels, channels)
	if len(list) != 2 {
		return nil, nil, fmt.Errorf("level %d: %d layers of 3x3 from %d to %d channels, expected two", level, len(list), channels, channels)
	}
	a, b := list[0], list[1]
	straight := shared(a, enc) + shared(b, dec)
	crossed := shared(b, enc) + shared(a, dec)
	switch {
	case straight > crossed:
	case crossed > straight:
		a, b = b, a
	case s.next(enc) == a && s.next(dec) == b:
	case s.next(enc) == b && s.next(dec) == a:
		a, b = b, a
	default:
		return nil, nil, fmt.Errorf("level %d: the names do not tell which of %.80q and %.80q is on the way down", level, a.name, b.name)
	}
	a.used, b.used = true, true
	s.matched = append(s.matched, [2]string{fmt.Sprintf("enc%d.conv2", level), a.name}, [2]string{fmt.Sprintf("dec%d.conv2", level), b.name})
	return a, b, nil
}

// network matches the layers to those of a.
func (s *state) network(a unet.Arch, upFirst bool) (*found, error) {
	u := &found{channels: a.Channels, scale: 1}
	ic := a.Channels
	for l := range a.Depth {
		oc := a.Width << l
		enc, err := s.only(fmt.Sprintf("enc%d.conv1", l), 3, ic, oc)
		if err != nil {
			return nil, err
		}
		dec, err := s.only(fmt.Sprintf("dec%d.conv1", l), 3, 2*oc, oc)
		if err != nil {
			return nil, err
		}
		enc2, dec2, err := s.seconds(l, oc, enc, dec)
		if err != nil {
			return nil, err
		}
		up, err := s.only(fmt.Sprintf("dec%d.up", l), 2, 2*oc, oc)
		if err != nil {
			return nil, err
		}
		down, err := s.pair(enc, enc2)
		if err != nil {
			return nil, err
		}
		back, err := s.pair(dec, dec2)
		if err != nil {
			return nil, err
		}
		c, err := up.convolution()
		if err != nil {
			return nil, err
		}
		u.encoder, u.decoder = append(u.encoder, level{convs: down}), append(u.decoder, level{convs: back})
		u.gates = append(u.gates, nil)
		u.up, u.upFirst = append(u.up, c), append(u.upFirst, upFirst)
		ic = oc
	}
	first, err := s.only("bottom.conv1", 3, ic, 2*ic)
	if err != nil {
		return nil, err
	}
	second, err := s.only("bottom.conv2", 3, 2*ic, 2*ic)
	if err != nil {
		return nil, err
	}
	if u.bottom.convs, err = s.pair(first, second); err != nil {
		return nil, err
	}
	head, err := s.only("head", 1, a.Width, len(a.Heads))
	if err != nil {
		return nil, err
	}
	c, err := head.convolution()
	if err != nil {
		return nil, err
	}
	u.heads = []*convolution{c}
	for _, m := range append(s.convs, s.norms...) {
		if !m.used {
			return nil, fmt.Errorf("layer %.80q has no place in the network", m.name)
		}
	}
	return u, nil
}

// convolution returns a layer's weights.
func (m *module) convolution() (*convolution, error) {
	c := &convolution{ic: m.ic, oc: m.oc, k: m.k, weight: m.convWeight, bias: make([]float64, m.oc)}
	if b, ok := m.tensors["bias"]; ok {
		if len(b.Data) != m.oc {
			return nil, fmt.Errorf("layer %.80q: a bias of %d values", m.name, len(b.Data))
		}
		for i, v := range b.Data {
			c.bias[i] = float64(v)
		}
	}
	return c, nil
}

// pair returns both convolutions of a level with their batch-norms, if the
// network has any. These stand in the order of the convolutions where both are
// under one name, and if they are under none, all together.
func (s *state) pair(a, b *module) ([]*convolution, error) {
	var list []*convolution
	for _, m := range []*module{a, b} {
		c, err := m.convolution()
		if err != nil {
			return nil, err
		}
		if len(s.norms) > 0 {
			n, err := s.normOf(m, a.tokens[:shared(a, b)])
			if err != nil {
				return nil, err
			}
			if c.norm, err = n.norm(m.oc, s.epsilon); err != nil {
				return nil, err
			}
		}
		list = append(list, c)
	}
	return list, nil
}

func (s *state) normOf(conv *module, prefix []string) (*module, error) {
	under := func(list []*module, k int) (in []*module) {
		for _, m := range list {
			if (k == 0 || m.k == k) && len(m.tokens) >= len(prefix) && slices.Equal(m.tokens[:len(prefix)], prefix) {
				in = append(in, m)
			}
		}
		return in
	}
	for ; ; prefix = prefix[:len(prefix)-1] {
		convs, norms := under(s.convs, 3), under(s.norms, 0)
		if len(convs) == len(norms) {
			n := norms[slices.Index(convs, conv)]
			n.used = true
			s.matched = append(s.matched, [2]string{"batch-norm after " + conv.name, n.name})
			return n, nil
		}
		if len(prefix) == 0 {
			return nil, fmt.Errorf("%d batch-norms for %d convolutions of 3x3", len(norms), len(convs))
		}
	}
}

// norm reads a batch-norm of n channels, by PyTorch's names or Keras'.
func (m *module) norm(n int, epsilon float64) (*norm, error) {
	var lists [4][]float64
	for i, roles := range [][2]string{{"weight", "gamma"}, {"bias", "beta"}, {"running_mean", "moving_mean"}, {"running_var", "moving_variance"}} {
		t, ok := m.tensors[roles[0]]
		if !ok {
			t, ok = m.tensors[roles[1]]
		}
		if !ok || len(t.Data) != n {
			return nil, fmt.Errorf("batch-norm %.80q has no %s of %d values", m.name, roles[0], n)
		}
		for _, v := range t.Data {
			lists[i] = append(lists[i], float64(v))
		}
	}
	for _, v := range lists[3] {
		if !(v+epsilon > 0) {
			return nil, errors.New("a variance that is not positive")
		}
	}
	return &norm{lists[0], lists[1], lists[2], lists[3], epsilon}, nil
}
