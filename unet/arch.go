// Package unet is a U-Net for nuclei segmentation: the network, its model files,
// and prediction on images of any size. Package train trains models.
//
// Two kinds of model come from the same code. A "paper" model sees images
// resized to a fixed square and answers with one foreground map. A "nuclei"
// model works at native scale and answers with the maps from which package
// instance separates touching nuclei.
package unet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"unet/core"
	"unet/unet/instance"
)

// Arch describes a network (Ronneberger et al. 2015): Depth levels of two 3x3
// convolutions with batch-norm and ReLU and a 2x2 max-pool, a bottom level,
// and as many levels back up through 2x2 transposed convolutions and skip
// concatenation. Level l has Width<<l channels.
type Arch struct {
	Channels int      `json:"channels"` // of the input, 1..4
	Depth    int      `json:"depth"`
	Width    int      `json:"width"`   // multiple of 16
	Norm     string   `json:"norm"`    // "batch" or "none"
	Dropout  float64  `json:"dropout"` // after every pool, training only
	Heads    []string `json:"heads"`   // names of the output maps
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
	case a.Norm != "batch" && a.Norm != "none":
		return fmt.Errorf("unknown norm %q: batch or none", a.Norm)
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
		len(a.Heads) == len(b.Heads)
}

// Multiple is what image sides are padded to a multiple of.
func (a Arch) Multiple() int { return 1 << a.Depth }

// Halo is the radius, in pixels of the input, from which a network's answer at
// a pixel draws: half its receptive field.
func (a Arch) Halo() int {
	r := 0
	for l := range a.Depth {
		r += 2<<l + 2<<l + 1<<l // two convolutions down, two up, pool and transposed convolution
	}
	return r + 2<<a.Depth
}

// names of the layers at a level.
func encName(l int) string { return fmt.Sprintf("enc%d", l) }
func decName(l int) string { return fmt.Sprintf("dec%d", l) }

func (a Arch) declare(p *core.Params) {
	block := func(name string, ic, oc int) {
		for i, c := range []int{ic, oc} {
			norm := ""
			if a.Norm == "batch" {
				norm = fmt.Sprintf("%s.norm%d", name, i+1)
			}
			core.DeclareConv(p, fmt.Sprintf("%s.conv%d", name, i+1), norm, c, oc)
		}
	}
	ic := a.Channels
	for l := range a.Depth {
		block(encName(l), ic, a.Width<<l)
		ic = a.Width << l
	}
	block("bottom", ic, a.Width<<a.Depth)
	for l := a.Depth - 1; l >= 0; l-- {
		core.DeclareTConv(p, decName(l)+".up", a.Width<<(l+1), a.Width<<l)
		block(decName(l), 2*a.Width<<l, a.Width<<l)
	}
	core.DeclareHead(p, "head", a.Width, len(a.Heads))
}

// build makes a program for n images of h x w, multiples of a.Multiple().
func (a Arch) build(e *core.Engine, p *core.Params, h, w int, o core.Options, losses []core.Loss) (*Network, error) {
	b := core.NewBuilder(e, p, o)
	net := &Network{input: b.Input(a.Channels, h, w)}
	conv := func(name string, i int, in, out core.Tensor) {
		b.Conv(fmt.Sprintf("%s.conv%d", name, i), a.norm(name, i), in, out)
	}
	var x core.Tensor
	cats := make([]core.Tensor, a.Depth)
	for l := range a.Depth + 1 {
		name, c, lh, lw := encName(l), a.Width<<l, h>>l, w>>l
		if l == a.Depth {
			name = "bottom"
		}
		mid := b.Tensor(name+".1", c, lh, lw)
		if l == 0 {
			b.FirstConv(name+".conv1", a.norm(name, 1), net.input, mid)
		} else {
			conv(name, 1, x, mid)
		}
		var out core.Tensor
		if l < a.Depth {
			// The skip connection: the encoder writes into the half of the
			// decoder's input that the transposed convolution leaves free.
			cats[l] = b.Tensor(decName(l)+".cat", 2*c, lh, lw)
			out = cats[l].Slice(c, 2*c)
		} else {
			out = b.Tensor(name+".2", c, lh, lw)
		}
		conv(name, 2, mid, out)
		x = out
		if l < a.Depth {
			x = b.Pool(name+".pool", out)
			b.Dropout(name+".drop", x, a.Dropout, &net.seed, uint64(l)<<40)
		}
	}
	for l := a.Depth - 1; l >= 0; l-- {
		name, c := decName(l), a.Width<<l
		b.TConv(name+".up", x, cats[l].Slice(0, c))
		mid := b.Tensor(name+".1", c, h>>l, w>>l)
		conv(name, 1, cats[l], mid)
		x = b.Tensor(name+".2", c, h>>l, w>>l)
		conv(name, 2, mid, x)
	}
	net.maps = b.Head("head", x, len(a.Heads))
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

func (a Arch) norm(name string, i int) string {
	if a.Norm == "none" {
		return ""
	}
	return fmt.Sprintf("%s.norm%d", name, i)
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
