package unet

import (
	"context"

	"unet/core"
)

// Bench is a network on a made-up batch, for measuring speed and memory.
type Bench struct {
	engine *core.Engine
	model  *Model
	net    *network
	adam   *core.Adam // nil: forward only
	// A forward pass does a group of images at a time, as prediction does one:
	// their activations stay in the cache and take a fraction of the memory.
	group    int
	in, prob []float32 // of the whole batch
}

// groupPixels is the size of a group.
const groupPixels = 1 << 16

// NewBench reads a model of one map and readies it for batches of side x side
// images whose samples are i%251/251, with targets 1 at every 7th pixel.
func NewBench(path string, side, batch, threads int, training bool) (*Bench, error) {
	e, err := core.NewEngine("", threads)
	if err != nil {
		return nil, err
	}
	b := &Bench{engine: e}
	m, err := LoadModel(path)
	if err != nil {
		return nil, err
	}
	b.model = m
	if training {
		b.adam = core.NewAdam(1e-4)
		if b.model, err = NewModel(m.Card, 1, true); err != nil {
			return nil, err
		}
		m.copyTo(b.model, false)
		m.Params.Free()
	}
	b.group = batch
	if !training {
		for b.group = max(1, min(batch, groupPixels/(side*side))); batch%b.group != 0; b.group-- {
		}
	}
	b.net, err = m.Card.Arch.build(e, b.model.Params, side, side, core.Options{Batch: b.group, Training: training}, []core.Loss{{Scale: 1, BCE: 1}})
	if err != nil {
		return nil, err
	}
	b.in = make([]float32, batch*m.Card.Arch.Channels*side*side)
	for i := range b.in {
		b.in[i] = float32(i%251) / 251
	}
	b.prob = make([]float32, batch*side*side)
	if training {
		copy(b.net.prog.Data(b.net.input), b.in)
		targets, weights := b.net.prog.Data(b.net.targets), b.net.prog.Data(b.net.weights)
		for i := range targets {
			weights[i] = 1
			if i%7 == 0 {
				targets[i] = 1
			}
		}
		return b, nil
	}
	return b, b.net.prog.Run(context.Background(), core.Pack)
}

// Step does one forward pass or one step of training.
func (b *Bench) Step() error {
	if b.adam == nil {
		prog := b.net.prog
		n := len(b.prob) / len(b.net.maps.Prob())
		in, prob := len(b.in)/n, len(b.prob)/n
		for i := range n {
			copy(prog.Data(b.net.input), b.in[i*in:][:in])
			if err := prog.Run(context.Background(), core.Forward); err != nil {
				return err
			}
			copy(b.prob[i*prob:], b.net.maps.Prob())
		}
		return nil
	}
	if err := b.net.prog.Run(context.Background(), core.Forward, core.Backward); err != nil {
		return err
	}
	b.adam.Update(b.engine, b.model.Params, b.adam.GradNorm(b.engine, b.model.Params))
	return nil
}

// Probabilities returns the maps of the last forward pass, [batch][1][H*W].
func (b *Bench) Probabilities() []float32 {
	if b.adam != nil {
		return b.net.maps.Prob()
	}
	return b.prob
}

// Close releases memory and threads.
func (b *Bench) Close() {
	b.net.prog.Free()
	b.model.Params.Free()
	b.engine.Close()
}
