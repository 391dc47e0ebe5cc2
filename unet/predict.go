package unet

import (
	"context"
	"fmt"
	"sync"

	"unet/core"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// Predictor computes the maps of images. It keeps the programs of the image
// sizes it met; they share memory, as much as the largest needs. Its methods may
// be called from several goroutines, whose computations take turns; to compute
// images side by side, give each goroutine one of its own from Fork, on an
// engine of one thread.
type Predictor struct {
	engine *core.Engine
	model  *Model
	// TTA averages over the image and its three mirror images (test-time
	// augmentation), at four times the cost.
	TTA bool
	// BFloat16 multiplies bfloat16 numbers instead of float32; to be set before
	// the first image. See core.Options.
	BFloat16 bool

	// Ranges, if not nil, gathers the ranges of the layers' inputs, by which they
	// are quantised; to be set before the first image. See core.Options.
	Ranges map[string][]float32

	*memory
	// Images of more than whole pixels are computed in tiles of tileW x tileH.
	whole, tileW, tileH int
}

// memory is what predictors that take turns have in common.
type memory struct {
	mu     sync.Mutex
	nets   map[shape]*Network
	shared core.Shared
}

// shape is what a program is built for.
type shape struct {
	engine  *core.Engine
	n, h, w int
}

// The size of tiles depends on nothing but the image, so that neither do its
// maps: Winograd's rounding differs, in the last bits, with the distance to
// the edge of a tile. These sizes let an image 40 000 pixels wide be predicted
// within 2 GiB; wide tiles waste less on their halo than high ones.
const (
	wholePixels = 1536 * 1536
	tileWidth   = 1536
	tileHeight  = 768
)

// mostPrograms bounds the programs kept, of some 100 KiB each besides the memory
// they share.
const mostPrograms = 64

// NewPredictor readies m for prediction on e. Close releases its memory.
func NewPredictor(e *core.Engine, m *Model) *Predictor {
	return &Predictor{engine: e, model: m, memory: &memory{nets: map[shape]*Network{}},
		whole: wholePixels, tileW: tileWidth, tileH: tileHeight}
}

// Fork returns a predictor like p on another engine, to compute images side by
// side. It has p's packed weights, if the instruction set is the same, and memory
// of its own, which Close releases.
func (p *Predictor) Fork(e *core.Engine) *Predictor {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.WithEngine(e)
	q.memory = &memory{nets: map[shape]*Network{}, shared: p.shared.Fork()}
	return q
}

// WithEngine returns a predictor like p on another engine. It has p's memory, so that the
// two take turns; closing one closes both.
func (p *Predictor) WithEngine(e *core.Engine) *Predictor {
	q := *p
	q.engine = e
	return &q
}

// Engine returns the engine in use.
func (p *Predictor) Engine() *core.Engine { return p.engine }

// Model returns the model in use.
func (p *Predictor) Model() *Model { return p.model }

// Close releases the programs' memory. Another image takes it again.
func (p *Predictor) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget()
	p.shared.Free()
}

// forget drops the programs. p.mu is held.
func (p *Predictor) forget() {
	for _, n := range p.nets {
		n.prog.Free()
	}
	clear(p.nets)
}

// Memory returns the bytes of activations that predicting an image of w x h
// takes at once (images larger than a tile are computed in tiles).
func (m *Model) Memory(w, h int) (int, error) { return m.memory(w, h, false) }

func (m *Model) memory(w, h int, bfloat16 bool) (int, error) {
	e, err := core.NewEngine("", 1)
	if err != nil {
		return 0, err
	}
	defer e.Close()
	w, h = m.Card.Arch.tile(w, h)
	var shared core.Shared // whose arena nothing touches
	defer shared.Free()
	_, err = m.Card.Arch.build(e, m.Params, h, w, core.Options{Batch: 1, BFloat16: bfloat16, Shared: &shared}, nil)
	return shared.Memory(), err
}

// tile returns the size at which an image of w x h pixels is computed: its own, or
// that of a tile, rounded up.
func (a Arch) tile(w, h int) (tileW, tileH int) {
	if w*h > wholePixels {
		w, h = min(w, tileWidth), min(h, tileHeight)
	}
	up := func(v int) int {
		k := a.Multiple()
		return (v + k - 1) / k * k
	}
	return up(w), up(h)
}

// Repack makes p see changed parameters of its model.
func (p *Predictor) Repack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shared.Stale()
}

// network returns the program for n images of h x w. p.mu is held.
func (p *Predictor) network(n, h, w int) (*Network, error) {
	key := shape{p.engine, n, h, w}
	if net := p.nets[key]; net != nil {
		return net, nil
	}
	if len(p.nets) == mostPrograms {
		p.forget()
	}
	net, err := p.model.Card.Arch.build(p.engine, p.model.Params, h, w, core.Options{Batch: n, BFloat16: p.BFloat16, Ranges: p.Ranges, Shared: &p.shared}, nil)
	if err != nil {
		// The shared memory may be gone.
		p.forget()
		p.shared.Free()
		return nil, err
	}
	p.nets[key] = net
	return net, nil
}

// Maps returns the network's probabilities for an image of raw samples, at the
// size of the image.
func (p *Predictor) Maps(ctx context.Context, img *imageio.Image) (instance.Maps, error) {
	return p.MapsAt(ctx, img, img.W, img.H)
}

// MapsAt is Maps by way of another size: the image is normalised, shown to the
// network at w x h pixels, and the maps are resampled to the image's size. A
// model with an input size of its own sees every image at that.
func (p *Predictor) MapsAt(ctx context.Context, img *imageio.Image, w, h int) (instance.Maps, error) {
	in, err := p.model.Card.Input.Apply(img)
	if err != nil {
		return instance.Maps{}, err
	}
	return p.NormalisedMaps(ctx, in, w, h)
}

// NormalisedMaps is MapsAt for an image that Input.Apply has normalised.
func (p *Predictor) NormalisedMaps(ctx context.Context, in *imageio.Image, w, h int) (instance.Maps, error) {
	if size := p.model.Card.Input.Size; size > 0 {
		w, h = size, size
	}
	if in.W < 1 || in.H < 1 || w < 1 || h < 1 {
		return instance.Maps{}, fmt.Errorf("empty image (%dx%d)", in.W, in.H)
	}
	planes, err := p.planes(ctx, imageio.Resample(in, w, h))
	if err != nil {
		return instance.Maps{}, err
	}
	heads := p.model.Card.Arch.Heads
	back := &imageio.Image{W: w, H: h, C: len(heads), Pix: planes}
	return instance.Maps{W: in.W, H: in.H, Names: heads, Pix: imageio.Resample(back, in.W, in.H).Pix}, nil
}

// planes computes all heads of a normalised image at its own scale, whole or
// in tiles that overlap by the network's receptive field.
func (p *Predictor) planes(ctx context.Context, in *imageio.Image) ([]float32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	heads := len(p.model.Card.Arch.Heads)
	out := make([]float32, heads*in.W*in.H)
	xs, ys := p.tiles(in.W, in.H)
	for _, y := range ys {
		for _, x := range xs {
			prob, err := p.tile(ctx, in, x, y)
			if err != nil {
				return nil, err
			}
			for k := range heads {
				for row := y.from; row < y.to; row++ {
					src := prob[(k*y.size+row-y.start)*x.size+x.from-x.start:]
					copy(out[(k*in.H+row)*in.W+x.from:][:x.to-x.from], src)
				}
			}
		}
	}
	return out, nil
}

// cut is one tile along one axis: pixels from..to-1 are kept of size pixels
// computed, the first of which is start.
type cut struct{ start, size, from, to int }

// fillTile writes channels planes of a tile, continuing the image by
// reflection where the tile leaves it. Gray images fill every channel; colour
// images become gray for a network of one channel.
func fillTile(dst []float32, in *imageio.Image, channels int, x, y cut) {
	for c := range channels {
		for row := range y.size {
			d := dst[(c*y.size+row)*x.size:][:x.size]
			sy := reflect(y.start+row, in.H) * in.W
			read := func(at int) float32 {
				switch {
				case in.C == 1:
					return in.Pix[at]
				case channels == 1: // luma of ITU-R BT.601
					n := in.W * in.H
					return 0.299*in.Pix[at] + 0.587*in.Pix[n+at] + 0.114*in.Pix[2*n+at]
				}
				return in.Pix[c%in.C*in.W*in.H+at]
			}
			inside := min(max(in.W-x.start, 0), x.size)
			if in.C == 1 || channels > 1 {
				plane := 0
				if in.C > 1 {
					plane = c % in.C * in.W * in.H
				}
				copy(d[:inside], in.Pix[plane+sy+x.start:])
			} else {
				for i := range inside {
					d[i] = read(sy + x.start + i)
				}
			}
			for i := inside; i < x.size; i++ {
				d[i] = read(sy + reflect(x.start+i, in.W))
			}
		}
	}
}

// reflect mirrors i into 0..n-1 without repeating the edge.
func reflect(i, n int) int {
	if n == 1 {
		return 0
	}
	i %= 2 * (n - 1)
	if i < 0 {
		i += 2 * (n - 1)
	}
	return min(i, 2*(n-1)-i)
}
