package core

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"unet/csrc"
)

// job is one operation being worked on by all threads. Threads claim ranges of
// tasks from a shared counter, long ones first, as neighbouring tasks may share
// work within a call, single tasks last, to end together. Which thread does
// which range does not show in the result.
type job struct {
	op     csrc.Op
	args   unsafe.Pointer
	tasks  int64
	share  int64 // a claim takes this part of the tasks left
	next   atomic.Int64
	active sync.WaitGroup
}

// runOp does all tasks of op and returns when they are done.
func (e *Engine) runOp(op csrc.Op, args unsafe.Pointer, tasks, scratch int) {
	if tasks <= 0 {
		return
	}
	for i := range e.scratch {
		e.grow(i, scratch)
	}
	if e.workers == 1 || tasks == 1 {
		e.backend.run(op, args, 0, tasks, unsafe.SliceData(e.scratch[0]))
		return
	}
	j := &job{op: op, args: args, tasks: int64(tasks), share: int64(2 * e.workers)}
	others := min(e.workers-1, tasks-1)
	j.active.Add(others)
	for range others {
		e.jobs <- j
	}
	e.claim(j, 0)
	j.active.Wait()
}

func (e *Engine) work(i int) {
	for j := range e.jobs {
		e.claim(j, i)
		j.active.Done()
	}
}

func (e *Engine) claim(j *job, worker int) {
	scratch := unsafe.SliceData(e.scratch[worker])
	for {
		t0 := j.next.Load()
		if t0 >= j.tasks {
			return
		}
		t1 := t0 + max(1, (j.tasks-t0)/j.share)
		if j.next.CompareAndSwap(t0, t1) {
			e.backend.run(j.op, j.args, int(t0), int(t1), scratch)
		}
	}
}

// grow makes worker i's scratch hold n floats. Workers are idle meanwhile.
func (e *Engine) grow(i, n int) {
	if len(e.scratch[i]) >= n {
		return
	}
	if e.scrmem[i] != nil {
		csrc.Free(e.scrmem[i])
	}
	e.scrmem[i] = csrc.Alloc(n * 4)
	e.scratch[i] = unsafe.Slice((*float32)(e.scrmem[i]), n)
}

// Parallel calls f(i) for i in 0..n-1 on the engine's number of goroutines and
// returns when all calls have. f must not depend on their order.
func (e *Engine) Parallel(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(e.workers, n) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	wg.Wait()
}
