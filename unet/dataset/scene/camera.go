package scene

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"

	"unet/unet/imageio"
)

// expose records light with a camera: exposure, photon and read noise, offset,
// saturation, hot pixels, sometimes the marks of JPEG. noise is the standard
// deviation that a pixel of a given light has, as light.
func expose(light []float32, w, h int, rng *rand.Rand) (m *imageio.Image, noise func(light float64) float64) {
	full := percentile(light, between(rng, 0.97, 1))
	peak := logBetween(rng, 25, 400) // gray level of the brightest; above 255 they saturate
	gamma := 1.0
	if rng.Float64() < 0.3 {
		gamma = between(rng, 0.6, 1.3)
	}
	offset := between(rng, 0, 15)
	photons := logBetween(rng, 0.15, 20) // per gray level
	read := logBetween(rng, 0.1, 3)      // gray levels
	unit := peak / max(full, 1e-6)       // gray levels of a unit of light
	noise = func(light float64) float64 { return (math.Sqrt(light*unit/photons) + read + 0.5) / unit }
	m = imageio.NewImage(w, h, 1)
	for i, l := range light {
		v := float64(l) / max(full, 1e-6)
		if gamma != 1 {
			v = math.Pow(v, gamma)
		}
		v *= peak
		m.Pix[i] = level8(v + offset + (math.Sqrt(v/photons)+read)*rng.NormFloat64())
	}
	if rng.Float64() < 0.1 {
		for range 1 + rng.IntN(1+w*h/1000) {
			m.Pix[rng.IntN(w*h)] = float32(between(rng, 128, 255.9))
		}
	}
	if rng.Float64() < 0.15 {
		compress(m, 30+rng.IntN(65))
	}
	return m, noise
}

// compress stores the image as a JPEG and reads it back.
func compress(m *imageio.Image, quality int) {
	rect := image.Rect(0, 0, m.W, m.H)
	n := m.W * m.H
	var pic image.Image
	gray, colour := image.NewGray(rect), image.NewRGBA(rect)
	if m.C == 1 {
		pic = gray
		for i, v := range m.Pix {
			gray.Pix[i] = uint8(v)
		}
	} else {
		pic = colour
		for i := range n {
			for c := range 3 {
				colour.Pix[4*i+c] = uint8(m.Pix[c*n+i])
			}
			colour.Pix[4*i+3] = 255
		}
	}
	var b bytes.Buffer
	if jpeg.Encode(&b, pic, &jpeg.Options{Quality: quality}) != nil {
		return // a buffer takes everything
	}
	back, err := jpeg.Decode(&b)
	if err != nil {
		return // what was just written can be read
	}
	for i := range n {
		r, g, bl, _ := back.At(i%m.W, i/m.W).RGBA()
		m.Pix[i] = float32(r >> 8)
		if m.C == 3 {
			m.Pix[n+i], m.Pix[2*n+i] = float32(g>>8), float32(bl>>8)
		}
	}
}

// quickBlur is a Gaussian blur: exact for small deviations, three box filters
// for larger ones. Edges are repeated.
func quickBlur(src []float32, w, h int, sigma float64) []float32 {
	if sigma < 2.5 {
		return blur(src, w, h, sigma)
	}
	// Three boxes of 2r+1 have the variance r(r+1).
	r := max(1, int(math.Round((math.Sqrt(1+4*sigma*sigma)-1)/2)))
	a, b := append([]float32(nil), src...), make([]float32, len(src))
	pass := func(dst, src []float32, n, step, lines, lineStep int) {
		k := 1 / float32(2*r+1)
		for l := range lines {
			at := l * lineStep
			sum := src[at] * float32(r+1)
			for i := 1; i <= r; i++ {
				sum += src[at+min(i, n-1)*step]
			}
			for i := range n {
				dst[at+i*step] = sum * k
				sum += src[at+min(i+r+1, n-1)*step] - src[at+max(i-r, 0)*step]
			}
		}
	}
	for range 3 {
		pass(b, a, w, 1, h, w)
		pass(a, b, h, w, w, 1)
	}
	return a
}
