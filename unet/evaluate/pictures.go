package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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

// pictureSets predicts n random, the n best and the n worst images of every
// scored split again, of train beside others n random ones, for looking at. The
// sheets of the main split come first and are named by what they show alone.
func (r *Report) pictureSets(ctx context.Context, p *unet.Predictor, set *dataset.Set, n int) ([]namedSet, error) {
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
	type choice struct {
		name, title, note string
		list              []*ImageScores
	}
	var choices []choice
	main := r.Main()
	for _, name := range []string{dataset.Val, dataset.Test, dataset.Train} {
		s := r.split(name)
		if s == nil {
			continue
		}
		if name == dataset.Train && s != main {
			choices = append(choices, choice{name, "Random images of train", "A model trained on this set has learned from these.", random(s)})
			continue
		}
		prefix, note := "", sheetNote
		if s != main {
			prefix, note = name+"-", ""
		}
		ranked := list(s)
		slices.SortStableFunc(ranked, func(a, b *ImageScores) int { return cmp.Compare(score(b), score(a)) })
		worst := slices.Clone(ranked)
		slices.Reverse(worst)
		most := min(n, len(ranked))
		choices = append(choices,
			choice{prefix + "random", "Random images of " + name, note, random(s)},
			choice{prefix + "best", "Best images of " + name, "By " + measure + ".", ranked[:most]},
			choice{prefix + "worst", "Worst images of " + name, "By " + measure + ".", worst[:most]})
	}
	made := map[int]report.Sample{}
	var out []namedSet
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

// sheetNote explains a sheet.
const sheetNote = "A click on a picture opens the errors of the whole image. Outlines: a colour per nucleus. Probability: violet 0 to yellow 1. " +
	"Dice: of the mask. MeanAP: average precision of nuclei, the mean over IoU 0.50 to 0.95; AP50: at IoU 0.5."

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
	out := report.Sample{Name: s.ID, Link: errorPicture(im), Kind: s.Kind, Image: s.Image, Truth: s.Labels, Pred: pred, Prob: m.Plane(instance.Foreground),
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

// errorPicture is the file of the errors of an image, below the folder of the
// report.
func errorPicture(im *ImageScores) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.", r) {
			return '_'
		}
		return r
	}, im.ID)
	for len(name) > maxName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return fmt.Sprintf("errors/%d-%s.png", im.Index, name)
}

// maxName bounds what the name of a file takes from that of an image, in bytes.
const maxName = 200
