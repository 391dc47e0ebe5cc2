package unet

import (
	"context"

	"unet/core"
)

// Network is a model's network for batches of one shape. Its planes are views
// of memory that Free releases.
type Network struct {
	prog  *core.Program
	input core.Planar
	maps  *core.Maps
	// Training only.
	targets, weights core.Planar
	seed             uint64 // of dropout
}

// Network builds m's network for o.Batch images of h x w pixels, multiples of
// Arch.Multiple. To train it takes the loss of each head.
func (m *Model) Network(e *core.Engine, h, w int, o core.Options, losses []core.Loss) (*Network, error) {
	return m.Card.Arch.build(e, m.Params, h, w, o, losses)
}

// TrainingMemory returns the bytes that training the network on batches of
// o.Batch patches of side x side pixels takes: activations and their gradients,
// the parameters with gradients, moments and average.
func (a Arch) TrainingMemory(e *core.Engine, side int, o core.Options, losses []core.Loss) (int, error) {
	p := core.NewParams()
	a.declare(p)
	o.Training, o.Dry = true, true
	n, err := a.build(e, p, side, side, o, losses)
	if err != nil {
		return 0, err
	}
	return n.Memory() + 5*4*a.parameters(), nil
}

// PredictionMemory returns the bytes that predicting an image of w x h pixels
// takes: activations, those of a tile of an image that is computed in tiles, its
// normalised samples and its maps.
func (a Arch) PredictionMemory(e *core.Engine, w, h int) (int, error) {
	p := core.NewParams()
	a.declare(p)
	planes := 4 * w * h * (a.Channels + 2*len(a.Heads))
	if w, h = a.tile(w, h); w == 0 || h == 0 {
		return planes, nil
	}
	n, err := a.build(e, p, h, w, core.Options{Batch: 1, Dry: true}, nil)
	if err != nil {
		return 0, err
	}
	return n.Memory() + planes, nil
}

// Input returns the place of the normalised images, [batch][channels][h*w]. A
// forward pass that is not for training may overwrite it.
func (n *Network) Input() []float32 { return n.prog.Data(n.input) }

// Targets returns the place of what the heads should answer,
// [batch][heads][h*w], of a network to train.
func (n *Network) Targets() []float32 { return n.prog.Data(n.targets) }

// Weights returns the place of the pixels' weights in the loss, like Targets.
func (n *Network) Weights() []float32 { return n.prog.Data(n.weights) }

// SetSeed sets the seed of the next step's dropout.
func (n *Network) SetSeed(seed uint64) { n.seed = seed }

// Run runs phases; to predict, core.Pack comes once before the first
// core.Forward, and again after the weights have changed.
func (n *Network) Run(ctx context.Context, phases ...core.Phase) error {
	return n.prog.Run(ctx, phases...)
}

// Probabilities returns the heads' answers after a forward pass,
// [batch][heads][h*w].
func (n *Network) Probabilities() []float32 { return n.maps.Prob() }

// Results returns each head's loss and pixel counts after a forward pass in
// training.
func (n *Network) Results() []core.MapResult { return n.maps.Result() }

// Profile runs phases once, every operation alone, and returns their times.
func (n *Network) Profile(phases ...core.Phase) []core.StepTime { return n.prog.Profile(phases...) }

// Memory returns the bytes of activations and gradients.
func (n *Network) Memory() int { return n.prog.Memory() }

// Free releases the network's memory, not the model's.
func (n *Network) Free() { n.prog.Free() }
