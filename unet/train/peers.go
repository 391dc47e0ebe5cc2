package train

import (
	"encoding/json"
	"fmt"

	"unet/core"
)

// Processes that train together do the same steps, each on its share of the
// micro-batches. Process 0 alone has a folder: it scores and decides, writes, and hands
// its state to the others.

// leads reports whether this is process 0, or the only one.
func leads(p core.Peers) bool { return p == nil || p.Rank() == 0 }

// divides says whether the micro-batches are enough for the processes.
func (c Config) divides(p core.Peers) error {
	if p == nil || c.MicroBatches%p.Size() == 0 {
		return nil
	}
	return &SettingError{Problem: fmt.Sprintf("%d processes cannot share the %d micro-batches of a step equally", p.Size(), c.MicroBatches),
		Advice: "divide steps into as many parts as there are processes, or more; resumed, a run keeps its number",
		Option: fmt.Sprintf("micro-batches %d", p.Size())}
}

// share is the part of the batch that this process computes.
func (c Config) share(p core.Peers) (first, count int) {
	if p == nil {
		return 0, c.Batch
	}
	count = c.Batch / p.Size()
	return p.Rank() * count, count
}

// terms are what processes must have in common to train together.
type terms struct {
	Settings json.RawMessage
	Images   string
	Start    string // hash of the model to start from
	Kernels  string
	Program  string
}

// meet compares what the processes are about to do, and gives the others the weights
// and the state of process 0.
func (t *Trainer) meet() error {
	if t.Peers == nil {
		return nil
	}
	own := terms{t.config, t.DataHash, "", t.Engine.ISA(), t.Card.Training.Program}
	if t.From != nil {
		own.Start = t.From.SHA256
	}
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	if text, err = core.Broadcast(t.Peers, text); err != nil {
		return err
	}
	var first terms
	if err := json.Unmarshal(text, &first); err != nil {
		return err
	}
	if err := core.Agree(t.Peers, own.differ(first)); err != nil {
		return err
	}
	return t.follow()
}

// differ says in what the terms differ from those of process 0.
func (t terms) differ(first terms) error {
	for _, v := range []struct{ what, own, first string }{
		{"settings", string(t.Settings), string(first.Settings)},
		{"training images", t.Images, first.Images},
		{"a starting model", t.Start, first.Start},
		{"kernels", t.Kernels, first.Kernels},
		{"a version of the program", t.Program, first.Program},
	} {
		if v.own != v.first {
			return fmt.Errorf("it has %s other than process 0: %.300s, not %.300s", v.what, v.own, v.first)
		}
	}
	return nil
}

// follow gives the others the weights and the state of process 0.
func (t *Trainer) follow() error {
	if t.Peers == nil {
		return nil
	}
	if err := t.model.Params.Broadcast(t.Peers); err != nil {
		return err
	}
	return t.followState()
}

// followState gives the others the state of process 0, after the steps of an epoch,
// when weights are the same.
func (t *Trainer) followState() error {
	if t.Peers == nil {
		return nil
	}
	text, err := json.Marshal(t.state)
	if err != nil {
		return err
	}
	if text, err = core.Broadcast(t.Peers, text); err != nil {
		return err
	}
	s := new(state)
	if err := json.Unmarshal(text, s); err != nil {
		return err
	}
	t.state, t.adam.Step = s, s.Updates
	return nil
}
