package instance

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"unet/unet/imageio"
)

// Stains are the dyes of a bright-field image and how much of red, green and blue
// light each of them absorbs.
type Stains struct {
	text  string
	names []string
	// amount of each stain for optical densities of red, green, blue: the
	// inverse of the absorptions
	unmix [3][3]float64
}

// Absorptions, from A. C. Ruifrok and D. A. Johnston (2001), to the digits that
// scikit-image has them in hed_from_rgb (of all three) and hdx_from_rgb.
var (
	hematoxylin = [3]float64{0.650, 0.704, 0.286}
	eosin       = [3]float64{0.072, 0.990, 0.105}
	dab         = [3]float64{0.268, 0.570, 0.776}
)

// StainSets names the sets that ParseStains knows.
const StainSets = "he, hdab, hed"

// ParseStains reads he (hematoxylin and eosin), hdab (hematoxylin and DAB) or hed
// (all three); of two stains, what they do not explain is left out.
func ParseStains(text string) (*Stains, error) {
	s := &Stains{text: strings.ToLower(text)}
	var m [3][3]float64
	switch s.text {
	case "he":
		s.names, m = []string{"hematoxylin", "eosin"}, [3][3]float64{hematoxylin, eosin, cross(hematoxylin, eosin)}
	case "hdab":
		s.names, m = []string{"hematoxylin", "DAB"}, [3][3]float64{hematoxylin, dab, cross(hematoxylin, dab)}
	case "hed":
		s.names, m = []string{"hematoxylin", "eosin", "DAB"}, [3][3]float64{{0.65, 0.70, 0.29}, {0.07, 0.99, 0.11}, {0.27, 0.57, 0.78}}
	default:
		return nil, fmt.Errorf("choose from %s", StainSets)
	}
	s.unmix = inverse(m)
	return s, nil
}

// String is the name of the set.
func (s *Stains) String() string {
	if s == nil {
		return ""
	}
	return s.text
}

// Names are those of the channels that Append appends.
func (s *Stains) Names() []string { return slices.Clone(s.names) }

// Append returns a colour image with a channel more for each stain: its optical
// density, log10(white/sample) of the light that it alone absorbs, at least 0.
// White is the greatest sample of the image's type. The result is false, and the
// image as it was, where it is not a colour image.
func (s *Stains) Append(m *imageio.Image) (*imageio.Image, bool) {
	if m.C < 3 {
		return m, false
	}
	white := float64(uint64(1)<<m.Bits - 1)
	if m.Float {
		white = 1
	}
	n := m.W * m.H
	out := *m
	out.C = m.C + len(s.names)
	out.Pix = append(slices.Grow(slices.Clone(m.Pix), n*len(s.names)), make([]float32, n*len(s.names))...)
	density := func(v float32) float64 {
		// No light at all is as the least that scikit-image tells from none.
		return -math.Log10(max(float64(v)/white, 1e-6))
	}
	// Samples of 8 bits have few values.
	var table [256]float64
	for i := range table {
		table[i] = density(float32(i))
	}
	of := func(v float32) float64 {
		if i := int(v); m.Bits == 8 && !m.Float && i >= 0 && i < len(table) && float32(i) == v {
			return table[i]
		}
		return density(v)
	}
	r, g, b := m.Plane(0), m.Plane(1), m.Plane(2)
	for i := range n {
		x, y, z := of(r[i]), of(g[i]), of(b[i])
		for k := range s.names {
			out.Pix[(m.C+k)*n+i] = float32(max(0, x*s.unmix[0][k]+y*s.unmix[1][k]+z*s.unmix[2][k]))
		}
	}
	if len(m.Channels) > 0 {
		out.Channels = append(slices.Clone(m.Channels), s.names...)
	}
	return &out, true
}

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

// inverse is that of a matrix of rows a, b, c.
func inverse(m [3][3]float64) (inv [3][3]float64) {
	a, b, c := m[0], m[1], m[2]
	columns := [3][3]float64{cross(b, c), cross(c, a), cross(a, b)}
	det := a[0]*columns[0][0] + a[1]*columns[0][1] + a[2]*columns[0][2]
	for j, col := range columns {
		for i := range col {
			inv[i][j] = col[i] / det
		}
	}
	return inv
}
