package core

import (
	"math"
	"unsafe"

	"unet/csrc"
)

// Adam is the optimiser of Kingma & Ba (2015) with decoupled weight decay
// (Loshchilov & Hutter 2019) and a running average of the weights. Scales,
// shifts and biases are not decayed.
type Adam struct {
	Rate        float64 // learning rate of the coming step
	Beta1       float64
	Beta2       float64
	Epsilon     float64
	WeightDecay float64
	// Clip scales gradients down to this global norm; 0: never.
	Clip float64
	// EMA is the decay of the running average of the weights; 0: none. Early
	// on the average follows faster, with decay (1+t)/(10+t) at step t.
	EMA float64
	// Step counts the updates done; it is part of a checkpoint.
	Step int
}

// NewAdam returns Adam with the usual constants.
func NewAdam(rate float64) *Adam {
	return &Adam{Rate: rate, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}
}

// GradNorm returns the Euclidean norm of all gradients; NaN or Inf tell that
// the backward pass went wrong.
func (a *Adam) GradNorm(e *Engine, p *Params) float64 {
	args := &csrc.Adam{G: unsafe.SliceData(p.grad), Size: int64(p.trained)}
	tasks := e.backend.tasks(csrc.OpSumSq, unsafe.Pointer(args))
	sums := p.partialSums(tasks)
	args.Out = unsafe.SliceData(sums)
	e.mu.Lock()
	e.runOps([]*operation{{op: csrc.OpSumSq, args: unsafe.Pointer(args), tasks: tasks}}, 0)
	e.mu.Unlock()
	sum := 0.0
	for _, v := range sums {
		sum += v
	}
	return math.Sqrt(sum)
}

// Update changes the parameters by their gradients, whose norm the caller has
// from GradNorm.
func (a *Adam) Update(e *Engine, p *Params, norm float64) {
	a.Step++
	t := float64(a.Step)
	ema := min(a.EMA, (1+t)/(10+t))
	scale := 1.0
	if a.Clip > 0 && norm > a.Clip {
		scale = a.Clip / norm
	}
	var ops []*operation
	for _, g := range []struct {
		from, to int
		decay    float64
	}{{0, p.decay, a.WeightDecay}, {p.decay, p.trained, 0}} {
		if g.from == g.to {
			continue
		}
		args := &csrc.Adam{
			P: &p.value[g.from], G: &p.grad[g.from], M: &p.m[g.from], V: &p.v[g.from],
			Size: int64(g.to - g.from),
			Step: float32(a.Rate / (1 - math.Pow(a.Beta1, t))),
			C1:   float32(1 - a.Beta1), C2: float32(1 - a.Beta2), Eps: float32(a.Epsilon),
			InvSqrtBC2: float32(1 / math.Sqrt(1-math.Pow(a.Beta2, t))),
			Decay:      float32(a.Rate * g.decay), GScale: float32(scale), CEMA: float32(1 - ema),
		}
		if a.EMA > 0 {
			args.EMA = &p.ema[g.from]
		}
		tasks := e.backend.tasks(csrc.OpAdam, unsafe.Pointer(args))
		ops = append(ops, &operation{op: csrc.OpAdam, args: unsafe.Pointer(args), tasks: tasks})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runOps(ops, 0)
	if a.EMA > 0 { // running statistics are averaged alike
		for i := p.trained; i < len(p.value); i++ {
			p.ema[i] += float32(1-ema) * (p.value[i] - p.ema[i])
		}
	}
}
