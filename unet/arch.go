package unet

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"unet/core"
	"unet/unet/instance"
)

// Arch describes a network (Ronneberger et al. 2015): Depth levels of a Block and
// a 2x2 max-pool, a block at the bottom, and as many levels back up, each
// enlarging by Up, concatenating the skip connection and ending in a Block.
// Level l has Width<<l channels.
type Arch struct {
	Channels  int    `json:"channels"`            // number of channels of the input, 1 to 4
	Depth     int    `json:"depth"`               // number of times that the resolution is halved
	Width     int    `json:"width"`               // channels of the first block, a multiple of 16
	Block     string `json:"block,omitempty"`     // kind of block, a name in the table of blocks.go; absent: plain
	Up        string `json:"up,omitempty"`        // way to enlarge, a name in the table there; absent: transposed
	Attention bool   `json:"attention,omitempty"` // an additive gate is on every skip connection (Oktay et al. 2018)
	// Norm is "batch", "none" or "group". Group norm takes statistics of the image
	// it is shown: of one that is computed in tiles, those of each tile.
	Norm    string   `json:"norm"`
	Dropout float64  `json:"dropout"` // share of activations that is dropped after every pool, in training only
	Heads   []string `json:"heads"`   // names of the output maps
}

// The maps a network may be trained to predict.
const (
	HeadForeground = instance.Foreground
	HeadBorder     = instance.Border
	HeadDistance   = instance.Distance
)

// Check says what is wrong with a, or nil.
func (a Arch) Check() error {
	switch {
	case a.Channels < 1 || a.Channels > 4:
		return fmt.Errorf("network with %d input channels: 1 to 4 are possible", a.Channels)
	case a.Depth < 1 || a.Depth > 7:
		return fmt.Errorf("network of depth %d: 1 to 7 are possible", a.Depth)
	case a.Width < 16 || a.Width > 256 || a.Width%16 != 0:
		return fmt.Errorf("network of width %d: choose a multiple of 16 up to 256 (a narrower one would be no faster)", a.Width)
	case a.Width<<a.Depth > 4096:
		return fmt.Errorf("network of width %d and depth %d has %d channels at the bottom: at most 4096", a.Width, a.Depth, a.Width<<a.Depth)
	case !slices.Contains(Norms, a.Norm):
		return fmt.Errorf("unknown norm %q: %s", a.Norm, strings.Join(Norms, ", "))
	case blocks[a.Block] == nil:
		return fmt.Errorf("unknown block %q: %s", a.Block, strings.Join(Blocks(), ", "))
	case ups[a.Up].add == nil:
		return fmt.Errorf("unknown up %q: %s", a.Up, strings.Join(Ups(), ", "))
	case !(a.Dropout >= 0 && a.Dropout < 1):
		return fmt.Errorf("dropout %v: from 0 to below 1", a.Dropout)
	case len(a.Heads) < 1 || len(a.Heads) > 3 || a.Heads[0] != HeadForeground:
		return fmt.Errorf("heads %q: foreground, then border and distance if wanted", a.Heads)
	}
	for i, h := range a.Heads[1:] {
		if h != HeadBorder && h != HeadDistance || h == a.Heads[i] {
			return fmt.Errorf("heads %q: foreground, then border and distance if wanted", a.Heads)
		}
	}
	return nil
}

// Fits reports whether the weights of network a fit network b.
func (a Arch) Fits(b Arch) bool {
	return a.Channels == b.Channels && a.Depth == b.Depth && a.Width == b.Width && a.Norm == b.Norm &&
		cmp.Or(a.Block, plain) == cmp.Or(b.Block, plain) && cmp.Or(a.Up, transposed) == cmp.Or(b.Up, transposed) &&
		a.Attention == b.Attention && len(a.Heads) == len(b.Heads)
}

// Multiple is what image sides are padded to a multiple of.
func (a Arch) Multiple() int { return 1 << a.Depth }

// Halo is the radius, in pixels of the input, from which a network's answer at
// a pixel draws: half its receptive field.
func (a Arch) Halo() int {
	r := 0
	for l := range a.Depth {
		r += 2<<l + 2<<l + 1<<l // a block down, one up, pool and transposed convolution
		r += ups[a.Up].radius << l
	}
	return r + 2<<a.Depth
}

// describe adds the network to a builder, which declares its parameters or makes a
// program of it. What it returns is nil while declaring.
func (a Arch) describe(b *core.Builder, image core.Planar, seed *uint64) *core.Maps {
	n := &net{Builder: b, arch: a}
	block, up := blocks[a.Block], ups[a.Up].add
	x := source{image: &image}
	skips := make([]skip, a.Depth)
	for l := range a.Depth {
		name := fmt.Sprintf("enc%d", l)
		skips[l] = n.skip(fmt.Sprintf("dec%d", l), a.Width<<l, image.H>>l, image.W>>l)
		block(n, name, x, skips[l].encoded)
		pooled := b.Pool(name+".pool", skips[l].encoded)
		b.Dropout(name+".drop", pooled, a.Dropout, seed, uint64(l)<<40)
		x = source{Tensor: pooled}
	}
	y := b.Tensor("bottom.2", a.Width<<a.Depth, image.H>>a.Depth, image.W>>a.Depth)
	block(n, "bottom", x, y)
	for l := a.Depth - 1; l >= 0; l-- {
		s := skips[l]
		up(n, s.name+".up", y, s.enlarged)
		if a.Attention {
			b.Gate(s.name+".gate", s.gate, s.encoded, s.gated)
		}
		y = b.Tensor(s.name+".2", a.Width<<l, image.H>>l, image.W>>l)
		block(n, s.name, source{Tensor: s.joined}, y)
	}
	return b.Head("head", y, len(a.Heads))
}

// declare declares the parameters of the network and returns its layers that may
// compute with 8-bit products.
func (a Arch) declare(p *core.Params) []core.Quantisable {
	b := core.NewDeclarer(p, core.Options{GroupNorm: a.Norm == "group"})
	side := a.Multiple()
	a.describe(b, b.Input(a.Channels, side, side), nil)
	return b.Quantisable()
}

// build makes a program for n images of h x w, multiples of a.Multiple().
func (a Arch) build(e *core.Engine, p *core.Params, h, w int, o core.Options, losses []core.Loss) (*Network, error) {
	o.GroupNorm = a.Norm == "group"
	b := core.NewBuilder(e, p, o)
	net := &Network{input: b.Input(a.Channels, h, w)}
	net.maps = a.describe(b, net.input, &net.seed)
	if o.Training {
		net.targets = b.Input(len(a.Heads), h, w)
		net.weights = b.Input(len(a.Heads), h, w)
		net.maps.Loss(net.targets, net.weights, losses)
	} else {
		net.maps.Sigmoid()
	}
	var err error
	net.prog, err = b.Build()
	return net, err
}

// initialise draws weights from a normal distribution of variance 2/fan-in
// (He et al. 2015); scales start at 1, shifts and biases at 0.
func initialise(p *core.Params, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x756e6574))
	for _, q := range p.All() {
		switch {
		case len(q.Shape) == 4:
			fan := q.Shape[1] * q.Shape[2] * q.Shape[3]
			if q.Shape[2] == 2 { // transposed: every output sees each input channel once
				fan = q.Shape[0]
			}
			std := math.Sqrt(2 / float64(fan))
			for i := range q.Value {
				q.Value[i] = float32(rng.NormFloat64() * std)
			}
		case strings.HasSuffix(q.Name, "running_var"), strings.HasSuffix(q.Name, ".weight"):
			for i := range q.Value {
				q.Value[i] = 1
			}
		}
	}
}
