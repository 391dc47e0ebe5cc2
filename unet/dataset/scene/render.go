package scene

import (
	"math"
	"math/rand/v2"

	"unet/unet/imageio"
)

// Style is what a field looks like.
type Style int

// The styles of Field, one for each kind of image that package dataset knows.
const (
	SmallFluorescence Style = iota // bright nuclei below 35 pixels on dark
	LargeFluorescence
	PurpleStain // haematoxylin, little eosin
	PinkStain   // haematoxylin and eosin
	GrayStain   // one dye, seen by a gray camera
)

// Field draws an image of w x h pixels in 8 bits, with 1 or 3 channels, and
// the labels of its nuclei.
func Field(style Style, w, h int, rng *rand.Rand) (*imageio.Image, *imageio.Labels) {
	switch style {
	case SmallFluorescence, LargeFluorescence:
		return fluorescence(style == LargeFluorescence, w, h, rng)
	}
	return brightfield(style, w, h, rng)
}

// between is uniform in lo..hi.
func between(rng *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*rng.Float64() }

// fluorescence renders nuclei stained in a dark field: chromatin texture and
// nucleoli, light scattered into a haze, the blur of the optics, uneven light,
// and a camera's photon and read noise.
func fluorescence(large bool, w, h int, rng *rand.Rand) (*imageio.Image, *imageio.Labels) {
	c := crowd{diameter: between(rng, 12, 22), spread: 0.13, elongation: between(rng, 1.15, 1.7), rough: 0.05,
		cover: between(rng, 0.05, 0.3), touching: between(rng, 0.05, 0.6), clumps: between(rng, 0, 1)}
	nucleoli, psf := 0, between(rng, 0.7, 1.4)
	if large {
		c = crowd{diameter: between(rng, 42, 56), spread: 0.12, elongation: between(rng, 1.15, 1.5), rough: 0.05,
			cover: between(rng, 0.12, 0.38), touching: between(rng, 0.2, 0.5)}
		nucleoli, psf = 3, between(rng, 1, 1.8)
	}
	outlines, labels := strew(c, w, h, rng)
	light := make([]float32, w*h)
	for _, o := range outlines {
		paintFluorescent(light, w, h, o, nucleoli, c.diameter, rng)
	}
	light = blur(light, w, h, psf)
	wide, near := blur(light, w, h, 20), blur(light, w, h, 5)
	uneven := newUneven(rng, w, h, 0.25)
	cells := newNoise(rng, 1/(3*c.diameter)) // faint cytoplasm
	dim := between(rng, 0, 0.02)

	// The real sets range from nearly black to nearly saturated.
	peak := between(rng, 40, 200)
	offset := between(rng, 1, 12)
	photons := between(rng, 1.5, 12) // per gray level
	read := between(rng, 0.2, 1.2)   // gray levels
	m := imageio.NewImage(w, h, 1)
	for i := range m.Pix {
		x, y := float64(i%w), float64(i/w)
		v := float64(light[i]) + 0.07*float64(wide[i]) + 0.06*float64(near[i]) + dim*cells.at(x, y)
		v = v*peak*uneven.at(x, y) + offset*(0.7+0.3*uneven.at(x, y))
		v = poisson(rng, v*photons)/photons + read*rng.NormFloat64()
		m.Pix[i] = level8(v)
	}
	return m, labels
}

// paintFluorescent adds one nucleus to the light.
func paintFluorescent(light []float32, w, h int, o *outline, nucleoli int, diameter float64, rng *rand.Rand) {
	bright := 0.6 * math.Exp(0.3*rng.NormFloat64())
	texture := between(rng, 0.15, 0.5)
	dome := between(rng, 0.1, 0.5)
	if rng.Float64() < 0.03 { // condensed chromatin of a dividing or dying cell
		bright *= 2
		texture = 0.8
	}
	grain := newNoise(rng, 6/diameter)
	type spot struct{ x, y, r, depth float64 }
	var spots []spot
	for range nucleoli {
		t, d := rng.Float64()*2*math.Pi, 0.6*math.Sqrt(rng.Float64())*o.b
		spots = append(spots, spot{o.x + d*math.Cos(t), o.y + d*math.Sin(t), diameter * between(rng, 0.04, 0.09), between(rng, 0.1, 0.45)})
	}
	x0, y0, x1, y1 := o.box(w, h)
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			level, inside := o.depth(float64(x), float64(y))
			cover := min(max(inside+0.5, 0), 1)
			if cover == 0 {
				continue
			}
			v := bright * (1 - dome*level*level) * (1 + texture*2*(grain.at(float64(x), float64(y))-0.5))
			for _, s := range spots {
				dx, dy := float64(x)-s.x, float64(y)-s.y
				v *= 1 - s.depth*math.Exp(-(dx*dx+dy*dy)/(2*s.r*s.r))
			}
			light[y*w+x] += float32(cover * v)
		}
	}
}

// stain is the optical density per unit of dye in red, green and blue.
type stain [3]float64

var (
	haematoxylin = stain{0.55, 0.95, 0.25} // of the violet of DSB2018's sections
	eosin        = stain{0.10, 0.95, 0.45}
	black        = stain{0.60, 0.60, 0.60} // silver or dye seen by a gray camera
)

// brightfield renders stained tissue seen by transmitted light (Beer-Lambert
// law): tissue and fibres hold a little dye, nuclei much, with clumped
// chromatin and a denser membrane.
func brightfield(style Style, w, h int, rng *rand.Rand) (*imageio.Image, *imageio.Labels) {
	c := crowd{diameter: between(rng, 18, 30), spread: 0.15, elongation: between(rng, 1.1, 1.9), rough: 0.06,
		cover: between(rng, 0.1, 0.32), touching: between(rng, 0.2, 0.6), flow: between(rng, 0.3, 1), clumps: between(rng, 0.2, 1)}
	ground := between(rng, 0.12, 0.6) // dye in the tissue
	dye, counter := between(rng, 0.8, 1.5), 0.03
	fibres := between(rng, 0.05, 0.22)
	white := [3]float64{238, 236, 240}
	primary := haematoxylin
	if ground < 0.25 { // smears: cells on a clear slide
		ground, fibres = 0.03, 0.2
		c.flow, c.elongation = 0, between(rng, 1.05, 1.3)
	}
	switch style {
	case PinkStain:
		counter, fibres = between(rng, 0.6, 1.1), 0.3
		ground = 0.06
		c.diameter, c.cover = between(rng, 26, 38), between(rng, 0.08, 0.2)
	case GrayStain:
		primary = black
		ground, fibres, counter = 0.12, between(rng, 0.25, 0.6), 0
		dye = between(rng, 1, 1.8)
		c.diameter, c.cover, c.touching = between(rng, 14, 22), between(rng, 0.02, 0.09), 0.1
		white = [3]float64{243, 243, 243}
	}
	outlines, labels := strew(c, w, h, rng)
	n := w * h
	first, second := make([]float32, n), make([]float32, n) // dye per pixel
	tissue(first, second, w, h, ground, counter, fibres, c.diameter, rng)
	for _, o := range outlines {
		paintStained(first, second, w, h, o, dye, c.diameter, rng)
	}
	psf := between(rng, 0.6, 1.1)
	first, second = blur(first, w, h, psf), blur(second, w, h, psf)
	for k := range primary { // stains differ from slide to slide
		primary[k] *= math.Exp(0.06 * rng.NormFloat64())
	}
	if style == GrayStain {
		primary[1], primary[2] = primary[0], primary[0]
	}
	uneven := newUneven(rng, w, h, 0.06)
	read := between(rng, 0.8, 2)
	channels := 3
	if style == GrayStain {
		channels = 1
	}
	m := imageio.NewImage(w, h, channels)
	for k := range channels {
		p := m.Plane(k)
		for i := range p {
			density := float64(first[i])*primary[k] + float64(second[i])*eosin[k]
			v := white[k] * math.Exp(-density) * uneven.at(float64(i%w), float64(i/w))
			p[i] = level8(v + read*rng.NormFloat64())
		}
	}
	return m, labels
}

// tissue lays the dye of cytoplasm, fibres and gaps.
func tissue(first, second []float32, w, h int, ground, counter, fibres, scale float64, rng *rand.Rand) {
	strands := fibreTexture(w, h, scale, rng)
	patchy := newNoise(rng, 1/(4*scale))
	gaps := newNoise(rng, 1/(6*scale))
	fine := newNoise(rng, 0.3)
	hole := between(rng, 0.25, 0.42) // below it the slide is empty
	for y := range h {
		for x := range w {
			fx, fy := float64(x), float64(y)
			s := float64(strands[y*w+x])
			here := min(max((gaps.at(fx, fy)-hole)*12, 0.15), 1)
			grain := 1 + 0.25*(fine.at(fx, fy)-0.5)
			first[y*w+x] = float32(max(0, here*grain*ground*(0.8+0.6*(patchy.at(fx, fy)-0.5)+fibres*s)))
			second[y*w+x] = float32(max(0, here*grain*counter*(0.7+1.1*(patchy.at(fy, fx)-0.4)+fibres*s)))
		}
	}
}

// fibreTexture is white noise averaged along a smooth field of directions
// (line integral convolution, Cabral and Leedom 1993): strands, mean 0,
// standard deviation about 0.3.
func fibreTexture(w, h int, scale float64, rng *rand.Rand) []float32 {
	white := make([]float32, w*h)
	for i := range white {
		white[i] = float32(rng.NormFloat64())
	}
	white = blur(white, w, h, 1)
	direction := newNoise(rng, 1/(9*scale))
	reach := int(scale)
	out := make([]float32, w*h)
	for i := range out {
		x0, y0 := float64(i%w), float64(i/w)
		t := 2 * math.Pi * direction.at(x0, y0)
		dx, dy := math.Cos(t), math.Sin(t)
		var s float32
		for k := -reach; k <= reach; k++ {
			// The bend within the reach is small: a straight line will do.
			x := min(max(int(x0+float64(k)*dx+0.5), 0), w-1)
			y := min(max(int(y0+float64(k)*dy+0.5), 0), h-1)
			s += white[y*w+x]
		}
		out[i] = s / float32(math.Sqrt(float64(2*reach+1))) * 0.7
	}
	return out
}

// paintStained adds the dye of one nucleus.
func paintStained(first, second []float32, w, h int, o *outline, dye, diameter float64, rng *rand.Rand) {
	dye *= math.Exp(0.18 * rng.NormFloat64())
	clumps := between(rng, 0.3, 0.9)
	rim := between(rng, 0, 0.35)
	grain := newNoise(rng, 7/diameter)
	x0, y0, x1, y1 := o.box(w, h)
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			_, inside := o.depth(float64(x), float64(y))
			cover := min(max(inside+0.5, 0), 1)
			if cover == 0 {
				continue
			}
			i := y*w + x
			v := dye * (1 + clumps*2*(grain.at(float64(x), float64(y))-0.5))
			v += dye * rim * math.Exp(-inside*inside/4)
			first[i] = float32(float64(first[i])*(1-0.5*cover) + cover*max(v, 0.1*dye))
			second[i] *= float32(1 - 0.6*cover)
		}
	}
}

// uneven is the light over the field: a slope and a vignette about 1.
type uneven struct{ gx, gy, q, cx, cy, size float64 }

func newUneven(rng *rand.Rand, w, h int, strength float64) uneven {
	t := rng.Float64() * 2 * math.Pi
	g := strength * rng.Float64()
	return uneven{g * math.Cos(t), g * math.Sin(t), strength * rng.Float64(),
		float64(w) * between(rng, 0.35, 0.65), float64(h) * between(rng, 0.35, 0.65), float64(max(w, h))}
}

func (u uneven) at(x, y float64) float64 {
	dx, dy := (x-u.cx)/u.size, (y-u.cy)/u.size
	return max(0.2, 1+u.gx*dx+u.gy*dy-u.q*(dx*dx+dy*dy))
}

// poisson draws from a Poisson distribution: Knuth's method for small means,
// the normal approximation above.
func poisson(rng *rand.Rand, mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	if mean > 30 {
		return max(0, math.Round(mean+math.Sqrt(mean)*rng.NormFloat64()))
	}
	limit, p, k := math.Exp(-mean), 1.0, -1
	for p > limit || k < 0 {
		p *= rng.Float64()
		k++
	}
	return float64(k)
}

// level8 rounds to the gray levels of 8 bits.
func level8(v float64) float32 { return float32(min(max(math.Round(v), 0), 255)) }

// blur convolves with a Gaussian of standard deviation sigma, edges repeated.
func blur(src []float32, w, h int, sigma float64) []float32 {
	r := int(math.Ceil(3 * sigma))
	kernel := make([]float32, 2*r+1)
	sum := 0.0
	for i := range kernel {
		d := float64(i - r)
		v := math.Exp(-d * d / (2 * sigma * sigma))
		kernel[i] = float32(v)
		sum += v
	}
	for i := range kernel {
		kernel[i] /= float32(sum)
	}
	pass := func(dst, src []float32, n, step, lines, lineStep int) {
		for l := range lines {
			at := l * lineStep
			for i := range n {
				var s float32
				for k, g := range kernel {
					j := min(max(i+k-r, 0), n-1)
					s += g * src[at+j*step]
				}
				dst[at+i*step] = s
			}
		}
	}
	tmp, out := make([]float32, len(src)), make([]float32, len(src))
	pass(tmp, src, w, 1, h, w)
	pass(out, tmp, h, w, w, 1)
	return out
}
