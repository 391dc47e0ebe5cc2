package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/instance"
	"unet/unet/metrics"
	"unet/unet/report"
)

// namedSet is a set of samples and what its sheet's file is called.
type namedSet struct {
	name string
	report.SampleSet
}

// pictureSets predicts n random, the n best and the n worst images of a split
// again, and n random ones of train unless that is nil, for looking at.
func pictureSets(ctx context.Context, p *unet.Predictor, set *dataset.Set, s, train *SplitScores, n int) ([]namedSet, error) {
	paper := p.Model().Card.Kind == unet.Paper
	score := func(v *ImageScores) float64 {
		if paper {
			return v.Pixels.Dice
		}
		return v.MeanAP
	}
	measure := "MeanAP"
	if paper {
		measure = "Dice"
	}
	list := func(s *SplitScores) []*ImageScores {
		l := make([]*ImageScores, len(s.Images))
		for i := range l {
			l[i] = &s.Images[i]
		}
		return l
	}
	random := func(s *SplitScores) []*ImageScores {
		l := list(s)
		rng := rand.New(rand.NewPCG(1, 1))
		rng.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		return l[:min(n, len(l))]
	}
	ranked := list(s)
	slices.SortStableFunc(ranked, func(a, b *ImageScores) int { return cmp.Compare(score(b), score(a)) })
	worst := slices.Clone(ranked)
	slices.Reverse(worst)
	made := map[int]report.Sample{}
	var out []namedSet
	type choice struct {
		name, title, note string
		list              []*ImageScores
	}
	most := min(n, len(ranked))
	choices := []choice{
		{"random", "Random images of " + s.Name, "Outlines: a colour per nucleus. Probability: violet 0 to yellow 1. " +
			"Dice: of the mask. MeanAP: average precision of nuclei, the mean over IoU 0.50 to 0.95; AP50: at IoU 0.5.", random(s)},
		{"best", "Best images of " + s.Name, "By " + measure + ".", ranked[:most]},
		{"worst", "Worst images of " + s.Name, "By " + measure + ".", worst[:most]},
	}
	if train != nil {
		choices = append(choices, choice{"train", "Random images of train", "A model trained on this set has learned from these.", random(train)})
	}
	for _, v := range choices {
		sheet := namedSet{v.name, report.SampleSet{Title: v.title, Note: v.note}}
		for _, im := range v.list {
			sample, ok := made[im.Index]
			if !ok {
				var err error
				if sample, err = picture(ctx, p, set, im); err != nil {
					return nil, err
				}
				made[im.Index] = sample
			}
			sheet.Samples = append(sheet.Samples, sample)
		}
		out = append(out, sheet)
	}
	return out, nil
}

// picture predicts one image with everything there is to show of it.
func picture(ctx context.Context, p *unet.Predictor, set *dataset.Set, im *ImageScores) (report.Sample, error) {
	s, err := set.Load(im.Index)
	if err != nil {
		return report.Sample{}, err
	}
	m, err := p.Maps(ctx, s.Image)
	if err != nil {
		return report.Sample{}, fmt.Errorf("%s: %w", s.ID, err)
	}
	pred := p.Model().Card.Separate(m)
	out := report.Sample{Name: report.ShortName(s.ID), Kind: s.Kind, Image: s.Image, Truth: s.Labels, Pred: pred, Prob: m.Plane(instance.Foreground),
		Scores: []report.Score{{Name: "Dice", Value: im.Pixels.Dice}, {Name: "MeanAP", Value: im.MeanAP}, {Name: "AP50", Value: im.AP50}}}
	if p.Model().Card.Kind != unet.Paper {
		o, err := metrics.Compare(s.Labels, pred)
		if err != nil {
			return report.Sample{}, err
		}
		truth, found := o.Errors(0.5)
		out.Outcomes = &report.Outcomes{Truth: truth, Pred: found}
	}
	return out, nil
}
