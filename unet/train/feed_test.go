package train

import (
	"slices"
	"testing"

	"unet/unet/dataset"
	"unet/unet/dataset/augment"
	"unet/unet/imageio"
)

// blank is a sample of one gray value, with one square nucleus or none.
func blank(id, kind string, nucleus bool) *dataset.Sample {
	const side = 64
	img, lab := imageio.NewImage(side, side, 1), imageio.NewLabels(side, side)
	for i := range img.Pix {
		img.Pix[i] = 20
		if x, y := i%side, i/side; nucleus && x >= 24 && x < 40 && y >= 24 && y < 40 {
			img.Pix[i], lab.ID[i] = 200, 1
		}
	}
	return &dataset.Sample{ID: id, Kind: kind, Group: id, Image: img, Labels: lab}
}

// TestDonorsAreOfTheKind: nuclei are pasted from images of the same kind. Those
// of images whose kind has no nuclei stay empty, though others have some.
func TestDonorsAreOfTheKind(t *testing.T) {
	c := testConfig()
	c.Augment = augment.Policy{Size: 64, CopyPaste: 1}
	images, err := NewImages(c.Input, []*dataset.Sample{
		blank("a", "full", true), blank("b", "empty", false), blank("c", "empty", false), blank("d", "full", true)})
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFeed(c, images)
	if err != nil {
		t.Fatal(err)
	}
	size, heads := 64*64, len(c.Arch.Heads)
	b := &batch{input: make([]float32, c.Arch.Channels*size), targets: make([]float32, heads*size), weights: make([]float32, heads*size)}
	pasted := 0
	for image := range images.items {
		for position := range 8 {
			if err := f.patch(b, new(patchScratch), 0, position, 0, slices.Repeat([]int{image}, 8)); err != nil {
				t.Fatal(err)
			}
			foreground := 0
			for _, v := range b.targets[:size] {
				foreground += int(v)
			}
			switch images.strata[image].Kind {
			case "empty":
				if foreground > 0 {
					t.Fatalf("%d pixels were pasted into an image of a kind without nuclei", foreground)
				}
			case "full":
				if foreground > 16*16 {
					pasted++
				}
			}
		}
	}
	if pasted == 0 {
		t.Error("nothing was ever pasted: the test tests little")
	}
}

// TestPixelWeights: pixels weigh what the targets say if asked for, else 1.
func TestPixelWeights(t *testing.T) {
	for _, weighted := range []bool{false, true} {
		c := testConfig()
		c.Augment, c.PixelWeights = augment.Policy{Size: 64}, weighted
		images, err := NewImages(c.Input, []*dataset.Sample{blank("a", "full", true), blank("b", "full", true)})
		if err != nil {
			t.Fatal(err)
		}
		f, err := newFeed(c, images)
		if err != nil {
			t.Fatal(err)
		}
		size, heads := 64*64, len(c.Arch.Heads)
		b := &batch{input: make([]float32, c.Arch.Channels*size), targets: make([]float32, heads*size), weights: make([]float32, heads*size)}
		if err := f.patch(b, new(patchScratch), 0, 0, 0, nil); err != nil {
			t.Fatal(err)
		}
		item, err := images.item(0, new(loaded))
		if err != nil {
			t.Fatal(err)
		}
		var want augment.TargetMaps
		augment.Targets(item.Labels.ID, 64, 64, &want) // the policy changes nothing
		for h := range heads {
			got := b.weights[h*size:][:size]
			if !weighted && (slices.Min(got) != 1 || slices.Max(got) != 1) {
				t.Errorf("map %d: weights from %v to %v, want 1", h, slices.Min(got), slices.Max(got))
			}
			if weighted && !slices.Equal(got, want.Weight) {
				t.Errorf("map %d: the weights are not those of the targets", h)
			}
		}
	}
}

// TestEpochShowsEveryImage: without a number of steps an epoch has as many as show
// every image, the last batch being filled up.
func TestEpochShowsEveryImage(t *testing.T) {
	c := testConfig()
	c.Steps, c.Batch, c.Balance = 0, 2, 1
	var samples []*dataset.Sample
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		samples = append(samples, blank(id, "full", true))
	}
	images, err := NewImages(c.Input, samples)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFeed(c, images)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for position := range f.steps * c.Batch {
		seen[f.index(1, f.permutation(1), position)] = true
	}
	if f.steps != 3 || len(seen) != 5 {
		t.Errorf("%d of 5 images in %d steps of 2, want all in 3", len(seen), f.steps)
	}
}
