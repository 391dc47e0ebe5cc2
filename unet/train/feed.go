package train

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"

	"golang.org/x/sync/errgroup"

	"unet/unet"
	"unet/unet/dataset/augment"
	"unet/unet/dataset/scene"
)

// batch is the input and the targets of one step.
type batch struct {
	input, targets, weights []float32
	err                     error // why it could not be drawn
}

// feed draws the batches of a run, ahead of time and on several goroutines;
// what a batch holds depends on the configuration and its number only.
type feed struct {
	cfg     Config
	images  *Images
	sampler *augment.Sampler
	steps   int              // per epoch
	first   int              // patches of a batch that this process draws: the number of the first
	count   int              // and how many
	kin     map[string][]int // images of each kind, the donors of copy-paste
	scenes  *scene.Library   // of the nuclei in images, nil unless scenes are drawn
	scratch sync.Pool
	// rehearsal are the images of Config.Rehearsal, nil for none.
	rehearsal *Images
}

// nucleiPerImage bounds how many nuclei of one image scenes are packed of.
const nucleiPerImage = 16

type patchScratch struct {
	ids         []uint32
	target      augment.TargetMaps
	item, donor loaded
}

func newFeed(cfg Config, images *Images) (*feed, error) {
	f := &feed{cfg: cfg, images: images, steps: cfg.Steps, count: cfg.Batch, kin: map[string][]int{}}
	for i, s := range images.strata {
		f.kin[s.Kind] = append(f.kin[s.Kind], i)
	}
	if cfg.Scenes > 0 {
		f.scenes = scene.NewLibrary(nucleiPerImage)
		in := new(loaded)
		for i := range images.items {
			l, err := images.item(i, in)
			if err != nil {
				return nil, err
			}
			f.scenes.Add(l.Image, l.Labels)
		}
	}
	if f.steps == 0 {
		f.steps = (images.Len() + cfg.Batch - 1) / cfg.Batch
	}
	var err error
	f.sampler, err = augment.NewSampler(images.strata, f.steps*cfg.Batch, cfg.Balance)
	f.scratch.New = func() any { return new(patchScratch) }
	return f, err
}

// index returns the image at a position of an epoch. Balance 1 shows every
// image once before any again.
func (f *feed) index(epoch int, perm []int, position int) int {
	if perm != nil {
		return perm[position%len(perm)]
	}
	return f.sampler.Index(f.cfg.Seed, epoch, position)
}

func (f *feed) permutation(epoch int) []int {
	if f.cfg.Balance < 1 {
		return nil
	}
	src := augment.Source(f.cfg.Seed, epoch, -1)
	return rand.New(&src).Perm(f.images.Len())
}

// ahead is how many batches are drawn ahead of time.
const ahead = 3

// run sends the batches from (epoch, step) on until ctx ends. The receiver
// hands batches back through free.
func (f *feed) run(ctx context.Context, epoch, step, workers int) (out <-chan *batch, free chan<- *batch) {
	ready, back := make(chan *batch, ahead), make(chan *batch, ahead+1)
	size := f.cfg.Augment.Size * f.cfg.Augment.Size
	k := len(f.cfg.Arch.Heads)
	for range ahead {
		back <- &batch{
			input:   make([]float32, f.count*f.cfg.Arch.Channels*size),
			targets: make([]float32, f.count*k*size),
			weights: make([]float32, f.count*k*size),
		}
	}
	go func() {
		defer close(ready)
		for ; epoch < f.cfg.Epochs; epoch, step = epoch+1, 0 {
			perm := f.permutation(epoch)
			for ; step < f.steps; step++ {
				var b *batch
				select {
				case b = <-back:
				case <-ctx.Done():
					return
				}
				if !f.fill(ctx, b, epoch, step, perm, workers) {
					return
				}
				select {
				case ready <- b:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return ready, back
}

// fill draws a batch; it says false if ctx ended before that was done.
func (f *feed) fill(ended context.Context, b *batch, epoch, step int, perm []int, workers int) bool {
	group, ctx := errgroup.WithContext(ended)
	group.SetLimit(workers)
	for i := range f.count {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			s := f.scratch.Get().(*patchScratch)
			defer f.scratch.Put(s)
			return f.patch(b, s, epoch, step*f.cfg.Batch+f.first+i, i, perm)
		})
	}
	b.err = group.Wait()
	return ended.Err() == nil
}

// scene draws crowded tissue, and says how a patch of it is taken: scenes have
// all sizes of nuclei, so they are scaled little, to show no pixels, and need
// nothing pasted in.
func (f *feed) scene(rng *rand.Rand) (augment.Labelled, augment.Policy) {
	const most = 1.4
	policy := f.cfg.Augment
	policy.CopyPaste = 0
	if policy.Scale != [2]float64{} {
		policy.Scale = [2]float64{max(policy.Scale[0], 1/most), min(policy.Scale[1], most)}
	}
	side := int(math.Ceil(most * float64(policy.Size)))
	img, labels := scene.Crowded(side, side, f.scenes, rng)
	img, err := f.cfg.Input.Apply(img)
	if err != nil {
		panic(err) // scenes have 1 or 3 channels
	}
	l, err := augment.NewLabelled(img, labels)
	if err != nil {
		panic(err) // and labels of their size
	}
	return l, policy
}

// patch draws the patch at a position of an epoch into place i of b.
func (f *feed) patch(b *batch, s *patchScratch, epoch, position, i int, perm []int) error {
	src := augment.Source(f.cfg.Seed, epoch, position)
	rng := rand.New(&src)
	side := f.cfg.Augment.Size
	size, c := side*side, f.cfg.Arch.Channels
	if len(s.ids) < size {
		s.ids = make([]uint32, size)
	}
	ids := s.ids[:size]
	index := f.index(epoch, perm, position)
	var item augment.Labelled
	policy := f.cfg.Augment
	var donors []augment.Labelled
	switch {
	case f.cfg.Scenes > 0 && rng.Float64() < f.cfg.Scenes:
		item, policy = f.scene(rng)
	case f.rehearsal != nil && rng.Float64() < f.cfg.Rehearsal:
		policy.CopyPaste = 0 // nuclei of people's images would not be as the model segments them
		var err error
		if item, err = f.rehearsal.item(rng.IntN(f.rehearsal.Len()), &s.item); err != nil {
			return err
		}
	default:
		var err error
		if item, err = f.images.item(index, &s.item); err != nil {
			return err
		}
		if policy.CopyPaste > 0 {
			kin := f.kin[f.images.strata[index].Kind]
			donor, err := f.images.item(kin[rng.IntN(len(kin))], &s.donor)
			if err != nil {
				return err
			}
			donors = []augment.Labelled{donor}
		}
	}
	policy.Patch(rng, item, donors, b.input[i*c*size:][:c*size], c, ids)
	k := len(f.cfg.Arch.Heads)
	planes := func(all []float32, head int) []float32 { return all[(i*k+head)*size:][:size] }
	if f.cfg.Kind == unet.Paper {
		t := planes(b.targets, 0)
		for p, id := range ids {
			t[p] = 0
			if id != 0 {
				t[p] = 1
			}
		}
		w := planes(b.weights, 0)
		for p := range w {
			w[p] = 1
		}
		return nil
	}
	augment.Targets(ids, side, side, &s.target)
	for h, name := range f.cfg.Arch.Heads {
		t := planes(b.targets, h)
		copy(t, s.target.Plane(name))
		w := planes(b.weights, h)
		copy(w, s.target.Weight)
		if !f.cfg.PixelWeights {
			for p := range w {
				w[p] = 1
			}
		}
	}
	return nil
}
