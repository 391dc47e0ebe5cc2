//go:build mpi && cgo

package mpi

/*
#cgo pkg-config: ompi-c
#include <mpi.h>
#include <sched.h>

// Calls may come from any thread of Go's, one at a time.
static int un_mpi_start(int *rank, int *size)
{
	int level, rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
	if (rc == MPI_SUCCESS && level < MPI_THREAD_SERIALIZED)
		return MPI_ERR_OTHER;
	if (rc == MPI_SUCCESS)
		rc = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	if (rc == MPI_SUCCESS)
		rc = MPI_Comm_rank(MPI_COMM_WORLD, rank);
	if (rc == MPI_SUCCESS)
		rc = MPI_Comm_size(MPI_COMM_WORLD, size);
	return rc;
}

static int un_mpi_begin(const void *send, int sends, void *receive, int receives, int peer, int tag, MPI_Request *requests)
{
	int rc = MPI_Irecv(receive, receives, MPI_BYTE, peer, tag, MPI_COMM_WORLD, &requests[0]);
	if (rc == MPI_SUCCESS)
		rc = MPI_Isend(send, sends, MPI_BYTE, peer, tag, MPI_COMM_WORLD, &requests[1]);
	return rc;
}

static int un_mpi_done(MPI_Request *requests, int *done)
{
	return MPI_Testall(2, requests, done, MPI_STATUSES_IGNORE);
}
*/
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"unet/core"
)

// job is this process among those of an MPI job.
type job struct {
	ctx        context.Context // that ends with the program's work
	rank, size int
	mu         sync.Mutex  // held by calls of MPI
	left       []*transfer // unfinished, whose memory MPI may still use
}

// transfer is one to and one from a peer.
type transfer struct {
	requests [2]C.MPI_Request
	pinned   runtime.Pinner
}

// Start joins the processes of mpirun. There are no peers without mpirun. Exchanges
// end with ctx; end is due when the work is done, and waits for the peers. A process
// that fails exits without, upon which mpirun ends the others.
func Start(ctx context.Context) (peers core.Peers, end func(), err error) {
	if _, size := started(); size == 1 {
		return nil, func() {}, nil
	}
	var rank, size C.int
	if rc := C.un_mpi_start(&rank, &size); rc != C.MPI_SUCCESS {
		return nil, nil, tellOnce(fmt.Sprintf("MPI does not start: error %d", rc), "does a program of Open MPI's own start?")
	}
	if size&(size-1) != 0 {
		return nil, nil, tellOnce(fmt.Sprintf("%d processes cannot train together", size), "start 2, 4, 8 and so on")
	}
	return &job{ctx: ctx, rank: int(rank), size: int(size)}, func() { C.MPI_Finalize() }, nil
}

func (j *job) Rank() int { return j.rank }
func (j *job) Size() int { return j.size }

// most is the bytes of a message; MPI counts them in 32 bits.
const most = 1 << 30

// Exchange implements core.Peers.
func (j *job) Exchange(peer, stream int, send, receive []byte) error {
	for {
		s, r := send[:min(len(send), most)], receive[:min(len(receive), most)]
		if err := j.exchange(peer, stream, s, r); err != nil {
			return err
		}
		send, receive = send[len(s):], receive[len(r):]
		if len(send)+len(receive) == 0 {
			return nil
		}
	}
}

// patience is how often a process looks for the end of a transfer before it sleeps in
// between. Between any two looks others have their turn: on a machine with fewer cores
// than threads its peer may be waiting for the core.
const patience = 1000

func (j *job) exchange(peer, stream int, send, receive []byte) error {
	t := new(transfer)
	to, from := unsafe.SliceData(send), unsafe.SliceData(receive)
	for _, p := range []*byte{to, from} {
		if p != nil {
			t.pinned.Pin(p)
		}
	}
	err := j.call(func() C.int {
		return C.un_mpi_begin(unsafe.Pointer(to), C.int(len(send)), unsafe.Pointer(from), C.int(len(receive)), C.int(peer), C.int(stream), &t.requests[0])
	})
	var done C.int
	for n := 0; err == nil; n++ {
		if err = j.call(func() C.int { return C.un_mpi_done(&t.requests[0], &done) }); err != nil {
			break
		}
		if done != 0 {
			t.pinned.Unpin()
			return nil
		}
		if j.ctx.Err() != nil {
			err = context.Cause(j.ctx)
		} else if n < patience {
			C.sched_yield()
		} else {
			time.Sleep(20 * time.Microsecond)
		}
	}
	j.mu.Lock()
	j.left = append(j.left, t)
	j.mu.Unlock()
	return err
}

// call calls MPI.
func (j *job) call(f func() C.int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if rc := f(); rc != C.MPI_SUCCESS {
		return fmt.Errorf("exchanging gradients with other processes: MPI error %d", rc)
	}
	return nil
}
