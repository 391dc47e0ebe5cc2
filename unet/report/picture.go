package report

import (
	"encoding/binary"
	"image"
	"image/color"
	"math"
	"slices"

	"golang.org/x/image/draw"

	"unet/unet/imageio"
)

// Stretch shows an image on a screen: grey levels from the 1st to the 99.8th
// percentile become 0 to 255, of an image of dark nuclei on a bright background
// those from the 0.02nd to the 99th, the dark ones lightened. Three channels are red, green and blue with one
// common stretch, so that hues stay; any other number above one is blended,
// each channel in a colour of its own. Samples that are not numbers are black.
func Stretch(img *imageio.Image) *image.RGBA {
	w, h := img.W, img.H
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	n := w * h
	put := func(i int, r, g, b uint8) {
		binary.LittleEndian.PutUint32(out.Pix[4*i:], uint32(r)|uint32(g)<<8|uint32(b)<<16|255<<24)
	}
	switch img.C {
	case 0:
		for i := range n {
			put(i, 0, 0, 0)
		}
	case 1:
		lo, gain, bright := window(img.Pix)
		lighter := identity
		if bright {
			lighter = lightened
		}
		for i, v := range img.Pix {
			t := lighter[level((v-lo)*gain)]
			put(i, t, t, t)
		}
	case 3:
		lo, gain, _ := window(img.Pix)
		r, g, b := img.Plane(0), img.Plane(1)[:n], img.Plane(2)[:n]
		for i, v := range r {
			put(i, level((v-lo)*gain), level((g[i]-lo)*gain), level((b[i]-lo)*gain))
		}
	default:
		sum := make([]float32, 3*n)
		for c := range img.C {
			tint := channelTint(c, img.C)
			plane := img.Plane(c)
			lo, gain, _ := window(plane)
			for i, v := range plane {
				if t := min(max((v-lo)*gain, 0), 255); t > 0 { // false for NaN
					sum[3*i] += t * tint[0]
					sum[3*i+1] += t * tint[1]
					sum[3*i+2] += t * tint[2]
				}
			}
		}
		for i := range n {
			put(i, level(sum[3*i]), level(sum[3*i+1]), level(sum[3*i+2]))
		}
	}
	return out
}

// channelTint is the colour of channel c of n in a blend; two channels are
// green and magenta, which every kind of colour vision tells apart.
func channelTint(c, n int) [3]float32 {
	if n == 2 {
		return [2][3]float32{{0, 1, 0}, {1, 0, 1}}[c]
	}
	t := oklch(0.75, 0.2, 0.08+float64(c)/float64(n))
	return [3]float32{float32(t.R) / 255, float32(t.G) / 255, float32(t.B) / 255}
}

func level(v float32) uint8 {
	if !(v > 0) {
		return 0
	}
	return uint8(min(v+0.5, 255))
}

// window returns the offset and gain that bring the 1st to 99.8th percentile
// of the finite samples to 0..255, or the 0.02nd to 99th where most are bright:
// what is looked at are the few samples at the other end. Large images are sampled evenly.
func window(pix []float32) (lo, gain float32, bright bool) {
	const most = 1 << 16
	step := len(pix)/most + 1
	if step > 1 {
		step |= 1 // an even step could walk along one column
	}
	sample := make([]float32, 0, len(pix)/step+1)
	for i := 0; i < len(pix); i += step {
		if v := pix[i]; !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) {
			sample = append(sample, v)
		}
	}
	if len(sample) == 0 {
		return 0, 0, false
	}
	sortSamples(sample)
	at := func(q float64) float32 { return sample[int(q*float64(len(sample)-1)+0.5)] }
	lo, hi := at(0.01), at(0.998)
	if dark := at(0.0002); at(0.5)-dark > 1.5*(hi-at(0.5)) {
		lo, hi, bright = dark, at(0.99), true
	}
	if hi <= lo { // an almost constant image: use what range there is
		lo, hi = sample[0], sample[len(sample)-1]
	}
	if hi <= lo { // constant: middle grey, unless it is all zero
		if lo == 0 {
			return 0, 0, false
		}
		return lo - 1, 128, false
	}
	return lo, 255 / (hi - lo), bright
}

// identity and lightened map levels: nuclei of a bright-field image, however dark
// the cell, should not be black.
var identity, lightened = func() (same, lighter [256]uint8) {
	for i := range same {
		same[i], lighter[i] = uint8(i), uint8(255*math.Pow(float64(i)/255, 0.6)+0.5)
	}
	return same, lighter
}()

// sortSamples sorts finite samples. Those of most images are whole numbers, which
// need only be counted.
func sortSamples(s []float32) {
	var count [1 << 12]int32
	for _, v := range s {
		i := int32(v)
		if float32(i) != v || i < 0 || int(i) >= len(count) {
			slices.Sort(s)
			return
		}
		count[i]++
	}
	at := 0
	for v, n := range count {
		for range n {
			s[at] = float32(v)
			at++
		}
	}
}

// heatPicture shows w*h values, row by row, as colours from dark violet (lo) to
// yellow (hi), evenly bright steps for every kind of colour vision. Values
// that are not numbers are grey. Missing values at the end count as NaN.
func heatPicture(values []float32, w, h int, lo, hi float32) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	table := heatTable()
	gain := float32(0)
	if hi > lo {
		gain = 255 / (hi - lo)
	}
	for i := range w * h {
		c := color.RGBA{128, 128, 128, 255}
		if i < len(values) && values[i] == values[i] {
			c = table[level((values[i]-lo)*gain)]
		}
		set(out, i, c)
	}
	return out
}

// heatTable interpolates 256 colours between anchors of matplotlib's viridis
// map (N. Smith and S. van der Walt, CC0).
func heatTable() *[256]color.RGBA {
	anchors := [...]color.RGBA{
		{68, 1, 84, 255}, {72, 36, 117, 255}, {65, 68, 135, 255}, {53, 95, 141, 255},
		{42, 120, 142, 255}, {33, 145, 140, 255}, {34, 168, 132, 255}, {68, 191, 112, 255},
		{122, 209, 81, 255}, {189, 223, 38, 255}, {253, 231, 37, 255},
	}
	var t [256]color.RGBA
	for i := range t {
		x := float64(i) / 255 * float64(len(anchors)-1)
		k := min(int(x), len(anchors)-2)
		t[i] = mix(anchors[k], anchors[k+1], x-float64(k))
	}
	return &t
}

// mix blends a towards b by t in 0..1.
func mix(a, b color.RGBA, t float64) color.RGBA {
	f := func(a, b uint8) uint8 { return uint8(float64(a)*(1-t) + float64(b)*t + 0.5) }
	return color.RGBA{f(a.R, b.R), f(a.G, b.G), f(a.B, b.B), 255}
}

// set writes pixel i, counted row by row, of an image that starts at 0,0.
func set(m *image.RGBA, i int, c color.RGBA) {
	p := m.Pix[4*i : 4*i+4]
	p[0], p[1], p[2], p[3] = c.R, c.G, c.B, c.A
}

func get(m *image.RGBA, i int) color.RGBA {
	p := m.Pix[4*i : 4*i+4]
	return color.RGBA{p[0], p[1], p[2], p[3]}
}

// resize scales src to w x h: whole factors up keep hard pixels, everything
// else is interpolated.
func resize(src image.Image, w, h int) *image.RGBA {
	b := src.Bounds()
	if m, ok := src.(*image.RGBA); ok && b.Dx() == w && b.Dy() == h && b.Min == (image.Point{}) {
		return m
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	if b.Empty() || w == 0 || h == 0 {
		return dst
	}
	var k draw.Interpolator = draw.CatmullRom
	if w >= b.Dx() && w%b.Dx() == 0 && h%b.Dy() == 0 {
		k = draw.NearestNeighbor
	}
	k.Scale(dst, dst.Rect, src, b, draw.Src, nil)
	return dst
}

// resizeLabels scales a label image by the nearest pixel.
func resizeLabels(l *imageio.Labels, w, h int) *imageio.Labels {
	if l.W == w && l.H == h {
		return l
	}
	out := imageio.NewLabels(w, h)
	if l.W == 0 || l.H == 0 {
		return out
	}
	for y := range h {
		sy := (2*y + 1) * l.H / (2 * h)
		for x := range w {
			out.ID[y*w+x] = l.ID[sy*l.W+(2*x+1)*l.W/(2*w)]
		}
	}
	return out
}

// Window returns the samples that Stretch shows as black and as white; what of a
// bright-field image lies between them it lightens, too.
func Window(samples []float32) (black, white float32) {
	lo, gain, _ := window(samples)
	if gain == 0 {
		return lo, lo + 1
	}
	return lo, lo + 255/gain
}

// ChannelTint is the colour, red, green and blue of 0 to 1, in which Stretch
// blends channel c of n.
func ChannelTint(c, n int) [3]float32 { return channelTint(c, n) }
