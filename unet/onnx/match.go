package onnx

import (
	"errors"
	"fmt"
	"math"

	"unet/core"
	"unet/unet"
)

// found is a U-Net recognised in a graph, level 0 being that of the image.
type found struct {
	channels int
	scale    float64 // of the image
	encoder  [][]*convolution
	bottom   []*convolution
	up       []*convolution
	// upFirst tells whether a decoder's input begins with what comes from
	// below, as here, or with the skip connection.
	upFirst []bool
	decoder [][]*convolution
	heads   []*convolution
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
		convs, in, err := block(x)
		if err != nil {
			return nil, err
		}
		if in.op != opConcat {
			u.bottom = convs
			return append(skips, in), nil
		}
		if len(skips) == maxDepth {
			return nil, misfit(in, "more than %d levels", maxDepth)
		}
		u.decoder = append(u.decoder, convs)
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
			return nil, misfit(in, "neither of its inputs (%s, %s) is a 2x2 transposed convolution or nearest upsampling", in.in[0].op, in.in[1].op)
		}
		u.up = append(u.up, up)
		u.upFirst = append(u.upFirst, skip == 1)
		skips = append(skips, in.in[skip])
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

// block returns one or two convolutions with ReLU that end in e, in order, and
// what they are computed from.
func block(e *expr) (convs []*convolution, in *expr, err error) {
	for x := e; ; {
		if x.op != opReLU || x.in[0].op != opConv {
			switch {
			case x.op == opConv:
				return nil, nil, misfit(x, "no ReLU follows the convolution")
			case len(convs) > 0:
				return convs, x, nil
			case x.op == opReLU:
				return nil, nil, misfit(x, "the ReLU follows a %s: expected a convolution", x.in[0].op)
			}
			return nil, nil, misfit(x, "a %s where a convolution with ReLU should end a level", x.op)
		}
		if len(convs) == 2 {
			return nil, nil, misfit(x, "a third convolution on one level: the network here has two")
		}
		convs = append([]*convolution{x.in[0].conv}, convs...)
		x = x.in[0].in[0]
	}
}

// ascend goes from the bottom through the encoder to the image.
func (u *found) ascend(skips []*expr) error {
	x := skips[len(skips)-1] // the input of the bottom
	skips = skips[:len(skips)-1]
	if len(skips) == 0 {
		return misfit(x, "there is no skip connection: not a U-Net")
	}
	u.encoder = make([][]*convolution, len(skips))
	for l := len(skips) - 1; l >= 0; l-- {
		if x.op != opPool {
			return misfit(x, "a %s above level %d: expected a 2x2 max-pool", x.op, l+1)
		}
		if x.in[0] != skips[l] {
			return misfit(x, "it pools another layer than the one that the skip connection of level %d takes", l)
		}
		convs, in, err := block(skips[l])
		if err != nil {
			return err
		}
		u.encoder[l], x = convs, in
	}
	if x.op != opImage {
		return misfit(x, "a %s where the image should be", x.op)
	}
	u.channels, u.scale = x.c, x.scale
	return nil
}

// width is that of the narrowest network here that holds u.
func (u *found) width() int {
	width := 0
	fit := func(l int, convs ...*convolution) {
		for _, c := range convs {
			width = max(width, (c.oc+1<<l-1)>>l)
		}
	}
	for l := range u.encoder {
		fit(l, u.encoder[l]...)
		fit(l, u.decoder[l]...)
		fit(l, u.up[l])
	}
	fit(len(u.encoder), u.bottom...)
	return (width + 15) &^ 15
}

// blocks calls f for each level's pair of convolutions.
func (u *found) blocks(f func(name string, convs []*convolution)) {
	for l := range u.encoder {
		f(fmt.Sprintf("enc%d", l), u.encoder[l])
	}
	f("bottom", u.bottom)
	for l := range u.decoder {
		f(fmt.Sprintf("dec%d", l), u.decoder[l])
	}
}

// normalised reports whether every convolution has a batch-norm and every
// level both convolutions, so that training can go on with them.
func (u *found) normalised() bool {
	all := true
	u.blocks(func(_ string, convs []*convolution) {
		all = all && len(convs) == 2
		for _, c := range convs {
			all = all && c.norm != nil
		}
	})
	return all
}

// arch is the network here that holds u.
func (u *found) arch(heads []string) unet.Arch {
	a := unet.Arch{Channels: u.channels, Depth: len(u.encoder), Width: u.width(), Norm: "none", Heads: heads}
	if u.normalised() {
		a.Norm = "batch"
	}
	return a
}

// fill copies u's weights into m, a model of u.arch with weights of zero.
func (u *found) fill(m *unet.Model) error {
	for _, q := range m.Params.All() {
		clear(q.Value)
	}
	a := m.Card.Arch
	f := filler{m}
	u.blocks(func(name string, convs []*convolution) {
		var l int
		ic, oc := 0, 0
		switch n, _ := fmt.Sscanf(name, "enc%d", &l); {
		case n == 1:
			oc = a.Width << l
			ic = max(oc/2, 0)
			if l == 0 {
				ic = a.Channels
			}
		case name == "bottom":
			oc = a.Width << a.Depth
			ic = oc / 2
		default:
			fmt.Sscanf(name, "dec%d", &l)
			oc = a.Width << l
			ic = 2 * oc
		}
		first := *convs[0]
		at := func(i int) int { return i }
		if name[0] == 'd' {
			// What comes from below goes first here, each half filled up
			// with zeros.
			up, half := u.up[l].oc, a.Width<<l
			if u.upFirst[l] {
				at = func(i int) int {
					if i < up {
						return i
					}
					return half + i - up
				}
			} else {
				skip := first.ic - up
				at = func(i int) int {
					if i < skip {
						return half + i
					}
					return i - skip
				}
			}
		}
		if name == "enc0" && u.scale != 1 {
			scale := make([]float64, first.oc)
			for i := range scale {
				scale[i] = u.scale
			}
			first.scaleWeights(scale)
		}
		f.conv(name, 1, &first, ic, at)
		second := identity(first.oc)
		if len(convs) == 2 {
			second = convs[1]
		}
		f.conv(name, 2, second, oc, func(i int) int { return i })
	})
	for l, c := range u.up {
		f.up(fmt.Sprintf("dec%d.up", l), c, a.Width<<l)
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

type filler struct{ model *unet.Model }

func (f filler) value(name string) []float32 { return f.model.Params.Get(name).Value }

// conv fills a 3x3 convolution of ic input channels; at is where each of c's
// comes to lie.
func (f filler) conv(block string, i int, c *convolution, ic int, at func(int) int) {
	name, norm := fmt.Sprintf("%s.conv%d", block, i), fmt.Sprintf("%s.norm%d", block, i)
	bias := f.model.Params.Get(name + ".bias")
	if bias != nil {
		v := *c
		v.bias = append([]float64(nil), c.bias...)
		v.fold()
		c = &v
	}
	weight, k := f.value(name+".weight"), c.k*c.k
	for o := range c.oc {
		for i := range c.ic {
			dst, src := weight[(o*ic+at(i))*9:][:9], c.weight[(o*c.ic+i)*k:][:k]
			if k == 1 {
				dst[4] = src[0]
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
