package train

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"unet/core/coretest"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
)

// started is a model to start from, after an epoch.
func started(t *testing.T) *unet.Model {
	t.Helper()
	tr := trainer(t, t.TempDir())
	tr.Config.Epochs = 1
	r, err := tr.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Model.Params.Free)
	return r.Model
}

// TestRehearsal: what is rehearsed are the nuclei that the starting model finds, and
// there is nothing to rehearse without one.
func TestRehearsal(t *testing.T) {
	coretest.NeedsKernels(t)
	tr := trainer(t, t.TempDir())
	tr.Config.Epochs, tr.Config.Steps, tr.Config.Batch = 2, 3, 9
	tr.Config.Rehearsal, tr.Observer, tr.state = 0.6, silent{}, &state{}
	var err error
	if tr.feed, err = newFeed(tr.Config, tr.Train); err != nil {
		t.Fatal(err)
	}
	if images, err := tr.rehearse(t.Context()); images != nil || err != nil {
		t.Fatalf("from random weights: %v, %v", images, err)
	}
	tr.From, tr.state.From = started(t), true
	images, err := tr.rehearse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer images.Close()
	samples, err := tr.toSegment()
	if err != nil {
		t.Fatal(err)
	}
	if images.Len() != len(samples) || len(samples) != 5 { // 0.6 of 54 patches, and 8 of each
		t.Fatalf("%d images of %d", images.Len(), len(samples))
	}
	p := unet.NewPredictor(tr.Engine, tr.From)
	defer p.Close()
	for i, s := range samples {
		maps, err := p.Maps(t.Context(), s.Image)
		if err != nil {
			t.Fatal(err)
		}
		l, err := images.item(i, new(loaded))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.Labels.ID, tr.From.Card.Separate(maps).ID) {
			t.Errorf("%s has other labels than the model's", s.ID)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	if _, err := tr.rehearse(ctx); !errors.Is(err, errStop) {
		t.Errorf("stopped: %v", err)
	}
}

// TestFeedOfRehearsal: as many patches rehearse as were asked for, and the others are as
// they would be.
func TestFeedOfRehearsal(t *testing.T) {
	cfg := testConfig()
	cfg.Epochs, cfg.Steps, cfg.Batch = 1, 40, 10
	set := func(id uint32) *Images { // images of one nucleus, or of none
		img, labels := imageio.NewImage(80, 80, 1), imageio.NewLabels(80, 80)
		for i := range labels.ID {
			img.Pix[i], labels.ID[i] = float32(i%200), id
		}
		images, err := NewImages(cfg.Input, []*dataset.Sample{{ID: "a", Image: img, Labels: labels}})
		if err != nil {
			t.Fatal(err)
		}
		return images
	}
	own, others := set(1), set(0)
	// rehearsing counts the patches without a nucleus.
	rehearsing := func(share float64, rehearsal *Images) (n int) {
		cfg.Rehearsal = share
		f, err := newFeed(cfg, own)
		if err != nil {
			t.Fatal(err)
		}
		f.rehearsal = rehearsal
		ready, free := f.run(t.Context(), 0, 0, 2)
		size := len(cfg.Arch.Heads) * cfg.Augment.Size * cfg.Augment.Size
		for b := range ready {
			for i := range cfg.Batch {
				if slices.Max(b.targets[i*size:][:size/len(cfg.Arch.Heads)]) == 0 {
					n++
				}
			}
			free <- b
		}
		return n
	}
	for _, k := range []struct {
		share       float64
		rehearsal   *Images
		least, most int // of 400
	}{{0.5, others, 160, 240}, {0.1, others, 16, 64}, {0, others, 0, 0}, {0.5, nil, 0, 0}} {
		if n := rehearsing(k.share, k.rehearsal); n < k.least || n > k.most {
			t.Errorf("share %v: %d of 400 patches rehearse", k.share, n)
		}
	}
	cfg.Rehearsal = 1
	if cfg.Check() == nil {
		t.Error("a share of 1 accepted, which leaves nothing to learn")
	}
	paper := paperConfig(64)
	if paper.Rehearsal = 0.5; paper.Check() == nil {
		t.Error("a paper model that rehearses accepted")
	}
}

// TestRehearsalOfPeers: two processes rehearse as one does, also when they go on with a
// run, for which process 0 alone has the starting model.
func TestRehearsalOfPeers(t *testing.T) {
	coretest.NeedsKernels(t)
	start := started(t)
	set := func(tr *Trainer) {
		tr.Config.Rehearsal = 0.5
		if !tr.Resume {
			tr.From = start
		}
	}
	dir := t.TempDir()
	one := inParts(t, dir, 4)
	set(one)
	r, err := one.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	want := modelOf(t, dir)
	dir = t.TempDir()
	for i := range 2 {
		ctx, kill := context.WithCancelCause(t.Context())
		errs := together(t, coretest.Peers(ctx, 2), dir, func(rank int, tr *Trainer) {
			tr.Resume = i > 0
			set(tr)
			tr.Observer = &events{progress: func(p Progress) {
				if p.Loading == "" && p.Done == 3 && i == 0 {
					kill(errStop)
				}
			}}
		})
		for rank, err := range errs {
			if (err == nil) != (i > 0) {
				t.Fatalf("process %d, run %d: %v", rank, i, err)
			}
		}
		kill(nil)
	}
	if !bytes.Equal(modelOf(t, dir), want) {
		t.Error("another model than that of one process")
	}
}
