package unet

import (
	"fmt"
	"slices"

	"unet/core"
)

// Int8 is the precision of models whose products are of 8-bit integers.
const Int8 = "int8"

// QuantLayer is a layer that may compute with 8-bit products.
type QuantLayer struct {
	Name     string
	Level    int  // of the network, 0 the full resolution
	channels int  // of its input
	up       bool // transposed convolution
}

// QuantLayers lists the layers that may compute with 8-bit products in the order they run: all but the first and the head,
// which are cheap and close to the image and the answer.
func (a Arch) QuantLayers() []QuantLayer {
	var list []QuantLayer
	block := func(name string, level int, ic ...int) {
		for i, c := range ic {
			list = append(list, QuantLayer{fmt.Sprintf("%s.conv%d", name, 2-len(ic)+i+1), level, c, false})
		}
	}
	block(encName(0), 0, a.Width)
	for l := 1; l < a.Depth; l++ {
		block(encName(l), l, a.Width<<(l-1), a.Width<<l)
	}
	block("bottom", a.Depth, a.Width<<(a.Depth-1), a.Width<<a.Depth)
	for l := a.Depth - 1; l >= 0; l-- {
		list = append(list, QuantLayer{decName(l) + ".up", l, a.Width << (l + 1), true})
		block(decName(l), l, 2*a.Width<<l, a.Width<<l)
	}
	return list
}

// declareRanges declares what the layers with 8-bit products need.
func (c Card) declareRanges(p *core.Params) {
	if c.Precision != Int8 {
		return
	}
	for _, l := range c.Arch.QuantLayers() {
		switch {
		case slices.Contains(c.FloatLayers, l.Name):
		case l.up:
			core.DeclareTConvRange(p, l.Name, l.channels)
		default:
			core.DeclareConvRange(p, l.Name, l.channels)
		}
	}
}
