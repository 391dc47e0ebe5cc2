package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"unet/core"
	"unet/unet"
)

// found is a U-Net recognised in a graph, level 0 being that of the image.
type found struct {
	channels int
	scale    float64 // of the image
	encoder  []level
	bottom   level
	decoder  []level
	// up enlarges, by a 2x2 transposed convolution, or by nearest neighbour
	// and a 3x3 convolution with ReLU.
	up    []*convolution
	gates []*gate // nil: a skip connection without attention
	// upFirst tells whether a decoder's input begins with what comes from
	// below, as here, or with the skip connection.
	upFirst []bool
	heads   []*convolution
}

// level is a block: one or two convolutions with ReLU and, in a residual one,
// what is added to the second before its ReLU.
type level struct {
	convs    []*convolution
	shortcut *convolution
}

// gate is an additive attention gate: 1x1 convolutions of the skip connection
// and of what comes from below to hidden channels, and from these to one.
type gate struct {
	skip, up *convolution
	bias     []float64
	psi      *convolution
}

// recognise follows the outputs of a graph back to the image.
func recognise(outs []value, logits bool) (*found, error) {
	u := &found{}
	var x *expr
	for _, o := range outs {
		heads, in, err := head(o.layer, logits)
		if err != nil {
			return nil, err
		}
		if x != nil && in != x {
			return nil, misfit(in, "an output is computed from another layer than the first output")
		}
		x = in
		u.heads = append(u.heads, heads)
	}
	skips, err := u.descend(x)
	if err != nil {
		return nil, err
	}
	return u, u.ascend(skips)
}

// head is a 1x1 convolution and a sigmoid, or a softmax of two classes, whose
// second is the sigmoid of the difference.
func head(e *expr, logits bool) (*convolution, *expr, error) {
	o := e.op
	switch {
	case o == opSigmoid || o == opSoftmax:
		e = e.in[0]
	case o == opConv && logits:
	case o == opConv:
		return nil, nil, &logitsError{misfit(e, "the output is not a probability: no sigmoid or softmax follows")}
	default:
		return nil, nil, misfit(e, "the output is a %s: expected a 1x1 convolution and a sigmoid", o)
	}
	if e.op != opConv || e.conv.k != 1 {
		return nil, nil, misfit(e, "a %s before the output: expected a 1x1 convolution", e.op)
	}
	c := *e.conv
	c.bias = append([]float64(nil), c.bias...)
	c.fold()
	if o == opSoftmax {
		if c.oc != 2 {
			return nil, nil, misfit(e, "a softmax of %d classes: of two, it is a sigmoid; the maps here are independent of each other", c.oc)
		}
		w := make([]float32, c.ic)
		for i := range w {
			w[i] = float32(float64(c.weight[c.ic+i]) - float64(c.weight[i]))
		}
		c.weight, c.bias, c.oc = w, []float64{c.bias[1] - c.bias[0]}, 1
	}
	return &c, e.in[0], nil
}

// logitsError says that no sigmoid ends the graph.
type logitsError struct{ error }

func (e *logitsError) Unwrap() error { return e.error }

// maxDepth is that of a network here.
const maxDepth = 7

// descend goes from the last layer through the decoder to the bottom and
// returns the skip connections, level by level.
func (u *found) descend(x *expr) (skips []*expr, err error) {
	for {
		b, in, err := block(x)
		if err != nil {
			return nil, err
		}
		if in.op != opConcat {
			u.bottom = b
			return append(skips, in), nil
		}
		if len(skips) == maxDepth {
			return nil, misfit(in, "more than %d levels", maxDepth)
		}
		u.decoder = append(u.decoder, b)
		if len(in.in) != 2 {
			return nil, misfit(in, "it joins %d layers: expected a skip connection and what comes from below", len(in.in))
		}
		skip := 0
		up, below := upward(in.in[1])
		if up == nil {
			skip = 1
			up, below = upward(in.in[0])
		}
		if up == nil {
			return nil, misfit(in, "neither of its inputs (%s, %s) is a 2x2 transposed convolution or nearest upsampling with a convolution of 1x1, or of 3x3 with ReLU", in.in[0].op, in.in[1].op)
		}
		var gated *gate
		from := in.in[skip]
		if from.op == opProduct {
			if gated, from, err = attention(from, in.in[1-skip]); err != nil {
				return nil, err
			}
		}
		u.up, u.gates = append(u.up, up), append(u.gates, gated)
		u.upFirst = append(u.upFirst, skip == 1)
		skips = append(skips, from)
		x = below
	}
}

// upward returns what brings a layer to twice its size as a transposed
// convolution, and the layer; nil if e is nothing like that.
func upward(e *expr) (*convolution, *expr) {
	switch {
	case e.op == opUp:
		return e.conv, e.in[0]
	case e.op == opNearest:
		return repeated(identity(e.c)), e.in[0]
	case e.op == opConv && e.conv.k == 1 && e.in[0].op == opNearest:
		c := *e.conv
		c.bias = append([]float64(nil), c.bias...)
		c.fold()
		return repeated(&c), e.in[0].in[0]
	case e.op == opReLU && e.in[0].op == opConv && e.in[0].conv.k == 3 && e.in[0].in[0].op == opNearest:
		return e.in[0].conv, e.in[0].in[0].in[0]
	}
	return nil, nil
}

// repeated is nearest upsampling and a 1x1 convolution as a transposed one:
// all four taps are the same.
func repeated(c *convolution) *convolution {
	t := &convolution{ic: c.ic, oc: c.oc, k: 2, bias: c.bias, weight: make([]float32, 4*c.ic*c.oc)}
	for o := range c.oc {
		for i := range c.ic {
			for tap := range 4 {
				t.weight[(i*c.oc+o)*4+tap] = c.weight[o*c.ic+i]
			}
		}
	}
	return t
}

// block returns the convolutions with ReLU that end in e, and what they are
// computed from.
func block(e *expr) (b level, in *expr, err error) {
	if e.op == opReLU && e.in[0].op == opSum {
		return residual(e.in[0])
	}
	for x := e; ; {
		if x.op != opReLU || x.in[0].op != opConv || len(b.convs) > 0 && x.in[0].in[0].op == opNearest {
			switch {
			case x.op == opConv:
				return b, nil, misfit(x, "no ReLU follows the convolution")
			case len(b.convs) > 0:
				return b, x, nil
			case x.op == opReLU:
				return b, nil, misfit(x, "the ReLU follows a %s: expected a convolution", x.in[0].op)
			}
			return b, nil, misfit(x, "a %s where a convolution with ReLU should end a level", x.op)
		}
		if len(b.convs) == 2 {
			return b, nil, misfit(x, "a third convolution on one level: the network here has two")
		}
		b.convs = append([]*convolution{x.in[0].conv}, b.convs...)
		x = x.in[0].in[0]
	}
}

// residual is the sum of two 3x3 convolutions in a row and a shortcut, which is
// a 1x1 convolution or nothing.
func residual(sum *expr) (b level, in *expr, err error) {
	for i, y := range sum.in {
		if y.op != opConv || y.in[0].op != opReLU || y.in[0].in[0].op != opConv {
			continue
		}
		first, short := y.in[0].in[0], sum.in[1-i]
		in := first.in[0]
		b = level{convs: []*convolution{first.conv, y.conv}}
		switch {
		case short == in:
			b.shortcut = identity(in.c)
		case short.op == opConv && short.conv.k == 1 && short.in[0] == in:
			b.shortcut = short.conv
		default:
			continue
		}
		return b, in, nil
	}
	return b, nil, misfit(sum, "a sum that is not a residual block: expected two 3x3 convolutions, ReLU between them, and a 1x1 convolution of the same input")
}

// attention takes apart a skip connection times its gate, up being what comes
// from below.
func attention(product, up *expr) (*gate, *expr, error) {
	skip, weight := product.in[0], product.in[1]
	if skip.op == opSigmoid {
		skip, weight = weight, skip
	}
	wrong := misfit(product, "a product that is not an attention gate: expected the sigmoid of a 1x1 convolution of a ReLU of 1x1 convolutions of the skip connection and of what comes from below")
	if weight.op != opSigmoid || weight.c != 1 || weight.in[0].op != opConv || weight.in[0].in[0].op != opReLU {
		return nil, nil, wrong
	}
	psi, hidden := weight.in[0], weight.in[0].in[0].in[0]
	g := &gate{psi: folded(psi.conv)}
	one := func(e *expr) bool { return e.op == opConv && e.conv.k == 1 }
	switch {
	case !one(psi):
		return nil, nil, wrong
	case one(hidden) && hidden.in[0].op == opConcat && len(hidden.in[0].in) == 2:
		both := hidden.in[0].in
		c := folded(hidden.conv)
		first, second := splitInputs(c, both[0].c)
		switch {
		case both[0] == skip && both[1] == up:
			g.skip, g.up = first, second
		case both[0] == up && both[1] == skip:
			g.skip, g.up = second, first
		default:
			return nil, nil, wrong
		}
		g.bias = c.bias
	case hidden.op == opSum && one(hidden.in[0]) && one(hidden.in[1]):
		a, b := hidden.in[0], hidden.in[1]
		if a.in[0] != skip {
			a, b = b, a
		}
		if a.in[0] != skip || b.in[0] != up {
			return nil, nil, wrong
		}
		g.skip, g.up = folded(a.conv), folded(b.conv)
		for o, v := range g.skip.bias {
			g.bias = append(g.bias, v+g.up.bias[o])
		}
	default:
		return nil, nil, wrong
	}
	return g, skip, nil
}

// folded is c with its batch-norm folded in; c stays as it is.
func folded(c *convolution) *convolution {
	v := *c
	v.bias = append([]float64(nil), c.bias...)
	v.fold()
	return &v
}

// splitInputs divides a 1x1 convolution after n input channels.
func splitInputs(c *convolution, n int) (first, second *convolution) {
	first = &convolution{ic: n, oc: c.oc, k: 1}
	second = &convolution{ic: c.ic - n, oc: c.oc, k: 1}
	for o := range c.oc {
		row := c.weight[o*c.ic:][:c.ic]
		first.weight = append(first.weight, row[:n]...)
		second.weight = append(second.weight, row[n:]...)
	}
	return first, second
}

// ascend goes from the bottom through the encoder to the image.
func (u *found) ascend(skips []*expr) error {
	x := skips[len(skips)-1] // the input of the bottom
	skips = skips[:len(skips)-1]
	if len(skips) == 0 {
		return misfit(x, "there is no skip connection: not a U-Net")
	}
	u.encoder = make([]level, len(skips))
	for l := len(skips) - 1; l >= 0; l-- {
		if x.op != opPool {
			return misfit(x, "a %s above level %d: expected a 2x2 max-pool", x.op, l+1)
		}
		if x.in[0] != skips[l] {
			return misfit(x, "it pools another layer than the one that the skip connection of level %d takes", l)
		}
		b, in, err := block(skips[l])
		if err != nil {
			return err
		}
		u.encoder[l], x = b, in
	}
	if x.op != opImage {
		return misfit(x, "a %s where the image should be", x.op)
	}
	u.channels, u.scale = x.c, x.scale
	for l := range u.up {
		switch {
		case u.up[l].k != u.up[0].k:
			return fmt.Errorf("level %d enlarges by transposed convolution and another by nearest neighbour and a 3x3 convolution: here all do the same", l)
		case (u.gates[l] == nil) != (u.gates[0] == nil):
			return fmt.Errorf("some skip connections have attention gates, that of level %d is not like that of level 0: here all are alike", l)
		}
	}
	return nil
}

// width is that of the narrowest network here that holds u.
func (u *found) width() int {
	width := 0
	fit := func(l, channels int) { width = max(width, (channels+1<<l-1)>>l) }
	u.blocks(func(_ string, l int, b level) {
		for _, c := range b.convs {
			fit(l, c.oc)
		}
	})
	for l, c := range u.up {
		fit(l, c.oc)
		if g := u.gates[l]; g != nil && g.psi.ic > 16 {
			fit(l, 2*((g.psi.ic+15)&^15)) // half as many hidden channels, in blocks of 16
		}
	}
	return (width + 15) &^ 15
}

// blocks calls f for each block, its name and its level.
func (u *found) blocks(f func(name string, l int, b level)) {
	for l, b := range u.encoder {
		f(fmt.Sprintf("enc%d", l), l, b)
	}
	f("bottom", len(u.encoder), u.bottom)
	for l, b := range u.decoder {
		f(fmt.Sprintf("dec%d", l), l, b)
	}
}

// residual reports whether any block is residual; what others add is nothing.
func (u *found) residual() (any bool) {
	u.blocks(func(_ string, _ int, b level) { any = any || b.shortcut != nil })
	return any
}

// normalised reports whether every convolution has a norm and every level all
// its convolutions, so that training can go on with them.
func (u *found) normalised(has func(c *convolution) bool) bool {
	all, residual := true, u.residual()
	u.blocks(func(_ string, _ int, b level) {
		all = all && len(b.convs) == 2 && (!residual || b.shortcut != nil && has(b.shortcut))
		for _, c := range b.convs {
			all = all && has(c)
		}
	})
	for _, c := range u.up {
		all = all && (c.k == 2 || has(c))
	}
	return all
}

func batchNormed(c *convolution) bool { return c.norm != nil }
func groupNormed(c *convolution) bool { return c.group != nil }

// plainElsewhere reports whether there is no group norm where the network here
// has none: after 1x1 convolutions that are no shortcuts.
func (u *found) plainElsewhere() bool {
	none := !slices.ContainsFunc(u.heads, groupNormed)
	for l, c := range u.up {
		none = none && (c.k == 3 || !groupNormed(c))
		if g := u.gates[l]; g != nil {
			none = none && !groupNormed(g.skip) && !groupNormed(g.up) && !groupNormed(g.psi)
		}
	}
	return none
}

// norm names the network's normalisation. Batch-norm can be folded where it is
// not that of all convolutions; group norm cannot.
func (u *found) norm() (string, error) {
	any := false
	u.blocks(func(_ string, _ int, b level) {
		any = any || slices.ContainsFunc(b.convs, groupNormed) || b.shortcut != nil && groupNormed(b.shortcut)
	})
	switch {
	case any && u.normalised(groupNormed) && u.plainElsewhere():
		return "group", nil
	case any || !u.plainElsewhere():
		return "", errors.New("group norm after some convolutions: here it follows the two of every level, shortcuts and nearest upsampling, and no others")
	case u.normalised(batchNormed):
		return "batch", nil
	}
	return "none", nil
}

// arch is the network here that holds u.
func (u *found) arch(heads []string) (unet.Arch, error) {
	norm, err := u.norm()
	a := unet.Arch{Channels: u.channels, Depth: len(u.encoder), Width: u.width(), Norm: norm, Heads: heads, Attention: u.gates[0] != nil}
	if u.residual() {
		a.Block = "residual"
	}
	if u.up[0].k == 3 {
		a.Up = "nearest"
	}
	return a, err
}

// fill copies u's weights into m, a model of u.arch with weights of zero.
func (u *found) fill(m *unet.Model) error {
	for _, q := range m.Params.All() {
		clear(q.Value)
	}
	a := m.Card.Arch
	f := filler{m}
	residual := u.residual()
	u.blocks(func(name string, l int, b level) {
		oc := a.Width << l
		ic := oc / 2
		at := func(i int) int { return i }
		switch {
		case name == "enc0":
			ic = a.Channels
		case name[0] == 'd':
			ic, at = 2*oc, u.joined(l, b.convs[0].ic, oc)
		}
		first, second, shortcut := *b.convs[0], identity(b.convs[0].oc), b.shortcut
		if len(b.convs) == 2 {
			second = b.convs[1]
		}
		if residual && shortcut == nil {
			shortcut = &convolution{ic: first.ic, oc: second.oc, k: 1, weight: make([]float32, first.ic*second.oc), bias: make([]float64, second.oc)}
		}
		if name == "enc0" && u.scale != 1 {
			first.scaleAll(u.scale)
			if shortcut != nil {
				c := *shortcut
				c.scaleAll(u.scale)
				shortcut = &c
			}
		}
		f.conv(name+".conv1", name+".norm1", &first, ic, at)
		f.conv(name+".conv2", name+".norm2", second, oc, func(i int) int { return i })
		if shortcut != nil {
			f.conv(name+".shortcut", name+".norm0", shortcut, ic, at)
		}
	})
	for l, c := range u.up {
		name, channels := fmt.Sprintf("dec%d", l), a.Width<<l
		if c.k == 3 {
			f.conv(name+".up.conv", name+".up.norm", c, 2*channels, func(i int) int { return i })
		} else {
			f.up(name+".up", c, channels)
		}
		if g := u.gates[l]; g != nil {
			f.gate(name+".gate", g, channels)
		}
	}
	weight, bias := f.value("head.weight"), f.value("head.bias")
	k := 0
	for _, c := range u.heads {
		for o := range c.oc {
			copy(weight[k*a.Width:], c.weight[o*c.ic:][:c.ic])
			bias[k] = float32(c.bias[o])
			k++
		}
	}
	for _, q := range m.Params.All() {
		for _, v := range q.Value {
			if v-v != 0 {
				return errors.New("a weight is infinite or not a number")
			}
		}
	}
	return nil
}

// joined says where the channels of a decoder's input, ic of them, come to lie:
// what comes from below goes first here, in a half of its own.
func (u *found) joined(l, ic, half int) func(int) int {
	up := u.up[l].oc
	if u.upFirst[l] {
		return func(i int) int {
			if i < up {
				return i
			}
			return half + i - up
		}
	}
	skip := ic - up
	return func(i int) int {
		if i < skip {
			return half + i
		}
		return i - skip
	}
}

// scaleAll multiplies the weights.
func (c *convolution) scaleAll(by float64) {
	scale := make([]float64, c.oc)
	for i := range scale {
		scale[i] = by
	}
	c.scaleWeights(scale)
}

type filler struct{ model *unet.Model }

func (f filler) value(name string) []float32 { return f.model.Params.Get(name).Value }

// conv fills a convolution of ic input channels, 3x3 or 1x1; at is where each of
// c's comes to lie.
func (f filler) conv(name, norm string, c *convolution, ic int, at func(int) int) {
	bias := f.model.Params.Get(name + ".bias")
	if bias != nil {
		c = folded(c)
	}
	q := f.model.Params.Get(name + ".weight")
	taps := q.Shape[2] * q.Shape[3]
	k := c.k * c.k
	for o := range c.oc {
		for i := range c.ic {
			dst, src := q.Value[(o*ic+at(i))*taps:][:taps], c.weight[(o*c.ic+i)*k:][:k]
			if k < taps {
				dst[taps/2] = src[0] // a rim of zeros
			} else {
				copy(dst, src)
			}
		}
	}
	if bias != nil {
		for o, v := range c.bias {
			bias.Value[o] = float32(v)
		}
		return
	}
	gamma, beta := f.value(norm+".weight"), f.value(norm+".bias")
	if c.group != nil {
		for o := range gamma {
			gamma[o] = 1
		}
		for o, v := range c.group.gamma {
			gamma[o], beta[o] = float32(v), float32(c.group.beta[o])
		}
		return
	}
	mean, variance := f.value(norm+".running_mean"), f.value(norm+".running_var")
	for o := range gamma {
		if o >= c.oc {
			gamma[o], variance[o] = 1, 1
			continue
		}
		n := c.norm
		// The variance stays that of the data; what another epsilon changes
		// goes into the scale.
		v := max(n.variance[o], 0)
		gamma[o] = float32(n.gamma[o] * math.Sqrt((v+core.Epsilon)/(n.variance[o]+n.eps)))
		beta[o], mean[o], variance[o] = float32(n.beta[o]), float32(n.mean[o]-c.bias[o]), float32(v)
	}
}

// up fills a 2x2 transposed convolution of oc output channels.
func (f filler) up(name string, c *convolution, oc int) {
	weight := f.value(name + ".weight")
	for i := range c.ic {
		for o := range c.oc {
			copy(weight[(i*oc+o)*4:][:4], c.weight[(i*c.oc+o)*4:][:4])
		}
	}
	for o, v := range c.bias {
		f.value(name + ".bias")[o] = float32(v)
	}
}

// gate fills an attention gate of a level of n channels.
func (f filler) gate(name string, g *gate, n int) {
	weight, bias, psi := f.value(name+".conv.weight"), f.value(name+".conv.bias"), f.value(name+".psi.weight")
	for o, v := range g.bias {
		copy(weight[o*2*n:], g.skip.weight[o*g.skip.ic:][:g.skip.ic])
		copy(weight[o*2*n+n:], g.up.weight[o*g.up.ic:][:g.up.ic])
		bias[o] = float32(v)
	}
	copy(psi, g.psi.weight)
	f.value(name + ".psi.bias")[0] = float32(g.psi.bias[0])
}
