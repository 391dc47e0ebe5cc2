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
}

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
	b.net, err = m.Card.Arch.build(e, b.model.Params, side, side, core.Options{Batch: batch, Training: training}, []core.Loss{{Scale: 1, BCE: 1}})
	if err != nil {
		return nil, err
	}
	in := b.net.prog.Data(b.net.input)
	for i := range in {
		in[i] = float32(i%251) / 251
	}
	if training {
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
		return b.net.prog.Run(context.Background(), core.Forward)
	}
	if err := b.net.prog.Run(context.Background(), core.Forward, core.Backward); err != nil {
		return err
	}
	b.adam.Update(b.engine, b.model.Params, b.adam.GradNorm(b.engine, b.model.Params))
	return nil
}

// Probabilities returns the maps of the last forward pass, [batch][1][H*W].
func (b *Bench) Probabilities() []float32 { return b.net.maps.Prob() }

// Close releases memory and threads.
func (b *Bench) Close() {
	b.net.prog.Free()
	b.model.Params.Free()
	b.engine.Close()
}
