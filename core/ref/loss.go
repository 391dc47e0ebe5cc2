package ref

import "math"

// LossSums are the sums over pixels that make up the loss and the pixel
// metrics: Σw·bce, Σp·t, Σp, Σt, true positives, false positives, false
// negatives (p ≥ 0.5 against t ≥ 0.5), Σw·smoothL1(p-t).
type LossSums [8]float64

// Loss writes p = sigmoid(z) and returns the sums of its pixels. bce is the
// cross-entropy from the logit, max(z,0) - z·t + log(1+exp(-|z|)); smooth-L1
// is d²/(2β) for |d| < β and |d| - β/2 beyond. w == nil: all ones.
func Loss(p, z, t, w []float32, beta float32) (s LossSums) {
	for i := range z {
		zi, ti, wi := float64(z[i]), float64(t[i]), 1.0
		if w != nil {
			wi = float64(w[i])
		}
		pi := 1 / (1 + math.Exp(-zi))
		p[i] = float32(pi)
		s[0] += wi * (max(zi, 0) - zi*ti + math.Log1p(math.Exp(-math.Abs(zi))))
		s[1] += pi * ti
		s[2] += pi
		s[3] += ti
		switch {
		case p[i] >= 0.5 && t[i] >= 0.5:
			s[4]++
		case p[i] >= 0.5:
			s[5]++
		case t[i] >= 0.5:
			s[6]++
		}
		d, b := math.Abs(pi-ti), float64(beta)
		if d < b {
			s[7] += wi * d * d / (2 * b)
		} else {
			s[7] += wi * (d - b/2)
		}
	}
	return s
}

// LossCoeffs weigh the parts of the loss gradient; see LossBwd.
type LossCoeffs struct{ BCE, T, One, L1, Beta float32 }

// LossBwd writes the gradient of the loss in z from p = sigmoid(z):
//
//	dz = BCE·w·(p-t) + p(1-p)·(T·t + One + L1·w·clamp((p-t)/Beta, -1, 1))
func LossBwd(dz, p, t, w []float32, c LossCoeffs) {
	for i := range p {
		pi, ti, wi := float64(p[i]), float64(t[i]), 1.0
		if w != nil {
			wi = float64(w[i])
		}
		var l1 float64
		if c.L1 != 0 {
			l1 = float64(c.L1) * wi * max(-1, min(1, (pi-ti)/float64(c.Beta)))
		}
		dz[i] = float32(float64(c.BCE)*wi*(pi-ti) +
			pi*(1-pi)*(float64(c.T)*ti+float64(c.One)+l1))
	}
}
