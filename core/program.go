package core

import (
	"context"
	"fmt"
	"sort"
	"time"
	"unsafe"

	"unet/csrc"
)

// buffer is a piece of the arena with a lifetime: from the first to the last
// step that names it.
type buffer struct {
	name        string
	size        int // floats, multiple of 16
	first, last int // steps; first < 0: none yet
	keep        bool
	offset      int
}

// step is one operation of a program: a kernel or a small Go function.
type step struct {
	name    string
	phase   Phase
	op      csrc.Op
	args    unsafe.Pointer
	bind    []binding
	fn      func()
	tasks   int
	scratch int
	flops   float64
}

// binding says that *at points to an offset of a buffer once memory is laid out.
type binding struct {
	at     **float32
	buf    *buffer
	offset int
}

// Phase divides a program.
type Phase int

// The phases of a program, in the order they run. Pack readies the weights of
// an inference program and is due once and after every change of parameters;
// training programs pack as they go and have no such phase.
const (
	Pack Phase = iota
	Forward
	Backward
)

// Program is a network for one batch shape, ready to run.
type Program struct {
	engine *Engine
	steps  []*step
	bufs   []*buffer
	mem    unsafe.Pointer
	size   int // floats
	init   []func()
}

func (p *Program) buffer(name string, size int) *buffer {
	b := &buffer{name: name, size: (size + 15) &^ 15, first: -1}
	p.bufs = append(p.bufs, b)
	return b
}

func (p *Program) op(phase Phase, op csrc.Op, args unsafe.Pointer, name string) *step {
	s := &step{name: name, phase: phase, op: op, args: args}
	p.steps = append(p.steps, s)
	return s
}

// fn adds a Go function that reads or writes the buffers.
func (p *Program) fn(phase Phase, name string, f func(), bufs ...*buffer) {
	p.steps = append(p.steps, &step{name: name, phase: phase, fn: f})
	for _, b := range bufs {
		p.touch(b)
	}
}

// touch records that the newest step uses b.
func (p *Program) touch(b *buffer) { p.touchAt(len(p.steps)-1, b) }

func (p *Program) touchAt(step int, b *buffer) {
	if b.first < 0 || step < b.first {
		b.first = step
	}
	b.last = max(b.last, step)
}

// bind lets *at of the newest step's arguments point into b.
func (p *Program) bind(at **float32, b *buffer, offset int) { p.bindAt(len(p.steps)-1, at, b, offset) }

func (p *Program) bindAt(step int, at **float32, b *buffer, offset int) {
	s := p.steps[step]
	s.bind = append(s.bind, binding{at, b, offset})
	p.touchAt(step, b)
}

// bindInt is bind for a pointer to int32; bindDouble for one to float64.
func (p *Program) bindInt(at **int32, b *buffer) { p.bind((**float32)(unsafe.Pointer(at)), b, 0) }

func (p *Program) bindDouble(at **float64, b *buffer) { p.bind((**float32)(unsafe.Pointer(at)), b, 0) }

// compile lays out the arena and fills in every pointer.
func (p *Program) compile() error {
	p.layout()
	p.mem = csrc.Alloc(max(p.size, 16) * 4)
	if p.mem == nil {
		return fmt.Errorf("no memory for %d MiB of activations: use a smaller batch or image size", p.size>>18)
	}
	scratch := 0
	for _, s := range p.steps {
		for _, b := range s.bind {
			*b.at = p.at(b.buf, b.offset)
		}
		if s.fn == nil {
			s.tasks = p.engine.backend.tasks(s.op, s.args)
			s.scratch = p.engine.backend.scratch(s.op, s.args)
			scratch = max(scratch, s.scratch)
		}
	}
	for _, f := range p.init {
		f()
	}
	return nil
}

// layout places buffers largest first, each at the lowest offset where no
// buffer alive at the same time lies (greedy by size, as TensorFlow Lite and
// XNNPACK do).
func (p *Program) layout() {
	var order []*buffer
	for _, b := range p.bufs {
		if b.keep {
			b.first, b.last = 0, len(p.steps)
		}
		if b.first >= 0 {
			order = append(order, b)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i].size > order[j].size })
	var placed []*buffer // by offset
	for _, b := range order {
		at := 0
		for _, q := range placed {
			if q.last < b.first || b.last < q.first {
				continue
			}
			if at+b.size <= q.offset {
				break
			}
			at = max(at, q.offset+q.size)
		}
		b.offset = at
		i := sort.Search(len(placed), func(i int) bool { return placed[i].offset > at })
		placed = append(placed, nil)
		copy(placed[i+1:], placed[i:])
		placed[i] = b
		p.size = max(p.size, at+b.size)
	}
}

func (p *Program) at(b *buffer, offset int) *float32 {
	return (*float32)(unsafe.Add(p.mem, uintptr(b.offset+offset)*4))
}

// slice returns the memory of b; valid after compile.
func (p *Program) slice(b *buffer) []float32 { return unsafe.Slice(p.at(b, 0), b.size) }

// Memory returns the bytes of the program's arena.
func (p *Program) Memory() int { return p.size * 4 }

// Free releases the arena; the program must not run afterwards.
func (p *Program) Free() {
	if p.mem != nil {
		csrc.Free(p.mem)
		p.mem = nil
	}
}

// Run does the steps of the given phases in order. It stops between steps
// when ctx is done, and then returns its cause.
func (p *Program) Run(ctx context.Context, phases ...Phase) error {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, phase := range phases {
		for _, s := range p.steps {
			if s.phase != phase {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			p.do(s)
		}
	}
	return nil
}

func (p *Program) do(s *step) {
	if s.fn != nil {
		s.fn()
		return
	}
	p.engine.runOp(s.op, s.args, s.tasks, s.scratch)
}

// StepTime is the time one step took; see Profile.
type StepTime struct {
	Name  string
	Time  time.Duration
	FLOPs float64 // of the direct algorithm; 0 where not counted
}

// Profile runs the phases once and returns the time of every step.
func (p *Program) Profile(phases ...Phase) []StepTime {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	var list []StepTime
	for _, phase := range phases {
		for _, s := range p.steps {
			if s.phase == phase {
				start := time.Now()
				p.do(s)
				list = append(list, StepTime{s.name, time.Since(start), s.flops})
			}
		}
	}
	return list
}
