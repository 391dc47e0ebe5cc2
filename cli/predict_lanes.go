package cli

import (
	"unet/core"
	"unet/unet"
)

// lanes are predictors that compute one image each, side by side, on their share
// of the threads, which so wait less for each other.
type lanes struct {
	opened  bool
	engines []*core.Engine
	all     []*unet.Predictor
	idle    chan *unet.Predictor
	area    int // pixels of the largest image for a lane; 0: there are no lanes
	large   int // images of more than smallArea so far
}

// Each lane but the first has an arena of its own. To get the memory for images of
// more than smallArea pixels from the system takes longer than a few of them gain,
// so the first fewLarge for each lane are computed by all threads.
const (
	smallArea = 1 << 19
	fewLarge  = 2
)

// The memory that every job has at least, and their largest number, where --jobs
// does not say otherwise.
const (
	jobBytes = 512 << 20
	mostJobs = 16
)

// defaultJobs is one for each thread, as memory allows.
func defaultJobs(threads int, budget int64) int {
	return max(2, min(threads, mostJobs, int(budget/jobBytes)))
}

// open makes lanes for r, if there are threads for more than one.
func (l *lanes) open(r *predictRun) error {
	l.opened = true
	threads := r.engine.Threads()
	n := min(r.jobs, threads)
	if n < 2 {
		return nil
	}
	const side = 512
	bytes, err := r.model.Memory(side, side)
	if err != nil {
		return err
	}
	l.area = int(r.budget / 4 / int64(n) * side * side / int64(bytes))
	l.idle = make(chan *unet.Predictor, n)
	for i := range n {
		e, err := core.NewEngine(r.engine.ISA(), threads/n)
		if err != nil {
			return err
		}
		p := r.predictor.On(e) // rests while all threads are at work: no memory of its own
		if i > 0 {
			p = r.predictor.Beside(e)
		}
		l.engines, l.all = append(l.engines, e), append(l.all, p)
		l.idle <- p
	}
	return nil
}

// take returns where to get the predictor for a plane at a scale, and where to
// put it back: small planes are computed beside others, and large ones if there are
// many; the last one in the first lane that is free.
func (r *predictRun) take(t *task, scale float64) (chan *unet.Predictor, error) {
	if t.last && len(r.lanes.all) == 0 {
		return r.team, nil
	}
	if !r.lanes.opened {
		if err := r.lanes.open(r); err != nil {
			return nil, err
		}
	}
	w, h := scaled(t.job.info, scale)
	if size := r.model.Card.Input.Size; size > 0 {
		w, h = size, size
	}
	if w*h > r.lanes.area {
		return r.team, nil
	}
	if w*h > smallArea && !t.last {
		if r.lanes.large++; r.lanes.large <= fewLarge*len(r.lanes.all) {
			return r.team, nil
		}
	}
	return r.lanes.idle, nil
}

// forget releases the memory of the lanes, none of which is at work.
func (l *lanes) forget() {
	for _, p := range l.all {
		p.Close()
	}
}

// close ends the lanes.
func (l *lanes) close() {
	l.forget()
	for _, e := range l.engines {
		e.Close()
	}
}
