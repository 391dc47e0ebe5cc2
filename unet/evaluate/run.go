package evaluate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
)

// Options of Run.
type Options struct {
	Engine *core.Engine
	Set    *dataset.Set
	Model  *unet.Model
	// File of the model, or what to call it where it has none.
	File string
	// Splits to score, in this order.
	Splits []string
	// TTA averages over mirror images, BFloat16 multiplies bfloat16 numbers; see
	// unet.Predictor.
	TTA, BFloat16 bool
	// Tune, unless "", is the split on which the model's thresholds are chosen
	// and the confidence of nuclei is fitted; both are stored in File.
	Tune string
	// Out, unless "", is the folder for index.html, metrics.json, images.csv,
	// curves and sheets of Samples images each.
	Out     string
	Samples int
	// Force lets the report replace files that no earlier run made.
	Force   bool
	Program string // version
}

// Observer listens to Run. Its methods are called one at a time.
type Observer interface {
	Progress(Progress)
	// Note receives what is good to know, Warn what may be wrong.
	Note(text string)
	Warn(text string)
}

// Progress tells how far a stage has come.
type Progress struct {
	Stage       Stage
	Done, Total int     // images, or about as many trials
	Best        float64 // of the trials so far, see Tuning
}

// Stage is a part of Run.
type Stage string

// The stages of Run, in their order.
const (
	Predicting Stage = "predicting" // for tuning
	Trying     Stage = "tuning"     // in trials
	Scoring    Stage = "evaluating"
)

// Schema is the version of the layout of Report in JSON.
const Schema = 2

// Report is all that Run found; metrics.json holds it.
type Report struct {
	Schema  int            `json:"schema"`           // version of the layout
	Program string         `json:"program"`          // version of the program
	Model   EvaluatedModel `json:"model"`            // the model that was scored
	Set     EvaluatedSet   `json:"set"`              // the prepared set
	Tuning  *Tuning        `json:"tuning,omitempty"` // how thresholds were chosen, where they were
	Notes   []string       `json:"notes,omitempty"`  // what makes the scores differ from what a reader may expect
	Results Evaluation     `json:"results"`          // the scores
}

// EvaluatedModel says which model was scored.
type EvaluatedModel struct {
	File      string `json:"file"`      // path of the model file
	Name      string `json:"name"`      // name of the model
	Kind      string `json:"kind"`      // nuclei or paper
	SHA256    string `json:"sha256"`    // digest of the file as read, in hexadecimal
	Precision string `json:"precision"` // what the network computed in: float32, bfloat16 or int8
}

// EvaluatedSet says which set it was scored on.
type EvaluatedSet struct {
	Dir    string `json:"dir"`    // its folder
	Source string `json:"source"` // what it was prepared from
	SHA256 string `json:"sha256"` // digest of that, in hexadecimal
	Size   int    `json:"size"`   // width and height that images were resized to, in pixels; 0: native
	Seed   uint64 `json:"seed"`   // seed of the split
}

// Run scores a model on a prepared set, tuned first if asked for, and writes
// the report.
func Run(ctx context.Context, o Options, observer Observer) (*Report, error) {
	p := unet.NewPredictor(o.Engine, o.Model)
	defer p.Close()
	p.TTA, p.BFloat16 = o.TTA, o.BFloat16
	if o.Out != "" { // before the work, not after
		if err := os.MkdirAll(o.Out, 0o777); err != nil {
			return nil, err
		}
		f, err := owned.Open(o.Out, owned.Options{Force: o.Force})
		if err == nil {
			err = f.Check("index.html", "metrics.json", "images.csv", "curves.png", "curves.svg")
		}
		if err != nil {
			return nil, err
		}
	}
	r := newReport(o)
	for _, n := range r.Notes {
		observer.Note(n)
	}
	if o.Tune != "" {
		if err := r.tune(ctx, p, o, observer); err != nil {
			return nil, err
		}
	}
	ev, err := Score(ctx, p, o.Set, ScoreOptions{Splits: o.Splits, Progress: func(done, total int) {
		observer.Progress(Progress{Stage: Scoring, Done: done, Total: total})
	}})
	if err != nil {
		return nil, err
	}
	r.Results = *ev
	if o.Tune != "" {
		o.Model.Card.Training.Metrics = cardMetrics(o.Model.Card.Training.Metrics, ev)
		kept, err := keepCopy(o.File)
		if err != nil {
			return nil, err
		}
		observer.Note("the model as it was is kept in " + kept)
		if err := unet.RewriteCard(o.File, o.Model.Card); err != nil {
			return nil, err
		}
	}
	if o.Out != "" {
		err = r.write(ctx, o, p)
	}
	return r, err
}

// keepCopy copies a model file beside itself, under a name that tells its content,
// and returns that name.
func keepCopy(file string) (string, error) {
	b, err := input.ReadFile(file, 1<<32)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	ext := filepath.Ext(file)
	name := fmt.Sprintf("%s.before-tuning-%x%s", strings.TrimSuffix(file, ext), sum[:4], ext)
	if _, err := os.Stat(name); err == nil {
		return name, nil // of an earlier tuning from the same model
	}
	return name, atomicfile.WriteFile(name, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// Page returns the file of the report in a folder.
func Page(dir string) string { return filepath.Join(dir, "index.html") }

func newReport(o Options) *Report {
	card, meta := o.Model.Card, o.Set.Meta
	precision := "float32"
	switch {
	case card.Precision != "":
		precision = card.Precision
	case o.BFloat16:
		precision = "bfloat16"
	}
	return &Report{Schema: Schema, Program: o.Program, Notes: notes(card, o.Set),
		Model: EvaluatedModel{o.File, card.Name, card.Kind, o.Model.SHA256, precision},
		Set:   EvaluatedSet{o.Set.Dir, meta.Source.Name, meta.Source.SHA256, meta.Settings.Size, meta.Settings.Seed}}
}

func (r *Report) tune(ctx context.Context, p *unet.Predictor, o Options, observer Observer) (err error) {
	r.Tuning, err = Tune(ctx, p, o.Set, o.Tune,
		func(done, total int) { observer.Progress(Progress{Stage: Predicting, Done: done, Total: total}) },
		func(done int, best float64) {
			observer.Progress(Progress{Stage: Trying, Done: min(done, tuneTrials), Total: tuneTrials, Best: best})
		})
	if err != nil {
		return err
	}
	if r.Tuning.Uncalibrated {
		observer.Warn(fmt.Sprintf("confidence was not fitted: %v", instance.ErrUncalibrated))
	}
	switch n := r.Tuning.Images; {
	case r.Tuning.Kept:
		observer.Warn(keptText(n))
	case n < fewImages:
		observer.Note(fmt.Sprintf("thresholds chosen on few images (%d): each agreed with what the others chose", n))
	}
	return nil
}

// keptText says why tuning on n images has left the thresholds of nuclei as they were.
func keptText(n int) string {
	if n == 1 {
		return "the thresholds of nuclei are not changed: one image is too few to choose others"
	}
	return fmt.Sprintf("the thresholds of nuclei are not changed: of %d images each was left out once, and those chosen on the others were on average no better on it", n)
}

// notes says what makes scores on a set differ from what a reader would
// expect.
func notes(card unet.Card, set *dataset.Set) []string {
	size := set.Meta.Settings.Size
	switch {
	case card.Input.Size == 0 && size > 0:
		return []string{fmt.Sprintf("the set was resized to %dx%d, but the model works at native scale: prepare the set at native size", size, size)}
	case card.Input.Size > 0 && size != card.Input.Size:
		return []string{fmt.Sprintf("the model sees images resized to %dx%d; its maps are scored at the size of the images", card.Input.Size, card.Input.Size)}
	}
	return nil
}

// cardMetrics renews the validation scores of a model's card.
func cardMetrics(old map[string]float64, ev *Evaluation) map[string]float64 {
	for i := range ev.Splits {
		if s := &ev.Splits[i]; s.Name == dataset.Val {
			px, n := s.All.Pixels, s.All.Nuclei
			return map[string]float64{"loss": s.All.Loss, "accuracy": px.Accuracy, "f1": px.F1, "iou": px.IoU,
				"kaggle_score": n.KaggleScore, "pooled_ap50": n.PooledAP50}
		}
	}
	return old
}
