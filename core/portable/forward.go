package portable

import (
	"math"
	"unsafe"

	"unet/csrc"
)

// The other operations of a forward pass, like wino43 in the order of the C kernels
// and with their bits.

// act is the pending activation of one block of channels: max(x*scale + shift, lo).
type act struct {
	none             bool
	scale, shift, lo [16]float32
}

// actOf is that of block b of image i.
func actOf(a csrc.Act, i, b int) act {
	if a.Scale == nil {
		v := act{none: true}
		for l := range 16 {
			v.scale[l], v.lo[l] = 1, -math.MaxFloat32
		}
		return v
	}
	at := int64(i)*a.Image + int64(16*b)
	return act{scale: *vector(offset(a.Scale, at)), shift: *vector(offset(a.Shift, at)), lo: *vector(offset(a.Lo, at))}
}

func (a *act) apply(dst, src *[16]float32) {
	if a.none {
		for l, v := range src {
			dst[l] = v + 0 // as x*1 + 0 makes zero of minus zero
		}
		return
	}
	for l, v := range src {
		dst[l] = max(a.shift[l]+float32(v*a.scale[l]), a.lo[l])
	}
}

func int32At(p *int32, i int) *int32 { return (*int32)(unsafe.Add(unsafe.Pointer(p), 4*i)) }

// firstRows is the number of rows of a task of the first convolution.
func firstRows(a *csrc.First) int {
	rows := 8192 / int(a.OCB) / int(a.W)
	if rows < 4 {
		return 4
	}
	return min(rows, int(a.H))
}

// first is task t of the 3x3 convolution of 1 to 4 planes. Weights are
// [ocb][ic][3][3][16 oc].
func first(a *csrc.First, t int) {
	h, w, ic := int(a.H), int(a.W), int(a.IC)
	most := firstRows(a)
	i, y0 := t/up(h, most), t%up(h, most)*most
	rows := min(most, h-y0)
	image := floats(offset(a.Src, int64(i)*int64(ic*h*w)), ic*h*w)
	low := float32(-math.MaxFloat32)
	if a.ReLU != 0 {
		low = 0
	}
	var window [36]float32
	for b := range int(a.OCB) {
		weight := floats(offset(a.Weight, int64(b*9*ic*16)), 9*ic*16)
		var init [16]float32
		if a.Bias != nil {
			init = *vector(offset(a.Bias, int64(16*b)))
		}
		dst := floats(offset(a.Dst, int64(i)*a.DstImage+int64((b*h+y0)*w*16)), rows*w*16)
		for p := range rows * w {
			sum := init
			firstWindow(&window, image, ic, h, w, y0+p/w, p%w)
			for k, x := range window[:9*ic] {
				v := (*[16]float32)(weight[16*k:])
				for l := range sum {
					sum[l] += float32(x * v[l])
				}
			}
			for l, v := range sum {
				sum[l] = max(v, low)
			}
			*(*[16]float32)(dst[16*p:]) = sum
		}
		if a.Stats != nil {
			pivotSums(a.Stats, t, b, int(a.OCB), dst)
		}
	}
	if a.Stats != nil {
		*int32At(a.Counts, t) = int32(rows * w)
	}
}

// firstWindow gathers the 3x3 pixels around (y, x) of every plane; those outside
// are zero.
func firstWindow(to *[36]float32, image []float32, ic, h, w, y, x int) {
	k := 0
	for c := range ic {
		for yy := y - 1; yy <= y+1; yy++ {
			for xx := x - 1; xx <= x+1; xx++ {
				v := float32(0)
				if yy >= 0 && yy < h && xx >= 0 && xx < w {
					v = image[(c*h+yy)*w+xx]
				}
				to[k] = v
				k++
			}
		}
	}
}

// tconv is task t of the transposed convolution: a row of input pixels to two rows
// of one output block. Weights are [ocb][4 taps] matrices for gemm.
func tconv(a *csrc.TConv, t int, scratch *float32) {
	h, w, icb, ocb := int(a.H), int(a.W), int(a.ICB), int(a.OCB)
	i, b, y := t/(ocb*h), t/h%ocb, t%h
	x := floats(scratch, icb*w*16)
	for k := range icb {
		src := floats(offset(a.Src, int64(i)*a.SrcImage+int64((k*h+y)*w*16)), w*16)
		if a.Act.Scale == nil {
			copy(x[k*w*16:], src)
			continue
		}
		act := actOf(a.Act, i, k)
		for p := range w {
			act.apply((*[16]float32)(x[(k*w+p)*16:]), (*[16]float32)(src[p*16:]))
		}
	}
	var init [16]float32
	if a.Bias != nil {
		init = *vector(offset(a.Bias, int64(16*b)))
	}
	size := icb * 256
	weight := floats(offset(a.Weight, int64(4*b*size)), 4*size)
	dst := floats(offset(a.Dst, int64(i)*a.DstImage+int64((b*2*h+2*y)*2*w*16)), 4*w*16)
	fill(dst, &init)
	for tap := range 4 {
		gemm(dst[(tap/2*2*w+tap%2)*16:], 32, x, w*16, weight[tap*size:][:size], w)
	}
}

// fill sets every pixel of dst to v.
func fill(dst []float32, v *[16]float32) {
	for at := 0; at < len(dst); at += 16 {
		*(*[16]float32)(dst[at:]) = *v
	}
}

// packTConvPairs packs weights [ic][oc][2][2] for tconv.
func packTConvPairs(dst, w []float32, ic, oc int) {
	n := (ic + 15) &^ 15
	clear(dst)
	for i := range ic {
		for o := range oc {
			for tap := range 4 {
				packPairs(dst[(o/16*4+tap)*n*16:], n, i, o%16, w[(i*oc+o)*4+tap])
			}
		}
	}
}

// packFirst packs weights [oc][ic][3][3] for first.
func packFirst(dst, w []float32, oc, ic int) {
	clear(dst)
	for o := range oc {
		for k := range 9 * ic {
			dst[(o/16*9*ic+k)*16+o%16] = w[o*9*ic+k]
		}
	}
}

// head is task t of the 1x1 convolution to planar maps: a row of pixels.
func head(a *csrc.Head, t int) {
	h, w, cb, maps := int(a.H), int(a.W), int(a.CB), int(a.K)
	i, y := t/h, t%h
	weight := floats(a.Weight, maps*cb*16)
	sums := make([][16]float32, maps)
	acts := make([]act, cb)
	for b := range acts {
		acts[b] = actOf(a.Act, i, b)
	}
	src := floats(offset(a.Src, int64(i)*a.SrcImage), cb*h*w*16)
	logits := floats(offset(a.Logits, int64(i*maps)*int64(h*w)), maps*h*w)
	for x := range w {
		clear(sums)
		for b := range acts {
			var v [16]float32
			acts[b].apply(&v, (*[16]float32)(src[((b*h+y)*w+x)*16:]))
			for k := range sums {
				s, u := &sums[k], (*[16]float32)(weight[(k*cb+b)*16:])
				for l := range s {
					s[l] += float32(v[l] * u[l])
				}
			}
		}
		for k := range sums {
			logits[(k*h+y)*w+x] = halves(&sums[k]) + *offset(a.Bias, int64(k))
		}
	}
}

// halves is the sum of s, taken in halves.
func halves(s *[16]float32) float32 {
	var q [4]float32
	for l := range q {
		q[l] = (s[l] + s[8+l]) + (s[4+l] + s[12+l])
	}
	return (q[0] + q[2]) + (q[1] + q[3])
}

// pivotSums writes the statistics of slot t and channel block b of cb, whose pixels
// are y: the first pixel, and sum and sum of squares of the differences from it.
func pivotSums(stats *float32, t, b, cb int, y []float32) {
	pivot := (*[16]float32)(y)
	var s, q [2][16]float32 // of even and odd pixels
	for p := range len(y) / 16 {
		v, s, q := (*[16]float32)(y[16*p:]), &s[p%2], &q[p%2]
		for l := range v {
			d := v[l] - pivot[l]
			s[l] += d
			q[l] += float32(d * d)
		}
	}
	at := func(k int) *[16]float32 { return vector(offset(stats, int64(((t*3+k)*cb+b)*16))) }
	*at(0) = *pivot
	for l := range 16 {
		at(1)[l], at(2)[l] = s[0][l]+s[1][l], q[0][l]+q[1][l]
	}
}

// expNegative is exp(x) for x <= 0, by Cody and Waite's reduction and a polynomial.
func expNegative(x float32) float32 {
	x = max(x, -87)
	n := float32(math.RoundToEven(float64(float32(x * 1.44269504))))
	r := x - float32(n*0.693359375)
	r += float32(n * 2.12194440e-4)
	p := float32(1.0 / 720)
	for _, c := range [...]float32{1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1} {
		p = c + float32(p*r)
	}
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}
