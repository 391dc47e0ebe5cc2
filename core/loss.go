package core

import (
	"unsafe"

	"unet/csrc"
)

// Maps are the sigmoid maps at the end of a network, N images of K planes, those
// of a training program's peers apart.
type Maps struct {
	N, K, H, W int

	b                     *Builder
	prog                  *Program
	logits, prob, dLogits *buffer
	sums                  []*buffer // per map, 8 float64 per task
	tasks                 int
	totals                *meeting
	all                   []float64 // sums of the last forward pass, 8 per map
	losses                []Loss
	result                []MapResult
}

// Loss says how one map is compared with its target t in 0..1, p being the
// predicted probability and w the pixel weight:
//
//	Scale * (BCE*mean(w*bce(p,t)) + Dice*(1-dice(p,t)) + L1*mean(w*smoothL1(p-t)))
//
// where dice = (2*sum(p*t)+1) / (sum(p)+sum(t)+1) over the batch and smoothL1
// is quadratic below 0.1.
type Loss struct {
	Scale, BCE, Dice, L1 float64
}

const smoothL1Beta = 0.1

// MapResult is what the last forward pass of a training program measured on
// one map over the batch. Counts are of pixels, p >= 0.5 against t >= 0.5.
type MapResult struct {
	Loss           float64 // with Scale
	BCE, Dice, L1  float64 // unscaled means
	TP, FP, FN, TN float64
}

// Sigmoid adds the probabilities, for prediction.
func (m *Maps) Sigmoid() {
	m.prog = m.b.prog
	size := m.H * m.W * m.K
	args := &csrc.Loss{N: int32(m.N), Size: int64(size), Stride: int64(size), StrideT: int64(size)}
	tasks := m.prog.engine.backend.tasks(csrc.OpLossFwd, unsafe.Pointer(args))
	sums := m.prog.buffer("sigmoid.sums", tasks*16)
	m.prog.op(Forward, csrc.OpLossFwd, args, "sigmoid")
	m.prog.bind(&args.Z, m.logits, 0)
	m.prog.bind(&args.T, m.logits, 0) // no target: its sums are not looked at
	m.prog.bind(&args.P, m.prob, 0)
	m.prog.bindDouble(&args.Sums, sums)
}

// Loss adds probabilities, losses and their gradient. targets and weights
// have K planes as the maps do.
func (m *Maps) Loss(targets, weights Planar, losses []Loss) {
	b, prog := m.b, m.b.prog
	m.prog, m.losses, m.result = prog, losses, make([]MapResult, m.K)
	m.totals = b.meeting(8 * m.K)
	hw := m.H * m.W
	newArgs := func() *csrc.Loss {
		return &csrc.Loss{
			N: int32(b.n), Size: int64(hw), Stride: int64(m.K * hw), StrideT: int64(m.K * hw), Beta: smoothL1Beta,
		}
	}
	add := prog.op // the maps after the first beside it
	for k := range m.K {
		args := newArgs()
		m.tasks = prog.engine.backend.tasks(csrc.OpLossFwd, unsafe.Pointer(args))
		sums := prog.buffer("loss.sums", m.tasks*16)
		sums.keep()
		m.sums = append(m.sums, sums)
		add(Forward, csrc.OpLossFwd, args, "loss")
		prog.bind(&args.Z, m.logits, k*hw)
		prog.bind(&args.T, targets.buf, k*hw)
		prog.bind(&args.W, weights.buf, k*hw)
		prog.bind(&args.P, m.prob, k*hw)
		prog.bindDouble(&args.Sums, sums)
		add = prog.beside
	}
	prog.fn(Forward, "loss.sum", m.sum)
	b.tape = append(b.tape, func() {
		all := make([]*operation, m.K)
		prog.fn(Backward, "loss.coef", func() {
			for k, o := range all {
				m.coefficients(k, o.typed.(*csrc.Loss))
				for _, other := range o.others {
					m.coefficients(k, other.typed.(*csrc.Loss))
				}
			}
		})
		add := prog.op
		for k := range m.K {
			args := newArgs()
			all[k] = add(Backward, csrc.OpLossBwd, args, "loss.bwd")
			prog.bind(&args.T, targets.buf, k*hw)
			prog.bind(&args.W, weights.buf, k*hw)
			prog.bind(&args.P, m.prob, k*hw)
			prog.bind(&args.DZ, m.dLogits, k*hw)
			add = prog.beside
		}
	})
}

func (m *Maps) sum() {
	m.all = m.totals.of(func(micro int, v []float64) {
		clear(v)
		for k, sums := range m.sums {
			of := float64s(m.prog.part(sums, micro))
			for t := range m.tasks {
				for j := range 8 {
					v[8*k+j] += of[8*t+j]
				}
			}
		}
	}, addSums)
	n := float64(m.b.batch * m.H * m.W)
	for k := range m.K {
		s, l := m.all[8*k:][:8], m.losses[k]
		r := MapResult{BCE: s[0] / n, Dice: (2*s[1] + 1) / (s[2] + s[3] + 1), L1: s[7] / n,
			TP: s[4], FP: s[5], FN: s[6], TN: n - s[4] - s[5] - s[6]}
		r.Loss = l.Scale * (l.BCE*r.BCE + l.Dice*(1-r.Dice) + l.L1*r.L1)
		m.result[k] = r
	}
}

func (m *Maps) coefficients(k int, a *csrc.Loss) {
	n := float64(m.b.batch * m.H * m.W)
	s, l := m.all[8*k:][:8], m.losses[k]
	d := s[2] + s[3] + 1
	a.CBCE = float32(l.Scale * l.BCE / n)
	a.CL1 = float32(l.Scale * l.L1 / n)
	a.CT = float32(-2 * l.Scale * l.Dice / d)
	a.C1 = float32(l.Scale * l.Dice * (2*s[1] + 1) / (d * d))
}

// Result returns the measurements of the last forward pass, one per map.
func (m *Maps) Result() []MapResult { return m.result }

// Logits and Prob are the maps of the last forward pass, [N][K][H*W]; they
// share memory with the program.
func (m *Maps) Logits() []float32 { return m.prog.slice(m.logits)[:m.N*m.K*m.H*m.W] }

// Prob is the sigmoid of Logits.
func (m *Maps) Prob() []float32 { return m.prog.slice(m.prob)[:m.N*m.K*m.H*m.W] }

// Data returns the memory of a planar input, [n][C][H*W], to be filled before
// every run of an inference program, which uses it for other things; a training
// program leaves it.
func (p *Program) Data(in Planar) []float32 { return p.slice(in.buf) }
