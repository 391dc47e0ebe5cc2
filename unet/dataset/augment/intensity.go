package augment

import (
	"math"
	"math/rand/v2"
)

// luma is the luminance of linear mixing, the weights of ITU-R BT.601.
var luma = [3]float32{0.299, 0.587, 0.114}

// matrix maps colours: row i gives output channel i.
type matrix [3][3]float32

func (a matrix) times(b matrix) (c matrix) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				c[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return c
}

// colour maps the three planes of buf to the channels planes of out, which may
// be the same memory.
func (p Policy) colour(rng *rand.Rand, buf, out []float32, channels int) {
	m := matrix{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	same := true
	if hit(rng, p.Colour) {
		m, same = hueSaturation(between(rng, -p.Hue, p.Hue), between(rng, 1-p.Saturation, 1+p.Saturation)), false
	}
	if hit(rng, p.ChannelShuffle) {
		order := [3]int{0, 1, 2}
		rng.Shuffle(3, func(i, j int) { order[i], order[j] = order[j], order[i] })
		m, same = matrix{m[order[0]], m[order[1]], m[order[2]]}, false
	}
	gray := hit(rng, p.Gray)
	if gray || channels == 1 {
		m, same = matrix{luma, luma, luma}.times(m), false
	}
	if same {
		return // buf is out
	}
	n := len(buf) / 3
	r, g, b := buf[:n], buf[n:][:n], buf[2*n:][:n]
	if channels == 1 {
		for i := range out {
			out[i] = m[0][0]*r[i] + m[0][1]*g[i] + m[0][2]*b[i]
		}
		return
	}
	o0, o1, o2 := out[:n], out[n:][:n], out[2*n:][:n]
	for i := range o0 {
		x, y, z := r[i], g[i], b[i]
		o0[i] = m[0][0]*x + m[0][1]*y + m[0][2]*z
		o1[i] = m[1][0]*x + m[1][1]*y + m[1][2]*z
		o2[i] = m[2][0]*x + m[2][1]*y + m[2][2]*z
	}
}

// hueSaturation turns colours by hue (turns) around the gray axis and
// multiplies their distance from their luminance by saturation. Grays keep
// their value.
func hueSaturation(hue, saturation float64) matrix {
	c, s := turn(2 * math.Pi * hue)
	k, r := (1-c)/3, s/math.Sqrt(3)
	d, e, f := float32(c+k), float32(k-r), float32(k+r)
	rotate := matrix{{d, e, f}, {f, d, e}, {e, f, d}}
	t := float32(saturation)
	var saturate matrix
	for i := range 3 {
		for j := range 3 {
			saturate[i][j] = (1 - t) * luma[j]
		}
		saturate[i][i] += t
	}
	return saturate.times(rotate)
}

const lutSize = 256

// intensity changes the brightness, sharpness and noise of the planes of out,
// each of them alike.
func (p Policy) intensity(rng *rand.Rand, t *scratch, out []float32, planes int) {
	scale, shift := 1.0, 0.0
	if hit(rng, p.Invert) {
		scale, shift = -1, 1
	}
	gain, gamma, offset := 1.0, 1.0, 0.0
	if hit(rng, p.Intensity) {
		if lo, hi := bounds(p.Gain); lo != 1 || hi != 1 {
			gain = logBetween(rng, lo, hi)
		}
		if lo, hi := bounds(p.Gamma); lo != 1 || hi != 1 {
			gamma = logBetween(rng, lo, hi)
		}
		if p.Offset > 0 {
			offset = between(rng, -p.Offset, p.Offset)
		}
	}
	switch {
	case gamma != 1:
		t.curve(out, func(v float64) float64 {
			v = v*scale + shift
			return gain*math.Copysign(math.Pow(math.Abs(v), gamma), v) + offset
		})
	case scale != 1 || gain != 1 || offset != 0:
		a, b := float32(gain*scale), float32(gain*shift+offset)
		for i, v := range out {
			out[i] = v*a + b
		}
	}
	if hit(rng, p.Blur) && p.BlurSigma > 0 {
		sigma := between(rng, 0.3, max(0.3, p.BlurSigma))
		n := p.Size * p.Size
		for c := range planes {
			t.blur(out[c*n:][:n], p.Size, sigma)
		}
	}
	if hit(rng, p.Noise) && p.NoiseSigma > 0 {
		noise(rng, out, p.NoiseSigma*rng.Float64(), rng.IntN(2) == 0)
	}
}

// curve applies f to every sample through a table with linear interpolation
// over the range of the samples.
func (t *scratch) curve(s []float32, f func(float64) float64) {
	lo, hi := s[0], s[0]
	for _, v := range s {
		lo, hi = min(lo, v), max(hi, v)
	}
	if !(hi > lo) || math.IsInf(float64(hi-lo), 0) {
		for i, v := range s {
			s[i] = float32(f(float64(v)))
		}
		return
	}
	step := float64(hi-lo) / lutSize
	for i := range t.lut {
		t.lut[i] = float32(f(float64(lo) + step*float64(i)))
	}
	inv := lutSize / (hi - lo)
	for i, v := range s {
		x := (v - lo) * inv
		k := min(uint(int(x)), lutSize)
		a := t.lut[k]
		s[i] = a + (t.lut[k+1]-a)*(x-float32(k))
	}
}

// blur convolves a plane of rows of w samples with a Gaussian, mirroring at
// the edges.
func (t *scratch) blur(plane []float32, w int, sigma float64) {
	var k [3*maxBlur + 1]float32
	r := min(int(math.Ceil(2.5*sigma)), len(k)-1, w-1)
	sum := 0.0
	for i := range r + 1 {
		g := math.Exp(-float64(i*i) / (2 * sigma * sigma))
		k[i] = float32(g)
		sum += g
		if i > 0 {
			sum += g
		}
	}
	for i := range k[:r+1] {
		k[i] /= float32(sum)
	}

	// Rows: a padded copy of each.
	t.line = grow(t.line, max(w+2*r, w*(r+1)))
	line := t.line[:w+2*r]
	for y := range w {
		row := plane[y*w:][:w]
		copy(line[r:], row)
		for i := 1; i <= r; i++ {
			line[r-i], line[r+w-1+i] = row[i], row[w-1-i]
		}
		mid := line[r:][:w]
		for x, v := range mid {
			row[x] = v * k[0]
		}
		for i := 1; i <= r; i++ {
			left, right, ki := line[r-i:][:w], line[r+i:][:w], k[i]
			for x := range row {
				row[x] += (left[x] + right[x]) * ki
			}
		}
	}
	// Columns: the r+1 rows above, and the one in work, are kept in a ring as
	// they were; the rows below are still untouched.
	ring := t.line[:w*(r+1)]
	above := func(y int) []float32 { return ring[(y%(r+1))*w:][:w] }
	for y := range w {
		copy(above(y), plane[y*w:][:w])
		row := plane[y*w:][:w]
		for x, v := range row {
			row[x] = v * k[0]
		}
		for i := 1; i <= r; i++ {
			up, down := y-i, y+i
			if up < 0 {
				up = -up
			}
			if down > w-1 {
				down = 2*(w-1) - down
			}
			a, b, ki := plane[up*w:][:w], plane[down*w:][:w], k[i]
			if up <= y {
				a = above(up)
			}
			if down <= y {
				b = above(down)
			}
			for x := range row {
				row[x] += (a[x] + b[x]) * ki
			}
		}
	}
}

// noise adds Gaussian noise of deviation sigma, or with photon set sigma times
// the root of the sample.
func noise(rng *rand.Rand, s []float32, sigma float64, photon bool) {
	// The sum of four random bytes is close to normal (deviation 147.8) and
	// eight bytes come from one step of SplitMix64: NormFloat64 would cost
	// more than the rest of the patch.
	state := rng.Uint64()
	k := float32(sigma / math.Sqrt(4*(256*256-1)/12.0))
	for i := 0; i < len(s); i += 2 {
		state += 0x9e3779b97f4a7c15
		z := mix(state)
		pair := (z & 0x00ff00ff00ff00ff) + (z >> 8 & 0x00ff00ff00ff00ff)
		pair += pair >> 16 // sums in bits 0–15 and 32–47
		a, b := float32(int(pair&0xffff)-510)*k, float32(int(pair>>32&0xffff)-510)*k
		if photon {
			a *= root(s[i])
		}
		s[i] += a
		if i+1 < len(s) {
			if photon {
				b *= root(s[i+1])
			}
			s[i+1] += b
		}
	}
}

func root(v float32) float32 { return float32(math.Sqrt(float64(max(v, 0)))) }

// mix is the output function of SplitMix64 (Steele, Lea and Flood 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// spread repeats the first of channels planes in the others, each with its
// share of a random tint.
func (p Policy) spread(rng *rand.Rand, out []float32, channels int) {
	if channels == 1 {
		return
	}
	share := [3]float32{1, 1, 1}
	if hit(rng, p.Tint) {
		full := rng.IntN(3)
		for c := range share {
			if c != full {
				share[c] = float32(max(0, between(rng, -0.5, 1)))
			}
		}
	}
	n := len(out) / 3
	first := out[:n]
	for c := 2; c >= 0; c-- {
		k, plane := share[c], out[c*n:][:n]
		if k == 1 {
			copy(plane, first)
			continue
		}
		for i, v := range first {
			plane[i] = v * k
		}
	}
}
