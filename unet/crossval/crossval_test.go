package crossval

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/metrics"
	"unet/unet/train"

	"github.com/google/go-cmp/cmp"
)

// scored are scores of a set, by a KaggleScore.
func scored(name string, images, truth int, kaggle float64) evaluate.SetScores {
	return evaluate.SetScores{Name: name, Images: images, Pixels: evaluate.PixelScores{F1: 0.875},
		Nuclei: evaluate.NucleusScores{Truth: truth, Predicted: truth + 1, KaggleScore: kaggle, MeanAP: 0.5, PooledAP50: 0.75, PQ: 0.25}}
}

// TestSummary: tables hold the true nuclei and the scores of the folds, each fold counts
// once in the means, and sources stand in the order of their names. Cells of folds.csv
// need no quotes.
func TestSummary(t *testing.T) {
	o := Options{Options: train.Options{Set: &dataset.Set{Dir: "set"}, Out: t.TempDir()}, By: Sources}
	folds := []Fold{
		{Number: 1, Sources: []string{"b", "c"}, Folder: filepath.Join(o.Out, "fold-1"), Scores: scored("", 2, 20, 0.5),
			sources: []evaluate.SetScores{scored("b", 1, 12, 0.625), scored("c", 1, 8, 0.375)}},
		{Number: 2, Sources: []string{"a"}, Folder: filepath.Join(o.Out, "fold-2"), Scores: scored("", 9, 90, 0.75),
			sources: []evaluate.SetScores{scored("a", 9, 90, 0.75)}},
	}
	s := summarise(o, folds)
	if m := s.Means[1]; m.Score != "kaggle_score" || m.Mean != 0.625 {
		t.Errorf("mean %+v of 0.5 and 0.75", m)
	} else if m.Low != 0 || m.High != 1 { // by Student's t it is 0.625 ± 1.59
		t.Errorf("interval of %+v, want 0 to 1", m)
	}
	closer := slices.Clone(folds)
	closer[1].Scores = scored("", 9, 90, 0.53125)
	if m := summarise(o, closer).Means[1]; m.Low >= m.Mean || m.Low <= 0 || m.High >= 1 {
		t.Errorf("interval of %+v", m)
	} else if _, low, high := metrics.Mean([]float64{0.5, 0.53125}); m.Low != low || m.High != high {
		t.Errorf("interval of %+v, want %v to %v", m, low, high)
	}
	var order []string
	for _, source := range s.Sources {
		order = append(order, source.Name)
	}
	if want := "a b c"; strings.Join(order, " ") != want {
		t.Errorf("sources %q, want %s", order, want)
	}
	if err := s.write(o); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(o.Out, tableFile))
	if err != nil {
		t.Fatal(err)
	}
	want := "fold,sources,images,nuclei,mean_ap,kaggle_score,pooled_ap50,pq,f1\n" +
		"1,b;c,2,20,0.5000,0.5000,0.7500,0.2500,0.8750\n" +
		"2,a,9,90,0.5000,0.7500,0.7500,0.2500,0.8750\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	o.By = Groups
	if s := summarise(o, folds); len(s.Sources) > 0 {
		t.Errorf("folds of groups have the sources %v", s.Sources)
	}
}
