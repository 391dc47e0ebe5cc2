package main

import (
	"fmt"
	"maps"
	"slices"

	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/metrics"
)

// standing is how a program does on all folds.
type standing struct {
	name                    string
	all                     metrics.Aggregate
	sources                 map[string]*metrics.Aggregate
	matched, merged, missed int // true nuclei, at IoU 0.5
	times                   times
}

// add scores an image.
func (s *standing) add(sample *dataset.Sample, found *imageio.Labels) error {
	o, err := metrics.Compare(sample.Labels, found)
	if err != nil {
		return err
	}
	if s.sources == nil {
		s.sources = map[string]*metrics.Aggregate{}
	}
	if s.sources[sample.Source] == nil {
		s.sources[sample.Source] = &metrics.Aggregate{}
	}
	r := o.Result(metrics.Taus())
	s.all.Add(r)
	s.sources[sample.Source].Add(r)
	truth, _ := o.Errors(0.5)
	for _, outcome := range truth {
		switch outcome {
		case metrics.Matched:
			s.matched++
		case metrics.Merged:
			s.merged++
		case metrics.Missed:
			s.missed++
		}
	}
	return nil
}

// spent adds what a fold took.
func (s *standing) spent(t *times) {
	s.times.Train += t.Train
	s.times.Tune += t.Tune
	s.times.Predict += t.Predict
	s.times.First += t.First
	s.times.Images += t.Images
}

// meanOverSources is the mean over sources of KaggleScore.
func (s *standing) meanOverSources() float64 {
	sum := 0.0
	for _, a := range s.sources {
		sum += a.Score()
	}
	return sum / float64(len(s.sources))
}

// table prints the scores of both programs, and those of each source.
func table(us, them *standing, folds int) {
	fmt.Println("| program | sources | images | nuclei | training | thresholds | PooledAP50 | KaggleScore | mean over sources | matched | merged | missed | per image | without start |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, s := range []*standing{us, them} {
		t := s.times
		// The first image of a fold takes the start, too.
		later := (t.Predict - t.First) / float64(t.Images-folds)
		fmt.Printf("| %s | %d | %d | %d | %.1f min | %.1f min | %.3f | %.3f | %.3f | %d | %d | %d | %.2f s | %.2f s |\n",
			s.name, len(s.sources), s.all.Images, s.all.Truth, t.Train/60, t.Tune/60, s.all.Pooled()[0].AP, s.all.Score(), s.meanOverSources(),
			s.matched, s.merged, s.missed, t.Predict/float64(t.Images), later)
	}
	fmt.Printf("\n| source | images | nuclei | PooledAP50: %s | %s | KaggleScore: %[1]s | %s |\n|---|--:|--:|--:|--:|--:|--:|\n", us.name, them.name)
	for _, source := range slices.Sorted(maps.Keys(us.sources)) {
		a, b := us.sources[source], them.sources[source]
		fmt.Printf("| %s | %d | %d | %.3f | %.3f | %.3f | %.3f |\n", source, a.Images, a.Truth, a.Pooled()[0].AP, b.Pooled()[0].AP, a.Score(), b.Score())
	}
}
