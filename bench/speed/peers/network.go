package main

import (
	"context"

	"unet/core"
	"unet/unet"
)

// network is one of ours on a made-up batch, for measuring speed and memory.
type network struct {
	engine *core.Engine
	model  *unet.Model
	net    *unet.Network
	adam   *core.Adam // nil: forward only
	// A forward pass does a group of images at a time, as prediction does one:
	// their activations stay in the cache and take a fraction of the memory.
	group    int
	in, prob []float32 // of the whole batch
}

// groupPixels is the size of a group.
const groupPixels = 1 << 16

// newNetwork reads a model of one map and readies it for batches of side x side
// images whose samples are i%251/251, with targets 1 at every 7th pixel.
func newNetwork(path string, side, batch, threads int, training bool) (*network, error) {
	core.SpareProcs()
	e, err := core.NewEngine("", threads)
	if err != nil {
		return nil, err
	}
	b := &network{engine: e}
	m, err := unet.LoadModel(path)
	if err != nil {
		return nil, err
	}
	b.model = m
	if training {
		b.adam = core.NewAdam(1e-4)
		if b.model, err = unet.NewModel(m.Card, 1, true); err != nil {
			return nil, err
		}
		m.CopyTo(b.model, false)
		m.Params.Free()
	}
	b.group = batch
	if !training {
		for b.group = max(1, min(batch, groupPixels/(side*side))); batch%b.group != 0; b.group-- {
		}
	}
	b.net, err = b.model.Network(e, side, side, core.Options{Batch: b.group, Training: training}, []core.Loss{{Scale: 1, BCE: 1}})
	if err != nil {
		return nil, err
	}
	b.in = make([]float32, batch*m.Card.Arch.Channels*side*side)
	for i := range b.in {
		b.in[i] = float32(i%251) / 251
	}
	b.prob = make([]float32, batch*side*side)
	if training {
		copy(b.net.Input(), b.in)
		targets, weights := b.net.Targets(), b.net.Weights()
		for i := range targets {
			weights[i] = 1
			if i%7 == 0 {
				targets[i] = 1
			}
		}
		return b, nil
	}
	return b, b.net.Run(context.Background(), core.Pack)
}

// step does one forward pass or one step of training.
func (b *network) step() error {
	if b.adam == nil {
		n := len(b.prob) / len(b.net.Probabilities())
		in, prob := len(b.in)/n, len(b.prob)/n
		for i := range n {
			copy(b.net.Input(), b.in[i*in:][:in])
			if err := b.net.Run(context.Background(), core.Forward); err != nil {
				return err
			}
			copy(b.prob[i*prob:], b.net.Probabilities())
		}
		return nil
	}
	if err := b.net.Run(context.Background(), core.Forward, core.Backward); err != nil {
		return err
	}
	b.adam.Update(b.engine, b.model.Params, b.adam.GradNorm(b.engine, b.model.Params))
	return nil
}

// probabilities returns the maps of the last forward pass, [batch][1][H*W].
func (b *network) probabilities() []float32 {
	if b.adam != nil {
		return b.net.Probabilities()
	}
	return b.prob
}

// close releases memory and threads.
func (b *network) close() {
	b.net.Free()
	b.model.Params.Free()
	b.engine.Close()
}
