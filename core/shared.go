package core

import (
	"fmt"
	"unsafe"

	"unet/csrc"
)

// Shared is memory that inference programs of one engine and one set of
// parameters have in common, because they run one at a time: packed weights, and
// one arena as large as the largest program needs. What a program computed is
// lost when another one is built or runs. The zero value is ready for use.
type Shared struct {
	mem      unsafe.Pointer
	size     int // floats
	programs []*Program
	weights  map[string]*sharedWeight
}

type sharedWeight struct {
	mem    unsafe.Pointer
	size   int // floats
	packed bool
}

// Stale makes programs pack their weights again before they next run: it is due
// after every change of parameters.
func (s *Shared) Stale() {
	for _, w := range s.weights {
		w.packed = false
	}
}

// Memory returns the bytes of the arena and the weights.
func (s *Shared) Memory() int {
	n := s.size
	for _, w := range s.weights {
		n += w.size
	}
	return 4 * n
}

// Free releases the memory. No program that has it may run afterwards.
func (s *Shared) Free() {
	csrc.Release(s.mem, 4*s.size)
	for _, w := range s.weights {
		csrc.Free(w.mem)
	}
	*s = Shared{}
}

// weight finds or makes the memory of a program's weights.
func (s *Shared) weight(b *buffer) error {
	key := fmt.Sprint(b.name, " ", b.size)
	w := s.weights[key]
	if w == nil {
		w = &sharedWeight{mem: csrc.Alloc(b.size * 4), size: b.size}
		if w.mem == nil {
			return fmt.Errorf("no memory for %d KiB of weights", b.size>>8)
		}
		if s.weights == nil {
			s.weights = map[string]*sharedWeight{}
		}
		s.weights[key] = w
	}
	b.shared = w
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

// fresh says whether all weights of p are packed.
func (p *Program) fresh() bool {
	for _, b := range p.bufs {
		if b.shared != nil && !b.shared.packed {
			return false
		}
	}
	return true
}

// packed records that all weights of p are packed.
func (p *Program) packed() {
	for _, b := range p.bufs {
		if b.shared != nil {
			b.shared.packed = true
		}
	}
}
