package unet

import (
	"cmp"
	"fmt"
	"slices"

	"unet/core"
)

// The parts of a network that there is a choice of. A new block is a function in
// a file of its own and a line in its table: it gives its layers to the builder,
// which declares their parameters or builds a program, and must not reach
// further than two pixels (else Arch.Halo has to know).

// A blockFunc adds the convolutions of one level, from x to out.
type blockFunc func(n *net, name string, x source, out core.Tensor)

const (
	plain      = "plain"
	transposed = "transposed"
)

var blocks = map[string]blockFunc{
	"":         plainBlock,
	plain:      plainBlock,
	"residual": residualBlock,
}

// ups are the ways from x to out, twice as large; radius is how far a pixel of
// out reaches beyond its own of x, in pixels of out.
var ups = map[string]struct {
	add    func(n *net, name string, x, out core.Tensor)
	radius int
}{
	"":         {transposedUp, 0},
	transposed: {transposedUp, 0},
	"nearest":  {nearestUp, 1},
}

// Norms are the normalisations a network may have.
var Norms = []string{"batch", "group", "none"}

// Blocks lists the names of blocks, Ups those of ways to enlarge.
func Blocks() []string { return names(blocks) }

// Ups lists the names of ways to enlarge.
func Ups() []string { return names(ups) }

func names[T any](table map[string]T) (list []string) {
	for name := range table {
		if name != "" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// Variant names what distinguishes a from the plain U-Net with batch-norm.
func (a Arch) Variant() (list []string) {
	if b := cmp.Or(a.Block, plain); b != plain {
		list = append(list, b+" blocks")
	}
	if a.Attention {
		list = append(list, "attention gates")
	}
	if up := cmp.Or(a.Up, transposed); up != transposed {
		list = append(list, up+" upsampling")
	}
	switch a.Norm {
	case "group":
		list = append(list, "group norm")
	case "none":
		list = append(list, "no normalisation")
	}
	return list
}

// net is a network being described.
type net struct {
	*core.Builder
	arch Arch
}

// source is the input of a block: a tensor, or the image.
type source struct {
	core.Tensor
	image *core.Planar
}

// layer names convolution i of a block.
func (n *net) layer(name string, i int) core.Layer {
	return n.named(fmt.Sprintf("%s.conv%d", name, i), fmt.Sprintf("%s.norm%d", name, i))
}

func (n *net) named(conv, norm string) core.Layer {
	if n.arch.Norm == "none" {
		norm = ""
	}
	return core.Layer{Conv: conv, Norm: norm}
}

// conv adds a 3x3 convolution of x.
func (n *net) conv(l core.Layer, x source, out core.Tensor) {
	if x.image != nil {
		n.FirstConv(l, *x.image, out)
		return
	}
	n.Conv(l, x.Tensor, out)
}

// skip is the memory of a skip connection. Encoder and decoder write into their
// parts of it, so that nothing is copied to concatenate them:
//
//	without attention             with attention
//	| enlarged | encoded |        | encoded | enlarged | gated |
//	 \______ joined ______/        \______ gate ______/
//	                                         \______ joined ____/
type skip struct {
	name                     string
	encoded, enlarged, gated core.Tensor
	gate, joined             core.Tensor // parts of it side by side
}

// skip reserves that of a level of c channels.
func (n *net) skip(name string, c, h, w int) skip {
	if !n.arch.Attention {
		t := n.Tensor(name+".cat", 2*c, h, w)
		return skip{name: name, enlarged: t.Slice(0, c), encoded: t.Slice(c, 2*c), joined: t}
	}
	t := n.Tensor(name+".cat", 3*c, h, w)
	return skip{
		name: name, encoded: t.Slice(0, c), enlarged: t.Slice(c, 2*c), gated: t.Slice(2*c, 3*c),
		gate: t.Slice(0, 2*c), joined: t.Slice(c, 3*c),
	}
}
