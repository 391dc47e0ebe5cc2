package dataset

import (
	"image"
	"math"

	"golang.org/x/image/draw"

	"unet/unet/imageio"
)

// toPicture makes an 8- or 16-bit picture of an image of one or three
// channels. Samples that are neither (float, 32-bit) are scaled from their own
// range to 16 bits; scaled says so.
func toPicture(m *imageio.Image) (p image.Image, scaled bool) {
	n := m.W * m.H
	r := image.Rect(0, 0, m.W, m.H)
	if !m.Float && m.Bits <= 8 {
		gain := float32(1)
		if m.Bits == 1 {
			gain = 255
		}
		if m.C == 1 {
			g := image.NewGray(r)
			for i, v := range m.Pix {
				g.Pix[i] = uint8(v*gain + 0.5)
			}
			return g, false
		}
		c := image.NewRGBA(r)
		for i := range n {
			for k := range 3 {
				c.Pix[4*i+k] = uint8(m.Pix[k*n+i]*gain + 0.5)
			}
			c.Pix[4*i+3] = 255
		}
		return c, false
	}
	lo, gain := float32(0), float32(1)
	if m.Float || m.Bits > 16 {
		var hi float32
		lo, hi = sampleRange(m)
		gain = 65535 / (hi - lo)
		scaled = true
	}
	put := func(b []byte, v float32) {
		u := uint16(min(max(math.Round(float64((v-lo)*gain)), 0), 65535))
		b[0], b[1] = byte(u>>8), byte(u)
	}
	if m.C == 1 {
		g := image.NewGray16(r)
		for i, v := range m.Pix {
			put(g.Pix[2*i:], v)
		}
		return g, scaled
	}
	c := image.NewRGBA64(r)
	for i := range n {
		for k := range 3 {
			put(c.Pix[8*i+2*k:], m.Pix[k*n+i])
		}
		c.Pix[8*i+6], c.Pix[8*i+7] = 255, 255
	}
	return c, scaled
}

// resizePicture scales to w x h. When shrinking, x/image/draw widens the
// bilinear kernel to the scale, so every source pixel counts (as area
// averaging does); when growing it interpolates.
func resizePicture(p image.Image, w, h int) image.Image {
	b := p.Bounds()
	if b.Dx() == w && b.Dy() == h {
		return p
	}
	r := image.Rect(0, 0, w, h)
	// x/image/draw is fast into RGBA and exact into RGBA64; gray comes back
	// from their red.
	switch p.(type) {
	case *image.Gray:
		c := image.NewRGBA(r)
		draw.BiLinear.Scale(c, r, p, b, draw.Src, nil)
		g := image.NewGray(r)
		for i := range g.Pix {
			g.Pix[i] = c.Pix[4*i]
		}
		return g
	case *image.RGBA:
		c := image.NewRGBA(r)
		draw.BiLinear.Scale(c, r, p, b, draw.Src, nil)
		return c
	}
	c := image.NewRGBA64(r)
	draw.BiLinear.Scale(c, r, p, b, draw.Src, nil)
	if _, ok := p.(*image.Gray16); !ok {
		return c
	}
	g := image.NewGray16(r)
	for i := range w * h {
		g.Pix[2*i], g.Pix[2*i+1] = c.Pix[8*i], c.Pix[8*i+1]
	}
	return g
}

// resizeLabels scales to w x h by nearest neighbour, centre to centre.
func resizeLabels(l *imageio.Labels, w, h int) *imageio.Labels {
	if l.W == w && l.H == h {
		return l
	}
	out := imageio.NewLabels(w, h)
	for y := range h {
		row := l.ID[(2*y+1)*l.H/(2*h)*l.W:]
		for x := range w {
			out.ID[y*w+x] = row[(2*x+1)*l.W/(2*w)]
		}
	}
	return out
}
