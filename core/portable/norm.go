package portable

import "unet/csrc"

// What reads every pixel once: batch normalisation, max-pooling and the gradient of
// the maps, in the order of the C kernels.

// pixelRows is the number of rows of a task, of about 2048 pixels.
func pixelRows(h, w int32) int { return int(min(max(2048/w, 1), h)) }

func pixelTasks(n, h, w int32) int { return int(n) * up(int(h), pixelRows(h, w)) }

// pixelTask returns image, first pixel and number of pixels of task t.
func pixelTask(h, w int32, t int) (i, p0, n int) {
	rows := pixelRows(h, w)
	chunks := up(int(h), rows)
	y0 := t % chunks * rows
	return t / chunks, y0 * int(w), (min(y0+rows, int(h)) - y0) * int(w)
}

func batchNorm(op csrc.Op, a *csrc.BN, t int) {
	i, p0, n := pixelTask(a.H, a.W, t)
	cb, hw := int(a.CB), int(a.H)*int(a.W)
	for b := range cb {
		at := int64((b*hw + p0) * 16)
		y := floats(offset(a.Y, int64(i)*a.YImage+at), n*16)
		if op == csrc.OpBNStats {
			pivotSums(a.Stats, t, b, cb, y)
			*int32At(a.Counts, t) = int32(n)
			continue
		}
		da := floats(offset(a.DA, int64(i)*a.DAImage+at), n*16)
		act := actOf(a.Act, i, b)
		param := func(p *float32) *[16]float32 { return vector(offset(p, int64(i)*a.ParamImage+int64(16*b))) }
		if op == csrc.OpBNSums {
			gateSums(a.Sums, t, b, cb, da, y, &act, param(a.Mean))
			continue
		}
		ca, cy, c0 := param(a.CA), param(a.CY), param(a.C0)
		for at := 0; at < len(y); at += 16 {
			y, da := (*[16]float32)(y[at:]), (*[16]float32)(da[at:])
			for l, v := range y {
				dz := da[l]
				if !(act.shift[l]+float32(v*act.scale[l]) > act.lo[l]) {
					dz = 0
				}
				da[l] = (c0[l] + float32(cy[l]*v)) + float32(ca[l]*dz)
			}
		}
	}
}

// gateSums writes the sums of slot t and channel block b of cb over pixels dy of a
// gradient, where the activation of y lets them through: of dy and of dy*(y-mean).
func gateSums(sums *float32, t, b, cb int, dy, y []float32, act *act, mean *[16]float32) {
	var s winoSums
	for at := 0; at < len(y); at += 16 {
		s.gate((*[16]float32)(dy[at:]), (*[16]float32)(y[at:]), act, mean)
	}
	for k := range 2 {
		*vector(offset(sums, int64(((t*2+k)*cb+b)*16))) = s[1+k]
	}
}

// poolSplit is how a pooling falls into strips of rows of the smaller image.
func poolSplit(a *csrc.Pool) (rows, strips int) {
	rows = max(1, 4096/int(a.W))
	return rows, up(int(a.H/2), rows)
}

func poolTasks(a *csrc.Pool) int {
	_, strips := poolSplit(a)
	return int(a.N*a.CB) * strips
}

// pool is task t of the 2x2 max-pooling or of its gradient, which goes to the first
// of equal maxima.
func pool(op csrc.Op, a *csrc.Pool, t int) {
	rows, strips := poolSplit(a)
	plane, y0 := t/strips, t%strips*rows
	i, b := plane/int(a.CB), plane%int(a.CB)
	h, w, w2 := int(a.H), int(a.W), int(a.W/2)
	act := actOf(a.Act, i, b)
	src := floats(offset(a.Src, int64(i)*a.SrcImage+int64(b*h*w*16)), h*w*16)
	for y := y0; y < min(y0+rows, h/2); y++ {
		small := int64((b*(h/2) + y) * w2 * 16)
		for x := range w2 {
			at := (2*y*w + 2*x) * 16
			places := [4]int{at, at + 16, at + w*16, at + w*16 + 16}
			var v [4][16]float32
			for k, p := range places {
				act.apply(&v[k], (*[16]float32)(src[p:]))
			}
			var most [16]float32
			for l := range most {
				most[l] = max(v[0][l], v[1][l], v[2][l], v[3][l])
			}
			if op == csrc.OpPool {
				*vector(offset(a.Dst, int64(i)*a.DstImage+small+int64(16*x))) = most
				continue
			}
			rest := *vector(offset(a.DDst, int64(i)*a.DDstImage+small+int64(16*x)))
			for k, p := range places {
				to := vector(offset(a.DSrc, int64(i)*a.DSrcImage+int64(b*h*w*16+p)))
				for l := range most {
					if v[k][l] == most[l] {
						to[l] += rest[l]
						rest[l] = 0
					}
				}
			}
		}
	}
}

// headBwd is task t of the gradient of the maps.
func headBwd(a *csrc.Head, t int) {
	i, p0, n := pixelTask(a.H, a.W, t)
	cb, maps, hw := int(a.CB), int(a.K), int(a.H)*int(a.W)
	partial := floats(offset(a.Partial, int64(t*maps*(cb+1)*16)), maps*(cb+1)*16)
	logits := make([][]float32, maps)
	for k := range logits {
		logits[k] = floats(offset(a.DLogits, int64((i*maps+k)*hw+p0)), n)
		db := (*[16]float32)(partial[(k*(cb+1)+cb)*16:])
		*db = [16]float32{planeSum(logits[k])}
	}
	weight := floats(a.Weight, maps*cb*16)
	dw := make([][16]float32, maps)
	for b := range cb {
		act := actOf(a.Act, i, b)
		at := int64((b*hw + p0) * 16)
		src := floats(offset(a.Src, int64(i)*a.SrcImage+at), n*16)
		dsrc := floats(offset(a.DSrc, int64(i)*a.DSrcImage+at), n*16)
		clear(dw)
		for p := range n {
			var v, da [16]float32
			act.apply(&v, (*[16]float32)(src[16*p:]))
			for k := range dw {
				g, w, dw := logits[k][p], (*[16]float32)(weight[(k*cb+b)*16:]), &dw[k]
				for l := range da {
					da[l] += float32(g * w[l])
					dw[l] += float32(g * v[l])
				}
			}
			*(*[16]float32)(dsrc[16*p:]) = da
		}
		for k := range dw {
			*(*[16]float32)(partial[(k*(cb+1)+b)*16:]) = dw[k]
		}
	}
}

// planeSum is the sum of v: of whole vectors, and of the values after them.
func planeSum(v []float32) float32 {
	var s [16]float32
	whole := len(v) &^ 15
	for at := 0; at < whole; at += 16 {
		for l, x := range (*[16]float32)(v[at:]) {
			s[l] += x
		}
	}
	rest := float32(0)
	for _, x := range v[whole:] {
		rest += x
	}
	return halves(&s) + rest
}
