package core

import (
	"math"
	"testing"
)

// TestUpdate holds several updates against the formulas in float64: Adam of
// Kingma & Ba (2015, algorithm 1), decay apart from the gradient and times the
// learning rate (Loshchilov & Hutter 2019, algorithm 2) on weights alone,
// gradients scaled to the norm of Clip, and an average whose decay at step t is
// min(EMA, (1+t)/(10+t)), of running statistics too.
func TestUpdate(t *testing.T) {
	e, err := NewEngine("", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := NewParams()
	p.Weight("weight", 20)
	p.Plain("bias", 3)
	p.Statistic("mean", 2)
	if err := p.Alloc(true); err != nil {
		t.Fatal(err)
	}
	defer p.Free()

	a := NewAdam(0)
	a.WeightDecay, a.Clip, a.EMA = 0.1, 5, 0.35
	type numbers struct{ value, m, v, average []float64 }
	want := map[string]*numbers{}
	for i, q := range p.All() {
		n := &numbers{}
		for k := range q.Value {
			q.Value[k] = float32(i+1) + float32(k)/8
			n.value = append(n.value, float64(q.Value[k]))
		}
		n.m, n.v = make([]float64, len(q.Value)), make([]float64, len(q.Value))
		n.average = append(n.average, n.value...)
		want[q.Name] = n
	}
	p.ResetAverage()

	// Norms of the gradients: well below the limit, above it, on it.
	for step, size := range []float64{0.25, 40, 5} {
		a.Rate = 0.01 * float64(step+1)
		sum := 0.0
		for _, q := range p.All() {
			for k := range q.Grad {
				q.Grad[k] = float32(math.Sin(float64(7*step + 3*k + len(q.Grad))))
				sum += float64(q.Grad[k]) * float64(q.Grad[k])
			}
		}
		for _, q := range p.All() {
			for k := range q.Grad {
				q.Grad[k] *= float32(size / math.Sqrt(sum))
			}
		}
		p.Get("mean").Value[0], p.Get("mean").Value[1] = 10+float32(step), 20*float32(step) // as a forward pass does
		norm := a.GradNorm(e, p)
		if math.Abs(norm-size) > 1e-5*size {
			t.Fatalf("step %d: the norm of the gradients is %v, want %v", step, norm, size)
		}
		a.Update(e, p, norm)

		n := float64(step + 1)
		clip := min(1, a.Clip/size)
		follow := 1 - min(a.EMA, (1+n)/(10+n))
		for _, q := range p.All() {
			w := want[q.Name]
			for k := range q.Value {
				if q.Grad == nil {
					w.value[k] = float64(q.Value[k])
				} else {
					g := clip * float64(q.Grad[k])
					w.m[k] = 0.9*w.m[k] + 0.1*g
					w.v[k] = 0.999*w.v[k] + 0.001*g*g
					if q.Name == "weight" {
						w.value[k] -= a.Rate * a.WeightDecay * w.value[k]
					}
					w.value[k] -= a.Rate * (w.m[k] / (1 - math.Pow(0.9, n))) / (math.Sqrt(w.v[k]/(1-math.Pow(0.999, n))) + 1e-8)
				}
				w.average[k] += follow * (w.value[k] - w.average[k])
				near := func(got float32, want float64) bool {
					return math.Abs(float64(got)-want) <= 2e-6*max(1, math.Abs(want))
				}
				if !near(q.Value[k], w.value[k]) || !near(p.Average(q)[k], w.average[k]) {
					t.Fatalf("step %d: %s[%d] is %v, its average %v; want %v, %v", step, q.Name, k,
						q.Value[k], p.Average(q)[k], w.value[k], w.average[k])
				}
			}
		}
	}
	if a.Step != 3 {
		t.Errorf("%d steps", a.Step)
	}
}
