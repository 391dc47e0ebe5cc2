package dataset

import (
	"math"
	"slices"

	"unet/unet/imageio"
)

// Kinds of microscopy images, by how they look.
const (
	// FluorescenceSmall: bright nuclei on dark, typically below 35 pixels wide.
	FluorescenceSmall = "fluorescence-small"
	// FluorescenceLarge: bright nuclei on dark, typically 35 pixels or wider.
	FluorescenceLarge = "fluorescence-large"
	// HistologyPurple: stained tissue or cells in colour, blue to violet.
	HistologyPurple = "histology-purple"
	// PinkPurple: stained tissue in colour, red outweighs blue (H&E with eosin).
	PinkPurple = "pink-purple"
	// GrayTissue: bright-field images without colour, dark nuclei on bright.
	GrayTissue = "gray-tissue"
)

// Kinds lists all kinds, in the order of reports.
var Kinds = []string{FluorescenceSmall, FluorescenceLarge, HistologyPurple, PinkPurple, GrayTissue}

const (
	largeDiameter = 35   // pixels; DSB2018's images end at 32.6 and go on from 37.7
	colourful     = 0.04 // mean saturation from which an image counts as coloured
)

// kindOf tells the kind of an annotated image by these rules:
//
//  1. Is it coloured? It is when the mean of (max-min)/max over the channels
//     is above 0.04.
//  2. Are the nuclei dark on bright? In a coloured image, when their mean
//     luminance is below that of the rest. In a gray one, whose masks may be
//     poor, when the median of the rest is above the middle between the 1st
//     and 99.8th percentile of the image; in 8 bits, medians below a quarter
//     and above three quarters of the range are clear without that.
//  3. Dark on bright is histology: coloured, pink-purple when red is at least
//     as strong as blue on average, else purple; without colour, gray tissue.
//  4. Bright on dark is fluorescence: large from a typical nucleus diameter of
//     35 pixels. Half of the nuclear area is in nuclei of at least the typical
//     diameter, so that debris of dead cells does not decide.
func kindOf(m *imageio.Image, l *imageio.Labels) string {
	lum := luminance(m)
	coloured := m.C == 3 && saturation(m) > colourful
	var darkNuclei bool
	if coloured {
		var sum [2]float64
		var n [2]int
		for i, v := range lum {
			in := 0
			if l.ID[i] != 0 {
				in = 1
			}
			sum[in] += float64(v)
			n[in]++
		}
		// Without nuclei: histology is bright.
		darkNuclei = n[1] > 0 && sum[1]*float64(n[0]) < sum[0]*float64(n[1]) ||
			n[1] == 0 && brightField(lum, l, m.Bits)
	} else {
		darkNuclei = brightField(lum, l, m.Bits)
	}
	switch {
	case !darkNuclei && typicalDiameter(l) < largeDiameter:
		return FluorescenceSmall
	case !darkNuclei:
		return FluorescenceLarge
	case !coloured:
		return GrayTissue
	case mean(m.Plane(0)) >= mean(m.Plane(2)):
		return PinkPurple
	}
	return HistologyPurple
}

// brightField says whether the ground outside the nuclei is bright.
func brightField(lum []float32, l *imageio.Labels, bits int) bool {
	all := sampled(lum, func(int) bool { return true })
	outside := sampled(lum, func(i int) bool { return l.ID[i] == 0 })
	if len(outside) == 0 {
		return false
	}
	ground := quantile(outside, 0.5)
	if bits == 8 && (ground < 64 || ground > 192) {
		return ground > 192
	}
	return ground > (quantile(all, 0.01)+quantile(all, 0.998))/2
}

// sampled sorts at most about 16,000 of the chosen values, evenly spread:
// enough for quantiles that decide between kinds.
func sampled(v []float32, choose func(i int) bool) []float32 {
	// An odd step does not run along columns.
	step := max(1, len(v)>>14) | 1
	var s []float32
	for i := 0; i < len(v); i += step {
		if choose(i) {
			s = append(s, v[i])
		}
	}
	slices.Sort(s)
	return s
}

// luminance is the mean of an image's channels; it shares memory with m when
// there is one.
func luminance(m *imageio.Image) []float32 {
	if m.C == 1 {
		return m.Pix
	}
	n := m.W * m.H
	lum := make([]float32, n)
	for c := range m.C {
		for i, v := range m.Plane(c) {
			lum[i] += v
		}
	}
	for i := range lum {
		lum[i] /= float32(m.C)
	}
	return lum
}

// saturation is the mean of (max-min)/max over the first three channels.
func saturation(m *imageio.Image) float64 {
	r, g, b := m.Plane(0), m.Plane(1), m.Plane(2)
	s := 0.0
	for i := range r {
		hi := max(r[i], g[i], b[i])
		if hi > 0 {
			s += float64((hi - min(r[i], g[i], b[i])) / hi)
		}
	}
	return s / float64(len(r))
}

// medianDiameter is the median over nuclei of the diameter of the circle of
// equal area, in pixels; 0 without nuclei.
func medianDiameter(l *imageio.Labels) float64 {
	a := wholeAreas(l)
	if len(a) == 0 {
		return 0
	}
	return diameter((float64(a[(len(a)-1)/2]) + float64(a[len(a)/2])) / 2)
}

// typicalDiameter is the median weighted by area.
func typicalDiameter(l *imageio.Labels) float64 {
	a := wholeAreas(l)
	sum, half := 0, 0
	for _, v := range a {
		sum += v
	}
	for _, v := range a {
		if half += v; 2*half >= sum {
			return diameter(float64(v))
		}
	}
	return 0
}

// diameter of the circle of an area.
func diameter(area float64) float64 { return math.Sqrt(4 * area / math.Pi) }

// wholeAreas sorts the areas of the nuclei that the image's edge does not cut,
// or of all when there are no others.
func wholeAreas(l *imageio.Labels) []int {
	a := areas(l, int(l.Max())+1)
	cut := make([]bool, len(a))
	for x := range l.W {
		cut[l.ID[x]], cut[l.ID[(l.H-1)*l.W+x]] = true, true
	}
	for y := range l.H {
		cut[l.ID[y*l.W]], cut[l.ID[(y+1)*l.W-1]] = true, true
	}
	var whole []int
	for k := 1; k < len(a); k++ {
		if !cut[k] {
			whole = append(whole, a[k])
		}
	}
	if len(whole) == 0 {
		whole = a[1:]
	}
	slices.Sort(whole)
	return whole
}

// quantile interpolates the q-quantile of sorted values linearly, as numpy.
func quantile(sorted []float32, q float64) float64 {
	p := q * float64(len(sorted)-1)
	i := int(p)
	if i+1 >= len(sorted) {
		return float64(sorted[len(sorted)-1])
	}
	f := p - float64(i)
	return float64(sorted[i])*(1-f) + float64(sorted[i+1])*f
}

func mean(v []float32) float64 {
	s := 0.0
	for _, x := range v {
		s += float64(x)
	}
	return s / float64(len(v))
}
