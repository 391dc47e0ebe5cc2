package onnx

import (
	"errors"
	"fmt"
	"math"

	"unet/core"
)

// Group norm is written in two ways: as the operator of opset 21, and as the
// operator for instances on groups laid out as one channel each, followed by a
// scale and a shift per channel.

// notOurGroups is the misfit of a group norm in groups of n channels.
func notOurGroups(n int) error {
	return fmt.Errorf("group norm in groups of %d channels: the network here has groups of %d", n, groupSize)
}

// instanceNorm knows groups as channels.
func instanceNorm(n *nodeProto, in []value) (value, error) {
	v := in[0]
	x := v.layer
	groups := x.c / groupSize
	want := view{"", "g", "khw"}
	if groups == 1 {
		want = view{"", "", "chw"}
	}
	if x.c%groupSize != 0 || !v.view.is(want) {
		k := x.c
		if len(v.view) > 1 {
			k /= max(v.view.dims(x)[1], 1)
		}
		return value{}, notOurGroups(k)
	}
	return groupNormOf(n, in, groups)
}

func groupNormalization(n *nodeProto, in []value) (value, error) {
	x, err := first(in)
	if err != nil {
		return value{}, err
	}
	groups := n.integer("num_groups", 0)
	if groups < 1 || int64(x.c)%groups != 0 {
		return value{}, fmt.Errorf("%d groups of %d channels", groups, x.c)
	}
	if k := x.c / int(groups); k != groupSize {
		return value{}, notOurGroups(k)
	}
	return groupNormOf(n, in, int(groups))
}

// groupNormOf puts group norm behind a convolution; its scale and shift are of
// a group or, since opset 21, of a channel each.
func groupNormOf(n *nodeProto, in []value, groups int) (value, error) {
	x := in[0].layer
	if eps := n.float("epsilon", 1e-5); math.Abs(eps-core.Epsilon) > 1e-3*core.Epsilon {
		return value{}, fmt.Errorf("an epsilon of %g: group norm here has %g", eps, core.Epsilon)
	}
	var p [2][]float64
	for i := range p {
		c := weightOf(in, i+1)
		if c == nil || c.len() != groups && c.len() != x.c {
			return value{}, fmt.Errorf("its parameters are not constants of %d or %d values", groups, x.c)
		}
		for o := range x.c {
			p[i] = append(p[i], c.at(o*c.len()/x.c))
		}
	}
	if x.op != opConv {
		return value{}, fmt.Errorf("it follows a %s: expected a convolution", x.op)
	}
	if x.conv.norm != nil || x.conv.group != nil {
		return value{}, errors.New("it follows another norm")
	}
	for o, b := range x.conv.bias {
		if b != x.conv.bias[o-o%groupSize] { // what a group has in common goes with its mean
			return value{}, errors.New("the convolution before it has a bias: here it has none (bias=False)")
		}
	}
	return followed(n, in[0], func(c *convolution) {
		clear(c.bias)
		c.group = &groupNorm{p[0], p[1]}
	})
}
