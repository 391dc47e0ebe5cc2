package ref

import "math"

// AdamStep holds the scalars of one step of Adam (Kingma & Ba 2015) with
// decoupled weight decay (Loshchilov & Hutter 2019). Step = lr/(1-B1^t),
// InvSqrtBC2 = 1/sqrt(1-B2^t), Decay = lr·weight decay. The gradient is
// multiplied by GScale first.
type AdamStep struct{ Step, B1, B2, Eps, InvSqrtBC2, Decay, GScale, EMADecay float32 }

// Adam updates p, m and v in place from the gradient g:
//
//	m = B1·m + (1-B1)·g;  v = B2·v + (1-B2)·g²
//	p -= Step·m / (√v·InvSqrtBC2 + Eps) + Decay·p
//
// and, if ema is not nil, ema += (1-EMADecay)·(p - ema).
func Adam(p, g, m, v, ema []float32, s AdamStep) {
	for i := range p {
		gi := float64(s.GScale) * float64(g[i])
		mi := float64(s.B1)*float64(m[i]) + float64(1-s.B1)*gi
		vi := float64(s.B2)*float64(v[i]) + float64(1-s.B2)*gi*gi
		pi := float64(p[i])
		pi -= float64(s.Step)*mi/(math.Sqrt(vi)*float64(s.InvSqrtBC2)+float64(s.Eps)) + float64(s.Decay)*pi
		p[i], m[i], v[i] = float32(pi), float32(mi), float32(vi)
		if ema != nil {
			ema[i] = float32(float64(ema[i]) + float64(1-s.EMADecay)*(pi-float64(ema[i])))
		}
	}
}

// SumSq is the sum of the squares of g.
func SumSq(g []float32) (sum float64) {
	for _, v := range g {
		sum += float64(v) * float64(v)
	}
	return sum
}
