package ref

import "math"

// Add is the end of a residual block: dst = max(xAct(x) + yAct(y), 0).
func Add(d Dims, dst, x, y []float32, xAct, yAct Act) {
	size := d.H * d.W
	for i := range dst {
		c := i / size % d.IC
		dst[i] = max(xAct.At(c, x[i])+yAct.At(c, y[i]), 0)
	}
}

// AddBwd writes the gradient of both branches: ddst where dst > 0, else 0.
func AddBwd(dx, dst, ddst []float32) {
	for i, v := range ddst {
		dx[i] = 0
		if dst[i] > 0 {
			dx[i] = v
		}
	}
}

// Upsample is the enlargement of act(src) by nearest neighbour to 2H x 2W pixels.
func Upsample(d Dims, dst, src []float32, act Act) {
	for p := range d.N * d.IC {
		for y := range 2 * d.H {
			for x := range 2 * d.W {
				dst[(p*2*d.H+y)*2*d.W+x] = act.At(p%d.IC, src[(p*d.H+y/2)*d.W+x/2])
			}
		}
	}
}

// UpsampleBwd is the adjoint of Upsample: the sum of each four pixels.
func UpsampleBwd(d Dims, dsrc, ddst []float32) {
	for p := range d.N * d.IC {
		for y := range d.H {
			for x := range d.W {
				at := (p*2*d.H+2*y)*2*d.W + 2*x
				below := at + 2*d.W
				dsrc[(p*d.H+y)*d.W+x] = float32((float64(ddst[at]) + float64(ddst[at+1])) +
					(float64(ddst[below]) + float64(ddst[below+1])))
			}
		}
	}
}

func sigmoid(z float32) float64 { return 1 / (1 + math.Exp(-float64(z))) }

// Gate is the product of an attention gate (Oktay et al. 2018): dst = act(src) *
// sigmoid(z), z being one plane per image.
func Gate(d Dims, dst, src []float32, act Act, z []float32) {
	size := d.H * d.W
	for i := range dst {
		g := sigmoid(z[i/(size*d.IC)*size+i%size])
		dst[i] = float32(float64(act.At(i/size%d.IC, src[i])) * g)
	}
}

// GateBwd is the adjoint of Gate: dsrc is the gradient of act(src), dz that of z.
func GateBwd(d Dims, dsrc, dz, src []float32, act Act, z, ddst []float32) {
	size := d.H * d.W
	sum := make([]float64, len(dz))
	for i := range dsrc {
		at := i/(size*d.IC)*size + i%size
		dsrc[i] = float32(float64(ddst[i]) * sigmoid(z[at]))
		sum[at] += float64(ddst[i]) * float64(act.At(i/size%d.IC, src[i]))
	}
	for i := range dz {
		g := sigmoid(z[i])
		dz[i] = float32(sum[i] * g * (1 - g))
	}
}
