package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// Files of a run's folder.
const (
	CheckpointFile = "checkpoint.safetensors" // everything, to resume from
	BestFile       = "best.safetensors"       // the best epoch so far
	ModelFile      = "model.safetensors"      // the result
	lockFile       = "lock"
)

// Trainer is one training run on images in memory, for one goroutine. Run is one
// on a prepared set, with the files that people look at.
type Trainer struct {
	Config Config
	Engine *core.Engine
	Train  *Images
	Val    *Images
	// Dir is the run's folder. With Resume it must hold a checkpoint.
	Dir    string
	Resume bool
	// Card describes the model to be; Kind, Arch and Input come from Config.
	Card unet.Card
	// DataHash identifies the training images in checkpoints.
	DataHash string
	// From starts from these weights and thresholds instead of random and
	// default ones; same Arch. It is scored before the first epoch and stays
	// the result if no epoch is better.
	From *unet.Model
	// Recompute takes less memory and more time, see core.Options.
	Recompute bool
	// Every is the longest time between checkpoints (0: only after epochs).
	Every time.Duration
	// Observer, if not nil, listens.
	Observer Observer

	model   *unet.Model // being trained
	net     *unet.Network
	adam    *core.Adam
	feed    *feed
	val     *unet.Predictor
	valCopy *unet.Model
	state   *state
	config  []byte
}

// Plan says what a run will do.
type Plan struct {
	Parameters  int
	Epochs      int
	Done        int // epochs done before, when resuming
	Steps       int // per epoch
	Batch       int // patches per step
	Memory      int // bytes of activations and gradients
	Kernels     string
	Threads     int
	TrainImages int
	ValImages   int
	// Start is how From scores on the validation images, nil without it.
	Start *Scores
}

// Progress tells how far the loading of a split or the training has come.
type Progress struct {
	Loading     string // split; "": training
	Done, Total int    // images, or steps of all epochs
	// In training.
	Epoch int     // from 1
	Loss  float64 // mean of the epoch so far
}

// silent is the observer of a run that nobody listens to.
type silent struct{}

func (silent) Started(Plan)           {}
func (silent) Progress(Progress)      {}
func (silent) EpochDone([]Epoch, int) {}
func (silent) Note(string)            {}
func (silent) Warn(string)            {}

// Result of a run.
type Result struct {
	Model     *unet.Model // for prediction; the caller frees its Params
	History   []Epoch
	BestEpoch int // 0 when none was better than From, which then is the result
	Start     *Scores
	Stopped   bool // early
}

// ErrBusy says that another process trains in the run's folder.
var ErrBusy = errors.New("another training is running in this folder")

// ErrDiverged says that loss or gradients became NaN or infinite twice.
var ErrDiverged = errors.New("training diverged: loss or gradients are not finite")

// Run trains until all epochs are done, training stops early, or ctx ends. In
// the last case the state is saved and the cause of ctx returned.
func (t *Trainer) Run(ctx context.Context) (*Result, error) {
	if t.Observer == nil {
		t.Observer = silent{}
	}
	if err := t.Config.Check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.Dir, 0o777); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(t.Dir, lockFile))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := t.setUp(ctx); err != nil {
		return nil, err
	}
	defer t.tearDown()
	if err := t.judgeStart(ctx); err != nil {
		return nil, err
	}
	t.Observer.Started(Plan{
		Parameters: t.model.Params.Count(), Epochs: t.Config.Epochs, Done: t.state.Epoch, Steps: t.feed.steps, Batch: t.Config.Batch,
		Memory: t.net.Memory(), Kernels: t.Engine.ISA(), Threads: t.Engine.Threads(),
		TrainImages: t.Train.Len(), ValImages: t.Val.Len(), Start: t.state.Start,
	})
	for !t.state.Finished {
		err := t.epoch(ctx)
		if errors.Is(err, ErrDiverged) {
			err = t.rollBack()
		}
		if err != nil {
			return nil, err
		}
	}
	return t.finish()
}

// lock takes the run folder for this process; the lock goes with the process.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	// Where the file system knows no locks, the run goes without.
	if err := imageio.TryLock(f); errors.Is(err, imageio.ErrLocked) {
		f.Close()
		return nil, fmt.Errorf("%s: %w", filepath.Dir(path), ErrBusy)
	}
	return func() { f.Close() }, nil
}

func (t *Trainer) path(name string) string { return filepath.Join(t.Dir, name) }

func (t *Trainer) setUp(ctx context.Context) (err error) {
	c := t.Config
	if t.Train.Len() == 0 || t.Val.Len() == 0 {
		return fmt.Errorf("%d training and %d validation images: both are needed", t.Train.Len(), t.Val.Len())
	}
	if t.config, err = json.Marshal(c); err != nil {
		return err
	}
	if t.feed, err = newFeed(c, t.Train); err != nil {
		return err
	}
	t.adam = core.NewAdam(c.LearningRate)
	t.adam.WeightDecay, t.adam.Clip, t.adam.EMA = c.WeightDecay, c.Clip, c.EMA
	if t.Resume {
		err = t.restore()
	} else {
		err = t.start()
	}
	if err != nil {
		return err
	}
	side := c.Augment.Size
	t.net, err = t.model.Network(t.Engine, side, side, core.Options{Batch: c.Batch, Training: true, Recompute: t.Recompute}, c.losses())
	if err != nil {
		return err
	}
	if t.valCopy, err = t.model.Clone(false); err != nil {
		return err
	}
	t.val = unet.NewPredictor(t.Engine, t.valCopy)
	return nil
}

func (t *Trainer) tearDown() {
	if t.net != nil {
		t.net.Free()
	}
	if t.val != nil {
		t.val.Close()
		t.valCopy.Params.Free()
	}
	t.model.Params.Free()
}

func (t *Trainer) start() (err error) {
	card := t.Card
	card.Kind, card.Arch, card.Input = t.Config.Kind, t.Config.Arch, t.Config.Input
	card.Threshold = t.Config.Threshold
	if card.Instance == (instance.Params{}) {
		card.Instance = instance.DefaultParams()
	}
	if t.From != nil { // thresholds fit the weights, so they come along
		card.Threshold, card.Instance = t.From.Card.Threshold, t.From.Card.Instance
		card.Training.From = t.From.SHA256
	}
	if t.model, err = unet.NewModel(card, t.Config.Seed, true); err != nil {
		return err
	}
	if t.From != nil {
		if t.From.Card.Precision != "" {
			return fmt.Errorf("a model of precision %s cannot be trained: start from the one it was made of", t.From.Card.Precision)
		}
		if !t.From.Card.Arch.Fits(card.Arch) {
			return fmt.Errorf("the weights to start from belong to another network (%+v)", t.From.Card.Arch)
		}
		t.From.CopyTo(t.model, false)
		t.model.Params.ResetAverage()
	}
	t.state = &state{Config: t.config, Data: t.DataHash, ISA: t.Engine.ISA(), Factor: 1, Best: math.MaxFloat64}
	if !t.Config.lowestIsBest() {
		t.state.Best = -math.MaxFloat64
	}
	return nil
}

// restore continues from the checkpoint.
func (t *Trainer) restore() (err error) {
	path := t.path(CheckpointFile)
	if t.model, t.state, err = loadCheckpoint(path); err != nil {
		return err
	}
	began, err := t.state.settings()
	switch {
	case err != nil:
	case !reflect.DeepEqual(began, t.Config):
		err = errors.New("the settings differ from those the run began with")
	case t.state.Epoch > t.Config.Epochs || t.state.Epoch == t.Config.Epochs && !t.state.Finished || t.state.Step > t.feed.steps:
		err = fmt.Errorf("it stands at epoch %d, step %d, behind the end of the run", t.state.Epoch, t.state.Step)
	case t.state.Data != t.DataHash:
		err = errors.New("the training images differ from those the run began with")
	case t.state.ISA != t.Engine.ISA():
		t.Observer.Warn(fmt.Sprintf("the run began on %s and goes on with %s: its results will differ in the last bits", t.state.ISA, t.Engine.ISA()))
	}
	if err != nil {
		t.model.Params.Free()
		return &unet.ModelError{Name: path, Problem: err.Error(), Advice: "resume with the same settings and data, or start a new run in another folder"}
	}
	t.adam.Step = t.state.Updates
	return nil
}

// epoch trains one epoch, or the rest of it, and validates.
func (t *Trainer) epoch(ctx context.Context) error {
	s, c := t.state, t.Config
	start := time.Now()
	saved := start
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
			return t.interrupted(ctx)
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
	if err := saveCheckpoint(t.model, t.path(CheckpointFile), t.state); err != nil {
		return fmt.Errorf("saving the checkpoint: %w", err)
	}
	return nil
}

// endEpoch validates, decides on best and stop, and saves.
func (t *Trainer) endEpoch(ctx context.Context, start time.Time) error {
	s, c := t.state, t.Config
	e := Epoch{Epoch: s.Epoch + 1, Train: s.Partial.scores(),
		Rate: s.Factor * c.rate((s.Epoch+1)*t.feed.steps-1, c.Epochs*t.feed.steps)} // of the last step, which an earlier run may have done
	last := e.Epoch == c.Epochs
	if e.Epoch%c.ValidateEvery == 0 || last {
		v, err := t.validate(ctx, c.EMA > 0)
		if err != nil {
			return err
		}
		e.Val = &v
	}
	e.Seconds = time.Since(start).Seconds()
	s.History = append(s.History, e)
	s.Epoch, s.Step, s.Partial = e.Epoch, 0, tally{}
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

// validate scores the weights, or their average, on the validation images. If
// ctx ends, the state is saved as it is, and resuming validates again.
func (t *Trainer) validate(ctx context.Context, average bool) (Scores, error) {
	t.model.CopyTo(t.valCopy, average)
	t.val.Repack()
	v, err := validate(ctx, t.val, t.Val)
	if err != nil && ctx.Err() != nil {
		err = t.interrupted(ctx)
	}
	return v, err
}

// judgeStart scores From as the one to beat. Figures of training, which it has
// none of, cannot compare it.
func (t *Trainer) judgeStart(ctx context.Context) error {
	s := t.state
	if t.From == nil || s.Updates > 0 || s.Start != nil || strings.HasPrefix(t.Config.Monitor, "train_") {
		return nil
	}
	v, err := t.validate(ctx, false)
	if err != nil {
		return err
	}
	if s.Best, err = (Epoch{Val: &v}).Monitored(t.Config.Monitor); err != nil {
		return err
	}
	s.Start = &v
	return t.From.Save(t.path(BestFile), false)
}

// plateauFactor is what the learning rate is multiplied by on a plateau.
const plateauFactor = 0.5

// judge compares a validated epoch with the best.
func (t *Trainer) judge(e Epoch) error {
	s, c := t.state, t.Config
	v, err := e.Monitored(c.Monitor)
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
		return t.valCopy.Save(t.path(BestFile), false)
	}
	s.Waited++
	since := e.Epoch - s.BestEpoch
	if c.Schedule == "plateau" && c.PlateauPatience > 0 && s.Waited%c.PlateauPatience == 0 {
		s.Factor *= plateauFactor
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
		tr.Metrics = map[string]float64{
			"loss": e.Val.Loss, "accuracy": e.Val.Accuracy, "f1": e.Val.F1, "iou": e.Val.IoU,
			"kaggle_score": e.Val.KaggleScore, "pooled_ap50": e.Val.PooledAP50,
		}
	}
}

// rollBack returns to the last checkpoint with half the learning rate, once.
func (t *Trainer) rollBack() error {
	const advice = "lower --lr, or check the images with `unet inspect`"
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

// finish writes the result.
func (t *Trainer) finish() (*Result, error) {
	s := t.state
	r := &Result{History: s.History, BestEpoch: s.BestEpoch, Start: s.Start, Stopped: s.Epoch < t.Config.Epochs}
	var err error
	if s.BestEpoch > 0 || s.Start != nil {
		r.Model, err = unet.LoadModel(t.path(BestFile))
	} else {
		r.Model, err = t.model.Clone(t.Config.EMA > 0)
		if err == nil {
			t.describe(r.Model, s.History[len(s.History)-1])
		}
	}
	if err != nil {
		return nil, err
	}
	return r, r.Model.Save(t.path(ModelFile), false)
}
