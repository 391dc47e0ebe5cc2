package scene

import (
	"math"
	"math/rand/v2"
	"slices"

	"unet/unet/imageio"
)

// Crowded draws a field of crowded tissue of w x h pixels in 8 bits, with the
// labels of its nuclei: three times out of four fluorescence, else stained
// tissue in colour or gray. Nuclei come from lib, or are generated where it is
// nil or holds none of that contrast.
func Crowded(w, h int, lib *Library, rng *rand.Rand) (*imageio.Image, *imageio.Labels) {
	if rng.Float64() < 0.75 {
		return crowdedFluorescence(w, h, lib, rng)
	}
	return crowdedStain(w, h, lib, rng)
}

// tissueLayout says how nuclei of a crowded scene lie.
type tissueLayout struct {
	minor      float64 // mean short axis, pixels
	spread     float64 // relative standard deviation of it
	elongation float64 // mean ratio of the axes
	spindles   float64 // share of nuclei twice as elongated, as of fibroblasts
	rough      float64
	cover      float64 // share of the region to fill
	overlap    float64 // typical share of a nucleus that may lie over others
	touching   float64 // chance that a nucleus is put against another
	flow       float64 // 1: all lie along a field of directions
	region     float64 // below this value of the density field there are none
	sheets     float64 // chance that the next nucleus continues a row, as in epithelium
}

func newLayout(rng *rand.Rand) tissueLayout {
	l := tissueLayout{
		minor: logBetween(rng, 8, 30), spread: between(rng, 0.1, 0.3), elongation: between(rng, 1.1, 1.9),
		rough: between(rng, 0.02, 0.09), cover: between(rng, 0.2, 0.95), overlap: between(rng, 0.02, 0.25),
		touching: between(rng, 0.1, 0.8), flow: rng.Float64(),
	}
	if rng.Float64() < 0.4 {
		l.spindles = between(rng, 0.1, 0.9)
	}
	if rng.Float64() < 0.6 {
		l.region = between(rng, 0.35, 0.55)
	}
	if rng.Float64() < 0.3 {
		l.sheets = between(rng, 0.4, 0.95)
		l.elongation, l.flow = between(rng, 1.3, 2.4), 1
	}
	return l
}

// body is one nucleus of a crowded scene.
type body struct {
	*outline
	cell *Nucleus // the real one to draw, or nil
	to   affine   // from the scene to cell's pixels
	pix  []pixel
	id   uint32 // 0 where it is not to be found
	size float64

	width int // of the scene
}

// pixel is a place of a body: level as of outline.depth, inside the distance
// to its edge.
type pixel struct {
	at            int32
	level, inside float32
}

// pack places nuclei until the cover is reached or no room is left.
func pack(l tissueLayout, w, h int, lib *Library, rng *rand.Rand) ([]*body, *imageio.Labels) {
	labels := imageio.NewLabels(w, h)
	direction, density := newNoise(rng, 1/(6*l.minor)), newNoise(rng, 1/(7*l.minor))
	target, filled := int(l.cover*float64(w*h)), 0
	var out []*body
	left := map[uint32]int{} // pixels that a nucleus shows
	along := func(x, y float64) float64 { return 2 * math.Pi * direction.at(x, y) }
	typical := l.minor * l.minor * l.elongation
	for try := 0; filled < target && try < 40+6*int(float64(w*h)/typical); try++ {
		minor := l.minor * math.Exp(l.spread*rng.NormFloat64())
		ratio := max(1, l.elongation*math.Exp(0.2*rng.NormFloat64()))
		if rng.Float64() < l.spindles {
			ratio *= 2
			minor *= 0.8
		}
		x, y := between(rng, -minor/2, float64(w)+minor/2), between(rng, -minor/2, float64(h)+minor/2)
		angle := rng.Float64() * math.Pi
		switch {
		case len(out) > 0 && rng.Float64() < l.sheets:
			n := out[max(0, len(out)-1-rng.IntN(3))]
			side := float64(1 - 2*rng.IntN(2)) // beside its long side
			gap := n.b + minor/2 + between(rng, -1, 1.5)
			x, y = n.x-side*gap*n.sin, n.y+side*gap*n.cos
			angle = math.Atan2(n.sin, n.cos) + 0.15*rng.NormFloat64()
		case len(out) > 0 && rng.Float64() < l.touching:
			n := out[rng.IntN(len(out))]
			t := rng.Float64() * 2 * math.Pi
			gap := (n.a+n.b)/2 + minor/2*math.Sqrt(ratio) + between(rng, -2, 1.5)
			x, y = n.x+gap*math.Cos(t), n.y+gap*math.Sin(t)
		}
		if density.at(x, y) < l.region {
			continue
		}
		if l.sheets == 0 && rng.Float64() < l.flow {
			angle = along(x, y) + 0.3*rng.NormFloat64()
		}
		b := &body{size: minor * math.Sqrt(ratio)}
		b.outline = newOutline(rng, x, y, b.size, ratio, angle, l.rough)
		if lib != nil && rng.Float64() < lib.share {
			b.fromLibrary(lib, rng)
		}
		b.raster(w, h)
		if b.place(labels, uint32(len(out)+1), l.overlap*rng.ExpFloat64(), left, rng) {
			filled += left[b.id]
			out = append(out, b)
		}
	}
	tidy(labels, out)
	return out, labels
}

// radii tabulates the modulation of the outline from -π to π.
func (o *outline) radii() (edge [49]float64, furthest float64) {
	for i := range edge {
		t := (float64(i)/float64(len(edge)-1) - 0.5) * 2 * math.Pi
		r := 1.0
		for k := range o.amp {
			r += o.amp[k] * math.Cos(float64(k+2)*t+o.phase[k])
		}
		edge[i] = max(r, 0.3)
		furthest = max(furthest, edge[i])
	}
	return edge, furthest
}

// raster lists the pixels that the body covers.
func (b *body) raster(w, h int) {
	b.width = w
	x0, y0, x1, y1 := b.box(w, h)
	edge, furthest := b.radii()
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			if b.cell != nil {
				if inside := b.cell.depth(b.to.at(float64(x), float64(y))); inside > -1 {
					b.pix = append(b.pix, pixel{int32(y*w + x), float32(1 - inside/max(b.cell.deepest, 1)), float32(inside * b.to.scale)})
				}
				continue
			}
			// outline.depth, with the modulation from a table.
			dx, dy := float64(x)-b.x, float64(y)-b.y
			u, v := (dx*b.cos+dy*b.sin)/b.a, (dy*b.cos-dx*b.sin)/b.b
			rho := math.Sqrt(u*u + v*v)
			if rho > 1.5*furthest {
				continue
			}
			if rho < 1e-9 {
				b.pix = append(b.pix, pixel{int32(y*w + x), 0, float32(min(b.outline.a, b.outline.b))})
				continue
			}
			t := (math.Atan2(v, u)/(2*math.Pi) + 0.5) * float64(len(edge)-1)
			k := min(int(t), len(edge)-2)
			level := rho / (edge[k] + (t-float64(k))*(edge[k+1]-edge[k]))
			if inside := (1 - level) / level * math.Sqrt(dx*dx+dy*dy); inside > -1 {
				b.pix = append(b.pix, pixel{int32(y*w + x), float32(level), float32(inside)})
			}
		}
	}
}

// place writes the body into labels as number k, over those that are there or
// under them; it reports false where more than the share overlap would be
// covered, or too little shown.
func (b *body) place(labels *imageio.Labels, k uint32, overlap float64, left map[uint32]int, rng *rand.Rand) bool {
	area, shared := 0, 0
	covered := map[uint32]int{}
	for _, p := range b.pix {
		if p.inside < 0 {
			continue
		}
		area++
		if o := labels.ID[p.at]; o != 0 {
			shared++
			covered[o]++
		}
	}
	if area < MinNucleus || float64(shared) > overlap*float64(area) || area-shared < MinNucleus {
		return false
	}
	over := rng.IntN(2) == 0
	for o, n := range covered {
		if 2*n > left[o] || left[o]-n < MinNucleus {
			over = false
		}
	}
	for _, p := range b.pix {
		if p.inside < 0 {
			continue
		}
		o := labels.ID[p.at]
		if o != 0 {
			if !over {
				continue
			}
			left[o]--
		}
		labels.ID[p.at] = k
		left[k]++
	}
	b.id = k
	return true
}

// tidy keeps the largest 4-connected part of every nucleus.
func tidy(l *imageio.Labels, bodies []*body) {
	part := make([]int32, len(l.ID))
	var stack []int32
	type piece struct {
		label uint32
		size  int
	}
	pieces := []piece{{}}
	best := make([]int32, len(bodies)+1)
	for i := range l.ID {
		if l.ID[i] == 0 || part[i] != 0 {
			continue
		}
		id, k := l.ID[i], int32(len(pieces))
		n := 0
		part[i] = k
		stack = append(stack[:0], int32(i))
		for len(stack) > 0 {
			j := int(stack[len(stack)-1])
			stack = stack[:len(stack)-1]
			n++
			x := j % l.W
			for _, q := range [4]int{j - 1, j + 1, j - l.W, j + l.W} {
				if q < 0 || q >= len(l.ID) || q == j-1 && x == 0 || q == j+1 && x == l.W-1 {
					continue
				}
				if l.ID[q] == id && part[q] == 0 {
					part[q] = k
					stack = append(stack, int32(q))
				}
			}
		}
		pieces = append(pieces, piece{id, n})
		if n > pieces[best[id]].size {
			best[id] = k
		}
	}
	for i, id := range l.ID {
		if id != 0 && (part[i] != best[id] || pieces[part[i]].size < MinNucleus) {
			l.ID[i] = 0
		}
	}
}

// crowdedFluorescence is tissue under a fluorescence microscope: nuclei of
// very different brightness, some out of focus, over a layer further out.
func crowdedFluorescence(w, h int, lib *Library, rng *rand.Rand) (*imageio.Image, *imageio.Labels) {
	l := newLayout(rng)
	bright := lib.of(true, rng)
	bodies, labels := pack(l, w, h, bright, rng)
	contrast := between(rng, 0.15, 0.9) // of brightness among nuclei
	look := newChromatin(rng)
	light := make([]float32, w*h)
	gains := make([]float64, len(bodies))
	for i, b := range bodies {
		gain := math.Exp(contrast * rng.NormFloat64())
		if rng.Float64() < 0.04 { // condensed: dying or dividing
			gain *= between(rng, 2, 6)
		}
		gains[i] = gain
		blurred := 0.0
		if rng.Float64() < 0.3 {
			blurred = between(rng, 0, 0.2) * b.size
		}
		b.shine(light, gain, blurred, look, rng)
	}
	specks(light, w, h, l.minor, rng)

	// Behind: nuclei out of focus, and the light of everything scattered.
	behind := make([]float32, w*h)
	for range int(between(rng, 0, 1) * float64(w*h) / (l.minor * l.minor * 2)) {
		o := newOutline(rng, between(rng, 0, float64(w)), between(rng, 0, float64(h)), l.minor*between(rng, 0.8, 1.6), between(rng, 1, 2), rng.Float64()*math.Pi, l.rough)
		b := &body{outline: o, size: l.minor}
		b.raster(w, h)
		b.shine(behind, math.Exp(contrast*rng.NormFloat64()), 0, look, rng)
	}
	behind = quickBlur(behind, w, h, between(rng, 0.25, 0.7)*l.minor)
	wide := quickBlur(light, w, h, between(rng, 8, 30))
	near := quickBlur(light, w, h, between(rng, 0.2, 0.5)*l.minor)
	kBehind, kWide, kNear := between(rng, 0, 0.8), between(rng, 0, 0.4), between(rng, 0, 0.25)
	ground := 0.0 // autofluorescence of the tissue
	if rng.Float64() < 0.35 {
		ground = logBetween(rng, 0.02, 0.8)
	}
	cells, patches := newNoise(rng, 1/(1.5*l.minor)), newNoise(rng, 1/(6*l.minor))
	fibre := newStreak(rng, w, h)
	uneven := newUneven(rng, w, h, 0.5)
	light = quickBlur(light, w, h, logBetween(rng, 0.5, 2.2))
	veil := make([]float32, w*h) // what nuclei must outshine
	for i := range light {
		x, y := float64(i%w), float64(i/w)
		v := kBehind*float64(behind[i]) + kWide*float64(wide[i]) + kNear*float64(near[i]) + fibre.at(x, y)
		if ground > 0 {
			v += ground * max(0, 2*patches.at(x, y)-0.5) * (0.6 + 0.8*cells.at(x, y))
		}
		veil[i] = float32(v)
		light[i] = float32(max(0, (float64(light[i])+v)*uneven.at(x, y)))
	}
	m, noise := expose(light, w, h, rng)
	bury(labels, bodies, gains, veil, noise, percentile(light, 0.998))
	return m, labels
}

// Contrast a nucleus needs to be annotated: of the brightest in the field, of
// the veil of light over it, and of the noise of a pixel.
const (
	visibleOfPeak  = 0.035
	visibleOfVeil  = 0.25
	visibleOfNoise = 0.5
)

// bury takes the labels of nuclei that nobody would see.
func bury(labels *imageio.Labels, bodies []*body, gains []float64, veil []float32, noise func(light float64) float64, peak float64) {
	hidden := make([]bool, len(bodies)+1)
	for i, b := range bodies {
		over := 0.0
		for _, p := range b.pix {
			over += float64(veil[p.at])
		}
		over /= float64(len(b.pix))
		need := max(visibleOfPeak*peak, visibleOfVeil*over, visibleOfNoise*noise(over+gains[i]/2))
		hidden[b.id] = 0.7*gains[i] < need
	}
	for i, id := range labels.ID {
		if hidden[id] {
			labels.ID[i] = 0
		}
	}
	renumber(labels)
}

// chromatin is the texture that the nuclei of one scene share.
type chromatin struct {
	grain, coarse float64 // amplitude, size relative to the nucleus
	dome          float64 // how much the middle outshines the edge
	rim           float64 // brightness of the membrane
	spots         float64 // chromocentres per nucleus
	nucleoli      float64 // dark, per nucleus
	edge          float64 // pixels over which the edge rises
	dark          bool    // nucleoli hold more dye, instead of less
}

func newChromatin(rng *rand.Rand) chromatin {
	c := chromatin{grain: between(rng, 0.1, 0.7), coarse: between(rng, 0.1, 0.3), dome: between(rng, 0, 0.5), edge: between(rng, 0.5, 3)}
	if rng.Float64() < 0.35 {
		c.rim = between(rng, 0.1, 0.8)
	}
	if rng.Float64() < 0.5 {
		c.spots = between(rng, 1, 8)
	}
	if rng.Float64() < 0.4 {
		c.nucleoli = between(rng, 0.5, 3)
	}
	return c
}

type spot struct{ x, y, r, gain float64 }

// marks are the chromocentres and nucleoli of one nucleus.
func (c chromatin) marks(b *body, rng *rand.Rand) []spot {
	var list []spot
	add := func(mean float64, lo, hi, gainLo, gainHi float64) {
		for range int(poisson(rng, mean)) {
			t, d := rng.Float64()*2*math.Pi, 0.85*math.Sqrt(rng.Float64())
			u, v := d*b.a*math.Cos(t), d*b.b*math.Sin(t)
			list = append(list, spot{b.x + u*b.cos - v*b.sin, b.y + u*b.sin + v*b.cos, max(0.8, b.size*between(rng, lo, hi)), between(rng, gainLo, gainHi)})
		}
	}
	add(c.spots, 0.03, 0.08, 0.3, 1.8)
	if c.dark {
		add(c.nucleoli, 0.04, 0.09, 0.2, 1)
	} else {
		add(c.nucleoli, 0.05, 0.1, -0.7, -0.2)
	}
	return list
}

// shine adds the light of a body. blurred widens its edge and flattens its
// texture, as being out of focus does.
func (b *body) shine(light []float32, gain, blurred float64, c chromatin, rng *rand.Rand) {
	sharp := 1 / (1 + blurred)
	grain := newNoise(rng, 1/max(c.coarse*b.size, 1.5))
	amplitude := 2 * c.grain * between(rng, 0.5, 1.3) * sharp
	marks := c.marks(b, rng)
	edge := c.edge*between(rng, 0.6, 1.4) + 2*blurred
	w := b.width
	for _, p := range b.pix {
		x, y := float64(int(p.at)%w), float64(int(p.at)/w)
		level, inside := float64(p.level), float64(p.inside)
		cover := min(max((inside+1)/(edge+1), 0), 1)
		cover *= cover * (3 - 2*cover)
		if b.cell != nil {
			light[p.at] += float32(gain * cover * b.cell.sample(b.to.at(x, y)))
			continue
		}
		v := (1 - c.dome*level*level) * (1 + amplitude*(grain.at(x, y)-0.5))
		if c.rim > 0 {
			v *= 1 + sharp*c.rim*math.Exp(-inside*inside/4)
		}
		for _, s := range marks {
			dx, dy := x-s.x, y-s.y
			if q := (dx*dx + dy*dy) / (2 * s.r * s.r); q < 6 {
				v *= 1 + sharp*s.gain*math.Exp(-q)
			}
		}
		light[p.at] += float32(gain * cover * max(v, 0.05))
	}
}

// specks adds what is bright and no nucleus: dust, and small bits.
func specks(light []float32, w, h int, minor float64, rng *rand.Rand) {
	if rng.Float64() > 0.3 {
		return
	}
	for range 1 + rng.IntN(8) {
		x, y, r := between(rng, 0, float64(w)), between(rng, 0, float64(h)), between(rng, 0.4, max(0.5, 0.06*minor))
		gain := between(rng, 0.3, 3)
		for py := max(0, int(y-3*r)); py < min(h, int(y+3*r)+2); py++ {
			for px := max(0, int(x-3*r)); px < min(w, int(x+3*r)+2); px++ {
				dx, dy := float64(px)-x, float64(py)-y
				light[py*w+px] += float32(gain * math.Exp(-(dx*dx+dy*dy)/(2*r*r)))
			}
		}
	}
}

// streak is a fibre that shines across a field; most have none.
type streak struct{ nx, ny, d, r, gain float64 }

func newStreak(rng *rand.Rand, w, h int) streak {
	if rng.Float64() > 0.07 {
		return streak{r: 1}
	}
	t := rng.Float64() * 2 * math.Pi
	s := streak{nx: math.Cos(t), ny: math.Sin(t), r: between(rng, 2, 14), gain: between(rng, 0.3, 2.5)}
	s.d = s.nx*between(rng, 0, float64(w)) + s.ny*between(rng, 0, float64(h))
	return s
}

func (s streak) at(x, y float64) float64 {
	if s.gain == 0 {
		return 0
	}
	d := (s.nx*x + s.ny*y - s.d) / s.r
	return s.gain * math.Exp(-d*d*d*d)
}

// crowdedStain is stained tissue under transmitted light.
func crowdedStain(w, h int, lib *Library, rng *rand.Rand) (*imageio.Image, *imageio.Labels) {
	l := newLayout(rng)
	l.minor = logBetween(rng, 11, 34)
	l.cover, l.overlap = 0.8*l.cover, 0.4*l.overlap
	gray := rng.Float64() < 0.2
	dark := lib.of(false, rng)
	if gray {
		dark = nil
	}
	bodies, labels := pack(l, w, h, dark, rng)
	n := w * h
	first, second := make([]float32, n), make([]float32, n)
	ground, counter, fibres := between(rng, 0.05, 0.5), between(rng, 0, 0.9), between(rng, 0.05, 0.4)
	tissue(first, second, w, h, ground, counter, fibres, l.minor, rng)
	// Nuclei above and below the plane in focus: pale, without an edge.
	behind := make([]float32, n)
	look := newChromatin(rng)
	for range int(between(rng, 0, 0.5) * float64(n) / (l.minor * l.minor * 2)) {
		b := &body{outline: newOutline(rng, between(rng, 0, float64(w)), between(rng, 0, float64(h)), l.minor*between(rng, 0.8, 1.4), between(rng, 1, 2), rng.Float64()*math.Pi, l.rough), size: l.minor}
		b.raster(w, h)
		b.shine(behind, between(rng, 0.1, 0.5), 2, look, rng)
	}
	behind = quickBlur(behind, w, h, between(rng, 0.15, 0.4)*l.minor)
	dye, contrast := between(rng, 0.5, 1.6), between(rng, 0.05, 0.45)
	look.dome, look.grain, look.edge = 0, 1.4*look.grain, min(look.edge, 1.5)
	look.dark = true
	body := make([]float32, n)
	for _, b := range bodies {
		blurred := 0.0
		if rng.Float64() < 0.3 {
			blurred = between(rng, 0, 0.15) * b.size
		}
		b.shine(body, dye*math.Exp(contrast*rng.NormFloat64()), blurred, look, rng)
	}
	for i := range first {
		inside := float64(min(body[i]/float32(dye), 1))
		first[i] = float32(float64(first[i])*(1-0.5*inside)) + body[i] + behind[i]
		second[i] *= float32(1 - 0.6*inside)
	}
	psf := logBetween(rng, 0.5, 1.6)
	first, second = quickBlur(first, w, h, psf), quickBlur(second, w, h, psf)
	primary, other := stainColours(rng)
	if gray {
		primary[1], primary[2] = primary[0], primary[0]
		other = primary
	}
	white := [3]float64{between(rng, 200, 252), between(rng, 200, 252), between(rng, 200, 252)}
	if rng.Float64() < 0.6 {
		white[1], white[2] = white[0], white[0]
	}
	channels := 3
	if gray {
		channels = 1
	}
	uneven, read := newUneven(rng, w, h, 0.12), between(rng, 0.3, 5)
	m := imageio.NewImage(w, h, channels)
	for k := range channels {
		p := m.Plane(k)
		for i := range p {
			density := float64(first[i])*primary[k] + float64(second[i])*other[k]
			p[i] = level8(white[k]*math.Exp(-density)*uneven.at(float64(i%w), float64(i/w)) + read*rng.NormFloat64())
		}
	}
	if rng.Float64() < 0.3 {
		compress(m, 35+rng.IntN(60))
	}
	renumber(labels)
	return m, labels
}

// stainColours varies haematoxylin and eosin as slides and scanners do. The
// optical densities per dye are Ruifrok and Johnston's (2001), and the violet
// of DSB2018's sections.
func stainColours(rng *rand.Rand) (primary, other stain) {
	primary, other = stain{0.65, 0.70, 0.29}, stain{0.07, 0.99, 0.11}
	if rng.IntN(2) == 0 {
		primary, other = haematoxylin, eosin
	}
	for k := range primary {
		primary[k] *= math.Exp(0.2 * rng.NormFloat64())
		other[k] = max(0, other[k]*math.Exp(0.2*rng.NormFloat64())+0.05*rng.NormFloat64())
	}
	return primary, other
}

// renumber makes the labels 1..n without gaps.
func renumber(l *imageio.Labels) {
	to := make([]uint32, l.Max()+1)
	for _, v := range l.ID {
		to[v] = 1
	}
	to[0] = 0
	n := uint32(0)
	for k := range to {
		if to[k] != 0 {
			n++
			to[k] = n
		}
	}
	for i, v := range l.ID {
		l.ID[i] = to[v]
	}
}

func logBetween(rng *rand.Rand, lo, hi float64) float64 {
	return math.Exp(between(rng, math.Log(lo), math.Log(hi)))
}

// percentile of samples at least 0, by sorting a part of them.
func percentile(v []float32, q float64) float64 {
	step := max(1, len(v)>>13) | 1
	var s []float32
	for i := 0; i < len(v); i += step {
		s = append(s, v[i])
	}
	slices.Sort(s)
	return float64(s[min(int(q*float64(len(s))), len(s)-1)])
}
