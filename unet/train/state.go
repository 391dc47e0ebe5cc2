package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"unet/core"
	"unet/unet"
	"unet/unet/metrics"
)

// Epoch is one line of the history of a run.
type Epoch struct {
	Epoch      int     `json:"epoch"`                // number of the epoch, from 1
	Rate       float64 `json:"learning_rate"`        // learning rate
	Train      Scores  `json:"train"`                // scores over the batches of the epoch, while the weights change
	Val        *Scores `json:"val,omitempty"`        // scores on whole validation images, after the epoch
	Seconds    float64 `json:"seconds"`              // time of the epoch
	Foreground float64 `json:"foreground,omitempty"` // threshold of nuclei that the validation scores are at, where it was chosen on those images, as in fine-tuning; 0: the model's
	Mean       bool    `json:"mean,omitempty"`       // in fine-tuning: the validation scores are those of the mean of the starting model and this epoch's
}

// monitored are the scores that may decide which epoch is best.
var monitored = []struct {
	name, words string
	score       func(Epoch) float64
}{
	{"train_loss", "training loss", func(e Epoch) float64 { return e.Train.Loss }},
	{"train_f1", "training F1", func(e Epoch) float64 { return e.Train.F1 }},
	{"val_loss", "validation loss", func(e Epoch) float64 { return e.Val.Loss }},
	{"val_accuracy", "validation accuracy", func(e Epoch) float64 { return e.Val.Accuracy }},
	{"val_f1", "validation F1", func(e Epoch) float64 { return e.Val.F1 }},
	{"val_iou", "validation IoU", func(e Epoch) float64 { return e.Val.IoU }},
	{"val_kaggle_score", "validation KaggleScore", func(e Epoch) float64 { return e.Val.KaggleScore }},
	{"val_pooled_ap50", "validation PooledAP50", func(e Epoch) float64 { return e.Val.PooledAP50 }},
}

// monitors lists the scores that may decide which epoch is best.
func monitors() []string {
	var list []string
	for _, m := range monitored {
		list = append(list, m.name)
	}
	return list
}

// monitored returns a score of monitors; the epoch must have been validated.
func (e Epoch) monitored(name string) (float64, error) {
	for _, m := range monitored {
		if m.name == name {
			return m.score(e), nil
		}
	}
	return 0, fmt.Errorf("unknown monitor %q: choose from %s", name, strings.Join(monitors(), ", "))
}

// monitorWords is what a page calls one of monitors.
func monitorWords(name string) string {
	for _, m := range monitored {
		if m.name == name {
			return m.words
		}
	}
	return name
}

// formerMonitors are the names of scores in older versions.
var formerMonitors = map[string]string{"val_ap": "val_kaggle_score", "val_ap50": "val_pooled_ap50"}

// state is what a checkpoint holds besides weights and Adam's moments; with
// them it continues a run to the same bits.
type state struct {
	Config     json.RawMessage `json:"config"` // of the run, compared on resume
	Data       string          `json:"data"`   // hash of the training images
	ISA        string          `json:"isa"`
	Epoch      int             `json:"epoch"`             // epochs done
	Step       int             `json:"step"`              // steps done within the epoch
	Elapsed    float64         `json:"elapsed,omitempty"` // seconds that they took
	Updates    int             `json:"updates"`
	Factor     float64         `json:"factor"` // of the learning rate, from plateaus and roll-backs
	Waited     int             `json:"waited"` // epochs since the last plateau reduction or best
	Best       float64         `json:"best"`
	BestEpoch  int             `json:"best_epoch"`
	RolledBack bool            `json:"rolled_back"`
	Partial    tally           `json:"partial"`
	From       bool            `json:"from,omitempty"`  // training began with a model; older versions do not say so
	Start      *Scores         `json:"start,omitempty"` // of that model
	History    []Epoch         `json:"history"`
	Finished   bool            `json:"finished"`
}

// settings returns those that the run began with. Older versions had no
// micro-batches, and a few settings more: a run continues if it had them as they are
// always now.
func (s *state) settings() (Config, error) {
	old := struct {
		Config
		Mode          string
		PlateauFactor float64
		RestoreBest   bool
	}{PlateauFactor: plateauFactor, RestoreBest: true}
	old.MicroBatches = 1
	if err := json.Unmarshal(s.Config, &old); err != nil {
		return Config{}, fmt.Errorf("damaged settings: %w", err)
	}
	c := old.Config
	if now, ok := formerMonitors[c.Monitor]; ok {
		c.Monitor = now
	}
	if !old.RestoreBest || c.Schedule == "plateau" && old.PlateauFactor != plateauFactor ||
		old.Mode != "" && (old.Mode == "min") != c.lowestIsBest() {
		return c, errors.New("an older version began the run with settings that there are no more (mode, plateau_factor or restore_best)")
	}
	return c, nil
}

// check refuses what no run can have saved.
func (s *state) check() error {
	switch {
	case s.Epoch < 0 || s.Step < 0 || s.Updates < 0 || s.Waited < 0 || s.BestEpoch < 0 || s.BestEpoch > s.Epoch:
		return fmt.Errorf("epoch %d, step %d, %d updates, best epoch %d", s.Epoch, s.Step, s.Updates, s.BestEpoch)
	case s.Finished && s.Epoch == 0:
		return fmt.Errorf("finished before the first epoch")
	case len(s.History) != s.Epoch:
		return fmt.Errorf("a history of %d epochs after %d", len(s.History), s.Epoch)
	case s.Partial.Batches != s.Step:
		return fmt.Errorf("the sums of %d batches after %d steps", s.Partial.Batches, s.Step)
	case !(s.Factor > 0 && s.Factor <= 1):
		return fmt.Errorf("a factor of %v on the learning rate", s.Factor)
	}
	for i, e := range s.History {
		if e.Epoch != i+1 {
			return fmt.Errorf("epoch %d in place %d of the history", e.Epoch, i+1)
		}
	}
	return nil
}

// tally sums up an epoch's batches.
type tally struct {
	Loss           float64 `json:"loss"`
	Batches        int     `json:"batches"`
	TP, FP, FN, TN float64
}

func (t *tally) add(results []core.MapResult) {
	for _, r := range results {
		t.Loss += r.Loss
	}
	f := results[0] // foreground
	t.TP, t.FP, t.FN, t.TN = t.TP+f.TP, t.FP+f.FP, t.FN+f.FN, t.TN+f.TN
	t.Batches++
}

// saveCheckpoint writes a checkpoint, whole or not at all.
func saveCheckpoint(m *unet.Model, path string, s *state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return m.SaveCheckpoint(path, text)
}

// loadCheckpoint reads what saveCheckpoint wrote.
func loadCheckpoint(path string) (*unet.Model, *state, error) {
	m, text, err := unet.LoadCheckpoint(path)
	if err != nil {
		return nil, nil, err
	}
	s := new(state)
	if err = json.Unmarshal(text, s); err == nil {
		err = s.check()
	}
	if err != nil {
		m.Params.Free()
		return nil, nil, &unet.ModelError{Name: path, Problem: fmt.Sprintf("damaged state: %v", err),
			Advice: "begin a new run in another folder"}
	}
	return m, s, nil
}

func (t *tally) scores() Scores {
	s := Scores{Loss: t.Loss / float64(max(t.Batches, 1))}
	s.pixels(metrics.Pixels{TP: int64(t.TP), FP: int64(t.FP), FN: int64(t.FN), TN: int64(t.TN)})
	return s
}
