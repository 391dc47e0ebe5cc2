package unet

import (
	"math/bits"
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

// QuantLayers lists the layers that may compute with 8-bit products in the order
// they run: all 3x3 and transposed convolutions but the first, which is cheap and
// close to the image, and none of a network with group norm.
func (a Arch) QuantLayers() []QuantLayer {
	if a.Norm == "group" {
		return nil
	}
	var list []QuantLayer
	for _, l := range a.declare(core.NewParams()) {
		level := a.Depth + 1 - bits.Len(uint(l.H))
		if l.Double { // counts where it leads
			level--
		}
		list = append(list, QuantLayer{l.Name, level, l.C, l.Double})
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
