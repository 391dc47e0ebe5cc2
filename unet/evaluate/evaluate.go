package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/instance"
	"unet/unet/metrics"
)

// ScoreOptions of Score.
type ScoreOptions struct {
	// Splits are scored in this order.
	Splits []string
	// Progress, unless nil, is called after every image, by one goroutine at
	// a time.
	Progress func(done, total int)
}

// Score scores a model on splits of a prepared set, pixel by pixel at the
// model's threshold and nucleus by nucleus with its post-processing. Every
// image is scored at the size the set has it.
func Score(ctx context.Context, p *unet.Predictor, set *dataset.Set, o ScoreOptions) (*Evaluation, error) {
	card := p.Model().Card
	ev := &Evaluation{Threshold: card.Threshold, Instance: card.Instance, TTA: p.TTA}
	total, before := 0, 0
	for _, name := range o.Splits {
		n := len(set.Split(name))
		if n == 0 {
			return nil, &dataset.InputError{Name: set.Dir, Problem: fmt.Sprintf("has no images in the split %q", name),
				Advice: "the splits are train, val and test"}
		}
		total += n
	}
	taus := metrics.Taus()
	for _, name := range o.Splits {
		indices := set.Split(name)
		images := make([]ImageScores, len(indices))
		var curve metrics.Curve
		var mu sync.Mutex
		err := each(ctx, p, set, indices, func(n int, s *dataset.Sample, m instance.Maps) error {
			r, c, err := scoreImage(card, s, m, taus)
			if err != nil {
				return err
			}
			r.Index = indices[n]
			images[n] = *r
			mu.Lock()
			defer mu.Unlock()
			curve.Merge(c)
			return nil
		}, func(done int) {
			if o.Progress != nil {
				o.Progress(before+done, total)
			}
		})
		if err != nil {
			return nil, err
		}
		before += len(indices)
		ev.Splits = append(ev.Splits, splitScores(name, images, &curve))
	}
	return ev, nil
}

// each predicts the images of a set and calls visit for each, with its
// position in indices, on several goroutines at once. Images of one size
// follow each other, so that their program is built once.
func each(ctx context.Context, p *unet.Predictor, set *dataset.Set, indices []int,
	visit func(n int, s *dataset.Sample, m instance.Maps) error, done func(n int)) error {
	order := make([]int, len(indices))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := &set.Entries[indices[a]], &set.Entries[indices[b]]
		return cmp.Or(cmp.Compare(x.H, y.H), cmp.Compare(x.W, y.W))
	})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(p.Engine().Threads())
	var mu sync.Mutex
	finished := 0
	one := func(n int) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		s, err := set.Load(indices[n])
		if err != nil {
			return err
		}
		m, err := p.Maps(ctx, s.Image)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("%s: %w", s.ID, err)
		}
		group.Go(func() error {
			if err := visit(n, s, m); err != nil {
				return fmt.Errorf("%s: %w", s.ID, err)
			}
			mu.Lock()
			defer mu.Unlock()
			finished++
			done(finished)
			return nil
		})
		return nil
	}
	for _, n := range order {
		if err := one(n); err != nil {
			group.Wait()
			return err
		}
	}
	return group.Wait()
}

// scoreImage compares the maps of an image with its truth.
func scoreImage(card unet.Card, s *dataset.Sample, m instance.Maps, taus []float64) (*ImageScores, *metrics.Curve, error) {
	foreground := m.Plane(instance.Foreground)
	c := new(metrics.Curve)
	c.Add(foreground, s.Labels)
	found := card.Separate(m)
	o, err := metrics.Compare(s.Labels, found)
	if err != nil {
		return nil, nil, err
	}
	var rated Reliability
	if card.Instance.Confidence != (instance.Calibration{}) {
		nuclei := instance.Measure(found, nil)
		card.Instance.Confidence.Rate(m, nuclei)
		rated = reliability(nuclei, o)
	}
	r := o.Result(taus)
	at50, at75 := r.At[0].Scores(0.5), r.At[5].Scores(0.75)
	return &ImageScores{
		ID: s.ID, Kind: s.Kind, Group: s.Group, Source: s.Source, W: m.W, H: m.H,
		Loss: metrics.CrossEntropy(foreground, s.Labels) / float64(len(foreground)), Pixels: pixelScores(c.At(card.Threshold)),
		Truth: r.Truth, Predicted: r.Pred, MeanAP: r.Score(), AP50: at50.AP, AP75: at75.AP, F1: at50.F1, PQ: at50.PQ, AJI: r.AJI(),
		Errors: countErrors(o), Confidence: rated.mean(), rated: rated, result: r, pixels: len(foreground),
	}, c, nil
}
