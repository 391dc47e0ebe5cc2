package segment

import (
	"unet/core"
	"unet/unet"
)

// pool lends the predictors of a run. Threads that each compute a small image
// need not wait for each other, so these are computed side by side, in lanes of
// a share of the threads each; large ones by all threads together.
type pool struct {
	s       *Segmenter
	jobs    int
	team    chan *unet.Predictor // of all threads, when it is idle
	opened  bool
	engines []*core.Engine
	lanes   []*unet.Predictor
	idle    chan *unet.Predictor // the lanes that are
	area    int                  // pixels of the largest image for a lane; 0: there are no lanes
	large   int                  // images of more than smallArea so far
}

// Each lane but the first has an arena of its own. To get the memory for images of
// more than smallArea pixels from the system takes longer than a few of them gain,
// so the first fewLarge for each lane are computed by all threads.
const (
	smallArea = 1 << 19
	fewLarge  = 2
)

func newPool(s *Segmenter, jobs int) *pool {
	p := &pool{s: s, jobs: jobs, team: make(chan *unet.Predictor, 1)}
	p.team <- s.predictor
	return p
}

// open makes lanes, if there are threads for more than one.
func (p *pool) open() error {
	p.opened = true
	threads := p.s.engine.Threads()
	n := min(p.jobs, threads)
	if n < 2 {
		return nil
	}
	const side = 512
	bytes, err := p.s.model.Memory(side, side)
	if err != nil {
		return err
	}
	p.area = int(p.s.memory / 4 / int64(n) * side * side / int64(bytes))
	p.idle = make(chan *unet.Predictor, n)
	for i := range n {
		e, err := core.NewEngine(p.s.engine.ISA(), threads/n)
		if err != nil {
			return err
		}
		lane := p.s.predictor.WithEngine(e) // rests while all threads are at work: no memory of its own
		if i > 0 {
			lane = p.s.predictor.Fork(e)
		}
		p.engines, p.lanes = append(p.engines, e), append(p.lanes, lane)
		p.idle <- lane
	}
	return nil
}

// from returns where to get the predictor for a plane at a scale, and where to
// put it back: small planes are computed beside others, and large ones if there are
// many; the last one in the first lane that is free.
func (p *pool) from(pl *plane, scale float64) (chan *unet.Predictor, error) {
	if pl.last && len(p.lanes) == 0 {
		return p.team, nil
	}
	if !p.opened {
		if err := p.open(); err != nil {
			return nil, err
		}
	}
	w, h := p.s.scaled(pl.info, scale)
	if size := p.s.model.Card.Input.Size; size > 0 {
		w, h = size, size
	}
	if w*h > p.area {
		return p.team, nil
	}
	if w*h > smallArea && !pl.last {
		if p.large++; p.large <= fewLarge*len(p.lanes) {
			return p.team, nil
		}
	}
	return p.idle, nil
}

// forget releases the memory of the lanes, none of which is at work.
func (p *pool) forget() {
	for _, lane := range p.lanes {
		lane.Close()
	}
}

// close ends the lanes.
func (p *pool) close() {
	p.forget()
	for _, e := range p.engines {
		e.Close()
	}
}
