package portable

import "unsafe"

// The matrix product in which convolutions spend their time:
//
//	C[m][o] += Σ A[m][k] · B[k][o],  o in 16 channels
//
// k runs over blocks of 16. A[m][k] is at a[k/16*step + m*16 + k%16], C[m][o] at
// c[m*stride+o]. B comes as packed by packPairs. A sum takes one product after the
// other, in the order of k, each product and each sum rounded to float32, as the
// portable C kernels do.
func gemm(c []float32, stride int, a []float32, step int, b []float32, rows int) {
	k := len(b) / 16
	m := 0
	for ; m+4 <= rows; m += 4 {
		for o := 0; o < 16; o += 2 {
			gemm4x2(c[m*stride+o:], stride, a[m*16:], step, b[o*k:][:2*k])
		}
	}
	for ; m < rows; m++ {
		for o := 0; o < 16; o += 2 {
			gemm1x2(c[m*stride+o:], a[m*16:], step, b[o*k:][:2*k])
		}
	}
}

// gemm4x2 keeps 4 rows by 2 channels in registers, of which amd64 has 15.
func gemm4x2(c []float32, stride int, a []float32, step int, b []float32) {
	p0, p1, q0, q1 := c[0], c[1], c[stride], c[stride+1]
	r0, r1, s0, s1 := c[2*stride], c[2*stride+1], c[3*stride], c[3*stride+1]
	for len(b) >= 32 {
		x, w := (*[64]float32)(a), (*[32]float32)(b)
		for k := range 16 {
			w0, w1 := w[2*k], w[2*k+1]
			v := x[k]
			p0 += float32(v * w0) // the conversion keeps the compiler from fusing
			p1 += float32(v * w1)
			v = x[k+16]
			q0 += float32(v * w0)
			q1 += float32(v * w1)
			v = x[k+32]
			r0 += float32(v * w0)
			r1 += float32(v * w1)
			v = x[k+48]
			s0 += float32(v * w0)
			s1 += float32(v * w1)
		}
		if b = b[32:]; len(b) > 0 {
			a = a[step:]
		}
	}
	c[0], c[1] = p0, p1
	c[stride], c[stride+1] = q0, q1
	c[2*stride], c[2*stride+1] = r0, r1
	c[3*stride], c[3*stride+1] = s0, s1
}

func gemm1x2(c, a []float32, step int, b []float32) {
	p0, p1 := c[0], c[1]
	for len(b) >= 32 {
		x, w := (*[16]float32)(a), (*[32]float32)(b)
		for k, v := range x {
			p0 += float32(v * w[2*k])
			p1 += float32(v * w[2*k+1])
		}
		if b = b[32:]; len(b) > 0 {
			a = a[step:]
		}
	}
	c[0], c[1] = p0, p1
}

// gemmT is the product with A transposed:
//
//	C[m][o] += Σ A[k][m] · B[k][o],  k < n, m and o in 16 channels
//
// A[k][m] is at a[k*16+m], B[k][o] at b[k*step+o], C[m][o] at c[m*16+o].
func gemmT(c, a, b []float32, step, n int) {
	for m := 0; m < 16; m += 4 {
		for o := 0; o < 16; o += 2 {
			gemmT4x2(c[m*16+o:], a[m:], b[o:], step, n)
		}
	}
}

func gemmT4x2(c, a, b []float32, step, n int) {
	p0, p1, q0, q1, r0, r1, s0, s1 := c[0], c[1], c[16], c[17], c[32], c[33], c[48], c[49]
	for k := range n {
		x, w := (*[4]float32)(a[16*k:]), (*[2]float32)(b[step*k:])
		w0, w1 := w[0], w[1]
		v := x[0]
		p0 += float32(v * w0) // the conversion keeps the compiler from fusing
		p1 += float32(v * w1)
		v = x[1]
		q0 += float32(v * w0)
		q1 += float32(v * w1)
		v = x[2]
		r0 += float32(v * w0)
		r1 += float32(v * w1)
		v = x[3]
		s0 += float32(v * w0)
		s1 += float32(v * w1)
	}
	c[0], c[1], c[16], c[17], c[32], c[33], c[48], c[49] = p0, p1, q0, q1, r0, r1, s0, s1
}

// packPairs puts the weight of input channel k and output channel o of a block
// where gemm wants it in B of n input channels: [8 pairs of o][k][2].
func packPairs(b []float32, n, k, o int, w float32) { b[(o/2*n+k)*2+o%2] = w }

// floats views n floats at p; nil stays nil.
func floats(p *float32, n int) []float32 { return unsafe.Slice(p, n) }

// vector views 16 floats at p.
func vector(p *float32) *[16]float32 { return (*[16]float32)(unsafe.Pointer(p)) }

// offset returns p + n floats, nil for nil.
func offset(p *float32, n int64) *float32 {
	if p == nil {
		return nil
	}
	return (*float32)(unsafe.Add(unsafe.Pointer(p), n*4))
}
