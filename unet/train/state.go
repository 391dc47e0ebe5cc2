package train

import (
	"encoding/json"
	"fmt"

	"unet/core"
	"unet/unet"
)

// Epoch is one line of the history of a run.
type Epoch struct {
	Epoch   int     `json:"epoch"` // from 1
	Rate    float64 `json:"learning_rate"`
	Train   Scores  `json:"train"` // over the epoch's batches, as they came
	Val     *Scores `json:"val,omitempty"`
	Seconds float64 `json:"seconds"`
}

// state is what a checkpoint holds besides weights and Adam's moments; with
// them it continues a run to the same bits.
type state struct {
	Config     json.RawMessage `json:"config"` // of the run, compared on resume
	Data       string          `json:"data"`   // hash of the training images
	ISA        string          `json:"isa"`
	Epoch      int             `json:"epoch"` // epochs done
	Step       int             `json:"step"`  // steps done within the epoch
	Updates    int             `json:"updates"`
	Factor     float64         `json:"factor"` // of the learning rate, from plateaus and roll-backs
	Waited     int             `json:"waited"` // epochs since the last plateau reduction or best
	Best       float64         `json:"best"`
	BestEpoch  int             `json:"best_epoch"`
	RolledBack bool            `json:"rolled_back"`
	Partial    tally           `json:"partial"`
	Start      *Scores         `json:"start,omitempty"` // of the model training began with
	History    []Epoch         `json:"history"`
	Finished   bool            `json:"finished"`
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
	var s Scores
	s.Loss = t.Loss / float64(max(t.Batches, 1))
	n := t.TP + t.FP + t.FN + t.TN
	s.Accuracy = (t.TP + t.TN) / max(n, 1)
	s.Precision = ratio(t.TP, t.TP+t.FP)
	s.Recall = ratio(t.TP, t.TP+t.FN)
	s.F1 = ratio(2*t.TP, 2*t.TP+t.FP+t.FN)
	s.IoU = ratio(t.TP, t.TP+t.FP+t.FN)
	return s
}

// ratio is 1 for nothing of nothing.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 1
	}
	return a / b
}
