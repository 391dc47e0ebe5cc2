package ref

import "math"

// The 8-bit kernels convolve by Winograd's F(4x4,3x3) at the points 0, +-1/a,
// +-a and infinity with a = sqrt(2) (see csrc/wino43_tmpl.h), and are specified
// with their algorithm, because what is rounded to 8 bits are values within it.

const (
	winoA  = float32(math.Sqrt2)
	winoA1 = float32(math.Sqrt2 / 2)
)

// fma is a*b + c, rounded once.
func fma(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }

// winoBT is B' times a column of 6 values, with the roundings of the kernels
// that multiply and add at once.
func winoBT(r [6]float32) (o [6]float32) {
	p, q := fma(-0.5, r[3], r[1]), fma(-2, r[2], r[4])
	u, v := fma(-0.5, r[1], r[3]), fma(-0.5, r[2], r[4])
	o[0] = r[0] + fma(-2.5, r[2], r[4])
	o[1], o[2] = fma(-winoA, p, q), fma(winoA, p, q)
	o[3], o[4] = fma(winoA, u, v), fma(-winoA, u, v)
	o[5] = r[1] + fma(-2.5, r[3], r[5])
	return o
}

// winoAT is A' times a column of 6 values.
func winoAT(m [6]float32) (y [4]float32) {
	s, d := m[1]+m[2], float32(winoA1*(m[1]-m[2]))
	t, e := m[3]+m[4], float32(winoA*(m[3]-m[4]))
	y[0] = m[0] + s + t
	y[1] = d + e
	y[2] = fma(0.5, s, t+t)
	y[3] = fma(0.5, d, m[5]) + float32(2*e)
	return y
}

// winoG is G times a column of 3 weights.
func winoG(g [3]float64) [6]float64 {
	p, q := -(2*g[0]+g[2])/3, (g[0]+2*g[2])/6
	c1, c2 := math.Sqrt2/3*g[1], math.Sqrt2/6*g[1]
	return [6]float64{g[0], p - c1, p + c1, q + c2, q - c2, g[2]}
}

// Wino43Input returns V = B' d B of a 6x6 tile, row by row.
func Wino43Input(d *[36]float32) (v [36]float32) {
	var t [36]float32
	for x := range 6 {
		for y, s := range winoBT([6]float32{d[x], d[6+x], d[12+x], d[18+x], d[24+x], d[30+x]}) {
			t[6*y+x] = s
		}
	}
	for y := range 6 {
		o := winoBT([6]float32(t[6*y:]))
		copy(v[6*y:], o[:])
	}
	return v
}

// Wino43Output returns A' m A, row by row.
func Wino43Output(m *[36]float32) (y [16]float32) {
	var t [24]float32
	for x := range 6 {
		for r, s := range winoAT([6]float32{m[x], m[6+x], m[12+x], m[18+x], m[24+x], m[30+x]}) {
			t[6*r+x] = s
		}
	}
	for r := range 4 {
		o := winoAT([6]float32(t[6*r:]))
		copy(y[4*r:], o[:])
	}
	return y
}

// Wino43Weights returns U = G g G' of a 3x3 kernel, row by row.
func Wino43Weights(g []float32) (u [36]float64) {
	var t [18]float64
	for x := range 3 {
		for y, s := range winoG([3]float64{float64(g[x]), float64(g[3+x]), float64(g[6+x])}) {
			t[3*y+x] = s
		}
	}
	for y := range 6 {
		o := winoG([3]float64(t[3*y:]))
		copy(u[6*y:], o[:])
	}
	return u
}

// Tile fills d with the 6x6 inputs of the tile of output rows y.. and columns
// x.. of a plane of h x w pixels; outside it is zero.
func Tile(d *[36]float32, plane []float32, h, w, y, x int) {
	for i := range 6 {
		for j := range 6 {
			d[6*i+j] = 0
			if r, c := y+i-1, x+j-1; r >= 0 && r < h && c >= 0 && c < w {
				d[6*i+j] = plane[r*w+c]
			}
		}
	}
}

// Quantise returns x*scale rounded to an integer of -127..127, halves to even;
// 127 for what is not a number.
func Quantise(x, scale float32) int32 {
	v := float64(x * scale)
	switch {
	case v >= -127 && v <= 127:
		return int32(math.RoundToEven(v))
	case v < -127:
		return -127
	}
	return 127
}

// Range raises most, [36][IC] or [IC], to the greatest magnitudes of act(src): of
// the values of Winograd's tiles, or of the pixels.
func Range(d Dims, most, src []float32, act Act) {
	size := d.H * d.W
	src = activated(act, src, d.N, d.IC, size)
	raise := func(m *float32, v float32) { *m = max(*m, v, -v) }
	for p := range d.N * d.IC {
		plane, c := src[p*size:][:size], p%d.IC
		if len(most) == d.IC {
			for _, v := range plane {
				raise(&most[c], v)
			}
			continue
		}
		var tile [36]float32
		for y := 0; y < d.H; y += 4 {
			for x := 0; x < d.W; x += 4 {
				Tile(&tile, plane, d.H, d.W, y, x)
				for xi, v := range Wino43Input(&tile) {
					raise(&most[xi*d.IC+c], v)
				}
			}
		}
	}
}

// QConv3x3 is Conv3x3 by Winograd with 8-bit products. The weights w are
// [OC/16][36][IC][16]; vScale is [36][IC], mScale [36][OC]; IC and OC are
// multiples of 16.
func QConv3x3(d Dims, dst, src []float32, act Act, w []int8, vScale, mScale, bias []float32, relu bool) {
	src = activated(act, src, d.N, d.IC, d.H*d.W)
	var tile [36]float32
	q := make([]int32, 36*d.IC)
	for n := range d.N {
		for y := 0; y < d.H; y += 4 {
			for x := 0; x < d.W; x += 4 {
				for c := range d.IC {
					Tile(&tile, src[(n*d.IC+c)*d.H*d.W:], d.H, d.W, y, x)
					for xi, v := range Wino43Input(&tile) {
						q[xi*d.IC+c] = Quantise(v, vScale[xi*d.IC+c])
					}
				}
				for o := range d.OC {
					var m [36]float32
					for xi := range m {
						sum := int32(0)
						for c := range d.IC {
							sum += q[xi*d.IC+c] * int32(w[((o/16*36+xi)*d.IC+c)*16+o%16])
						}
						m[xi] = float32(sum) * mScale[xi*d.OC+o]
					}
					first := float32(0)
					if bias != nil {
						first = bias[o]
					}
					d.putTile(dst[(n*d.OC+o)*d.H*d.W:], &m, y, x, first, relu)
				}
			}
		}
	}
}

// putTile writes A' m A + bias, with ReLU, to the tile of output rows y.. and
// columns x.. of plane, as far as it has them.
func (d Dims) putTile(plane []float32, m *[36]float32, y, x int, bias float32, relu bool) {
	for i, v := range Wino43Output(m) {
		r, c := y+i/4, x+i%4
		if r >= d.H || c >= d.W {
			continue
		}
		v += bias
		if relu {
			v = max(v, 0)
		}
		plane[r*d.W+c] = v
	}
}

// QTConv2x2 is TConv2x2 with 8-bit products. The weights w are
// [OC/16][4][IC][16]; aScale is [IC], mScale [4][OC]; IC and OC are multiples
// of 16.
func QTConv2x2(d Dims, dst, src []float32, act Act, w []int8, aScale, mScale, bias []float32) {
	size := d.H * d.W
	src = activated(act, src, d.N, d.IC, size)
	q := make([]int32, d.IC)
	for n := range d.N {
		for p := range size {
			for c := range d.IC {
				q[c] = Quantise(src[(n*d.IC+c)*size+p], aScale[c])
			}
			for o := range d.OC {
				for tap := range 4 {
					sum := int32(0)
					for c := range d.IC {
						sum += q[c] * int32(w[((o/16*4+tap)*d.IC+c)*16+o%16])
					}
					first := float32(0)
					if bias != nil {
						first = bias[o]
					}
					y, x := 2*(p/d.W)+tap/2, 2*(p%d.W)+tap%2
					dst[((n*d.OC+o)*2*d.H+y)*2*d.W+x] = fma(float32(sum), mScale[tap*d.OC+o], first)
				}
			}
		}
	}
}
