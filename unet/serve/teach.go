package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/report"
	"unet/unet/segment"
	"unet/unet/train"
)

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
		return &apiError{http.StatusConflict, "teaching needs at least two corrected images: one to learn from, one to check against"}
	}
	t := &teaching{Request: r, Base: s.model().SHA256}
	return s.start("teach", nil, func(ctx context.Context) error {
		s.compute.Lock()
		defer s.compute.Unlock()
		s.update(func(st *JobState) { st.Text = "preparing" })
		dir, err := s.teachFolder()
		if err != nil {
			return err
		}
		for i := range list {
			if err := s.writeSamples(filepath.Join(dir, "source"), &list[i]); err != nil {
				return err
			}
		}
		t.Copied = true
		if err := t.save(dir); err != nil {
			return err
		}
		return s.learn(ctx, dir, t)
	})
}

// teaching is what is kept of a teaching in its folder, so that it goes on after
// it was stopped or killed, and is still there when it is done.
type teaching struct {
	Request teachRequest `json:"request"`
	// Base is the SHA-256 of the model it began with.
	Base string `json:"base"`
	// Copied says that the images to learn from are in the folder.
	Copied bool `json:"copied"`
	// Done is the state when it was done, Dropped says that nobody wants it.
	Done    *JobState `json:"done,omitempty"`
	Dropped bool      `json:"dropped,omitempty"`
}

const teachFile = "teach.json"

func (t *teaching) save(dir string) error {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, teachFile), func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

// lastTeaching is the newest teaching that had its images, nil where there is none or
// it was dropped. One that was killed before has nothing to go on with.
func (s *Server) lastTeaching() (dir string, t *teaching) {
	list, err := os.ReadDir(filepath.Join(s.out, "teach"))
	if err != nil {
		return "", nil
	}
	var numbers []int
	for _, e := range list {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range slices.Backward(numbers) {
		dir = filepath.Join(s.out, "teach", strconv.Itoa(n))
		b, err := os.ReadFile(filepath.Join(dir, teachFile))
		t = &teaching{}
		switch {
		case err != nil, json.Unmarshal(b, t) != nil, !t.Copied:
			continue
		case t.Dropped:
			return "", nil
		}
		return dir, t
	}
	return "", nil
}

// remember shows the last teaching again, after a start.
func (s *Server) remember() {
	dir, t := s.lastTeaching()
	switch {
	case t == nil:
	case t.Done != nil:
		j := &job{State: *t.Done, cancel: func() {}}
		j.State.Model = filepath.Join(dir, "run", filepath.Base(t.Done.Model)) // the folder may have moved
		j.State.InUse = s.models.used == s.below(j.State.Model)
		s.teaching = j
	case t.Copied:
		st := JobState{Kind: "teach", Text: "stopped", Resumable: true}
		if b, err := os.ReadFile(filepath.Join(dir, "run", "history.json")); err == nil {
			var h train.History
			if json.Unmarshal(b, &h) == nil { // without it there is only no curve
				st.History = h.Epochs
			}
		}
		s.teaching = &job{State: st, cancel: func() {}}
	}
}

// lastTaught is the state of the last teaching.
func (s *Server) lastTaught() JobState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.teaching == nil {
		return JobState{}
	}
	return s.teaching.State
}

// below is the path of a file below the folder of results.
func (s *Server) below(file string) string {
	rel, err := filepath.Rel(s.out, file)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(rel)
}

// resume goes on with a teaching that was stopped or killed.
func (s *Server) resume() error {
	dir, t := s.lastTeaching()
	switch {
	case t == nil || t.Done != nil || !t.Copied:
		return &apiError{http.StatusConflict, "there is no stopped teaching to continue"}
	case t.Base != s.model().SHA256:
		return &apiError{http.StatusConflict, "that teaching started from another model: use that model first"}
	}
	return s.start("teach", nil, func(ctx context.Context) error {
		s.compute.Lock()
		defer s.compute.Unlock()
		return s.learn(ctx, dir, t)
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
		if err := d.writeSamples(dir, im.ID+ref.Suffix); err != nil {
			return err
		}
	}
	return nil
}

// learn prepares the set, trains, and compares. What an earlier try has done of it
// stands.
func (s *Server) learn(ctx context.Context, dir string, t *teaching) error {
	set, err := prepareSet(ctx, dir)
	if err != nil {
		return err
	}
	from, run := s.model(), filepath.Join(dir, "run")
	o := train.Options{Engine: s.o.Engine, Set: set, Out: run, From: from, Resume: train.HoldsRun(run), Force: true,
		Name: "taught", License: from.Card.Training.License, Program: "unet " + s.o.Version}
	o.Memory, o.Free = segment.SystemMemory()
	if o.Resume {
		o.Config, _, err = train.ReadRun(run)
	} else {
		o.Config, err = t.Request.config(from)
	}
	if err != nil {
		return err
	}
	sum, err := train.Run(ctx, o, trainWatcher{watcher{s}})
	if err != nil {
		return err
	}
	s.update(func(st *JobState) { st.Text = "comparing" })
	s.mu.Lock()
	model, err := s.loadModel(s.below(sum.Model))
	s.mu.Unlock()
	if err != nil {
		return err
	}
	list, err := s.compare(ctx, dir, set, from, model)
	if err != nil {
		return err
	}
	s.update(func(st *JobState) {
		st.Text, st.Compare, st.Model, st.History, st.Best, st.Start = "done", list, sum.Model, sum.History, sum.BestEpoch, sum.Start
	})
	st := s.state()
	st.Running = false
	t.Done = &st
	return t.save(dir)
}

// prepareSet makes the set of a teaching, unless it is there.
func prepareSet(ctx context.Context, dir string) (*dataset.Set, error) {
	name := filepath.Join(dir, "set")
	if set, err := dataset.Open(name); err == nil && divided(set) {
		return set, nil
	}
	// Of a few images all may come to be in one split: then another draw is made.
	for seed := range uint64(20) {
		if err := os.RemoveAll(name); err != nil { // half of one, or such a draw
			return nil, err
		}
		src, err := dataset.OpenSource(filepath.Join(dir, "source"))
		if err != nil {
			return nil, err
		}
		_, err = dataset.Prepare(ctx, src, name, dataset.Options{Seed: 1 + seed, Fractions: dataset.Fractions{Train: 0.7, Val: 0.3}})
		src.Close()
		if err != nil {
			return nil, err
		}
		set, err := dataset.Open(name)
		if err != nil {
			return nil, err
		}
		if divided(set) {
			return set, nil
		}
	}
	return nil, &apiError{http.StatusConflict, "the corrected images are parts of one picture: correct one of another field to check against"}
}

// divided reports whether there are images to learn from and to check with.
func divided(set *dataset.Set) bool {
	return len(set.Split(dataset.Train)) > 0 && len(set.Split(dataset.Val)) > 0
}

// config are the settings of a teaching: those of train --from --preset quick.
func (r teachRequest) config(from *unet.Model) (train.Config, error) {
	cfg, err := train.Defaults{Kind: from.Card.Kind, Preset: "quick", From: &from.Card}.Config()
	if err != nil {
		return cfg, err
	}
	if r.Epochs > 0 {
		cfg.Epochs = r.Epochs
	}
	if r.Steps > 0 {
		cfg.Steps = r.Steps
	}
	return cfg, nil
}

// sampleName is what people call a sample: by the name of its image, if that is there.
func sampleName(id string, images []image) string {
	for i := range images {
		if part, ok := strings.CutPrefix(id, images[i].ID); ok {
			return images[i].Name + part
		}
	}
	return id
}

// compare segments the images held back with both models and draws them.
func (s *Server) compare(ctx context.Context, dir string, set *dataset.Set, models ...*unet.Model) (list []Comparison, err error) {
	images := s.images()
	for k, m := range models {
		seg, err := segment.New(s.o.Engine, m, segment.Options{Memory: s.o.Memory})
		if err != nil {
			return nil, err
		}
		for n, i := range set.Split(dataset.Val) {
			sample, err := set.Load(i)
			if err == nil && k == 0 {
				list = append(list, Comparison{Name: sampleName(sample.ID, images), People: countLabels(sample.Labels)})
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
	if s.teaching == nil || s.teaching.State.Model == "" || s.teaching.State.Running {
		return &apiError{http.StatusConflict, "there is no new model"}
	}
	st := &s.teaching.State
	switch action {
	case "use":
		if err := s.useModel(s.below(st.Model)); err != nil {
			return err
		}
		st.InUse = true
	case "keep":
		if name == "" || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\:*?"<>|`) || strings.HasPrefix(name, ".") || len(name) > 100 {
			return &apiError{http.StatusBadRequest, "that name cannot be the name of a file"}
		}
		if err := os.MkdirAll(s.modelsFolder(), 0o755); err != nil {
			return err
		}
		to := filepath.Join(s.modelsFolder(), name+".safetensors")
		if _, err := os.Stat(to); err == nil {
			return &apiError{http.StatusConflict, "there is already a model with this name"}
		}
		if err := copyFile(to, st.Model); err != nil {
			return err
		}
		if st.InUse {
			return s.useModel(s.below(to))
		}
	case "drop":
		if st.InUse {
			return &apiError{http.StatusConflict, "the model is in use"}
		}
		dir, t := s.lastTeaching()
		if t != nil {
			t.Dropped = true
			if err := t.save(dir); err != nil {
				return err
			}
		}
		st.Model, st.Compare = "", nil
	default:
		return &apiError{http.StatusBadRequest, "use, keep or drop"}
	}
	return nil
}
