package core

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"unet/csrc"
)

// job is work for all threads: the operations of one step, or the calls of a
// function. Threads claim ranges of tasks from a shared counter, operation by
// operation, long ranges first, as neighbouring tasks may share work within a
// call, single tasks last, to end together. Which thread does which range does
// not show in the result.
type job struct {
	ops     []*operation
	f       func(i int) // instead of ops: task i
	tasks   int64       // of all
	threads int
	next    atomic.Int64
	active  sync.WaitGroup
	left    atomic.Int32 // of active, to look at
}

// runOps does all tasks of the operations and returns when they are done.
func (e *Engine) runOps(ops []*operation, scratch int) {
	tasks := 0
	for _, o := range ops {
		tasks += o.tasks
	}
	for i := range e.scratch {
		e.grow(i, scratch)
	}
	if e.workers == 1 || tasks <= 1 {
		for _, o := range ops {
			e.backend.run(o.op, o.args, 0, o.tasks, unsafe.SliceData(e.scratch[0]))
		}
		return
	}
	e.share(&job{ops: ops, tasks: int64(tasks)})
}

// parallel calls f(i) for i in 0..n-1 on the engine's threads, for a function of
// a program, and returns when all calls have. f must not depend on their order.
func (e *Engine) parallel(n int, f func(i int)) {
	e.share(&job{f: f, tasks: int64(n)})
}

// share does a job on all threads, this one among them, up to a barrier.
func (e *Engine) share(j *job) {
	j.threads = e.workers
	others := max(int(min(int64(e.workers), j.tasks))-1, 0)
	j.active.Add(others)
	j.left.Store(int32(others))
	for range others {
		e.jobs <- j
	}
	e.claim(j, 0)
	for n := 0; n < 5*patience && j.left.Load() > 0; n++ { // a load takes a fifth of a look at a channel
	}
	j.active.Wait()
}

// patience is how often a thread looks for the next step, or for the others to end
// this one, before it sleeps: about 0.2 ms, by no clock, as some tick every 15 ms. Steps
// follow each other at once, and to wake a thread, on a virtual machine above all, takes
// as long as a short step. It does not yield between two looks: that would have Go wake
// a thread more to look for work.
const patience = 20000

// cpus is GOMAXPROCS as the program began.
var cpus = runtime.GOMAXPROCS(0)

// SpareProcs raises GOMAXPROCS by two, unless the environment sets it, for a program
// whose engine uses all CPUs; a second call changes nothing. Go's scheduler hands the P
// of a thread that is in C on to another thread as soon as it looks (every 20 µs) and
// sees no P idle; back from the kernel the thread then waits for a P. With some to spare
// none is taken before 10 ms, longer than any task: on two cores a forward pass takes
// 15 % less time, a step of training 12 % (go run ./bench/speed/peers).
func SpareProcs() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(cpus + 2)
	}
}

func (e *Engine) work(i int) {
	for {
		j, ok := e.nextJob()
		if !ok {
			return
		}
		e.claim(j, i)
		j.active.Done()
		j.left.Add(-1)
	}
}

func (e *Engine) nextJob() (j *job, ok bool) {
	for range patience {
		select {
		case j, ok = <-e.jobs:
			return j, ok
		default:
		}
	}
	j, ok = <-e.jobs
	return j, ok
}

func (e *Engine) claim(j *job, worker int) {
	scratch := unsafe.SliceData(e.scratch[worker])
	for {
		from := j.next.Load()
		if from >= j.tasks {
			return
		}
		if j.f != nil {
			if j.next.CompareAndSwap(from, from+1) {
				j.f(int(from))
			}
			continue
		}
		o, t0, n := j.claimAt(from)
		if j.next.CompareAndSwap(from, from+n) {
			e.backend.run(o.op, o.args, int(t0), int(t0+n), scratch)
		}
	}
}

// claimAt returns what a thread takes on that finds the counter at `from`, below
// the number of tasks: n tasks from t0 on of an operation.
func (j *job) claimAt(from int64) (o *operation, t0, n int64) {
	t0 = from
	for _, o = range j.ops {
		if t0 < int64(o.tasks) {
			break
		}
		t0 -= int64(o.tasks)
	}
	return o, t0, int64(claimed(o.tasks-int(t0), j.threads))
}

// claimed is the number of tasks a thread takes on when `left` are left of an
// operation: half a thread's share.
func claimed(left, threads int) int { return max(1, left/(2*threads)) }

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
