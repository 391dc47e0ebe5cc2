package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// view tells how the elements of a layer are laid out: one string for each
// dimension, of the indices that it counts, the slowest first. c, h and w are
// channel, row and column; r and s count two copies of the same element. So
// {"", "c", "h", "w"} is PyTorch's layout, {"", "h", "w", "c"} TensorFlow's,
// and {"", "hr", "ws", "c"} the latter after upsampling to the nearest
// neighbour. g and k count groups of channels and the channels of a group, c
// being both. Indices of one value are left out.
type view []string

// layout is the usual view of e, channels second or last.
func layout(e *expr, last bool) view {
	c := "c"
	if e.c == 1 {
		c = ""
	}
	if last {
		return view{"", "h", "w", c}
	}
	return view{"", c, "h", "w"}
}

func (v view) is(w view) bool { return slices.Equal(v, w) }

// channels reports whether axis, which may count from the end, is that of the
// channels.
func (v view) channels(axis int64) bool {
	if axis < 0 {
		axis += int64(len(v))
	}
	if c := slices.Index(v, "c"); c >= 0 {
		return axis == int64(c)
	}
	return axis == 1 && v[len(v)-1] == "w" || axis == int64(len(v))-1 // a single channel
}

func size(e *expr, index rune) int {
	switch index {
	case 'c':
		return e.c
	case 'h':
		return e.h
	case 'w':
		return e.w
	case 'g':
		return e.c / groupSize
	case 'k':
		return groupSize
	}
	return 2
}

// dims is the shape of e in this view.
func (v view) dims(e *expr) []int {
	list := make([]int, len(v))
	for i, indices := range v {
		list[i] = 1
		for _, index := range indices {
			list[i] *= size(e, index)
		}
	}
	return list
}

// settled returns v in a usual layout: what was copied in rows and columns
// becomes a layer of nearest upsampling.
func (v value) settled() (value, error) {
	e := v.layer
	for _, last := range []bool{false, true} {
		if v.view.is(layout(e, last)) {
			return v, nil
		}
		for _, copies := range []string{"rs", "sr"} {
			up := layout(e, last)
			for i := range up {
				up[i] = strings.Replace(strings.Replace(up[i], "h", "h"+copies[:1], 1), "w", "w"+copies[1:], 1)
			}
			if v.view.is(up) {
				e = &expr{op: opNearest, in: []*expr{e}, c: e.c, h: 2 * e.h, w: 2 * e.w, node: e.node}
				return value{layer: e, view: layout(e, last)}, nil
			}
		}
	}
	return value{}, fmt.Errorf("its input has been rearranged to %v, which is neither the layout of PyTorch nor of TensorFlow", v.view.dims(e))
}

func transposeLayer(n *nodeProto, in []value) (value, error) {
	v := in[0]
	perm := n.ints("perm")
	if len(perm) != len(v.view) {
		return value{}, fmt.Errorf("a permutation %v of %d axes", perm, len(v.view))
	}
	var to view
	seen := make([]bool, len(perm))
	for _, p := range perm {
		if p < 0 || p >= len(perm) || seen[p] {
			return value{}, fmt.Errorf("a permutation %v", perm)
		}
		seen[p] = true
		to = append(to, v.view[p])
	}
	return value{layer: v.layer, view: to}, nil
}

// reshaped lays the elements out in another shape.
func (v value) reshaped(shape []int) (value, error) {
	if len(shape) > 8 {
		return value{}, fmt.Errorf("%d dimensions", len(shape))
	}
	rest := strings.ReplaceAll(strings.Join(v.view, ""), "gk", "c")
	var to view
	for _, d := range shape {
		n, k := 1, 0
		for n < d && k < len(rest) {
			if rest[k] == 'c' && n*v.layer.c > d && n*v.layer.c == d*groupSize {
				rest = rest[:k] + "gk" + rest[k+1:]
			}
			n *= size(v.layer, rune(rest[k]))
			k++
		}
		if n != d && v.view.is(layout(v.layer, false)) && len(shape) == 3 && v.layer.c%d == 0 {
			return value{}, notOurGroups(v.layer.c / d)
		}
		if n != d {
			return value{}, fmt.Errorf("a change of shape from %v to %v", v.view.dims(v.layer), shape)
		}
		to, rest = append(to, rest[:k]), rest[k:]
	}
	if rest != "" {
		return value{}, fmt.Errorf("a change of shape from %v to %v", v.view.dims(v.layer), shape)
	}
	return value{layer: v.layer, view: to}, nil
}

func reshapeLayer(n *nodeProto, in []value) (value, error) {
	c := weightOf(in, 1)
	if c == nil {
		return value{}, errors.New("a change of shape to one that is not a constant")
	}
	shape, err := c.ints()
	if err != nil {
		return value{}, err
	}
	dims := in[0].view.dims(in[0].layer)
	rest, known, total := -1, 1, 1
	for _, d := range dims {
		total *= d
	}
	for i, d := range shape {
		if d == 0 && i < len(dims) {
			shape[i] = dims[i]
		}
		switch d := shape[i]; {
		case d == -1 && rest < 0:
			rest = i
		case d < 1 || d > total:
			return value{}, fmt.Errorf("a change of shape to %v", shape)
		default:
			known = min(known*d, total+1) // no more than that fits
		}
	}
	if rest >= 0 {
		shape[rest] = total / known
	}
	return in[0].reshaped(shape)
}

// squeezeLayer takes dimensions of 1 away or puts them in.
func squeezeLayer(n *nodeProto, in []value) (value, error) {
	dims := in[0].view.dims(in[0].layer)
	to, err := (&constant{dims: dims}).squeezed(n, constants(in[1:]))
	if err != nil {
		return value{}, err
	}
	return in[0].reshaped(to)
}

// tileLayer copies elements twice along a dimension of its own.
func tileLayer(n *nodeProto, in []value) (value, error) {
	v := in[0]
	c := weightOf(in, 1)
	if c == nil {
		return value{}, errors.New("copies whose number is not a constant")
	}
	repeats, err := c.ints()
	if err != nil {
		return value{}, err
	}
	to := slices.Clone(v.view)
	for i, k := range repeats {
		switch {
		case k == 1:
			continue
		case i >= len(to) || k != 2 || to[i] != "":
			return value{}, fmt.Errorf("copies %v of %v", repeats, v.view.dims(v.layer))
		}
		to[i] = "r"
		if strings.Contains(strings.Join(v.view, ""), "r") {
			to[i] = "s"
		}
	}
	if all := strings.Join(to, ""); strings.Count(all, "r") > 1 || strings.Count(all, "s") > 1 {
		return value{}, fmt.Errorf("copies %v of %v", repeats, v.view.dims(v.layer))
	}
	return value{layer: v.layer, view: to}, nil
}
