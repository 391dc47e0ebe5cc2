package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/metrics"
)

// Tuning is what Tune found.
type Tuning struct {
	Split        string          `json:"split"`                  // the split that they were chosen on
	Images       int             `json:"images"`                 // images of it that were used
	Trials       int             `json:"trials"`                 // sets of parameters that were scored
	Threshold    Change          `json:"threshold"`              // threshold of the mask, chosen by the F1 of pixels
	F1           Change          `json:"f1"`                     // F1 of the mask, by pixels
	Before       instance.Params `json:"instance_before"`        // parameters of nuclei before tuning
	After        instance.Params `json:"instance_after"`         // parameters of nuclei after tuning
	Objective    Change          `json:"objective"`              // what parameters of nuclei are chosen by: the mean of MeanAP and KaggleScore, both conventions of the field
	Kept         bool            `json:"kept,omitempty"`         // the parameters of nuclei stayed as they were: each of the few images was left out once, and those chosen on the others did no better on it
	Uncalibrated bool            `json:"uncalibrated,omitempty"` // the images hold too few right or too few wrong nuclei to fit confidence; the model keeps what it had
}

// Change is a value before and after tuning.
type Change struct {
	Before float64 `json:"before"` // before tuning
	After  float64 `json:"after"`  // after tuning
}

// tuneTrials is about how many trials Tune needs.
const tuneTrials = 110

// tunePixels bounds the maps held in memory for tuning; of a larger
// validation split every k-th image is used.
const tunePixels = 48 << 20

// The values tried for each parameter.
var (
	tryForeground = []float64{0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85}
	trySeed       = []float64{0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}
	tryProminence = []float64{0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5}
	tryBorder     = []float64{0, 0.25, 0.5, 0.75, 1}
	tryMinArea    = []float64{0, 8, 16, 24, 32, 48, 64, 96}
)

// Tune chooses the threshold and the post-processing parameters of p's model
// on a split of a set, fits the confidence of nuclei, and puts them into its
// card. The maps are computed once; parameters are then improved one at a time
// over fixed values until none gets better, which gives the same result for any
// number of threads. predicted is called after every image, tried after every
// trial with the best objective so far; both may be nil.
func Tune(ctx context.Context, p *unet.Predictor, set *dataset.Set, split string, predicted func(done, total int), tried func(done int, best float64)) (*Tuning, error) {
	indices := set.Split(split)
	if len(indices) == 0 {
		return nil, &dataset.InputError{Name: set.Dir, Problem: fmt.Sprintf("has no images in the split %q to tune on", split),
			Advice: "prepare it with a share for validation", Option: "split 0.8,0.1,0.1"}
	}
	indices = thin(indices, set)
	old := p.Model().Card
	t := &tuner{card: old, threads: p.Engine().Threads(), images: make([]tuneImage, len(indices)), tried: tried, seen: map[instance.Params]float64{}}
	curve, err := t.predict(ctx, p, set, indices, predicted)
	if err != nil {
		return nil, err
	}
	p.Close() // the programs' memory is not needed for what follows
	best := curve.Best()
	r := &Tuning{Split: split, Images: len(indices), Before: old.Instance,
		Threshold: Change{old.Threshold, best.Threshold}, F1: Change{curve.At(old.Threshold).F1(), best.F1()}}
	if err := t.choose(ctx, r); err != nil {
		return nil, err
	}
	switch c, err := t.calibrate(r.After, set, indices); {
	case errors.Is(err, instance.ErrUncalibrated):
		r.Uncalibrated = true
	case err != nil:
		return nil, err
	default:
		r.After.Confidence = c
	}
	card := &p.Model().Card
	card.Former, card.Threshold, card.Instance = old.Instance, best.Threshold, r.After
	return r, nil
}

// predict computes the maps of all images, and what every threshold of the
// foreground scores.
func (t *tuner) predict(ctx context.Context, p *unet.Predictor, set *dataset.Set, indices []int, predicted func(done, total int)) (*metrics.Curve, error) {
	curve := new(metrics.Curve)
	var mu sync.Mutex
	err := each(ctx, p, set, indices, func(n int, s *dataset.Sample, m instance.Maps) error {
		t.images[n] = tuneImage{m, s.Labels}
		c := new(metrics.Curve)
		c.Add(m.Plane(instance.Foreground), s.Labels)
		mu.Lock()
		defer mu.Unlock()
		curve.Merge(c)
		return nil
	}, func(done int) {
		if predicted != nil {
			predicted(done, len(indices))
		}
	})
	return curve, err
}

// choose searches for the parameters of nuclei at the new threshold of the
// foreground, and keeps the old ones where images are few and those that suit
// all but one are no better on that one.
func (t *tuner) choose(ctx context.Context, r *Tuning) (err error) {
	// Before: with the old mask threshold, which paper models segment by.
	if r.Objective.Before, err = t.score(ctx, r.Before); err != nil {
		return err
	}
	t.card.Threshold = r.Threshold.After
	clear(t.seen)
	t.best = 0
	if r.After, r.Objective.After, err = t.search(ctx, r.Before); err != nil {
		return err
	}
	r.Trials = t.trials
	if len(t.images) >= fewImages {
		return nil
	}
	better, err := t.leaveOneOut(ctx, r.Before)
	if err != nil || better {
		return err
	}
	r.Kept, r.After = true, r.Before
	r.Objective.After, err = t.score(ctx, r.Before)
	return err
}

// fewImages are too few to choose thresholds on without asking each of them
// what the others' choice is worth.
const fewImages = 10

// leaveOneOut reports whether thresholds chosen on all images but one are, on
// average, better on that one than those before.
func (t *tuner) leaveOneOut(ctx context.Context, before instance.Params) (bool, error) {
	gain := 0.0
	for i := range t.images {
		rest := slices.Delete(slices.Clone(t.images), i, i+1)
		if len(rest) == 0 {
			return false, nil
		}
		of := func(images []tuneImage) *tuner {
			return &tuner{card: t.card, threads: t.threads, images: images, seen: map[instance.Params]float64{}}
		}
		chosen, _, err := of(rest).search(ctx, before)
		if err != nil {
			return false, err
		}
		one := of(t.images[i : i+1])
		after, err := one.score(ctx, chosen)
		if err != nil {
			return false, err
		}
		score, err := one.score(ctx, before)
		if err != nil {
			return false, err
		}
		gain += after - score
	}
	return gain > minGain*float64(len(t.images)), nil
}

// thin leaves out images, evenly, when all would need too much memory.
func thin(indices []int, set *dataset.Set) []int {
	pixels := 0
	for _, i := range indices {
		pixels += set.Entries[i].W * set.Entries[i].H
	}
	step := (pixels + tunePixels - 1) / tunePixels
	if step <= 1 {
		return indices
	}
	var out []int
	for k := 0; k < len(indices); k += step {
		out = append(out, indices[k])
	}
	return out
}

type tuneImage struct {
	maps  instance.Maps
	truth *imageio.Labels
}

// tuner scores parameters on maps computed before.
type tuner struct {
	card    unet.Card
	threads int
	images  []tuneImage
	seen    map[instance.Params]float64
	trials  int
	best    float64
	tried   func(done int, ap float64)
}

// score is the objective with parameters q.
func (t *tuner) score(ctx context.Context, q instance.Params) (float64, error) {
	if v, ok := t.seen[q]; ok {
		return v, nil
	}
	card := t.card
	card.Instance = q
	taus := metrics.Taus()
	results := make([]*metrics.Result, len(t.images))
	group := new(errgroup.Group)
	group.SetLimit(t.threads)
	for i := range t.images {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			results[i], err = metrics.Match(t.images[i].truth, card.Separate(t.images[i].maps), taus)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	var agg metrics.Aggregate
	for _, r := range results {
		agg.Add(r)
	}
	v := (metrics.MeanAP(agg.Pooled()) + agg.Score()) / 2
	t.seen[q] = v
	t.trials++
	t.best = max(t.best, v)
	if t.tried != nil {
		t.tried(t.trials, t.best)
	}
	return v, nil
}

// minGain is what a change of a parameter must bring to the objective. Less is noise: among
// some dozens of images the standard error is ten times as large.
const minGain = 0.001

// search improves q one parameter at a time until a round changes nothing.
func (t *tuner) search(ctx context.Context, q instance.Params) (instance.Params, float64, error) {
	type axis struct {
		values []float64
		set    func(*instance.Params, float64)
	}
	axes := []axis{{tryMinArea, func(p *instance.Params, v float64) { p.MinArea = int(v) }}}
	heads := t.card.Arch.Heads
	border, distance := slices.Contains(heads, unet.HeadBorder), slices.Contains(heads, unet.HeadDistance)
	if t.card.Kind != unet.Paper {
		// A paper model's foreground is that of its mask.
		axes = append(axes, axis{tryForeground, func(p *instance.Params, v float64) { p.Foreground = v }})
	}
	if border || distance {
		axes = append(axes,
			axis{trySeed, func(p *instance.Params, v float64) { p.Seed = v }},
			axis{tryProminence, func(p *instance.Params, v float64) { p.Prominence = v }})
	}
	if border {
		axes = append(axes, axis{tryBorder, func(p *instance.Params, v float64) { p.Border = v }})
	}
	best, err := t.score(ctx, q)
	if err != nil {
		return q, 0, err
	}
	const rounds = 4
	for range rounds {
		changed := false
		for _, a := range axes {
			top, choice := best+minGain, q
			for _, v := range a.values {
				try := q
				a.set(&try, v)
				s, err := t.score(ctx, try)
				if err != nil {
					return q, 0, err
				}
				if s > top {
					top, choice = s, try
				}
			}
			if choice != q {
				best, q, changed = top, choice, true
			}
		}
		if !changed {
			break
		}
	}
	return q, best, nil
}
