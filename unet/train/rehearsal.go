package train

import (
	"context"
	"fmt"
	"slices"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
)

// What a starting model segments for Config.Rehearsal: images of all kinds and scenes
// of crowded tissue. Tests take less.
var rehearsedKinds, rehearsedScenes = 40, 20

const rehearsedSide = 256 // pixels

// rehearse makes the synthetic images of Config.Rehearsal, with the nuclei that the
// starting model finds in them. It returns nil where there is nothing to rehearse.
func (t *Trainer) rehearse(ctx context.Context) (*Images, error) {
	if t.Config.Rehearsal == 0 || !t.state.From || t.state.Finished {
		return nil, nil
	}
	samples, err := toSegment(t.Config.Seed)
	if err == nil && leads(t.Peers) {
		err = t.segment(ctx, samples)
	}
	if err = core.Agree(t.Peers, err); err != nil {
		return nil, err
	}
	if err := t.sendLabels(samples); err != nil {
		return nil, err
	}
	return NewImages(t.Config.Input, samples)
}

func toSegment(seed uint64) ([]*dataset.Sample, error) {
	kinds, err := dataset.Synthesise(dataset.Synthesis{Count: rehearsedKinds, Size: rehearsedSide, Seed: seed})
	if err != nil {
		return nil, err
	}
	scenes, err := dataset.Synthesise(dataset.Synthesis{Count: rehearsedScenes, Size: rehearsedSide, Seed: seed, Crowded: true})
	return slices.Concat(kinds, scenes), err
}

// segment replaces the labels of samples by those that the starting model gives them.
func (t *Trainer) segment(ctx context.Context, samples []*dataset.Sample) error {
	start := t.From
	if t.Resume {
		var err error
		if start, err = unet.LoadModel(t.path(startFile)); err != nil {
			return err
		}
		defer start.Params.Free()
	}
	t.Observer.Note(fmt.Sprintf("%.3g%% of the patches are synthetic images as the starting model segments them, so that it forgets less", 100*t.Config.Rehearsal))
	p := unet.NewPredictor(t.Engine, start)
	defer p.Close()
	for i, s := range samples {
		maps, err := p.Maps(ctx, s.Image)
		if err != nil {
			return err
		}
		s.Labels = start.Card.Separate(maps)
		t.Observer.Progress(Progress{Loading: "synthetic", Done: i + 1, Total: len(samples)})
	}
	return nil
}

// sendLabels gives the other processes the labels of process 0, the only one that has the
// starting model of a resumed run.
func (t *Trainer) sendLabels(samples []*dataset.Sample) error {
	if t.Peers == nil {
		return nil
	}
	for _, s := range samples {
		b, err := core.Broadcast(t.Peers, appendNumbers(nil, s.Labels.ID, 4, sameNumber))
		if err != nil {
			return err
		}
		if len(b) != 4*len(s.Labels.ID) {
			return fmt.Errorf("process 0 sent %d bytes of labels instead of %d", len(b), 4*len(s.Labels.ID))
		}
		readNumbers(s.Labels.ID, b, 4, sameNumber)
	}
	return nil
}
