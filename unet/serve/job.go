package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/report"
	"unet/unet/segment"
	"unet/unet/train"
)

// job is work in the background: one at a time.
type job struct {
	State  JobState
	cancel context.CancelFunc
	model  *unet.Model // that teaching gave
}

// JobState is what the page shows of a job.
type JobState struct {
	// Kind is segment or teach.
	Kind string `json:"kind,omitempty"`
	// Running, and how much of it is done.
	Running bool    `json:"running"`
	Done    int     `json:"done"`
	Total   int     `json:"total"`
	Text    string  `json:"text,omitempty"`
	Seconds float64 `json:"seconds"`
	// Left is about how many seconds are left, 0 while that is not known.
	Left  float64 `json:"seconds_left,omitempty"`
	Error string  `json:"error,omitempty"`
	// Notes are warnings on the way.
	Notes []string `json:"notes,omitempty"`
	// History are the epochs of a teaching, Start the scores before.
	History []train.Epoch `json:"history,omitempty"`
	Start   *train.Scores `json:"start,omitempty"`
	Best    int           `json:"best,omitempty"`
	// Compare are the images held back, before and after.
	Compare []Comparison `json:"compare,omitempty"`
	// Model is the file of the result, until it is dropped.
	Model string `json:"model,omitempty"`
	// InUse says that the page segments with it.
	InUse bool `json:"in_use,omitempty"`

	began  time.Time
	images []string // that are segmented
}

// Comparison is an image held back from teaching, segmented before and after.
type Comparison struct {
	Name   string `json:"name"`
	People int    `json:"nuclei_corrected"`
	Before int    `json:"nuclei_before"`
	After  int    `json:"nuclei_after"`
}

// start begins a job, unless one is under way.
func (s *Server) start(kind string, work func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job != nil && s.job.State.Running {
		return &apiError{http.StatusConflict, "the program is at work already: wait, or cancel it"}
	}
	if s.base.Err() != nil {
		return errClosed
	}
	if s.job != nil && s.job.model != nil && s.job.model != s.o.Model {
		s.job.model.Params.Free()
	}
	ctx, cancel := context.WithCancel(s.base)
	j := &job{State: JobState{Kind: kind, Running: true, began: time.Now()}, cancel: cancel}
	s.job = j
	s.work.Go(func() {
		defer cancel()
		err := work(ctx)
		s.update(func(st *JobState) {
			st.Running = false
			switch {
			case ctx.Err() != nil:
				st.Text = "cancelled"
			case err != nil:
				st.Error = err.Error()
			}
		})
		s.events.send("images", nil)
	})
	return nil
}

// update changes the state of the job and tells the pages.
func (s *Server) update(change func(*JobState)) {
	s.mu.Lock()
	st := &s.job.State
	change(st)
	st.Seconds = time.Since(st.began).Seconds()
	st.Left = 0
	if st.Running && st.Done > 0 && st.Total > st.Done {
		st.Left = st.Seconds / float64(st.Done) * float64(st.Total-st.Done)
	}
	state := *st
	s.mu.Unlock()
	s.events.send("job", state)
}

// state is the job's, of any.
func (s *Server) state() JobState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job == nil {
		return JobState{}
	}
	return s.job.State
}

// watcher listens to segmentation and training.
type watcher struct{ s *Server }

// Progress implements segment.Observer.
func (o watcher) Progress(p segment.Progress) {
	if p.Image == "" {
		o.s.update(func(st *JobState) { st.Done, st.Total, st.Text = p.Done, p.Total, p.Last })
		o.s.events.send("images", nil)
	}
}

// Note implements both observers.
func (o watcher) Note(string) {}

// Warn implements both observers.
func (o watcher) Warn(text string) {
	o.s.update(func(st *JobState) {
		if len(st.Notes) < 100 {
			st.Notes = append(st.Notes, text)
		}
	})
}

// trainWatcher listens to training.
type trainWatcher struct{ watcher }

// Started implements train.Observer.
func (o trainWatcher) Started(p train.Plan) {
	o.s.update(func(st *JobState) {
		st.Start, st.Done, st.Total, st.Text, st.began = p.Start, 0, p.Epochs*p.Steps, "learning", time.Now()
	})
}

// Progress implements train.Observer.
func (o trainWatcher) Progress(p train.Progress) {
	if p.Loading == "" && p.Done%5 == 0 {
		o.s.update(func(st *JobState) { st.Done, st.Total = p.Done, p.Total })
	}
}

// EpochDone implements train.Observer.
func (o trainWatcher) EpochDone(history []train.Epoch, best int) {
	o.s.update(func(st *JobState) { st.History, st.Best = slices.Clone(history), best })
}

// Formats of results that the page asks for.
var resultFormats = []string{segment.CSV, segment.GeoJSON, segment.Labels, segment.Overlay, segment.ROI}

// segmentRequest says what to segment.
type segmentRequest struct {
	// Images are ids; empty: all that are new.
	Images []string `json:"images"`
	// Again also segments images that have results.
	Again    bool     `json:"again"`
	Settings settings `json:"settings"`
}

// settings are those of `unet predict`, with its names.
type settings struct {
	Diameter   string  `json:"diameter"`
	Threshold  float64 `json:"threshold"`
	MinArea    *int    `json:"min-area"`
	TTA        bool    `json:"tta"`
	RemoveEdge bool    `json:"remove-edge"`
	Condition  string  `json:"condition"`
}

// options are the settings as package segment takes them.
func (t settings) options(memory int64) (o segment.Options, c segment.Condition, err error) {
	if t.Diameter == "" {
		t.Diameter = "auto"
	}
	o = segment.Options{TTA: t.TTA, RemoveEdge: t.RemoveEdge, Threshold: t.Threshold, MinArea: t.MinArea, Memory: memory}
	if o.Diameter, err = segment.ParseDiameter(t.Diameter); err != nil {
		return o, c, &apiError{http.StatusBadRequest, "diameter " + clip(t.Diameter) + ": " + err.Error()}
	}
	if strings.EqualFold(filepath.Ext(t.Condition), ".csv") { // would read any file
		return o, c, &apiError{http.StatusBadRequest, "condition: folder or a regular expression"}
	}
	if c, err = segment.ParseCondition(t.Condition); err != nil {
		return o, c, &apiError{http.StatusBadRequest, "condition: " + err.Error()}
	}
	return o, c, nil
}

// segmentAll starts the segmentation of images.
func (s *Server) segmentAll(r segmentRequest) error {
	o, condition, err := r.Settings.options(s.o.Memory)
	if err != nil {
		return err
	}
	b := segment.Batch{Out: s.out, Formats: resultFormats, SkipExisting: !r.Again, Version: s.o.Version, Condition: condition}
	var list []image
	corrected := 0
	all := s.images()
	for _, im := range all {
		if len(r.Images) > 0 && !slices.Contains(r.Images, im.ID) || len(r.Images) == 0 && im.Status == segment.Done && !r.Again {
			continue
		}
		if im.Corrected {
			corrected++
			continue
		}
		b.Inputs, list = append(b.Inputs, im.in), append(list, im)
	}
	switch {
	case len(b.Inputs) == 0 && corrected > 0:
		return &apiError{http.StatusConflict, "corrected images are not segmented again: their corrections would be lost; “Model's own” on the page of an image gives them up"}
	case len(b.Inputs) == 0:
		return &apiError{http.StatusConflict, "there is nothing to segment: add images, or choose some"}
	}
	model := s.model()
	seg, err := segment.New(s.o.Engine, model, o)
	if err != nil {
		return &apiError{http.StatusBadRequest, err.Error()}
	}
	err = s.start("segment", func(ctx context.Context) error {
		s.compute.Lock()
		defer s.compute.Unlock()
		defer seg.Close()
		s.update(func(st *JobState) {
			for i := range list {
				st.images = append(st.images, list[i].ID)
			}
			if corrected > 0 {
				st.Notes = append(st.Notes, fmt.Sprintf("%d corrected images were left as they are", corrected))
			}
		})
		if err := s.keepRecords(all); err != nil {
			return err
		}
		_, err := seg.Run(ctx, b, watcher{s})
		return errors.Join(err, s.renew(list))
	})
	if err != nil {
		seg.Close()
	}
	return err
}

// renew closes what is open of images that have new results, and drops the edits
// of earlier ones that were all taken back.
func (s *Server) renew(list []image) (failed error) {
	for i := range list {
		im := &list[i]
		s.forget(im.ID)
		if im.record == nil {
			continue
		}
		for k := range im.record.Planes {
			failed = errors.Join(failed, s.forgetEdits(im, im.record.Planes[k].Suffix))
		}
	}
	return failed
}

// segmenting reports whether an image gets new results now.
func (s *Server) segmenting(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.job != nil && s.job.State.Running && slices.Contains(s.job.State.images, id)
}

func (s *Server) model() *unet.Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.o.Model
}

// teachRequest says what to learn from.
type teachRequest struct {
	// Images are ids of corrected images; empty: all of them.
	Images []string `json:"images"`
	// Epochs and Steps of an epoch; 0: as `unet train --from --preset quick`.
	Epochs int `json:"epochs"`
	Steps  int `json:"steps"`
}

// teach starts fine-tuning on corrected images.
func (s *Server) teach(r teachRequest) error {
	if r.Epochs < 0 || r.Steps < 0 || r.Epochs > 1000 || r.Steps > 10000 {
		return &apiError{http.StatusBadRequest, "epochs: up to 1000, steps: up to 10000"}
	}
	var list []image
	for _, im := range s.images() {
		if im.Corrected && (len(r.Images) == 0 || slices.Contains(r.Images, im.ID)) {
			list = append(list, im)
		}
	}
	if len(list) < 2 {
		return &apiError{http.StatusConflict, "teaching takes two corrected images at least: one to learn from, one to check with"}
	}
	dir, err := s.teachFolder()
	if err != nil {
		return err
	}
	return s.start("teach", func(ctx context.Context) error {
		s.compute.Lock()
		defer s.compute.Unlock()
		s.update(func(st *JobState) { st.Text = "preparing" })
		for i := range list {
			if err := s.writeSamples(dir, &list[i]); err != nil {
				return err
			}
		}
		return s.learn(ctx, dir, r)
	})
}

// teachFolder makes a folder for the next teaching.
func (s *Server) teachFolder() (string, error) {
	for n := 1; ; n++ {
		dir := filepath.Join(s.out, "teach", fmt.Sprint(n))
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return "", err
		}
		if err := os.Mkdir(dir, 0o755); err == nil {
			return dir, nil
		} else if !os.IsExist(err) {
			return "", err
		}
	}
}

// writeSamples writes the corrected planes of an image, and their labels, as a set
// is made of.
func (s *Server) writeSamples(dir string, im *image) error {
	p, err := s.pictureOf(im)
	if err != nil {
		return err
	}
	for i, ref := range p.refs {
		if n, ok := s.corrections(im, ref.Suffix); !ok || !n.Corrected {
			continue
		}
		d, err := s.open(im, i)
		if err != nil {
			return err
		}
		if err := d.writeSamples(dir, strings.ReplaceAll(im.in.Base+ref.Suffix, "/", "_")); err != nil {
			return err
		}
	}
	return nil
}

// learn prepares the set, trains, and compares.
func (s *Server) learn(ctx context.Context, dir string, r teachRequest) error {
	src, err := dataset.OpenSource(dir)
	if err != nil {
		return err
	}
	defer src.Close()
	if _, err := dataset.Prepare(ctx, src, filepath.Join(dir, "set"), dataset.Options{Seed: 1, Fractions: dataset.Fractions{Train: 0.7, Val: 0.3}}); err != nil {
		return err
	}
	set, err := dataset.Open(filepath.Join(dir, "set"))
	if err != nil {
		return err
	}
	from := s.model()
	cfg, err := train.Defaults{Kind: from.Card.Kind, Preset: "quick", FineTune: true}.Config()
	if err != nil {
		return err
	}
	if r.Epochs > 0 {
		cfg.Epochs = r.Epochs
	}
	if r.Steps > 0 {
		cfg.Steps = r.Steps
	}
	cfg.Arch, cfg.Input = from.Card.Arch, from.Card.Input
	sum, err := train.Run(ctx, train.Options{Engine: s.o.Engine, Set: set, Out: filepath.Join(dir, "run"), Config: cfg, From: from,
		Name: "taught", License: from.Card.Training.License, Program: "unet " + s.o.Version}, trainWatcher{watcher{s}})
	if err != nil {
		return err
	}
	model, err := unet.LoadModel(sum.Model)
	if err != nil {
		return err
	}
	s.update(func(st *JobState) { st.Text = "comparing" })
	list, err := s.compare(ctx, dir, set, from, model)
	s.mu.Lock()
	s.job.model = model
	s.mu.Unlock()
	s.update(func(st *JobState) {
		st.Text, st.Compare, st.Model, st.History, st.Best = "done", list, sum.Model, sum.History, sum.BestEpoch
	})
	return err
}

// compare segments the images held back with both models and draws them.
func (s *Server) compare(ctx context.Context, dir string, set *dataset.Set, models ...*unet.Model) (list []Comparison, err error) {
	for k, m := range models {
		seg, err := segment.New(s.o.Engine, m, segment.Options{Memory: s.o.Memory})
		if err != nil {
			return nil, err
		}
		for n, i := range set.Split(dataset.Val) {
			sample, err := set.Load(i)
			if err == nil && k == 0 {
				list = append(list, Comparison{Name: sample.ID, People: countLabels(sample.Labels)})
				err = writePicture(filepath.Join(dir, fmt.Sprintf("compare-%d-0.png", n)), sample.Image, sample.Labels)
			}
			var found *segment.Result
			if err == nil {
				found, err = seg.Image(ctx, sample.Image)
			}
			if err == nil {
				err = writePicture(filepath.Join(dir, fmt.Sprintf("compare-%d-%d.png", n, k+1)), sample.Image, found.Labels)
			}
			if err != nil {
				seg.Close()
				return nil, err
			}
			if k == 0 {
				list[n].Before = len(found.Nuclei)
			} else {
				list[n].After = len(found.Nuclei)
			}
		}
		seg.Close()
	}
	return list, nil
}

func countLabels(l *imageio.Labels) int {
	seen := map[uint32]bool{}
	for _, id := range l.ID {
		if id != 0 {
			seen[id] = true
		}
	}
	return len(seen)
}

func writePicture(name string, img *imageio.Image, l *imageio.Labels) error {
	m, err := report.Overlay(img, l, report.OverlayOptions{})
	if err != nil {
		return err
	}
	return imageio.WritePNG(name, m)
}

// taught decides what becomes of the model that teaching gave: use, keep under a
// name, or drop.
func (s *Server) taught(action, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job == nil || s.job.model == nil || s.job.State.Running {
		return &apiError{http.StatusConflict, "there is no new model"}
	}
	j := s.job
	switch action {
	case "use":
		s.o.Model, j.State.InUse = j.model, true
	case "keep":
		if name == "" || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\:*?"<>|`) || strings.HasPrefix(name, ".") || len(name) > 100 {
			return &apiError{http.StatusBadRequest, "that is no name for a file"}
		}
		dir := filepath.Join(s.out, "models")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		to := filepath.Join(dir, name+".safetensors")
		if _, err := os.Stat(to); err == nil {
			return &apiError{http.StatusConflict, "there is a model of this name"}
		}
		return copyFile(to, j.State.Model)
	case "drop":
		if j.State.InUse {
			return &apiError{http.StatusConflict, "the model is in use"}
		}
		j.model.Params.Free()
		j.model, j.State.Model = nil, ""
	default:
		return &apiError{http.StatusBadRequest, "use, keep or drop"}
	}
	return nil
}
