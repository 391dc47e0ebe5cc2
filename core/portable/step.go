package portable

import (
	"math"
	"unsafe"

	"unet/csrc"
)

// Loss and Adam, in the order of the C kernels.

// lossTerms are eight sums of loss, each in 16 lanes; see struct un_loss.
type lossTerms [8][16]float32

// add adds the terms of a pixel to lane l and returns its probability.
func (s *lossTerms) add(l int, z, t, w, beta, inverse float32) float32 {
	e := expNegative(min(z, -z))
	p := 1 / (1 + e)
	if z < 0 {
		p = e * p
	}
	bce := (max(z, 0) - float32(z*t)) + log1p(e)
	s[0][l] += float32(w * bce)
	s[1][l] += float32(p * t)
	s[2][l] += p
	s[3][l] += t
	switch {
	case p >= 0.5 && t >= 0.5:
		s[4][l]++
	case p >= 0.5:
		s[5][l]++
	case t >= 0.5:
		s[6][l]++
	}
	d := p - t
	l1 := max(d, -d)
	if l1 > beta {
		l1 -= 0.5 * beta
	} else {
		l1 = float32(0.5*float32(d*d)) * inverse
	}
	s[7][l] += float32(w * l1)
	return p
}

// log1p is log(1+u) for 0 <= u <= 1, as 2*atanh(u/(2+u)).
func log1p(u float32) float32 {
	s := u / (u + 2)
	x := float32(s * s)
	p := float32(2.0 / 15)
	for _, c := range [...]float32{2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3, 2} {
		p = c + float32(p*x)
	}
	return p * s
}

// pixels are the values of task k of a loss.
type pixels struct{ z, t, w, p, dz []float32 }

func lossPixels(a *csrc.Loss, k int) pixels {
	i, i0, i1 := chunk(k, a.Size)
	part := func(p *float32, stride int64) []float32 {
		if p == nil {
			return nil
		}
		return floats(offset(p, i*stride+i0), int(i1-i0))
	}
	return pixels{part(a.Z, a.Stride), part(a.T, a.StrideT), part(a.W, a.StrideT), part(a.P, a.Stride), part(a.DZ, a.Stride)}
}

func (x *pixels) weight(i int) float32 {
	if x.w == nil {
		return 1
	}
	return x.w[i]
}

func inverse(v float32) float32 {
	if v > 0 {
		return 1 / v
	}
	return 0
}

func lossFwd(a *csrc.Loss, k int) {
	x := lossPixels(a, k)
	inv := inverse(a.Beta)
	var most, last lossTerms // of whole vectors, of the pixels after them
	whole := len(x.z) &^ 15
	for i, z := range x.z {
		s := &most
		if i >= whole {
			s = &last
		}
		x.p[i] = s.add(i%16, z, x.t[i], x.weight(i), a.Beta, inv)
	}
	for j := range most {
		sum := 0.0
		for _, v := range last[j][:len(x.z)-whole] {
			sum += float64(v)
		}
		for _, v := range most[j] {
			sum += float64(v)
		}
		*float64At(a.Sums, 8*k+j) = sum
	}
}

func lossBwd(a *csrc.Loss, k int) {
	x := lossPixels(a, k)
	inv := inverse(a.Beta)
	whole := len(x.p) &^ 15
	for i, p := range x.p {
		t, w := x.t[i], x.weight(i)
		d := p - t
		if i >= whole {
			x.dz[i] = lossTail(a, p, t, w)
			continue
		}
		r := max(min(float32(d*inv), 1), -1)
		s := (a.C1 + float32(a.CT*t)) + float32(a.CL1*float32(w*r))
		x.dz[i] = float32(float32(p*(1-p))*s) + float32(float32(a.CBCE*w)*d)
	}
}

// lossTail is the gradient of a pixel after the last whole vector, which the C
// kernels take with a division.
func lossTail(a *csrc.Loss, p, t, w float32) float32 {
	d := p - t
	l1 := float32(0)
	if a.CL1 != 0 {
		l1 = float32(a.CL1*w) * min(max(d/a.Beta, -1), 1)
	}
	return float32(float32(a.CBCE*w)*d) + float32(float32(p*(1-p))*((float32(a.CT*t)+a.C1)+l1))
}

func float64At(p *float64, i int) *float64 { return (*float64)(unsafe.Add(unsafe.Pointer(p), 8*i)) }

// sum16 is the sum of s in float64.
func sum16(s *[16]float32) (sum float64) {
	for _, v := range s {
		sum += float64(v)
	}
	return sum
}

// adam is task t of Adam, sumSq that of a sum of squares.
func adam(a *csrc.Adam, t int) {
	_, i0, i1 := chunk(t, a.Size)
	part := func(p *float32) []float32 { return floats(offset(p, i0), int(i1-i0)) }
	p, m, v := part(a.P), part(a.M), part(a.V)
	var ema []float32
	if a.EMA != nil {
		ema = part(a.EMA)
	}
	for i, g := range part(a.G) {
		g = float32(a.GScale * g)
		m[i] += float32(a.C1 * (g - m[i]))
		v[i] += float32(a.C2 * (float32(g*g) - v[i]))
		p[i] -= float32(a.Decay * p[i])
		root := float32(math.Sqrt(float64(v[i])))
		p[i] -= float32(a.Step*m[i]) / (a.Eps + float32(root*a.InvSqrtBC2))
		if ema != nil {
			ema[i] += float32(a.CEMA * (p[i] - ema[i]))
		}
	}
}

func sumSq(a *csrc.Adam, t int) {
	_, i0, i1 := chunk(t, a.Size)
	var s [16]float32
	for i, g := range floats(offset(a.G, i0), int(i1-i0)) {
		s[i%16] += float32(g * g)
	}
	*float64At(a.Out, t) = sum16(&s)
}
