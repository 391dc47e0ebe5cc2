package portable

import (
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// 8-bit operations of the pure Go backend. Packed weights are as they were
// before packing.

// tileRows returns the rows of an image of h from which rows y0..y1-1 of its
// Winograd convolution can be computed by themselves: from the four rows before
// them on, so that the tiles are those of the whole image, and whole tiles after.
func tileRows(y0, y1, h int32) (from, to int32) { return max(0, y0-4), min(h, (y1+3)&^3+4) }

func qwino43(q *csrc.QWino43, t int) {
	a := &q.Conv
	i, y0, y1 := band(t, a.H)
	icb, ocb := int(a.ICB), int(a.OCB)
	h0, h1 := tileRows(y0, y1, a.H)
	d := ref.Dims{N: 1, IC: icb * 16, OC: ocb * 16, H: int(h1 - h0), W: int(a.W)}
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, icb, a.H, a.W, h0, h1)
	dst := make([]float32, d.OC*d.H*d.W)
	ref.QConv3x3(d, dst, src, activation(a.Act, i, icb), int8s(q.Packed, 36*d.OC*d.IC), floats(q.VScale, 36*d.IC),
		floats(q.MScale, 36*d.OC), bias(a.Bias, d.OC), a.ReLU != 0 && a.Shortcut.Src == nil)
	d.H = int(y1 - y0)
	dst = rows(dst, d.OC, int(h1-h0), d.W, int(y0-h0), d.H)
	addShortcut(a, dst, i, y0, y1)
	packTo(offset(a.Dst, int64(i)*a.DstImage), dst, 0, ocb, a.H, a.W, y0, y1)
	d.IC = d.OC
	poolInto(a, d, dst, i, y0, y1)
}

func qtconv(q *csrc.QTConv, t int) {
	a := &q.TConv
	i, y0, y1 := band(t, a.H)
	icb, ocb := int(a.ICB), int(a.OCB)
	d := ref.Dims{N: 1, IC: icb * 16, OC: ocb * 16, H: int(y1 - y0), W: int(a.W)}
	src := unpack(offset(a.Src, int64(i)*a.SrcImage), 0, 1, 0, icb, a.H, a.W, y0, y1)
	dst := make([]float32, d.OC*4*d.H*d.W)
	ref.QTConv2x2(d, dst, src, activation(a.Act, i, icb), int8s(q.Packed, 4*d.OC*d.IC), floats(q.AScale, d.IC),
		floats(q.MScale, 4*d.OC), bias(a.Bias, d.OC))
	packTo(offset(a.Dst, int64(i)*a.DstImage), dst, 0, ocb, 2*a.H, 2*a.W, 2*y0, 2*y1)
}

// ranges raises the ranges of channel block b.
func ranges(a *csrc.Range, b int) {
	d := ref.Dims{N: int(a.N), IC: 16, H: int(a.H), W: int(a.W)}
	src := unpack(a.Src, a.SrcImage, a.N, b, b+1, a.H, a.W, 0, a.H)
	for i := range d.N { // each with its activation
		of, n := src[i*16*d.H*d.W:][:16*d.H*d.W], d.H*d.W
		activation(a.Act, i, int(a.CB)).Of(b*16, b*16+16).Apply(of, of, 1, 16, n)
	}
	taps := 1
	if a.Tiles != 0 {
		taps = 36
	}
	most := make([]float32, taps*16)
	for xi := range taps {
		copy(most[xi*16:][:16], floats(offset(a.Most, int64((xi*int(a.CB)+b)*16)), 16))
	}
	ref.Range(d, most, src, ref.Act{})
	for xi := range taps {
		copy(floats(offset(a.Most, int64((xi*int(a.CB)+b)*16)), 16), most[xi*16:][:16])
	}
}

// int8s views n bytes at p.
func int8s(p *int32, n int) []int8 { return unsafe.Slice((*int8)(unsafe.Pointer(p)), n) }
