package scene

import (
	"math"
	"math/rand/v2"

	"unet/unet/imageio"
)

// Library holds real nuclei to pack into crowded scenes.
type Library struct {
	bright, dark []*Nucleus
	share        float64 // of nuclei that are real
	most         int     // nuclei of one image
}

// Nucleus is a nucleus cut out of an image: its light, or the dye it holds,
// above that of its surroundings, divided by its mean.
type Nucleus struct {
	w, h    int
	light   []float32
	inside  []float32 // distance to the edge in pixels, negative outside
	deepest float64
	a, b    float64 // half axes of the ellipse of equal moments
	angle   float64 // of the long one
	x, y    float64 // centre
}

// Limits of the nuclei worth cutting out, in pixels.
const (
	leastCut = 60    // area
	mostCut  = 12000 // area
	leastDim = 0.08  // contrast to the surroundings, of the image's range
)

// NewLibrary returns a library without nuclei that takes at most perImage of
// one image.
func NewLibrary(perImage int) *Library { return &Library{most: perImage} }

// Len returns the number of nuclei.
func (lib *Library) Len() int { return len(lib.bright) + len(lib.dark) }

// of chooses the nuclei of one contrast and what share of a scene they are.
func (lib *Library) of(bright bool, rng *rand.Rand) *Library {
	share := [3]float64{0, 0.5, 1}[rng.IntN(3)]
	if lib == nil {
		return nil
	}
	one := &Library{bright: lib.dark, share: share}
	if bright {
		one.bright = lib.bright
	}
	if len(one.bright) == 0 || share == 0 {
		return nil
	}
	return one
}

type box struct{ x0, y0, x1, y1, area int }

// Add cuts whole nuclei out of an annotated image, evenly over their numbers.
// Its samples are about 0 to 1; whether nuclei are bright on dark or dark on
// bright is told by their contrast.
func (lib *Library) Add(m *imageio.Image, l *imageio.Labels) {
	boxes := make([]box, l.Max()+1)
	for i := range boxes {
		boxes[i] = box{l.W, l.H, 0, 0, 0}
	}
	for i, id := range l.ID {
		b := &boxes[id]
		x, y := i%l.W, i/l.W
		b.x0, b.y0, b.x1, b.y1, b.area = min(b.x0, x), min(b.y0, y), max(b.x1, x+1), max(b.y1, y+1), b.area+1
	}
	gray := make([]float32, l.W*l.H)
	for c := range m.C {
		for i, v := range m.Plane(c) {
			gray[i] += v / float32(m.C)
		}
	}
	var fit []uint32
	for id := 1; id < len(boxes); id++ {
		b := boxes[id]
		if b.area >= leastCut && b.area <= mostCut && b.x0 > 1 && b.y0 > 1 && b.x1 < l.W-1 && b.y1 < l.H-1 {
			fit = append(fit, uint32(id))
		}
	}
	step := max(1, (len(fit)+lib.most-1)/lib.most)
	for i := 0; i < len(fit); i += step {
		if n, contrast := cut(gray, l, fit[i], boxes[fit[i]]); contrast > leastDim {
			lib.bright = append(lib.bright, n)
		} else if contrast < -leastDim {
			lib.dark = append(lib.dark, n)
		}
	}
}

// cut copies a nucleus and its edge; contrast is its mean above that of the
// background near it.
func cut(gray []float32, l *imageio.Labels, id uint32, b box) (n *Nucleus, contrast float64) {
	const margin = 2
	x0, y0 := max(0, b.x0-margin), max(0, b.y0-margin)
	x1, y1 := min(l.W, b.x1+margin), min(l.H, b.y1+margin)
	n = &Nucleus{w: x1 - x0, h: y1 - y0}
	n.light, n.inside = make([]float32, n.w*n.h), make([]float32, n.w*n.h)
	var own, ground, count float64
	var sx, sy, sxx, sxy, syy float64
	for i := range n.light {
		x, y := x0+i%n.w, y0+i/n.w
		v := gray[y*l.W+x]
		n.light[i] = v
		switch l.ID[y*l.W+x] {
		case id:
			own += float64(v)
			fx, fy := float64(i%n.w), float64(i/n.w)
			sx, sy, sxx, sxy, syy = sx+fx, sy+fy, sxx+fx*fx, sxy+fx*fy, syy+fy*fy
		case 0:
			ground += float64(v)
			count++
		}
	}
	area := float64(b.area)
	if count < 0.1*area { // hemmed in by others: no background to tell its light from
		return nil, 0
	}
	ground /= count
	contrast = own/area - ground
	if contrast == 0 {
		return nil, 0
	}
	for i := range n.light {
		n.light[i] = float32((float64(n.light[i]) - ground) / contrast)
	}
	n.x, n.y = sx/area, sy/area
	cxx, cxy, cyy := sxx/area-n.x*n.x+1.0/12, sxy/area-n.x*n.y, syy/area-n.y*n.y+1.0/12
	mean, diff := (cxx+cyy)/2, math.Hypot((cxx-cyy)/2, cxy)
	n.a, n.b = 2*math.Sqrt(mean+diff), 2*math.Sqrt(max(mean-diff, 1e-3))
	n.angle = math.Atan2(2*cxy, cxx-cyy) / 2
	n.distances(l, id, x0, y0)
	return n, contrast
}

// distances fills inside by the two passes of a chamfer transform with steps
// 1 and √2, for pixels inside and, up to a few pixels, outside.
func (n *Nucleus) distances(l *imageio.Labels, id uint32, x0, y0 int) {
	for sign := float32(1); sign >= -1; sign -= 2 {
		d := make([]float32, len(n.inside))
		for i := range d {
			if (l.ID[(y0+i/n.w)*l.W+x0+i%n.w] == id) == (sign > 0) {
				d[i] = 1e6
			}
		}
		relax := func(i, dx, dy int, step float32) {
			x, y := i%n.w+dx, i/n.w+dy
			if x >= 0 && y >= 0 && x < n.w && y < n.h {
				d[i] = min(d[i], d[y*n.w+x]+step)
			}
		}
		for i := range d {
			relax(i, -1, 0, 1)
			relax(i, 0, -1, 1)
			relax(i, -1, -1, math.Sqrt2)
			relax(i, 1, -1, math.Sqrt2)
		}
		for i := len(d) - 1; i >= 0; i-- {
			relax(i, 1, 0, 1)
			relax(i, 0, 1, 1)
			relax(i, 1, 1, math.Sqrt2)
			relax(i, -1, 1, math.Sqrt2)
		}
		for i, v := range d {
			if v > 0 { // the edge lies between pixels
				n.inside[i] = sign * (v - 0.5)
			}
		}
	}
	for _, v := range n.inside {
		n.deepest = max(n.deepest, float64(v))
	}
}

// affine maps a scene's pixel to one of a Nucleus; scale is the magnification
// of the nucleus.
type affine struct {
	xx, xy, yx, yy, cx, cy float64
	x, y, scale            float64
}

func (a affine) at(x, y float64) (u, v float64) {
	dx, dy := x-a.x, y-a.y
	return a.xx*dx + a.xy*dy + a.cx, a.yx*dx + a.yy*dy + a.cy
}

// fromLibrary gives the body a real nucleus of about its size and its
// direction, and the size of that.
func (b *body) fromLibrary(lib *Library, rng *rand.Rand) {
	n := lib.bright[rng.IntN(len(lib.bright))]
	own := 2 * math.Sqrt(n.a*n.b)
	scale := b.size / own
	scale = min(max(scale, 0.45), 1.8) // further, pixels would show
	mirror := float64(1 - 2*rng.IntN(2))
	// Turn the scene's axis onto the cut's, mirrored or not.
	c, sn := math.Cos(n.angle), math.Sin(n.angle)
	k := 1 / scale
	b.cell = n
	b.to = affine{
		k * (c*b.cos + sn*mirror*b.sin), k * (c*b.sin - sn*mirror*b.cos),
		k * (sn*b.cos - c*mirror*b.sin), k * (sn*b.sin + c*mirror*b.cos),
		n.x, n.y, b.x, b.y, scale,
	}
	b.a, b.b, b.size = n.a*scale, n.b*scale, own*scale
}

// depth is the distance to the edge at a place, negative outside.
func (n *Nucleus) depth(u, v float64) float64 {
	if u < 0 || v < 0 || u > float64(n.w-1) || v > float64(n.h-1) {
		return -2
	}
	return interpolate(n.inside, n.w, n.h, u, v)
}

// sample is the light at a place inside.
func (n *Nucleus) sample(u, v float64) float64 {
	u, v = min(max(u, 0), float64(n.w-1)), min(max(v, 0), float64(n.h-1))
	return max(0, interpolate(n.light, n.w, n.h, u, v))
}

func interpolate(p []float32, w, h int, u, v float64) float64 {
	x, y := int(u), int(v)
	x1, y1 := min(x+1, w-1), min(y+1, h-1)
	fx, fy := u-float64(x), v-float64(y)
	top := float64(p[y*w+x])*(1-fx) + float64(p[y*w+x1])*fx
	low := float64(p[y1*w+x])*(1-fx) + float64(p[y1*w+x1])*fx
	return top*(1-fy) + low*fy
}
