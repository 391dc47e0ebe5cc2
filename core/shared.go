package core

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"unet/csrc"
)

// Shared is memory that inference programs of one set of parameters have in
// common, because they run one at a time: packed weights, and one arena as large
// as the largest program needs. What a program computed is lost when another one
// is built or runs. The zero value is ready for use.
type Shared struct {
	mem      unsafe.Pointer
	size     int // floats
	programs []*Program
	weights  *sharedWeights
	holds    bool // a claim to weights
}

// sharedWeights may belong to several Shared, whose programs run side by side.
type sharedWeights struct {
	mu     sync.Mutex
	claims int
	byKey  map[string]*sharedWeight
}

type sharedWeight struct {
	mem    unsafe.Pointer
	size   int // floats
	packed bool
}

// Fork returns a Shared with an arena of its own and the packed weights of s.
// Each is to be freed.
func (s *Shared) Fork() Shared {
	return Shared{weights: s.common()}
}

func (s *Shared) common() *sharedWeights {
	if s.weights == nil {
		s.weights = &sharedWeights{byKey: map[string]*sharedWeight{}}
	}
	return s.weights
}

// Stale makes programs pack their weights again before they next run: it is due
// after every change of parameters, while no program runs.
func (s *Shared) Stale() {
	w := s.common()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.byKey {
		v.packed = false
	}
}

// Memory returns the bytes of the arena and the weights.
func (s *Shared) Memory() int {
	w := s.common()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := s.size
	for _, v := range w.byKey {
		n += v.size
	}
	return 4 * n
}

// Free releases the arena, and the weights if no other Shared has them. No program
// of s may run afterwards; new ones may be built.
func (s *Shared) Free() {
	csrc.Release(s.mem, 4*s.size)
	if s.holds {
		w := s.weights
		w.mu.Lock()
		if w.claims--; w.claims == 0 {
			for _, v := range w.byKey {
				csrc.Free(v.mem)
			}
			clear(w.byKey)
		}
		w.mu.Unlock()
	}
	*s = Shared{weights: s.weights}
}

// weight finds or makes the memory of a program's weights, packed for isa.
func (s *Shared) weight(b *buffer, isa string) error {
	w := s.common()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !s.holds {
		s.holds = true
		w.claims++
	}
	key := fmt.Sprint(b.name, " ", b.size, " ", isa)
	v := w.byKey[key]
	if v == nil {
		v = &sharedWeight{mem: csrc.Alloc(b.size * 4), size: b.size}
		if v.mem == nil {
			return &MemoryError{Problem: fmt.Sprintf("no memory for %d KiB of weights", b.size>>8), Advice: "use a smaller network"}
		}
		w.byKey[key] = v
	}
	b.shared = v
	return nil
}

// hold makes the arena large enough for p, a new program. Where that moves it,
// the other programs follow.
func (s *Shared) hold(p *Program) error {
	s.programs = append(s.programs, p)
	if p.size <= s.size {
		p.place(s.mem)
		return nil
	}
	s.mem = csrc.Resize(s.mem, 4*s.size, 4*p.size)
	s.size = p.size
	if s.mem == nil {
		s.size = 0
	}
	for _, q := range s.programs {
		q.place(s.mem)
	}
	if s.mem == nil {
		return errNoArena(p.size)
	}
	return nil
}

// stale reports whether b is packed weights that are not there yet.
func (b *buffer) stale() bool { return b.shared != nil && !b.shared.packed }

// stale reports whether s makes weights that are not there yet. The others of its
// program must be left alone: programs beside it may be reading them.
func (s *step) stale() bool {
	if slices.ContainsFunc(s.bufs, (*buffer).stale) {
		return true
	}
	return slices.ContainsFunc(s.ops, func(o *operation) bool {
		return slices.ContainsFunc(o.bind, func(v binding) bool { return v.buf.stale() })
	})
}

// ready runs pack, the Pack steps that are stale, if weights of p need it. Programs
// that have them in common wait.
func (s *Shared) ready(p *Program, pack func() error) error {
	w := s.common()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.ContainsFunc(p.bufs, (*buffer).stale) {
		return nil
	}
	if err := pack(); err != nil {
		return err
	}
	for _, b := range p.bufs {
		if b.shared != nil {
			b.shared.packed = true
		}
	}
	return nil
}
