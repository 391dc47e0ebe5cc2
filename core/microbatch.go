package core

import (
	"reflect"
	"slices"
	"unsafe"
)

// A training step may be divided into micro-batches, equal parts of its batch. They
// run side by side, in this process or in several, and meet where something is
// summed over the images: the statistics of batch-norm, their gradients, the loss and
// the gradients of weights. Each micro-batch is summed by itself, as a batch of its
// size would be, and the sums of them in a binary tree over their numbers:
//
//	0   1   2   3   4   5   6   7
//	└─┬─┘   └─┬─┘   └─┬─┘   └─┬─┘
//	  └───┬───┘       └───┬───┘
//	      └───────┬───────┘
//
// A process that runs a power of two of them sums a subtree, and processes exchange
// the sums of theirs, so that the result is the same, bit for bit, wherever they run.

// repeat gives the operations of the first micro-batch to the others, each with its
// own part of every buffer.
func (p *Program) repeat() {
	if p.micros == 1 {
		return
	}
	args := map[any][]any{} // operations may share them
	for _, s := range p.steps {
		var ops []*operation
		for _, o := range s.ops {
			ops = append(ops, o)
			if !o.divided() {
				continue
			}
			if args[o.typed] == nil {
				for range p.micros - 1 {
					args[o.typed] = append(args[o.typed], copyOf(o.typed))
				}
			}
			for i, a := range args[o.typed] {
				o.others = append(o.others, o.of(i+1, a))
			}
			ops = append(ops, o.others...)
		}
		s.ops = ops
	}
}

// copyOf returns a pointer to a copy of what args points to.
func copyOf(args any) any {
	c := reflect.New(reflect.TypeOf(args).Elem())
	c.Elem().Set(reflect.ValueOf(args).Elem())
	return c.Interface()
}

// divided reports whether micro-batches have parts of the operation's buffers.
func (o *operation) divided() bool {
	return slices.ContainsFunc(o.bufs, func(b *buffer) bool { return b.stride > 0 }) ||
		slices.ContainsFunc(o.bind, func(v binding) bool { return v.buf.stride > 0 })
}

// of is the operation for another micro-batch, with a copy of its arguments.
func (o *operation) of(micro int, args any) *operation {
	c := newOperation(o.name, o.op, args)
	c.bufs, c.flops = o.bufs, o.flops
	for _, v := range o.bind {
		field := uintptr(unsafe.Pointer(v.at)) - uintptr(o.args)
		c.to((**float32)(unsafe.Add(c.args, field)), v.buf, v.offset+micro*v.buf.stride, v.size)
	}
	return c
}

// meeting is where sums over the images of each micro-batch become those of the
// batch.
type meeting struct {
	p      *Program
	sums   [][]float64 // of each micro-batch
	theirs []float64   // of a peer
}

// meeting returns one for so many sums.
func (b *Builder) meeting(size int) *meeting {
	m := &meeting{p: b.prog, theirs: make([]float64, size)}
	for range b.prog.micros {
		m.sums = append(m.sums, make([]float64, size))
	}
	return m
}

// of returns the sums of the batch. sum fills in those of a micro-batch, and add
// adds sums to others.
func (m *meeting) of(sum func(micro int, v []float64), add func(to, from []float64)) []float64 {
	for i, v := range m.sums {
		sum(i, v)
	}
	for d := 1; d < len(m.sums); d *= 2 {
		for i := 0; i < len(m.sums); i += 2 * d {
			add(m.sums[i], m.sums[i+d])
		}
	}
	if m.p.peers != nil && m.p.failed == nil {
		m.p.failed = exchange(m.p.peers, m.sums[0], m.theirs, add)
	}
	return m.sums[0]
}

// addSums adds sums to others.
func addSums(to, from []float64) {
	for i, v := range from {
		to[i] += v
	}
}

// gradient is that of a parameter whose micro-batches' gradients op computes, into
// parts.
type gradient struct {
	param *Param
	op    *operation
	parts *buffer
}

// bindGradient lets *at of the newest operation's arguments point to the gradient of
// a parameter, which it computes.
func (b *Builder) bindGradient(at **float32, name string) {
	p, q := b.prog, b.params.must(name)
	if p.micros == 1 && p.peers == nil {
		*at = unsafe.SliceData(q.Grad)
		return
	}
	parts := p.buffer(name+".grad", q.Len())
	p.bind(at, parts, 0)
	b.unsummed = append(b.unsummed, gradient{q, p.newest, parts})
}

// sumGradients adds the sums of gradients that the steps so far compute.
func (b *Builder) sumGradients() {
	b.unsummed = slices.DeleteFunc(b.unsummed, func(g gradient) bool {
		if slices.Contains(b.prog.waiting, g.op) {
			return false
		}
		b.prog.fn(Backward, g.param.Name+".sum", func() { b.prog.sum(g) }, g.parts)
		return true
	})
}

// sum adds up the parts of a gradient, and hands it on to be exchanged.
func (p *Program) sum(g gradient) {
	const chunk = 1 << 14
	n := g.param.Len()
	p.engine.parallel((n+chunk-1)/chunk, func(i int) {
		part := func(micro int) []float32 { return p.part(g.parts, micro)[i*chunk : min((i+1)*chunk, n)] }
		for d := 1; d < p.micros; d *= 2 {
			for k := 0; k < p.micros; k += 2 * d {
				addFloats(part(k), part(k+d))
			}
		}
		copy(g.param.Grad[i*chunk:], part(0))
	})
	if p.peers != nil {
		p.sums.queue <- g.param.Grad
	}
}

func addFloats(to, from []float32) {
	for i, v := range from {
		to[i] += v
	}
}
