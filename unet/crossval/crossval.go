// Package crossval tells what a recipe of training is worth on laboratories, or
// fields, that it has not seen: it trains a model for each fold of a set, without
// its images, and scores it on them alone.
package crossval

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/imageio/owned"
	"unet/unet/metrics"
	"unet/unet/report"
	"unet/unet/train"
)

// Options of Run.
type Options struct {
	// Options are those of every training: Set is the whole set, Out the folder of
	// all of them, with a folder for each fold. Resume, LeftOut and Fold are the
	// folds' own.
	train.Options
	// Folds is the number of folds, By what is spread over them.
	Folds int
	By    By
	// Part and Of, if Of is above 0, train every Of-th fold from the Part-th on, from
	// 1, and leave the scores to a run of all.
	Part, Of int
	// Wait waits until other processes have trained all folds.
	Wait bool
}

// By is what is spread over folds, whole.
type By string

// Sources are laboratories, Groups the images that show the same field.
const (
	Sources By = "source"
	Groups  By = "group"
)

// Fold is a training without some images, and how its model does on them.
type Fold struct {
	Number  int                `json:"fold"`              // from 1
	Sources []string           `json:"sources,omitempty"` // the sources left out; absent where folds are of groups
	Folder  string             `json:"folder"`            // folder of the training
	Epochs  int                `json:"epochs"`            // epochs done
	Scores  evaluate.SetScores `json:"scores"`            // scores on the images left out

	names   []string // of sources or groups
	of      int      // folds
	sources []evaluate.SetScores
}

// Mean is the mean of a score over folds.
type Mean struct {
	Score string  `json:"score"` // name of the score in scores
	Mean  float64 `json:"mean"`  // mean over folds
	Low   float64 `json:"low"`   // lower end of its 95 % confidence interval (Student's t), at least 0
	High  float64 `json:"high"`  // upper end, at most 1
}

// SummarySchema is the version of the layout of Summary in JSON.
const SummarySchema = 1

// Summary is what Run found; folds.json holds it.
type Summary struct {
	Schema  int                  `json:"schema"`            // version of the layout
	Kind    string               `json:"kind"`              // nuclei or paper
	Folds   []Fold               `json:"folds"`             // the folds
	Means   []Mean               `json:"means"`             // means over folds, each fold counting once
	By      By                   `json:"split_by"`          // what is spread over folds: source or group
	Sources []evaluate.SetScores `json:"sources,omitempty"` // scores by source, each by the model that has not seen it; absent where folds are of groups
	Report  string               `json:"report"`            // the page
}

// Files of a cross-validation, beside the folders of its folds.
const (
	pageFile  = "index.html"
	tableFile = "folds.csv"
	jsonFile  = "folds.json"
)

// Run trains and scores all folds, or trains a part of them. Folds that are trained
// are not trained again, so that a run that was interrupted goes on where it stopped,
// and one whose parts other processes have trained only scores them. o.Out gets
// index.html, folds.csv and folds.json. A part has no summary.
func Run(ctx context.Context, o Options, observer train.Observer) (*Summary, error) {
	folds, err := o.folds()
	if err != nil {
		return nil, err
	}
	if err := train.RefuseSet(o.Out); err != nil {
		return nil, err
	}
	if o.Of == 0 {
		if err := owned.Reserve(o.Out, owned.Options{Force: o.Force}, pageFile, tableFile, jsonFile); err != nil {
			return nil, err
		}
	}
	if o.Wait {
		var folders []string
		for k := range folds {
			folders = append(folders, folds[k].Folder)
		}
		if err := train.Wait(ctx, folders, observer); err != nil {
			return nil, err
		}
	}
	for k := range folds {
		f := &folds[k]
		if o.Of > 0 && k%o.Of != o.Part-1 {
			continue
		}
		observer.Note(fmt.Sprintf("fold %d of %d: without %s", f.Number, f.of, f.without()))
		if err := f.train(ctx, o, observer); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return nil, fmt.Errorf("fold %d: %w", f.Number, err)
		}
	}
	if o.Of > 0 {
		return nil, nil
	}
	for k := range folds {
		observer.Note(fmt.Sprintf("fold %d of %d is scored", k+1, len(folds)))
		if err := folds[k].score(ctx, o); err != nil {
			return nil, fmt.Errorf("fold %d: %w", k+1, err)
		}
	}
	s := summarise(o, folds)
	return s, s.write(o)
}

// summarise puts the scores of folds together.
func summarise(o Options, folds []Fold) *Summary {
	s := &Summary{Schema: SummarySchema, Kind: o.Config.Kind, By: o.By, Folds: folds, Report: filepath.Join(o.Out, pageFile)}
	if o.By != Groups {
		for k := range folds {
			s.Sources = append(s.Sources, folds[k].sources...)
		}
	}
	slices.SortFunc(s.Sources, func(a, b evaluate.SetScores) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range measures {
		var v []float64
		for k := range folds {
			v = append(v, m.of(&folds[k].Scores))
		}
		mean, low, high := metrics.Mean(v)
		s.Means = append(s.Means, Mean{m.key, mean, max(low, 0), min(high, 1)}) // of two folds t is 12.7: a score lies within 0 to 1
	}
	return s
}

// folds spreads the set over folds.
func (o *Options) folds() ([]Fold, error) {
	spread := o.Set.Folds
	if o.By == Groups {
		spread = o.Set.GroupFolds
	}
	names, err := spread(o.Folds)
	if err != nil {
		return nil, err
	}
	folds := make([]Fold, len(names))
	for k := range folds {
		f := &folds[k]
		*f = Fold{Number: k + 1, Folder: filepath.Join(o.Out, fmt.Sprintf("fold-%d", k+1)), names: slices.Sorted(slices.Values(names[k])), of: len(names)}
		if o.By != Groups {
			f.Sources = f.names
		}
	}
	return folds, nil
}

// without says what a fold leaves out.
func (f *Fold) without() string {
	if f.Sources == nil {
		return fmt.Sprintf("%d groups of images", len(f.names))
	}
	return strings.Join(f.Sources, ", ")
}

// split returns the set with the images of the fold as its test split.
func (f *Fold) split(set *dataset.Set) (*dataset.Set, error) {
	if f.Sources == nil {
		return set.LeaveOutGroups(f.names)
	}
	return set.LeaveOut(f.names)
}

// train trains a fold, or goes on with it.
func (f *Fold) train(ctx context.Context, o Options, observer train.Observer) (err error) {
	t := o.Options
	t.LeftOut, t.Out, t.Resume = f.Sources, f.Folder, train.HoldsRun(f.Folder)
	if f.Sources == nil {
		t.Fold = fmt.Sprintf("fold %d of %d by group", f.Number, f.of)
	}
	if t.Set, err = f.split(o.Set); err != nil {
		return err
	}
	t.Next = nil // the page of all folds says it
	s, err := train.Run(ctx, t, observer)
	if err == nil {
		f.Epochs = s.Epochs
	}
	return err
}

// score scores the model of a fold on the sources that it has not seen.
func (f *Fold) score(ctx context.Context, o Options) error {
	set, err := f.split(o.Set)
	if err != nil {
		return err
	}
	m, err := unet.LoadModel(filepath.Join(f.Folder, train.ModelFile))
	if err != nil {
		return err
	}
	defer m.Params.Free()
	p := unet.NewPredictor(o.Engine, m)
	defer p.Close()
	ev, err := evaluate.Score(ctx, p, set, evaluate.ScoreOptions{Splits: []string{dataset.Test}})
	if err != nil {
		return err
	}
	f.Scores, f.sources = ev.Splits[0].All, ev.Splits[0].Sources
	return nil
}

// measures are the scores that tables show: the name in JSON, the name on pages.
var measures = []struct {
	key, name string
	of        func(*evaluate.SetScores) float64
}{
	{"mean_ap", "MeanAP", func(s *evaluate.SetScores) float64 { return s.Nuclei.MeanAP }},
	{"kaggle_score", "KaggleScore", func(s *evaluate.SetScores) float64 { return s.Nuclei.KaggleScore }},
	{"pooled_ap50", "PooledAP50", func(s *evaluate.SetScores) float64 { return s.Nuclei.PooledAP50 }},
	{"pq", "PQ", func(s *evaluate.SetScores) float64 { return s.Nuclei.PQ }},
	{"f1", "F1", func(s *evaluate.SetScores) float64 { return s.Pixels.F1 }},
}

// columns are those of a table whose first says what its rows are.
func columns(first string) []report.Column {
	list := []report.Column{{Name: first}, {Name: "images", Numeric: true}, {Name: "nuclei", Numeric: true}}
	for _, m := range measures {
		list = append(list, report.Column{Name: m.name, Numeric: true})
	}
	return list
}

// row is a line of such a table.
func row(name string, s *evaluate.SetScores) []string {
	list := []string{name, fmt.Sprint(s.Images), fmt.Sprint(s.Nuclei.Truth)}
	for _, m := range measures {
		list = append(list, report.Number(m.of(s), 4))
	}
	return list
}

// FoldTable lists the folds, with the means over them and their intervals.
func (s *Summary) FoldTable() *report.Table {
	t := &report.Table{Title: "On the images left out", Columns: columns("fold")}
	for k := range s.Folds {
		t.Add(row(fmt.Sprint(s.Folds[k].Number), &s.Folds[k].Scores)...)
	}
	for _, line := range []struct {
		name string
		of   func(Mean) float64
	}{
		{"mean", func(m Mean) float64 { return m.Mean }},
		{"95 % from", func(m Mean) float64 { return m.Low }},
		{"to", func(m Mean) float64 { return m.High }},
	} {
		cells := []string{line.name, "", ""}
		for _, m := range s.Means {
			cells = append(cells, report.Number(line.of(m), 4))
		}
		t.Add(cells...)
	}
	return t
}

// SourceTable lists the sources.
func (s *Summary) SourceTable() *report.Table {
	t := &report.Table{Title: "By source", Columns: columns("source")}
	for i := range s.Sources {
		t.Add(row(s.Sources[i].Name, &s.Sources[i])...)
	}
	return t
}
