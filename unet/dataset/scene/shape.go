package scene

import (
	"math"
	"math/rand/v2"

	"unet/unet/imageio"
)

// MinNucleus is the least visible area of a labelled nucleus, in pixels.
const MinNucleus = 16

// outline is the shape of a synthetic nucleus: an ellipse whose radius is
// modulated by a short Fourier series.
type outline struct {
	x, y     float64 // centre
	a, b     float64 // half axes, pixels
	cos, sin float64 // of the direction of a
	amp      [4]float64
	phase    [4]float64
}

func newOutline(rng *rand.Rand, x, y, diameter, elongation, angle, rough float64) *outline {
	q := math.Sqrt(elongation)
	o := &outline{x: x, y: y, a: diameter / 2 * q, b: diameter / 2 / q, cos: math.Cos(angle), sin: math.Sin(angle)}
	for k := range o.amp {
		// Orders 2..5, weaker the higher: smooth, now and then kidney-shaped.
		o.amp[k] = rough * rng.NormFloat64() / float64(k+1)
		o.phase[k] = rng.Float64() * 2 * math.Pi
	}
	return o
}

// depth says where a point lies: level is 0 at the centre and 1 on the
// outline, inside is the distance to the outline in pixels, about, negative
// outside.
func (o *outline) depth(px, py float64) (level, inside float64) {
	dx, dy := px-o.x, py-o.y
	u, v := (dx*o.cos+dy*o.sin)/o.a, (dy*o.cos-dx*o.sin)/o.b
	rho := math.Hypot(u, v)
	t := math.Atan2(v, u)
	r := 1.0
	for k := range o.amp {
		r += o.amp[k] * math.Cos(float64(k+2)*t+o.phase[k])
	}
	level = rho / max(r, 0.3)
	if rho < 1e-9 {
		return 0, min(o.a, o.b)
	}
	return level, (1 - level) / level * math.Hypot(dx, dy)
}

// box is the outline's bounding box within w x h, generously.
func (o *outline) box(w, h int) (x0, y0, x1, y1 int) {
	r := 1.5*max(o.a, o.b) + 2
	return max(0, int(o.x-r)), max(0, int(o.y-r)), min(w, int(o.x+r)+1), min(h, int(o.y+r)+1)
}

// crowd says how nuclei are strewn.
type crowd struct {
	diameter   float64 // mean, pixels
	spread     float64 // relative standard deviation of the diameter
	elongation float64 // mean ratio of the axes
	rough      float64 // amplitude of the outline's modulation
	cover      float64 // share of the area to fill
	touching   float64 // chance that a nucleus is put against another
	flow       float64 // 1: all lie along a smooth field of directions; 0: any way
	clumps     float64 // 0: evenly strewn; 1: only in the denser half of the field
}

// strew places nuclei until the cover is reached or no room is left. Nuclei
// touch but hardly overlap; shared pixels belong to the first.
func strew(c crowd, w, h int, rng *rand.Rand) ([]*outline, *imageio.Labels) {
	labels := imageio.NewLabels(w, h)
	var out []*outline
	direction := newNoise(rng, 1/(8*c.diameter))
	density := newNoise(rng, 1/(5*c.diameter))
	target := int(c.cover * float64(w*h))
	filled := 0
	for try := 0; filled < target && try < 60+40*target/int(c.diameter*c.diameter); try++ {
		d := c.diameter * math.Exp(c.spread*rng.NormFloat64())
		x, y := rng.Float64()*(float64(w)+d)-d/2, rng.Float64()*(float64(h)+d)-d/2
		if len(out) > 0 && rng.Float64() < c.touching {
			n := out[rng.IntN(len(out))]
			t := rng.Float64() * 2 * math.Pi
			gap := (n.a+n.b)/2 + d/2 + rng.Float64()*1.5 - 0.5
			x, y = n.x+gap*math.Cos(t), n.y+gap*math.Sin(t)
		} else if rng.Float64() < c.clumps && density.at(x, y) < 0.52 {
			continue
		}
		angle := rng.Float64() * math.Pi
		if rng.Float64() < c.flow {
			angle = 2*math.Pi*direction.at(x, y) + 0.3*rng.NormFloat64()
		}
		o := newOutline(rng, x, y, d, max(1, c.elongation*math.Exp(0.15*rng.NormFloat64())), angle, c.rough)
		if n := paint(labels, o, uint32(len(out)+1)); n > 0 {
			out = append(out, o)
			filled += n
		}
	}
	return out, labels
}

// paint writes label k inside the outline where nothing is yet, and returns
// the pixels written; none when the nucleus would overlap others by more than
// a twentieth or show too little.
func paint(l *imageio.Labels, o *outline, k uint32) int {
	x0, y0, x1, y1 := o.box(l.W, l.H)
	var own []int
	shared := 0
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			if level, _ := o.depth(float64(x), float64(y)); level > 1 {
				continue
			}
			if i := y*l.W + x; l.ID[i] == 0 {
				own = append(own, i)
			} else {
				shared++
			}
		}
	}
	if len(own) < MinNucleus || 20*shared > len(own) {
		return 0
	}
	for _, i := range own {
		l.ID[i] = k
	}
	return len(own)
}

// noise is smooth random value noise of several octaves, 0..1 about 0.5.
type noise struct {
	seed uint64
	freq float64 // of the coarsest octave, per pixel
}

func newNoise(rng *rand.Rand, freq float64) noise { return noise{rng.Uint64(), freq} }

// at is the noise of three octaves, each twice as fine and half as strong.
func (n noise) at(x, y float64) float64 {
	s, amp, f := 0.0, 4.0/7, n.freq
	for o := range uint64(3) {
		s += amp * n.octave(x*f, y*f, o)
		amp /= 2
		f *= 2
	}
	return s
}

func (n noise) octave(x, y float64, o uint64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	tx, ty := x-fx, y-fy
	tx, ty = tx*tx*(3-2*tx), ty*ty*(3-2*ty)
	ix, iy := int64(fx), int64(fy)
	v := func(dx, dy int64) float64 {
		h := (n.seed+o)*0x9E3779B97F4A7C15 ^ uint64(ix+dx)*0xC2B2AE3D27D4EB4F ^ uint64(iy+dy)*0x165667B19E3779F9
		h ^= h >> 29
		h *= 0xBF58476D1CE4E5B9
		h ^= h >> 32
		h *= 0x94D049BB133111EB
		return float64(h>>11) / (1 << 53)
	}
	return (v(0, 0)*(1-tx)+v(1, 0)*tx)*(1-ty) + (v(0, 1)*(1-tx)+v(1, 1)*tx)*ty
}
