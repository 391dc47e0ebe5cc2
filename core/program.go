package core

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"unet/csrc"
)

// buffer is a part of the arena.
type buffer struct {
	name            string
	size            int           // floats, multiple of 16
	stride          int           // floats of one micro-batch, which the next one's follow; 0: they have all in common
	liveIn, liveOut bool          // holds before every run, and after it
	weights         bool          // in use by every run, changed by Pack steps only
	shared          *sharedWeight // outside of the arena
	offset          int
	uses            []use
	pieces          []piece
}

// keep makes b hold from before a run until after it, and so for good.
func (b *buffer) keep() { b.liveIn, b.liveOut = true, true }

// step is what runs between two barriers: operations that do not depend on each
// other, or a small Go function.
type step struct {
	phase Phase
	ops   []*operation
	name  string // of fn
	fn    func()
	bufs  []*buffer // that fn reads or writes
}

// operation is one kernel with its arguments.
type operation struct {
	name  string
	op    csrc.Op
	args  unsafe.Pointer
	typed any // args
	bind  []binding
	bufs  []*buffer // in use besides those of bind
	tasks int
	flops float64 // of the direct algorithm; 0 where not counted
	// The same for the other micro-batches of a training program.
	others []*operation
}

// newOperation takes a pointer to the arguments of op.
func newOperation(name string, op csrc.Op, args any) *operation {
	return &operation{name: name, op: op, args: reflect.ValueOf(args).UnsafePointer(), typed: args}
}

// binding says that *at points to an offset of a buffer once memory is laid out.
type binding struct {
	at     **float32
	buf    *buffer
	offset int
	size   int // floats from there that are read or written; 0: any of the buffer
}

// Phase divides a program.
type Phase int

// The phases of a program, in the order they run. Pack readies the weights of
// an inference program and is due once and after every change of parameters;
// training programs pack as they go and have no such phase. Programs with
// Options.Shared pack by themselves.
const (
	Pack Phase = iota
	Forward
	Backward
)

// Program is a network for one batch shape, ready to run.
type Program struct {
	engine  *Engine
	steps   []*step
	newest  *operation
	waiting []*operation // for the next step
	bufs    []*buffer
	micros  int   // micro-batches that run side by side
	peers   Peers // nil: no other process has more of them
	sums    gradientSums
	failed  error   // what a function of the program met with
	dry     bool    // has no memory
	shared  *Shared // nil: mem is the program's own
	mem     unsafe.Pointer
	size    int // floats
	scratch int // floats each worker needs
	init    []func()
}

// buffer is memory of size floats for each micro-batch.
func (p *Program) buffer(name string, size int) *buffer { return p.planes(name, (size+15)&^15) }

// planes is a buffer without a gap between the micro-batches, whose floats need
// not lie where vectors do.
func (p *Program) planes(name string, size int) *buffer {
	b := p.common(name, size*p.micros)
	b.stride = size
	return b
}

// common is memory that the micro-batches have in common.
func (p *Program) common(name string, size int) *buffer {
	b := &buffer{name: name, size: (size + 15) &^ 15}
	p.bufs = append(p.bufs, b)
	return b
}

// weights is a buffer for what a step makes of parameters. Its name and size tell
// what that is, so that programs may share it.
func (p *Program) weights(name string, size int) *buffer {
	b := p.common(name, size)
	b.keep()
	b.weights = true
	return b
}

// op adds a step of one operation, and those that waited for it.
func (p *Program) op(phase Phase, op csrc.Op, args any, name string) *operation {
	o := newOperation(name, op, args)
	p.steps = append(p.steps, &step{phase: phase, ops: append([]*operation{o}, p.waiting...)})
	p.waiting, p.newest = nil, o
	return o
}

// beside adds an operation to the newest step of operations, none of which may
// depend on it or it on them, nor on a function that came since. Threads that
// find nothing left to do in one operation go on with the next, and there is one
// barrier for both.
func (p *Program) beside(phase Phase, op csrc.Op, args any, name string) *operation {
	for i := len(p.steps) - 1; i >= 0 && p.steps[i].phase == phase; i-- {
		if s := p.steps[i]; s.fn == nil {
			o := newOperation(name, op, args)
			s.ops = append(s.ops, o)
			p.newest = o
			return o
		}
	}
	return p.op(phase, op, args, name)
}

// later adds an operation that runs beside the next one that op adds, on which
// it must not depend.
func (p *Program) later(op csrc.Op, args any, name string) *operation {
	o := newOperation(name, op, args)
	p.waiting, p.newest = append(p.waiting, o), o
	return o
}

// flush gives the operations that still wait a step of their own.
func (p *Program) flush(phase Phase) {
	if len(p.waiting) > 0 {
		p.steps = append(p.steps, &step{phase: phase, ops: p.waiting})
		p.waiting = nil
	}
}

// fn adds a Go function that reads or writes the buffers.
func (p *Program) fn(phase Phase, name string, f func(), bufs ...*buffer) {
	p.steps = append(p.steps, &step{name: name, phase: phase, fn: f, bufs: bufs})
}

// use records that the newest operation uses b.
func (p *Program) use(b *buffer) { p.newest.bufs = append(p.newest.bufs, b) }

// bind lets *at of the newest operation's arguments point into b.
func (p *Program) bind(at **float32, b *buffer, offset int) { p.newest.to(at, b, offset, 0) }

func (o *operation) to(at **float32, b *buffer, offset, size int) {
	o.bind = append(o.bind, binding{at, b, offset, size})
}

// bindInt is bind for a pointer to int32; bindDouble for one to float64.
func (p *Program) bindInt(at **int32, b *buffer) { p.bind((**float32)(unsafe.Pointer(at)), b, 0) }

func (p *Program) bindDouble(at **float64, b *buffer) { p.bind((**float32)(unsafe.Pointer(at)), b, 0) }

// compile lays out the arena and fills in every pointer.
func (p *Program) compile() error {
	p.repeat()
	if p.dry {
		p.layout()
		return nil
	}
	if p.shared != nil {
		for _, b := range p.bufs {
			if b.weights {
				if err := p.shared.weight(b, p.engine.isa); err != nil {
					return err
				}
			}
		}
	}
	p.layout()
	if p.shared != nil {
		if err := p.shared.hold(p); err != nil {
			return err
		}
	} else {
		mem := csrc.Alloc(max(p.size, 16) * 4)
		if mem == nil {
			return errNoArena(p.size)
		}
		p.place(mem)
	}
	for _, s := range p.steps {
		for _, o := range s.ops {
			o.tasks = p.engine.backend.tasks(o.op, o.args)
			p.scratch = max(p.scratch, p.engine.backend.scratch(o.op, o.args))
		}
	}
	for _, f := range p.init {
		f()
	}
	return nil
}

// MemoryError says that there is not enough memory.
type MemoryError struct {
	Problem string
	Advice  string // what takes less
	Option  string // the setting that Advice changes, "" for none or several
}

func (e *MemoryError) Error() string { return e.Problem }

// Hint says what takes less.
func (e *MemoryError) Hint() string { return e.Advice }

// Adjust names the setting that the hint changes, "" for none.
func (e *MemoryError) Adjust() string { return e.Option }

func errNoArena(size int) error {
	return &MemoryError{Problem: fmt.Sprintf("no memory for %d MiB of activations", size>>18), Advice: "use a smaller batch or image size"}
}

// place fills in every pointer, mem being the arena.
func (p *Program) place(mem unsafe.Pointer) {
	p.mem = mem
	for _, s := range p.steps {
		for _, o := range s.ops {
			for _, b := range o.bind {
				*b.at = p.at(b.buf, b.offset)
			}
		}
	}
}

func (p *Program) at(b *buffer, offset int) *float32 {
	if b.shared != nil {
		return (*float32)(unsafe.Add(b.shared.mem, uintptr(offset)*4))
	}
	return (*float32)(unsafe.Add(p.mem, uintptr(b.offset+offset)*4))
}

// slice returns the memory of b; valid after compile.
func (p *Program) slice(b *buffer) []float32 { return unsafe.Slice(p.at(b, 0), b.size) }

// part returns the memory of b that belongs to a micro-batch.
func (p *Program) part(b *buffer, micro int) []float32 {
	return p.slice(b)[micro*b.stride:][:b.stride]
}

// Memory returns the bytes of the arena that the program needs, without shared
// weights.
func (p *Program) Memory() int { return p.size * 4 }

// Free releases the arena, or its claim to a shared one; the program must not
// run afterwards.
func (p *Program) Free() {
	if p.shared != nil {
		p.shared.programs = slices.DeleteFunc(p.shared.programs, func(q *Program) bool { return q == p })
	} else {
		csrc.Free(p.mem)
	}
	p.mem = nil
}

// Run does the steps of the given phases in order. It stops between steps
// when ctx is done, and then returns its cause.
func (p *Program) Run(ctx context.Context, phases ...Phase) (err error) {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	p.failed = nil
	if p.peers != nil && slices.Contains(phases, Backward) {
		p.sums.begin(p.peers)
		defer func() {
			if failed := p.sums.end(); err == nil {
				err = failed
			}
		}()
	}
	if p.shared != nil {
		if err := p.shared.ready(p, func() error { return p.run(ctx, Pack, (*step).stale) }); err != nil {
			return err
		}
	}
	for _, phase := range phases {
		if err := p.run(ctx, phase, nil); err != nil {
			return err
		}
	}
	return nil
}

// run does the steps of a phase, or those of them that are due.
func (p *Program) run(ctx context.Context, phase Phase, due func(*step) bool) error {
	for _, s := range p.steps {
		if s.phase != phase || due != nil && !due(s) {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.do(s)
		if p.failed != nil {
			return p.failed
		}
	}
	return nil
}

func (p *Program) do(s *step) {
	if s.fn != nil {
		s.fn()
		return
	}
	p.engine.runOps(s.ops, p.scratch)
}

// Load is an operation as the scheduler sees it.
type Load struct {
	Name  string
	Tasks int // of about the same size; 0: a function that one thread runs
	FLOPs float64
	Bytes float64 // of the tensors it reads or writes
}

// Makespan returns the time the phases take on a number of threads, by playing
// the schedule with a given cost of every operation. Threads take tasks as
// they do in a run; barrier is what the one at the end of every step costs.
func (p *Program) Makespan(threads int, cost func(Load) float64, barrier float64, phases ...Phase) float64 {
	total := 0.0
	for _, s := range p.steps {
		if !slices.Contains(phases, s.phase) {
			continue
		}
		if s.fn != nil {
			total += cost(Load{Name: s.name})
			continue
		}
		busy := make([]float64, threads) // until when each thread is
		for _, o := range s.ops {
			task := cost(o.load()) / float64(o.tasks)
			for left := o.tasks; left > 0; {
				n := claimed(left, threads)
				first := slices.Index(busy, slices.Min(busy))
				busy[first] += task * float64(n)
				left -= n
			}
		}
		total += slices.Max(busy) + barrier
	}
	return total
}

func (o *operation) load() Load {
	l := Load{Name: o.name, Tasks: o.tasks, FLOPs: o.flops}
	var seen []*buffer
	for _, b := range o.bind {
		if !slices.Contains(seen, b.buf) {
			seen = append(seen, b.buf)
			l.Bytes += float64(4 * b.buf.size)
		}
	}
	return l
}

// StepTime is the time one operation or function took; see Profile.
type StepTime struct {
	Name  string
	Time  time.Duration
	FLOPs float64 // of the direct algorithm; 0 where not counted
}

// Profile runs the phases once, every operation alone, and returns the times.
func (p *Program) Profile(phases ...Phase) []StepTime {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	var list []StepTime
	timed := func(name string, flops float64, f func()) {
		start := time.Now()
		f()
		list = append(list, StepTime{name, time.Since(start), flops})
	}
	for _, phase := range phases {
		for _, s := range p.steps {
			switch {
			case s.phase != phase:
			case s.fn != nil:
				timed(s.name, 0, s.fn)
			default:
				for i, o := range s.ops {
					timed(o.name, o.flops, func() { p.engine.runOps(s.ops[i:i+1], p.scratch) })
				}
			}
		}
	}
	return list
}
