package onnx

// attribute returns an attribute by name, or nil.
func (n *nodeProto) attribute(name string) *attributeProto {
	for _, a := range n.attributes {
		if a.name == name {
			return a
		}
	}
	return nil
}

// integer returns an attribute, or what holds where it is missing.
func (n *nodeProto) integer(name string, missing int64) int64 {
	if a := n.attribute(name); a != nil {
		return a.i
	}
	return missing
}

func (n *nodeProto) text(name, missing string) string {
	if a := n.attribute(name); a != nil {
		return string(a.s)
	}
	return missing
}

func (n *nodeProto) float(name string, missing float64) float64 {
	if a := n.attribute(name); a != nil {
		return float64(a.f)
	}
	return missing
}

// ints returns a list, nil where it is missing. Values beyond any size that
// could fit become one that does not.
func (n *nodeProto) ints(name string) []int {
	a := n.attribute(name)
	if a == nil {
		return nil
	}
	list := make([]int, 0, len(a.ints))
	for _, v := range a.ints {
		list = append(list, int(min(max(v, -1<<30), 1<<30)))
	}
	return list
}

func (n *nodeProto) tensor(name string) *tensorProto {
	if a := n.attribute(name); a != nil {
		return a.t
	}
	return nil
}
