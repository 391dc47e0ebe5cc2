package ref

import "math"

// The bfloat16 kernels, too, are specified with their algorithm: where they
// round, and in which order they add. Numbers below 2^-126 count as zero.

// BFloat16 rounds x to 8 bits of significand, halves to even.
func BFloat16(x float32) float32 {
	if x != x {
		return x
	}
	b := math.Float32bits(x)
	if b&0x7f800000 == 0 {
		return math.Float32frombits(b & 0x80000000)
	}
	return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
}

// winoG32 is winoG with the roundings of the kernels.
func winoG32(g [3]float32) [6]float32 {
	p, q := float32(float32(-1.0/3)*fma(2, g[0], g[2])), float32(float32(1.0/6)*fma(2, g[2], g[0]))
	const c1, c2 = winoA / 3, winoA / 6
	return [6]float32{g[0], fma(-c1, g[1], p), fma(c1, g[1], p), fma(c2, g[1], q), fma(-c2, g[1], q), g[2]}
}

// wino43Weights32 is Wino43Weights with the roundings of the kernels.
func wino43Weights32(g []float32) (u [36]float32) {
	var t [18]float32
	for x := range 3 {
		for y, s := range winoG32([3]float32{g[x], g[3+x], g[6+x]}) {
			t[3*y+x] = s
		}
	}
	for y := range 6 {
		o := winoG32([3]float32(t[3*y:]))
		copy(u[6*y:], o[:])
	}
	return u
}

// BConv3x3 is Conv3x3 by Winograd with products of bfloat16 numbers: values of
// transformed tiles and of transformed weights are rounded to it, and products
// summed in the order of channels, each addition rounded to float32.
func BConv3x3(d Dims, dst, src []float32, act Act, weight, bias []float32, relu bool) {
	src = activated(act, src, d.N, d.IC, d.H*d.W)
	u := make([]float32, d.OC*d.IC*36)
	for i := range d.OC * d.IC {
		for xi, v := range wino43Weights32(weight[9*i:][:9]) {
			u[36*i+xi] = BFloat16(v)
		}
	}
	var tile [36]float32
	v := make([]float32, 36*d.IC)
	for n := range d.N {
		for y := 0; y < d.H; y += 4 {
			for x := 0; x < d.W; x += 4 {
				for c := range d.IC {
					Tile(&tile, src[(n*d.IC+c)*d.H*d.W:], d.H, d.W, y, x)
					for xi, t := range Wino43Input(&tile) {
						v[36*c+xi] = BFloat16(t)
					}
				}
				for o := range d.OC {
					var m [36]float32
					for c := range d.IC {
						uc, vc := u[(o*d.IC+c)*36:][:36], v[36*c:][:36]
						for xi := range m {
							m[xi] = fma(vc[xi], uc[xi], m[xi])
						}
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

// BTConv2x2 is TConv2x2 with products of bfloat16 numbers, to which inputs and
// weights are rounded; they are summed in the order of channels, beginning with
// the bias, each addition rounded to float32.
func BTConv2x2(d Dims, dst, src []float32, act Act, weight, bias []float32) {
	size := d.H * d.W
	a := make([]float32, len(src))
	act.Apply(a, src, d.N, d.IC, size)
	for i := range a {
		a[i] = BFloat16(a[i])
	}
	for n := range d.N {
		for o := range d.OC {
			for tap := range 4 {
				for p := range size {
					sum := float32(0)
					if bias != nil {
						sum = bias[o]
					}
					for c := range d.IC {
						sum = fma(a[(n*d.IC+c)*size+p], BFloat16(weight[(c*d.OC+o)*4+tap]), sum)
					}
					y, x := 2*(p/d.W)+tap/2, 2*(p%d.W)+tap%2
					dst[((n*d.OC+o)*2*d.H+y)*2*d.W+x] = sum
				}
			}
		}
	}
}
