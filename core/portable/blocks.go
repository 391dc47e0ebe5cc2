package portable

import (
	"unet/core/ref"
	"unet/csrc"
)

// What the blocks of a network are made of besides 3x3 convolutions. Packed
// weights of the 1x1 convolution are [ocb*16][icb*16], those of a data gradient
// transposed.

func conv1x1(a *csrc.Conv1x1, t int) {
	i, y0, y1 := band(t, a.H)
	icb, ocb := int(a.ICB), int(a.OCB)
	d := ref.Dims{N: 1, IC: icb * 16, OC: ocb * 16, H: int(y1 - y0), W: int(a.W)}
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, icb, a.H, a.W, y0, y1)
	at := offset(a.Dst, int64(i)*a.DstImage)
	b := bias(a.Bias, d.OC)
	if b == nil {
		b = make([]float32, d.OC)
	}
	dst := make([]float32, d.OC*d.H*d.W)
	ref.Head(d, dst, src, activation(a.Act, i, icb), floats(a.Weight, d.OC*d.IC), b)
	if a.Add != 0 {
		for k, v := range unpack(at, 0, 1, 0, ocb, a.H, a.W, y0, y1) {
			dst[k] += v
		}
	}
	rectify(dst, a.ReLU)
	packTo(at, dst, 0, ocb, a.H, a.W, y0, y1)
	if a.Stats != nil {
		d.IC = d.OC
		statistics(d, a.Stats, a.Counts, t, dst)
	}
}

func rectify(v []float32, relu int32) {
	for i := range v {
		if relu != 0 {
			v[i] = max(v[i], 0)
		}
	}
}

func packConv1x1(a *csrc.Pack) {
	oc, ic := int(a.OC), int(a.IC)
	src := floats(a.Src, oc*ic)
	w := make([]float32, oc*ic)
	for o := range oc {
		for i := range ic {
			switch {
			case a.Flip != 0:
				w[i*oc+o] = src[o*ic+i]
			case a.Scale != nil:
				w[o*ic+i] = src[o*ic+i] * floats(a.Scale, oc)[o]
			default:
				w[o*ic+i] = src[o*ic+i]
			}
		}
	}
	if a.Flip != 0 {
		oc, ic = ic, oc
	}
	padded := (ic + 15) / 16 * 16
	padOIK(floats(a.Dst, (oc+15)/16*16*padded), w, oc, ic, padded, 1)
}

// wgrad1x1 writes the rows of dw of output block t into partial, which is laid
// out as dw.
func wgrad1x1(a *csrc.Wgrad3x3, t int) {
	icb, ic := blocks(a.IC), int(a.IC)
	d := ref.Dims{N: int(a.N), IC: icb * 16, OC: 16, H: int(a.H), W: int(a.W)}
	src := activated(a.Act, unpack(a.Src, a.SrcImage, a.N, 0, icb, a.H, a.W, 0, a.H), d)
	dy := unpack(a.DY, a.DYImage, a.N, t, t+1, a.H, a.W, 0, a.H)
	dw := make([]float32, d.OC*d.IC)
	ref.HeadBwd(d, make([]float32, len(src)), dw, make([]float32, d.OC), src, ref.Act{}, dw, dy)
	for o := 16 * t; o < min(16*t+16, int(a.OC)); o++ {
		copy(floats(offset(a.Partial, int64(o*ic)), ic), dw[(o-16*t)*d.IC:])
	}
}

func upsample(op csrc.Op, a *csrc.Upsample, t int) {
	i, y0, y1 := band(t, a.H)
	cb := int(a.CB)
	d := ref.Dims{N: 1, IC: cb * 16, H: int(y1 - y0), W: int(a.W)}
	if op == csrc.OpUpsample {
		src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
		dst := make([]float32, 4*len(src))
		ref.Upsample(d, dst, src, activation(a.Act, i, cb))
		packTo(offset(a.Dst, int64(i)*a.DstImage), dst, 0, cb, 2*a.H, 2*a.W, 2*y0, 2*y1)
		return
	}
	ddst := unpack(offset(a.DDst, int64(i)*a.DstImage), 0, 1, 0, cb, 2*a.H, 2*a.W, 2*y0, 2*y1)
	dsrc := make([]float32, len(ddst)/4)
	ref.UpsampleBwd(d, dsrc, ddst)
	packTo(offset(a.DSrc, int64(i)*a.SrcImage), dsrc, 0, cb, a.H, a.W, y0, y1)
}

func add(op csrc.Op, a *csrc.Add, t int) {
	i, y0, y1 := band(t, a.H)
	cb := int(a.CB)
	d := ref.Dims{N: 1, IC: cb * 16, H: int(y1 - y0), W: int(a.W)}
	read := func(p *float32, image int64) []float32 {
		return unpack(offset(p, int64(i)*image), 0, 1, 0, cb, a.H, a.W, y0, y1)
	}
	write := func(p *float32, image int64, v []float32) {
		packTo(offset(p, int64(i)*image), v, 0, cb, a.H, a.W, y0, y1)
	}
	v := make([]float32, d.IC*d.H*d.W)
	if op == csrc.OpAdd {
		ref.Add(d, v, read(a.X, a.XImage), read(a.Y, a.YImage), activation(a.XAct, i, cb), activation(a.YAct, i, cb))
		write(a.Dst, a.DstImage, v)
		return
	}
	ref.AddBwd(v, read(a.Dst, a.DstImage), read(a.DDst, a.DDstImage))
	write(a.DX, a.XImage, v)
	write(a.DY, a.YImage, v)
}

func interleave(a *csrc.Interleave, t int) {
	i, y0, y1 := band(t, a.H)
	size := int((y1 - y0) * a.W)
	planes := make([]float32, 16*size)
	for c := range int(a.C) {
		from := ((int64(i)*int64(a.C)+int64(c))*int64(a.H) + int64(y0)) * int64(a.W)
		copy(planes[c*size:], floats(offset(a.Src, from), size))
	}
	packTo(offset(a.Dst, int64(i)*a.DstImage), planes, 0, 1, a.H, a.W, y0, y1)
}

func gate(op csrc.Op, a *csrc.Gate, t int) {
	i, y0, y1 := band(t, a.H)
	cb := int(a.CB)
	d := ref.Dims{N: 1, IC: cb * 16, H: int(y1 - y0), W: int(a.W)}
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
	plane := (int64(i)*int64(a.H) + int64(y0)) * int64(a.W)
	z, act := floats(offset(a.Z, plane), d.H*d.W), activation(a.Act, i, cb)
	v := make([]float32, len(src))
	if op == csrc.OpGate {
		ref.Gate(d, v, src, act, z)
		packTo(offset(a.Dst, int64(i)*a.DstImage), v, 0, cb, a.H, a.W, y0, y1)
		return
	}
	ddst := unpack(offset(a.DDst, int64(i)*a.DDstImage), 0, 1, 0, cb, a.H, a.W, y0, y1)
	ref.GateBwd(d, v, floats(offset(a.DZ, plane), len(z)), src, act, z, ddst)
	packTo(offset(a.DSrc, int64(i)*a.DSrcImage), v, 0, cb, a.H, a.W, y0, y1)
}
