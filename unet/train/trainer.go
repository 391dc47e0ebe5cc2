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
	"strings"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio/atomicfile"
	"unet/unet/instance"
)

// Files of a run's folder.
const (
	CheckpointFile = "checkpoint.safetensors" // everything, to resume from
	BestFile       = "best.safetensors"       // the best epoch so far
	ModelFile      = "model.safetensors"      // the result
	startFile      = "start.safetensors"      // From, for the mean with it and to rehearse
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
	// DataHash identifies the images in checkpoints; FormerHash is what older
	// versions wrote, "" for nothing else.
	DataHash, FormerHash string
	// From starts from these weights and thresholds instead of random and
	// default ones; same Arch. It is scored before the first epoch and stays
	// the result if no epoch is better.
	From *unet.Model
	// Recompute takes less memory and more time, see core.Options.
	Recompute bool
	// Peers, if not nil, are the processes that train together; see Config.MicroBatches.
	// All have the same settings and images; process 0 alone has Dir and returns a model.
	Peers core.Peers
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
	first   *unet.Model // From, while epochs may be averaged with it; else nil
	state   *state
	began   time.Time // of the epoch, less what it was interrupted for
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
	Threads     int // of each process
	Processes   int
	TrainImages int
	ValImages   int
	// Start is how From scores on the validation images, nil without it.
	Start *Scores
}

// Progress tells how far the loading of a split or the training has come.
type Progress struct {
	Loading     string // split, or "synthetic"; "": training
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
	Model     *unet.Model // for prediction; the caller frees its Params. nil: another process has it
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
	unlock, err := t.begin()
	defer unlock()
	defer t.tearDown()
	if err = core.Agree(t.Peers, err); err != nil {
		return nil, err
	}
	if err := t.meet(); err != nil {
		return nil, err
	}
	if t.feed.rehearsal, err = t.rehearse(ctx); err != nil {
		return nil, err
	}
	if err := t.judgeStart(ctx); err != nil {
		return nil, err
	}
	t.Observer.Started(Plan{
		Parameters: t.model.Params.Count(), Epochs: t.Config.Epochs, Done: t.state.Epoch, Steps: t.feed.steps, Batch: t.Config.Batch,
		Memory: t.net.Memory(), Kernels: t.Engine.ISA(), Threads: t.Engine.Threads(), Processes: t.processes(),
		TrainImages: t.Train.Len(), ValImages: t.Val.Len(), Start: t.state.Start,
	})
	if t.state.Finished {
		t.Observer.Note("this training is finished: there is nothing to continue")
	}
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

// begin takes the run's folder, until unlock, and sets the training up. Both that and
// tearDown are due where it fails, too.
func (t *Trainer) begin() (unlock func(), err error) {
	unlock = func() {}
	if err := t.Config.Check(); err != nil {
		return unlock, err
	}
	if err := t.Config.divides(t.Peers); err != nil {
		return unlock, err
	}
	if !t.Resume {
		if err := t.Config.startsFrom(t.From); err != nil {
			return unlock, err
		}
	}
	if leads(t.Peers) {
		if err := os.MkdirAll(t.Dir, 0o777); err != nil {
			return unlock, err
		}
		free, err := lock(filepath.Join(t.Dir, lockFile))
		if err != nil {
			return unlock, err
		}
		unlock = free
	}
	return unlock, t.setUp()
}

func (t *Trainer) processes() int {
	if t.Peers == nil {
		return 1
	}
	return t.Peers.Size()
}

// lock takes the run folder for this process; the lock goes with the process.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	// Where the file system knows no locks, the run goes without.
	if err := atomicfile.TryLock(f); errors.Is(err, atomicfile.ErrLocked) {
		f.Close()
		return nil, fmt.Errorf("%s: %w", filepath.Dir(path), ErrBusy)
	}
	return func() { f.Close() }, nil
}

func (t *Trainer) path(name string) string { return filepath.Join(t.Dir, name) }

func (t *Trainer) setUp() (err error) {
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
	t.feed.first, t.feed.count = c.share(t.Peers)
	t.adam = core.NewAdam(c.LearningRate)
	t.adam.WeightDecay, t.adam.Clip, t.adam.EMA = c.WeightDecay, c.Clip, c.EMA
	if t.Resume && leads(t.Peers) {
		err = t.restore()
	} else {
		err = t.start()
	}
	if err != nil {
		return err
	}
	side := c.Augment.Size
	t.net, err = t.model.Network(t.Engine, side, side, core.Options{Batch: c.Batch, MicroBatches: c.MicroBatches, Peers: t.Peers, Training: true, Recompute: t.Recompute}, c.losses())
	if err != nil || !leads(t.Peers) {
		return err
	}
	if t.valCopy, err = t.model.Clone(false); err != nil {
		return err
	}
	t.val = unet.NewPredictor(t.Engine, t.valCopy)
	return nil
}

func (t *Trainer) tearDown() {
	if t.feed != nil && t.feed.rehearsal != nil {
		t.feed.rehearsal.Close()
	}
	if t.net != nil {
		t.net.Free()
	}
	if t.val != nil {
		t.val.Close()
		t.valCopy.Params.Free()
	}
	if t.model != nil {
		t.model.Params.Free()
	}
	if t.first != nil {
		t.first.Params.Free()
	}
}

// startsFrom fails where a training with these settings cannot start from a model,
// which may be nil.
func (c Config) startsFrom(from *unet.Model) error {
	switch {
	case from == nil:
	case from.Card.Precision != "":
		return &SettingError{Problem: fmt.Sprintf("a model of precision %s cannot be trained", from.Card.Precision), Advice: "start from the one it was made of", Option: "from"}
	case !from.Card.Arch.Fits(c.Arch):
		a := from.Card.Arch
		network := append([]string{fmt.Sprintf("depth %d", a.Depth), fmt.Sprintf("width %d", a.Width)}, a.Variant()...)
		return &SettingError{Problem: fmt.Sprintf("the weights to start from belong to another network (%s)", strings.Join(network, ", ")), Advice: "leave out the settings that change the network"}
	}
	return nil
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
		t.From.CopyTo(t.model, false)
		t.model.Params.ResetAverage()
		if leads(t.Peers) {
			if err := t.From.Save(t.path(startFile), false); err != nil {
				return err
			}
		}
	}
	t.state = &state{Config: t.config, Data: t.DataHash, ISA: t.Engine.ISA(), Factor: 1, Best: math.MaxFloat64, From: t.From != nil}
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
		err = fmt.Errorf("it stands at epoch %d, step %d, beyond the end of the run", t.state.Epoch, t.state.Step)
	case t.state.Data != t.DataHash && (t.FormerHash == "" || t.state.Data != t.FormerHash):
		err = errors.New("the images, their labels or their splits differ from those the run began with")
	case t.state.ISA != t.Engine.ISA():
		t.Observer.Warn(fmt.Sprintf("the run began on %s and goes on with %s: its results will differ in the last bits", t.state.ISA, t.Engine.ISA()))
	}
	if err != nil {
		return &unet.ModelError{Name: path, Problem: err.Error(), Advice: "resume with the same settings and data, or start a new run in another folder"}
	}
	t.adam.Step = t.state.Updates
	if t.state.From && t.state.Start != nil {
		t.first, err = unet.LoadModel(t.path(startFile))
	}
	return err
}

// finish writes the result.
func (t *Trainer) finish() (*Result, error) {
	s := t.state
	r := &Result{History: s.History, BestEpoch: s.BestEpoch, Start: s.Start, Stopped: s.Epoch < t.Config.Epochs}
	if !leads(t.Peers) {
		return r, nil
	}
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
