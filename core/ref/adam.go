package ref

import "math"

// AdamStep holds the scalars of one step of Adam (Kingma & Ba 2015) with
// decoupled weight decay (Loshchilov & Hutter 2019). Step = lr/(1-β1^t),
// C1 = 1-β1, C2 = 1-β2, InvSqrtBC2 = 1/sqrt(1-β2^t), Decay = lr·weight decay,
// CEMA = 1 - the decay of the average. The gradient is multiplied by GScale
// first.
type AdamStep struct{ Step, C1, C2, Eps, InvSqrtBC2, Decay, GScale, CEMA float32 }

// Adam updates p, m and v in place from the gradient g:
//
//	m += C1·(g - m);  v += C2·(g² - v)
//	p -= Step·m / (√v·InvSqrtBC2 + Eps) + Decay·p
//
// and, if ema is not nil, ema += CEMA·(p - ema).
func Adam(p, g, m, v, ema []float32, s AdamStep) {
	for i := range p {
		gi := float64(s.GScale) * float64(g[i])
		pi, mi, vi := float64(p[i]), float64(m[i]), float64(v[i])
		mi += float64(s.C1) * (gi - mi)
		vi += float64(s.C2) * (gi*gi - vi)
		pi -= float64(s.Step)*mi/(math.Sqrt(vi)*float64(s.InvSqrtBC2)+float64(s.Eps)) + float64(s.Decay)*pi
		p[i], m[i], v[i] = float32(pi), float32(mi), float32(vi)
		if ema != nil {
			ema[i] = float32(float64(ema[i]) + float64(s.CEMA)*(pi-float64(ema[i])))
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
