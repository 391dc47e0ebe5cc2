package core

import (
	"fmt"
	"unsafe"

	"unet/csrc"
)

// Param is one named tensor of a network: a weight that training changes, or
// a running statistic.
type Param struct {
	Name  string
	Shape []int
	// Value is the parameter itself, row-major: OIHW for 3x3 and 1x1
	// convolutions, IOHW for transposed ones (as PyTorch).
	Value []float32
	// Grad is its gradient after a backward pass; nil for statistics.
	Grad []float32

	offset int // in floats, within the arena
}

// Params holds all parameters of a network in one arena of memory: weights
// subject to weight decay first, then scales, shifts and biases, then running
// statistics. Declare all, then call Alloc.
type Params struct {
	list  []*Param
	byKey map[string]*Param
	group []int // decay, no decay, statistic

	mem               unsafe.Pointer
	decay, trained    int       // ends of the first two groups, in floats
	value, grad, m, v []float32 // value also holds the statistics
	ema               []float32
	sums              []float64 // of the gradient norm
}

const (
	groupDecay = iota
	groupPlain
	groupStatistic
)

// NewParams returns an empty set.
func NewParams() *Params { return &Params{byKey: map[string]*Param{}} }

// Weight declares a weight with weight decay; Plain one without.
func (p *Params) Weight(name string, shape ...int) { p.add(groupDecay, name, shape) }

// Plain declares a scale, shift or bias.
func (p *Params) Plain(name string, shape ...int) { p.add(groupPlain, name, shape) }

// Statistic declares a running statistic, which no gradient reaches.
func (p *Params) Statistic(name string, shape ...int) { p.add(groupStatistic, name, shape) }

func (p *Params) add(group int, name string, shape []int) {
	if p.byKey[name] != nil || p.mem != nil {
		panic("core: parameter declared twice or too late: " + name)
	}
	q := &Param{Name: name, Shape: shape}
	p.list = append(p.list, q)
	p.group = append(p.group, group)
	p.byKey[name] = q
}

// Len returns the number of floats of a parameter.
func (q *Param) Len() int {
	n := 1
	for _, d := range q.Shape {
		n *= d
	}
	return n
}

// Alloc reserves the memory. With training, also that of gradients, Adam's
// moments and the running average of the weights.
func (p *Params) Alloc(training bool) error {
	at := 0
	for g := groupDecay; g <= groupStatistic; g++ {
		for i, q := range p.list {
			if p.group[i] == g {
				q.offset = at
				at += (q.Len() + 15) &^ 15
			}
		}
		switch g {
		case groupDecay:
			p.decay = at
		case groupPlain:
			p.trained = at
		}
	}
	total := at
	if training {
		total += at + 3*p.trained
	}
	p.mem = csrc.Alloc(max(total, 16) * 4)
	if p.mem == nil {
		return &MemoryError{Problem: fmt.Sprintf("no memory for %d parameters", at), Advice: "use a smaller network"}
	}
	all := unsafe.Slice((*float32)(p.mem), max(total, 16))
	take := func(n int) []float32 { s := all[:n:n]; all = all[n:]; return s }
	p.value = take(at)
	if training {
		p.ema = take(at)
		p.grad, p.m, p.v = take(p.trained), take(p.trained), take(p.trained)
	}
	for i, q := range p.list {
		q.Value = p.value[q.offset : q.offset+q.Len()]
		if training && p.group[i] != groupStatistic {
			q.Grad = p.grad[q.offset : q.offset+q.Len()]
		}
	}
	return nil
}

// partialSums returns room for n sums, kept from call to call.
func (p *Params) partialSums(n int) []float64 {
	if len(p.sums) < n {
		csrc.Free(unsafe.Pointer(unsafe.SliceData(p.sums)))
		p.sums = unsafe.Slice((*float64)(csrc.Alloc(n*8)), n)
	}
	return p.sums[:n]
}

// Free releases the memory; the set must not be used afterwards.
func (p *Params) Free() {
	csrc.Free(unsafe.Pointer(unsafe.SliceData(p.sums)))
	p.sums = nil
	if p.mem != nil {
		csrc.Free(p.mem)
		p.mem = nil
	}
}

// All returns the parameters in the order of declaration.
func (p *Params) All() []*Param { return p.list }

// Get returns the parameter of that name, or nil.
func (p *Params) Get(name string) *Param { return p.byKey[name] }

// Count returns the number of trained parameters.
func (p *Params) Count() int {
	n := 0
	for i, q := range p.list {
		if p.group[i] != groupStatistic {
			n += q.Len()
		}
	}
	return n
}

// State gives access to the flat arrays a checkpoint must hold besides the
// values: Adam's moments and the averaged weights, in arena order.
func (p *Params) State() (m, v, ema []float32) { return p.m, p.v, p.ema }

// Average returns the averaged value of q (see Adam.EMA).
func (p *Params) Average(q *Param) []float32 { return p.ema[q.offset : q.offset+q.Len()] }

// ResetAverage sets the average to the present values.
func (p *Params) ResetAverage() { copy(p.ema, p.value) }

// ptr is a pointer to the parameter's value, for a kernel.
func (p *Params) ptr(name string) *float32 { return unsafe.SliceData(p.must(name).Value) }

func (p *Params) must(name string) *Param {
	q := p.byKey[name]
	if q == nil {
		panic("core: no parameter " + name)
	}
	return q
}
