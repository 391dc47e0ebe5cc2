package train

import (
	"slices"
	"testing"

	"unet/unet/dataset"
)

// Patches of scenes follow from the configuration and their number, for any
// number of workers, and differ from those drawn without.
func TestFeedOfScenes(t *testing.T) {
	samples, err := dataset.Synthesise(dataset.Synthesis{Count: 5, Size: 96, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := NucleiConfig("quick")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Epochs, cfg.Steps, cfg.Batch, cfg.Augment.Size = 1, 2, 6, 64
	images, err := NewImages(cfg.Input, samples)
	if err != nil {
		t.Fatal(err)
	}
	draw := func(scenes float64, workers int) []float32 {
		cfg.Scenes = scenes
		f, err := newFeed(cfg, images)
		if err != nil {
			t.Fatal(err)
		}
		ready, free := f.run(t.Context(), 0, 0, workers)
		var all []float32
		for b := range ready {
			all = append(append(all, b.input...), b.targets...)
			free <- b
		}
		return all
	}
	one := draw(0.5, 1)
	if !slices.Equal(one, draw(0.5, 5)) {
		t.Error("the number of workers makes a difference")
	}
	if slices.Equal(one, draw(0, 1)) || slices.Equal(one, draw(1, 1)) {
		t.Error("the share of scenes makes no difference")
	}
	cfg.Scenes = 1.5
	if cfg.Check() == nil {
		t.Error("a share of 1.5 accepted")
	}
}
