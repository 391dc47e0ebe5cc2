package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
)

// rehearsed are the images at most that a starting model segments for
// Config.Rehearsal, each of so many pixels squared.
const rehearsed, rehearsedSide = 60, 256

// rehearse makes the synthetic images of Config.Rehearsal, with the nuclei that the
// starting model finds in them. It returns nil where there is nothing to rehearse.
func (t *Trainer) rehearse(ctx context.Context) (*Images, error) {
	if t.Config.Rehearsal == 0 || !t.state.From || t.state.Finished {
		return nil, nil
	}
	samples, err := t.toSegment()
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

// toSegment makes images of all kinds and scenes of crowded tissue, two to one, fewer
// where not even eight patches would be drawn of each.
func (t *Trainer) toSegment() ([]*dataset.Sample, error) {
	patches := t.Config.Rehearsal * float64(t.Config.Epochs*t.feed.steps*t.Config.Batch)
	n := int(math.Ceil(min(patches/8, rehearsed)))
	crowded := max(1, n/3)
	synthetic := dataset.Synthesis{Count: max(1, n-crowded), Size: rehearsedSide, Seed: t.Config.Seed}
	kinds, err := dataset.Synthesise(synthetic)
	if err != nil {
		return nil, err
	}
	synthetic.Count, synthetic.Crowded = crowded, true
	scenes, err := dataset.Synthesise(synthetic)
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
