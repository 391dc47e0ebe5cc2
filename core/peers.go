package core

import (
	"encoding/binary"
	"errors"
	"slices"
	"unsafe"
)

// Peers are the processes that train one network together, 2^n of them with numbers
// from 0: this one and those it can exchange bytes with. Package mpi implements it.
type Peers interface {
	Rank() int // number of this process
	Size() int
	// Exchange sends bytes to a peer and receives bytes from it, whose number the
	// peer knows. Calls of the same stream meet in their order; those of different
	// streams, numbers from 0, may be made at the same time. It returns an error when
	// the job ends.
	Exchange(peer, stream int, send, receive []byte) error
}

// Streams of Exchange.
const (
	Waiting   = iota // for what comes, with nothing else to do
	Gradients        // while the backward pass goes on

	Streams // the number of them
)

// exchange adds the peers' sums to those of this process, in the order of the tree:
// process 2i and 2i+1, then 4i+{0,1} and 4i+{2,3}, and so on. All get the same.
func exchange(p Peers, sums, theirs []float64, add func(to, from []float64)) error {
	for d := 1; d < p.Size(); d *= 2 {
		peer := p.Rank() ^ d
		if err := p.Exchange(peer, Waiting, bytesOf(sums), bytesOf(theirs)); err != nil {
			return err
		}
		if peer > p.Rank() {
			add(sums, theirs)
		} else {
			add(theirs, sums)
			copy(sums, theirs)
		}
	}
	return nil
}

// ErrElsewhere says that another process failed, which tells why.
var ErrElsewhere = errors.New("another process failed")

// Agree returns an error in every process if one has an error: its own, or
// ErrElsewhere where it is for a process with a lower number to tell. All processes
// call it. Without peers it returns err.
func Agree(p Peers, err error) error {
	if p == nil {
		return err
	}
	first := []float64{float64(p.Size())} // process with an error
	if err != nil {
		first[0] = float64(p.Rank())
	}
	failed := exchange(p, first, make([]float64, 1), func(to, from []float64) { to[0] = min(to[0], from[0]) })
	switch {
	case failed != nil && err == nil:
		return failed
	case failed != nil || int(first[0]) == p.Rank():
		return err
	case int(first[0]) == p.Size():
		return nil
	}
	return ErrElsewhere
}

// Broadcast returns the bytes that process 0 has.
func Broadcast(p Peers, b []byte) ([]byte, error) {
	size := binary.LittleEndian.AppendUint64(nil, uint64(len(b)))
	if err := broadcast(p, size); err != nil {
		return nil, err
	}
	if p.Rank() != 0 {
		b = make([]byte, binary.LittleEndian.Uint64(size))
	}
	return b, broadcast(p, b)
}

// broadcast fills b with what it holds in process 0.
func broadcast(p Peers, b []byte) (err error) {
	for d := p.Size() / 2; d > 0 && err == nil; d /= 2 {
		switch p.Rank() % (2 * d) {
		case 0:
			err = p.Exchange(p.Rank()+d, Waiting, b, nil)
		case d:
			err = p.Exchange(p.Rank()-d, Waiting, nil, b)
		}
	}
	return err
}

// Broadcast gives parameters, averages and Adam's moments of process 0 to all.
func (p *Params) Broadcast(peers Peers) error {
	for _, v := range [][]float32{p.value, p.ema, p.m, p.v} {
		if err := broadcast(peers, bytesOf(v)); err != nil {
			return err
		}
	}
	return nil
}

// bytesOf is the memory of v.
func bytesOf[T float32 | float64](v []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(*new(T))))
}

// gradientSums adds up the gradients of the processes, one after the other, while the
// backward pass goes on.
type gradientSums struct {
	queue chan []float32
	done  chan error
	room  []float32 // for a peer's, kept from step to step
}

// mostGradients bounds the gradients that wait, far above use.
const mostGradients = 1 << 10

// begin takes gradients from the queue until end.
func (s *gradientSums) begin(p Peers) {
	s.queue, s.done = make(chan []float32, mostGradients), make(chan error, 1)
	go func() {
		var err error
		for v := range s.queue {
			if err == nil {
				s.room = slices.Grow(s.room[:0], len(v))[:len(v)]
				err = sumOver(p, v, s.room)
			}
		}
		s.done <- err
	}()
}

// end waits until all gradients are summed.
func (s *gradientSums) end() error {
	close(s.queue)
	return <-s.done
}

// sumOver makes v the sum over all processes, in the same tree as exchange, with
// fewer bytes: halves of v go to and fro until each process has the sum of its
// part, and the parts go to all (Rabenseifner 2004). As a+b is b+a, it does not
// matter which process adds. room is as large as v.
func sumOver(p Peers, v, room []float32) error {
	type part struct{ from, to int }
	mine := part{0, len(v)}
	var undo []part
	for d := 1; d < p.Size(); d *= 2 {
		undo = append(undo, mine)
		mid := (mine.from + mine.to) / 2
		keep, give := part{mine.from, mid}, part{mid, mine.to}
		if p.Rank()&d != 0 {
			keep, give = give, keep
		}
		theirs := room[:keep.to-keep.from]
		if err := p.Exchange(p.Rank()^d, Gradients, bytesOf(v[give.from:give.to]), bytesOf(theirs)); err != nil {
			return err
		}
		addFloats(v[keep.from:keep.to], theirs)
		mine = keep
	}
	for d := p.Size() / 2; d > 0; d /= 2 {
		whole := undo[len(undo)-1]
		undo = undo[:len(undo)-1]
		theirs := part{whole.from, mine.from}
		if mine.from == whole.from {
			theirs.from, theirs.to = mine.to, whole.to
		}
		if err := p.Exchange(p.Rank()^d, Gradients, bytesOf(v[mine.from:mine.to]), bytesOf(v[theirs.from:theirs.to])); err != nil {
			return err
		}
		mine = whole
	}
	return nil
}
