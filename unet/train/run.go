package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/owned"
	"unet/unet/report"
)

// Options of Run.
type Options struct {
	Engine *core.Engine
	Set    *dataset.Set
	// LeftOut names the sources that Set was relieved of, for the model's card.
	LeftOut []string
	// Fold says which images Set was relieved of, where they are no whole sources.
	Fold   string
	Out    string // folder of the run
	Config Config
	// Resume continues the run in Out, which began with the settings Config;
	// ReadRun returns them.
	Resume bool
	// From, if not nil, is the model to start from; see Trainer.
	From *unet.Model
	// Peers, if not nil, are the processes that train together; see Trainer. Process 0
	// alone has observers and returns a summary.
	Peers core.Peers
	// Recompute takes a quarter less memory and a fifth more time, to the same
	// bits.
	Recompute bool
	// Memory is how many bytes there are, Free how many of them nothing else has:
	// a run that takes more is refused, or warned of. 0: not known.
	Memory, Free int64
	// Force lets the run replace files that no earlier run made.
	Force bool
	// Name and License are recorded in the model's card, and the version of the
	// program that trains.
	Name, License, Program string
	// Next, if not nil, gives the commands that the report ends with, for a run
	// that is done or not.
	Next func(done bool) []report.Step
}

// Observer listens to a training. Its methods are called one at a time.
type Observer interface {
	// Started is called when all is set up and training begins.
	Started(Plan)
	// Progress is called after every image loaded and every step.
	Progress(Progress)
	// EpochDone is called after every epoch, when the checkpoint is on disk, with
	// all epochs so far and the number of the best, 0 for none.
	EpochDone(history []Epoch, best int)
	// Note receives what is good to know, Warn what went wrong without ending
	// the run.
	Note(text string)
	Warn(text string)
}

// SummarySchema is the version of the layout of Summary in JSON.
const SummarySchema = 2

// Summary of a run.
type Summary struct {
	Schema    int     `json:"schema"`          // version of the layout
	Model     string  `json:"model"`           // the model file
	Report    string  `json:"report"`          // the report, an HTML page
	Epochs    int     `json:"epochs"`          // epochs done
	Stopped   bool    `json:"stopped_early"`   // training ended early, as no epoch was better for a while
	BestEpoch int     `json:"best_epoch"`      // number of the epoch whose weights are the result; 0: the starting model
	Best      *Epoch  `json:"best,omitempty"`  // the epoch whose weights are the result; absent for the starting model
	Start     *Scores `json:"start,omitempty"` // scores of the starting model on the validation images
	Unchanged bool    `json:"unchanged"`       // the result is the starting model

	Parameters int     `json:"-"`
	History    []Epoch `json:"-"`
}

// Run trains a model on a prepared set. The folder o.Out gets
// model.safetensors, the result; best.safetensors; checkpoint.safetensors, from
// which Resume continues, with start.safetensors, the model that training began
// with, if any; config.yaml, all settings; and history.csv,
// history.json, curves.png, curves.svg and report.html. If ctx ends, the state
// is saved and the cause of ctx returned.
func Run(ctx context.Context, o Options, observer Observer) (*Summary, error) {
	if !leads(o.Peers) {
		observer = silent{}
	}
	tr, err := newTrainer(ctx, o, observer)
	if tr != nil {
		defer tr.Train.Close()
		defer tr.Val.Close()
	}
	if err = core.Agree(o.Peers, err); err != nil {
		return nil, err
	}
	if !leads(o.Peers) {
		_, err := tr.Run(ctx)
		return nil, err
	}
	r := &record{Observer: observer, o: o}
	tr.Observer = r
	res, err := tr.Run(ctx)
	if err != nil {
		if ctx.Err() != nil && len(r.history) > 0 {
			r.write(fmt.Sprintf("Interrupted after %d of %d epochs.", len(r.history), o.Config.Epochs))
		}
		return nil, err
	}
	defer res.Model.Params.Free()
	r.end(res)
	s := &Summary{Schema: SummarySchema, Model: filepath.Join(o.Out, ModelFile), Report: filepath.Join(o.Out, reportFile), Epochs: len(res.History),
		Stopped: res.Stopped, BestEpoch: res.BestEpoch, Start: res.Start,
		Unchanged: res.BestEpoch == 0 && res.Start != nil, Parameters: r.plan.Parameters, History: res.History}
	if res.BestEpoch > 0 {
		s.Best = &res.History[res.BestEpoch-1]
	}
	return s, nil
}

// ReadRun returns the settings of the run in a folder, and the sources its set was
// relieved of.
func ReadRun(dir string) (c Config, leftOut []string, err error) {
	if !HoldsRun(dir) {
		return c, nil, &dataset.InputError{Name: dir, Problem: "holds no checkpoint to continue from",
			Advice: "name the folder of a run that was interrupted, or begin one"}
	}
	m, s, err := loadCheckpoint(filepath.Join(dir, CheckpointFile))
	if err != nil {
		return c, nil, err
	}
	m.Params.Free()
	c, err = s.settings()
	return c, m.Card.Training.LeftOut, err
}

// HoldsRun reports whether a folder holds a run that may be resumed.
func HoldsRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, CheckpointFile))
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
}

// newTrainer loads the set.
func newTrainer(ctx context.Context, o Options, observer Observer) (*Trainer, error) {
	if err := o.Config.divides(o.Peers); err != nil {
		return nil, err
	}
	if leads(o.Peers) && !o.Resume && HoldsRun(o.Out) {
		return nil, &SettingError{Problem: o.Out + " already holds a run", Advice: "choose another folder, or continue it", Option: "resume"}
	}
	if o.Config.Rehearsal > 0 && o.From == nil && !o.Resume {
		return nil, &SettingError{Problem: fmt.Sprintf("rehearsal %v: only a training that starts from a model rehearses what that knows", o.Config.Rehearsal),
			Advice: "leave the setting out, or give a model to start from", Option: "from"}
	}
	if !o.Resume {
		if err := o.Config.startsFrom(o.From); err != nil {
			return nil, err
		}
	}
	for _, split := range []string{dataset.Train, dataset.Val} {
		if len(o.Set.Split(split)) == 0 {
			return nil, &dataset.InputError{Name: o.Set.Dir, Problem: fmt.Sprintf("has no images in the split %q, which training needs", split),
				Advice: "training takes two images at least, of different fields: prepare the set with a share for each", Option: "split 0.8,0.1,0.1"}
		}
	}
	if size := o.Set.Meta.Settings.Size; o.Config.Kind == unet.Nuclei && size > 0 {
		observer.Warn(fmt.Sprintf("%s holds images resized to %d x %d; a nuclei model learns better from a set prepared at native size",
			o.Set.Dir, size, size))
	}
	if leads(o.Peers) {
		if err := o.check(); err != nil {
			return nil, err
		}
	}
	need, err := o.fits(observer)
	if err != nil {
		return nil, err
	}
	source := o.Set.Meta.Source
	tr := &Trainer{Config: o.Config, Engine: o.Engine, Dir: o.Out, Resume: o.Resume, From: o.From, Recompute: o.Recompute, Peers: o.Peers,
		Every: 5 * time.Minute, DataHash: imagesHash(o.Set), FormerHash: source.SHA256}
	if len(o.LeftOut) > 0 {
		tr.FormerHash += " without " + strings.Join(o.LeftOut, ",")
	}
	if o.Fold != "" {
		tr.FormerHash += " without " + o.Fold
	}
	tr.Card.Name, tr.Card.Diameter = o.Name, diameters(o.Set)
	tr.Card.Training = unet.Training{Program: o.Program, License: o.License, LeftOut: o.LeftOut, Date: time.Now().UTC().Format(time.DateOnly),
		Data: fmt.Sprintf("%s (sha256 %s)", filepath.Base(source.Name), source.SHA256)}
	if tr.Train, err = load(ctx, o, dataset.Train, observer); err != nil {
		return nil, err
	}
	if tr.Val, err = load(ctx, o, dataset.Val, observer); err != nil {
		tr.Train.Close()
		return nil, err
	}
	if leads(o.Peers) { // nothing is written before all is well
		if err := o.reserve(); err != nil {
			tr.Train.Close()
			tr.Val.Close()
			return nil, err
		}
	}
	observer.Note(fmt.Sprintf("training takes about %s of memory", imageio.BytesText(need)))
	return tr, nil
}

// imagesHash is the SHA-256 of what is trained on and validated with: a set that is
// prepared again may split its images otherwise, or mend their labels.
func imagesHash(set *dataset.Set) string {
	h := sha256.New()
	for _, e := range set.Entries {
		if e.Split == dataset.Train || e.Split == dataset.Val {
			fmt.Fprintln(h, e.ID, e.Split, e.Outputs.Image, e.Outputs.Masks)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// files are those of a run.
var files = []string{ModelFile, BestFile, CheckpointFile, startFile, configFile, reportFile, lockFile, "history.csv", "history.json", "curves.png", "curves.svg"}

// RefuseSet refuses a folder that holds a prepared set, for the results of training.
func RefuseSet(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "metadata.json")); err != nil {
		return nil
	}
	return &owned.RefusedError{Name: dir, Problem: "holds a prepared set", Advice: "choose another folder for the run"}
}

// check refuses a folder that the run may not write into.
func (o *Options) check() error {
	if st, err := os.Stat(o.Out); err == nil && !st.IsDir() {
		return &SettingError{Problem: o.Out + " is a file", Advice: "give a folder for the run"}
	}
	if err := RefuseSet(o.Out); err != nil {
		return err
	}
	f, err := owned.Open(o.Out, o.claim())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Check(files...)
}

func (o *Options) claim() owned.Options {
	claim := owned.Options{Force: o.Force}
	if o.Resume && HoldsRun(o.Out) {
		claim.Made = files // by a version that kept no list, perhaps
	}
	return claim
}

// reserve claims the files of the run.
func (o *Options) reserve() error {
	err := owned.Reserve(o.Out, o.claim(), files...)
	if errors.Is(err, owned.ErrBusy) {
		return fmt.Errorf("%s: %w", o.Out, ErrBusy)
	}
	return err
}

// load reads the images of a split, one at a time. What is too much for memory
// goes to a temporary file in the folder of the run, or of the machine where another
// process has that.
func load(ctx context.Context, o Options, split string, observer Observer) (*Images, error) {
	dir := o.Out
	if !leads(o.Peers) {
		dir = os.TempDir()
	}
	images := &Images{input: o.Config.Input, store: atomicfile.NewScratch(filepath.Join(dir, "images"), inMemory)}
	indices := o.Set.Split(split)
	for n, i := range indices {
		err := context.Cause(ctx)
		var s *dataset.Sample
		if err == nil {
			s, err = o.Set.Load(i)
		}
		if err == nil {
			err = images.add(s)
		}
		if err != nil {
			images.Close()
			return nil, err
		}
		observer.Progress(Progress{Loading: split, Done: n + 1, Total: len(indices)})
	}
	return images, nil
}

// diameters returns the 10th, 50th and 90th percentile of the median nucleus
// diameters of the training images, in pixels of the prepared set.
func diameters(set *dataset.Set) (d [3]float64) {
	var list []float64
	for _, i := range set.Split(dataset.Train) {
		e := set.Entries[i]
		if e.Diameter > 0 {
			list = append(list, e.Diameter*math.Sqrt(float64(e.W*e.H)/float64(e.SourceW*e.SourceH)))
		}
	}
	if len(list) == 0 {
		return d
	}
	slices.Sort(list)
	for i, q := range []float64{0.1, 0.5, 0.9} {
		d[i] = math.Round(list[int(q*float64(len(list)-1))]*10) / 10
	}
	return d
}
