package segment

import "sync"

// An Observer hears of a run on the way. Its methods are called by one
// goroutine at a time.
type Observer interface {
	// Progress tells how far the run, or a large image, has come.
	Progress(Progress)
	// Note tells of something that was decided.
	Note(text string)
	// Warn tells of something that should not be overlooked.
	Warn(text string)
}

// Progress is how much of a whole is done.
type Progress struct {
	// Image is a large image that is done in bands, "" for the run.
	Image       string
	Done, Total int // rows of the image, or images of the run
	// Kept of the images done are results of an earlier run.
	Kept int
	// Last is the name of the image that was done last.
	Last string
	// Nuclei were found in the rows done.
	Nuclei int
}

// inTurn lets goroutines of a run tell an Observer one at a time.
type inTurn struct {
	mu sync.Mutex
	o  Observer
}

func (t *inTurn) Progress(p Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.o.Progress(p)
}

func (t *inTurn) Note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.o.Note(text)
}

func (t *inTurn) Warn(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.o.Warn(text)
}

// Quiet is an Observer that hears nothing.
type Quiet struct{}

// Progress implements Observer.
func (Quiet) Progress(Progress) {}

// Note implements Observer.
func (Quiet) Note(string) {}

// Warn implements Observer.
func (Quiet) Warn(string) {}
