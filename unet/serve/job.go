package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"unet/unet/segment"
	"unet/unet/train"
)

// job is work in the background: one at a time.
type job struct {
	State  JobState
	cancel context.CancelFunc
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
	// Resumable says that the teaching was cut off and can go on.
	Resumable bool `json:"resumable,omitempty"`

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

// start begins a job, unless one is under way. The images that it gives new results
// are not edited from now on.
func (s *Server) start(kind string, images []image, work func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job != nil && s.job.State.Running {
		return &apiError{http.StatusConflict, "the program is already at work: wait, or cancel it"}
	}
	if s.base.Err() != nil {
		return errEnding
	}
	ctx, cancel := context.WithCancel(s.base)
	j := &job{State: JobState{Kind: kind, Running: true, began: time.Now()}, cancel: cancel}
	for i := range images {
		j.State.images = append(j.State.images, images[i].ID)
	}
	s.job = j
	if kind == "teach" {
		s.teaching = j
	}
	s.work.Go(func() {
		defer cancel()
		err := work(ctx)
		s.update(func(st *JobState) {
			st.Running = false
			switch {
			case ctx.Err() != nil:
				st.Text = "stopped"
				st.Resumable = kind == "teach"
			case err != nil:
				st.Error = err.Error()
			}
		})
		s.events.send("images", nil)
	})
	return nil
}

// update changes the state of the job, if there is one, and tells the pages.
func (s *Server) update(change func(*JobState)) {
	s.mu.Lock()
	if s.job == nil {
		s.mu.Unlock()
		return
	}
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
		return
	}
	o.s.update(func(st *JobState) { st.Text = fmt.Sprintf("%s: %d %%", p.Image, 100*p.Done/max(p.Total, 1)) })
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

// segmentRequest says what to segment.
type segmentRequest struct {
	// Images are ids; empty: all that are new.
	Images []string `json:"images"`
	// Again also segments images that have results.
	Again    bool     `json:"again"`
	Settings settings `json:"settings"`
}

// segmentAll starts the segmentation of images.
func (s *Server) segmentAll(r segmentRequest) error {
	b := segment.Batch{Out: s.out, SkipExisting: !r.Again, Version: s.o.Version}
	model := s.model()
	o, err := r.Settings.read(&b, s.root, model)
	if err != nil {
		return err
	}
	o.Memory = s.o.Memory
	var list []image
	corrected := 0
	for _, im := range s.images() {
		if len(r.Images) > 0 && !slices.Contains(r.Images, im.ID) || len(r.Images) == 0 && im.Status == segment.Done && !r.Again {
			continue
		}
		if im.Corrected {
			corrected++
			continue
		}
		if file, ok := b.Regions.Of(im.in.Name); ok && file != "" { // a link may lead elsewhere
			rel, err := filepath.Rel(s.root.Name(), file)
			if err != nil {
				return err
			}
			if _, err := inside(s.root, "region", filepath.ToSlash(rel)); err != nil {
				return err
			}
		}
		list = append(list, im)
	}
	switch {
	case len(list) == 0 && corrected > 0:
		return errCorrected
	case len(list) == 0:
		return &apiError{http.StatusConflict, "there is nothing to segment: add images, or select some"}
	}
	seg, err := segment.New(s.o.Engine, model, o)
	if err != nil {
		return &apiError{http.StatusBadRequest, err.Error()}
	}
	err = s.start("segment", list, func(ctx context.Context) error {
		s.compute.Lock()
		defer s.compute.Unlock()
		s.follower.files.Lock()
		defer s.follower.files.Unlock()
		defer seg.Close()
		ready, err := s.clear(ctx, list)
		if err != nil {
			return err
		}
		if len(ready) == 0 {
			return errCorrected
		}
		corrected += len(list) - len(ready)
		for i := range ready {
			b.Inputs = append(b.Inputs, ready[i].in)
		}
		s.update(func(st *JobState) {
			if corrected > 0 {
				st.Notes = append(st.Notes, fmt.Sprintf("%d corrected images were left as they are", corrected))
			}
			if o.BFloat16 && !s.o.Engine.FastBFloat16() {
				st.Notes = append(st.Notes, "this CPU has no instructions for bfloat16: the results are right, but float32 is faster")
			}
		})
		if b.Earlier, err = s.keepRecords(s.images(), ready); err != nil {
			return err
		}
		_, err = seg.Run(ctx, b, watcher{s})
		for i := range ready {
			s.forget(ready[i].ID) // what was opened of the results before
		}
		return errors.Join(err, s.dropReplaced())
	})
	if err != nil {
		seg.Close()
	}
	return err
}

var errCorrected = &apiError{http.StatusConflict, "corrected images are not segmented again, since their corrections would be lost; “Model's own” on the page of an image discards them"}

// clear makes images ready for new results: it closes what is open of them, and
// forgets edits that were all taken back. It returns those that nobody has corrected
// since they were listed.
func (s *Server) clear(ctx context.Context, list []image) (ready []image, err error) {
	for _, im := range list {
		s.forget(im.ID) // after an edit that is under way
		corrected := false
		for k := 0; im.record != nil && k < len(im.record.Planes); k++ {
			suffix := im.record.Planes[k].Suffix
			n, ok := s.corrections(&im, suffix)
			corrected = corrected || ok && n.Corrected
			if ok && !n.Corrected && s.followed(&im, suffix) != n.Journal {
				if _, _, err := s.rewrite(ctx, &im, suffix); err != nil { // the model's own files are to be there if this ends early
					return nil, fmt.Errorf("%s%s: %w", im.Name, suffix, err)
				}
			}
		}
		if corrected {
			continue
		}
		for k := 0; im.record != nil && k < len(im.record.Planes); k++ {
			err = errors.Join(err, s.forgetEdits(&im, im.record.Planes[k].Suffix))
		}
		s.forget(im.ID)
		ready = append(ready, im)
	}
	return ready, err
}

// segmenting reports whether an image gets new results now.
func (s *Server) segmenting(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.job != nil && s.job.State.Running && slices.Contains(s.job.State.images, id)
}
