package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"unet/core"
	"unet/unet"
)

// epoch trains one epoch, or the rest of it, and validates.
func (t *Trainer) epoch(ctx context.Context) error {
	s, c := t.state, t.Config
	saved := time.Now()
	start := saved.Add(-time.Duration(s.Elapsed * float64(time.Second)))
	t.began = start
	feedCtx, stop := context.WithCancel(ctx)
	ready, free := t.feed.run(feedCtx, s.Epoch, s.Step, t.Engine.Threads())
	defer func() {
		stop()
		for range ready { // let the feeder end
		}
	}()
	total := c.Epochs * t.feed.steps
	for s.Step < t.feed.steps {
		b, ok := <-ready
		if !ok || ctx.Err() != nil {
			return t.interrupted(ctx)
		}
		if b.err != nil {
			return errors.Join(b.err, t.save())
		}
		copy(t.net.Input(), b.input)
		copy(t.net.Targets(), b.targets)
		copy(t.net.Weights(), b.weights)
		free <- b
		done := s.Epoch*t.feed.steps + s.Step
		t.adam.Rate = s.Factor * c.rate(done, total)
		t.net.SetSeed(uint64(done)<<8 ^ c.Seed)
		undo := statistics(t.model)
		if err := t.net.Run(ctx, core.Forward, core.Backward); err != nil {
			undo() // the step is done again on resuming
			if err := t.save(); err != nil {
				return err
			}
			return err
		}
		norm := t.adam.GradNorm(t.Engine, t.model.Params)
		results := t.net.Results()
		loss := 0.0
		for _, r := range results {
			loss += r.Loss
		}
		if !finite(norm) || !finite(loss) {
			return ErrDiverged
		}
		t.adam.Update(t.Engine, t.model.Params, norm)
		s.Partial.add(results)
		s.Step, s.Updates = s.Step+1, t.adam.Step
		t.Observer.Progress(Progress{Done: done + 1, Total: total, Epoch: s.Epoch + 1, Loss: s.Partial.Loss / float64(s.Partial.Batches)})
		if t.Every > 0 && time.Since(saved) > t.Every && s.Step < t.feed.steps {
			if err := t.save(); err != nil {
				return err
			}
			saved = time.Now()
		}
	}
	return t.endEpoch(ctx, start)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// interrupted saves the state and returns why ctx ended.
func (t *Trainer) interrupted(ctx context.Context) error {
	if err := t.save(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func (t *Trainer) save() error {
	if !leads(t.Peers) {
		return nil
	}
	if t.state.Step > 0 {
		t.state.Elapsed = time.Since(t.began).Seconds()
	}
	if err := saveCheckpoint(t.model, t.path(CheckpointFile), t.state); err != nil {
		return fmt.Errorf("saving the checkpoint: %w", err)
	}
	return nil
}

// endEpoch has process 0 end the epoch, and the others follow.
func (t *Trainer) endEpoch(ctx context.Context, start time.Time) error {
	if leads(t.Peers) {
		if err := t.decide(ctx, start); err != nil {
			return err
		}
	}
	return t.followState()
}

// decide validates, decides on best and stop, and saves.
func (t *Trainer) decide(ctx context.Context, start time.Time) error {
	s, c := t.state, t.Config
	e := Epoch{Epoch: s.Epoch + 1, Train: s.Partial.scores(),
		Rate: s.Factor * c.rate((s.Epoch+1)*t.feed.steps-1, c.Epochs*t.feed.steps)} // of the last step, which an earlier run may have done
	last := e.Epoch == c.Epochs
	if e.Epoch%c.ValidateEvery == 0 || last {
		if err := t.score(ctx, &e); err != nil {
			return err
		}
	}
	e.Seconds = time.Since(start).Seconds()
	s.History = append(s.History, e)
	s.Epoch, s.Step, s.Partial, s.Elapsed = e.Epoch, 0, tally{}, 0
	if e.Val != nil {
		if err := t.judge(e); err != nil {
			return err
		}
	}
	if s.Epoch >= c.Epochs {
		s.Finished = true
	}
	if err := t.save(); err != nil {
		return err
	}
	t.Observer.EpochDone(s.History, s.BestEpoch)
	return nil
}

// An epoch alone stands for itself where its score is better than that of the mean with
// the starting model by more than aloneGain, or its loss less by more than that share.
const aloneGain = 0.01

// score validates an epoch. In fine-tuning its mean with the starting model, which
// forgets less of what that knows (Wortsman et al., Robust fine-tuning of zero-shot
// models, 2022), stands for it unless the epoch alone is better.
func (t *Trainer) score(ctx context.Context, e *Epoch) error {
	average := t.Config.EMA > 0
	t.model.CopyTo(t.valCopy, average)
	var err error
	if e.Val, e.Foreground, err = t.validate(ctx); err != nil || t.first == nil {
		return err
	}
	alone, err := e.monitored(t.Config.Monitor)
	if err != nil {
		return err
	}
	t.average()
	m := *e
	m.Mean = true
	if m.Val, m.Foreground, err = t.validate(ctx); err != nil {
		return err
	}
	mean, err := m.monitored(t.Config.Monitor)
	if err != nil {
		return err
	}
	better := alone > mean+aloneGain
	if t.Config.lowestIsBest() {
		better = alone < mean*(1-aloneGain)
	}
	if better {
		t.model.CopyTo(t.valCopy, average)
		return nil
	}
	*e = m
	return nil
}

// average makes of valCopy's weights the mean with those of the starting model, and
// gives it that model's running statistics: those of few images of one kind fit no
// other.
func (t *Trainer) average() {
	for _, q := range t.model.Params.All() {
		v, first := t.valCopy.Params.Get(q.Name).Value, t.first.Params.Get(q.Name).Value
		if q.Grad == nil {
			copy(v, first)
			continue
		}
		for i := range v {
			v[i] = (v[i] + first[i]) / 2
		}
	}
}

// validate scores the weights of valCopy on the validation images. If ctx ends, the
// state is saved as it is, and resuming validates again.
func (t *Trainer) validate(ctx context.Context) (*Scores, float64, error) {
	t.val.Repack()
	v, foreground, err := validate(ctx, t.val, t.Val, t.state.From || t.state.Start != nil)
	if err != nil && ctx.Err() != nil {
		err = t.interrupted(ctx)
	}
	return &v, foreground, err
}

// judgeStart scores the model that training starts from as the one to beat, also
// where a run is resumed that was cut off before it had. Figures of training, which
// it has none of, cannot compare it.
func (t *Trainer) judgeStart(ctx context.Context) (err error) {
	s := t.state
	if !leads(t.Peers) || !s.From || s.Updates > 0 || s.Start != nil || strings.HasPrefix(t.Config.Monitor, "train_") {
		return nil
	}
	if t.first, err = unet.LoadModel(t.path(startFile)); err != nil {
		return err
	}
	t.model.CopyTo(t.valCopy, false)
	v, _, err := t.validate(ctx)
	if err != nil {
		return err
	}
	if s.Best, err = (Epoch{Val: v}).monitored(t.Config.Monitor); err != nil {
		return err
	}
	s.Start = v
	return t.first.Save(t.path(BestFile), false)
}

// plateauFactor is what the learning rate is multiplied by on a plateau.
const plateauFactor = 0.5

// judge compares a validated epoch with the best.
func (t *Trainer) judge(e Epoch) error {
	s, c := t.state, t.Config
	v, err := e.monitored(c.Monitor)
	if err != nil {
		return err
	}
	better := v > s.Best+c.MinDelta
	if c.lowestIsBest() {
		better = v < s.Best-c.MinDelta
	}
	if better {
		s.Best, s.BestEpoch, s.Waited = v, e.Epoch, 0
		t.describe(t.valCopy, e)
		// Later epochs are validated beside the threshold of the model that training
		// began with, resumed or not.
		own := t.valCopy.Card.Instance.Foreground
		if e.Foreground > 0 {
			t.valCopy.Card.Instance.Foreground = e.Foreground
		}
		err := t.valCopy.Save(t.path(BestFile), false)
		t.valCopy.Card.Instance.Foreground = own
		return err
	}
	s.Waited += max(1, c.ValidateEvery)
	since := e.Epoch - s.BestEpoch
	if c.Schedule == "plateau" && c.PlateauPatience > 0 && s.Waited >= c.PlateauPatience {
		s.Factor *= plateauFactor
		s.Waited = 0
	}
	if c.Patience > 0 && since >= c.Patience {
		s.Finished = true
	}
	return nil
}

// describe enters the facts of an epoch in a model's card.
func (t *Trainer) describe(m *unet.Model, e Epoch) {
	tr := &m.Card.Training
	tr.ISA, tr.Images, tr.Epochs, tr.Steps = t.Engine.ISA(), t.Train.Len(), e.Epoch, t.state.Updates
	tr.Settings = t.config
	if e.Val != nil {
		tr.Metrics = e.Val.metrics()
	}
}

// rollBack returns to the last checkpoint with half the learning rate, once.
func (t *Trainer) rollBack() error {
	var err error
	if leads(t.Peers) {
		err = t.goBack()
	}
	if err = core.Agree(t.Peers, err); err != nil {
		return err
	}
	return t.follow()
}

func (t *Trainer) goBack() error {
	const advice = "lower the learning rate (lr), or check the images with `unet inspect`"
	if t.state.RolledBack {
		return fmt.Errorf("%w again at epoch %d: %s", ErrDiverged, t.state.Epoch+1, advice)
	}
	m, s, err := loadCheckpoint(t.path(CheckpointFile))
	if err != nil {
		return fmt.Errorf("%w in the first epoch: %s", ErrDiverged, advice)
	}
	copyState(m, t.model)
	m.Params.Free()
	s.Factor, s.RolledBack = s.Factor/2, true
	t.state, t.adam.Step = s, s.Updates
	t.Observer.Warn(fmt.Sprintf("loss or gradients became infinite; back to epoch %d step %d with half the learning rate", s.Epoch+1, s.Step))
	return t.save()
}

// statistics remembers the running statistics, all that a step changes before
// its update, and returns a function that restores them.
func statistics(m *unet.Model) (restore func()) {
	saved := map[string][]float32{}
	for _, q := range m.Params.All() {
		if q.Grad == nil {
			saved[q.Name] = slices.Clone(q.Value)
		}
	}
	return func() {
		for name, values := range saved {
			copy(m.Params.Get(name).Value, values)
		}
	}
}

// copyState copies values, moments and averages.
func copyState(from, to *unet.Model) {
	from.CopyTo(to, false)
	am, av, ema := from.Params.State()
	bm, bv, bema := to.Params.State()
	copy(bm, am)
	copy(bv, av)
	copy(bema, ema)
}
