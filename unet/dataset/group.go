package dataset

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"unet/unet/imageio"
)

// Grouping: which images show the same field of the microscope.
//
// Published sets are often cut from larger images. Crops of one image that end
// up in training and validation make the validation blind to overfitting, so
// Prepare finds them by what the pixels show, joins them by union-find and
// keeps each group in one split:
//
//   - Adjacent crops: the last row of one and the first row of the other are as
//     alike as two neighbouring rows within either image: their mean absolute
//     difference is at most ratio times that within. Both rows must carry
//     structure, a standard deviation of at least contrast times that
//     difference, so that dark edges prove nothing. This is tried on the rows
//     as they are and, for noisy edges with less structure, smoothed.
//     (In DSB2018 the ratio of true neighbours is 0.7 to 1.25, hardly any pair
//     follows up to 1.5, and chance begins there.)
//   - Overlapping crops: they share patches of patchSide² pixels, equal to the
//     bit, at one and the same displacement. Patches are picked by their own
//     hash, so both crops pick the same ones.
//   - Duplicates: equal files, or equal looks: perceptual hashes (signs of
//     the lowest 8x8 DCT coefficients) at most hashBits apart in any of the
//     eight orientations, confirmed by the correlation of thumbnails.
const (
	patchSide    = 12
	patchPick    = 10 // leading zero bits of a remembered hash: one in 1024
	patchLevels  = 6  // distinct sample values a patch must have
	patchMatches = 3  // shared patches at one displacement
	patchImages  = 16 // places of a patch that count
	thumbSide    = 32
	hashBits     = 6
	thumbAlike   = 0.98
)

// look is what grouping keeps of an image.
type look struct {
	w, h, c int
	edges   [4][len(edgeTests)]edge // left, right, top, bottom; by test
	patches []patch
	thumb   []float32 // thumbSide², zero mean, unit variance
	hashes  [8]uint64 // perceptual, by orientation
}

// edgeTests are the ways to compare edges: box filter along the edge in
// pixels, least contrast, greatest ratio.
var edgeTests = [...]struct {
	box             int
	contrast, ratio float64
}{{1, 3, 1.4}, {5, 2, 1.25}}

// edge is the outermost row or column of an image.
type edge struct {
	pix    []float32
	mean   float64
	std    float64
	inside float64 // mean absolute difference to the next row inwards
}

// patch is a remembered square: the hash of its samples and its corner.
type patch struct {
	hash uint64
	x, y int32
}

// lookOf extracts what grouping needs.
func lookOf(m *imageio.Image) *look {
	lum := luminance(m)
	k := &look{w: m.W, h: m.H, c: m.C}
	for side := range k.edges {
		outer, next := edgeRows(lum, m.W, m.H, side)
		for t, test := range edgeTests {
			k.edges[side][t] = edgeOf(boxFilter(outer, test.box), boxFilter(next, test.box))
		}
	}
	k.patches = patchesOf(lum, m.W, m.H)
	k.thumb = thumbOf(lum, m.W, m.H)
	hash := perceptualHash(k.thumb)
	for o := range k.hashes {
		k.hashes[o] = turned(hash, o)
	}
	return k
}

// edgeRows copies the outermost and the next row or column of a side; of images
// too small to tell it returns none.
func edgeRows(lum []float32, w, h, side int) (outer, next []float32) {
	if w < 16 || h < 16 {
		return nil, nil
	}
	n, start, step, inward := h, 0, w, 1 // left
	switch side {
	case 1:
		start, inward = w-1, -1
	case 2:
		n, step, inward = w, 1, w
	case 3:
		n, start, step, inward = w, (h-1)*w, 1, -w
	}
	for i := range n {
		outer = append(outer, lum[start+i*step])
		next = append(next, lum[start+i*step+inward])
	}
	return outer, next
}

// boxFilter averages n neighbours (odd), fewer at the ends.
func boxFilter(v []float32, n int) []float32 {
	if n == 1 {
		return v
	}
	out := make([]float32, len(v))
	for i := range v {
		near := v[max(0, i-n/2):min(len(v), i+n/2+1)]
		out[i] = float32(mean(near))
	}
	return out
}

func edgeOf(outer, next []float32) edge {
	if len(outer) == 0 {
		return edge{}
	}
	e := edge{pix: outer, mean: mean(outer)}
	for i, v := range outer {
		e.inside += math.Abs(float64(v - next[i]))
		e.std += (float64(v) - e.mean) * (float64(v) - e.mean)
	}
	e.inside /= float64(len(outer))
	e.std = math.Sqrt(e.std / float64(len(outer)))
	return e
}

// adjacent says whether some side of a continues on the opposite side of b.
func adjacent(a, b *look) bool {
	if a.c != b.c {
		return false
	}
	for side := range a.edges {
		for t, test := range edgeTests {
			if a.edges[side][t].continues(&b.edges[side^1][t], test.contrast, test.ratio) {
				return true
			}
		}
	}
	return false
}

// continues says whether b carries on where a ends.
func (a *edge) continues(b *edge, contrast, ratio float64) bool {
	within := (a.inside + b.inside) / 2
	if len(a.pix) == 0 || len(a.pix) != len(b.pix) || within == 0 || min(a.std, b.std) < contrast*within {
		return false
	}
	bound := ratio * within
	if math.Abs(a.mean-b.mean) > bound { // the difference cannot be smaller
		return false
	}
	sum, stop := 0.0, bound*float64(len(a.pix))
	for i, v := range a.pix {
		sum += math.Abs(float64(v - b.pix[i]))
		if sum > stop {
			return false
		}
	}
	return true
}

// patchesOf hashes the square at every position with two rolling polynomials,
// along rows then down columns, and keeps those whose hash starts with
// patchPick zero bits and whose pixels are not flat.
func patchesOf(lum []float32, w, h int) []patch {
	const n = patchSide
	if w < n || h < n {
		return nil
	}
	const px, py = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
	power := func(p uint64) uint64 { // p^n
		r := uint64(1)
		for range n {
			r *= p
		}
		return r
	}
	outX, outY := power(px), power(py)
	cols := w - n + 1
	rows := make([]uint64, n*cols) // hashes along the last n rows, a ring
	col := make([]uint64, cols)
	var ps []patch
	for y := range h {
		line := lum[y*w : (y+1)*w]
		ring := rows[y%n*cols : (y%n+1)*cols]
		var hx uint64
		for x, v := range line {
			hx = hx*px + sampleBits(v)
			if x >= n {
				hx -= outX * sampleBits(line[x-n])
			}
			if x < n-1 {
				continue
			}
			i := x - n + 1
			col[i] = col[i]*py + hx
			if y >= n {
				col[i] -= outY * ring[i]
			}
			ring[i] = hx
			if y < n-1 {
				continue
			}
			// The low bits of a polynomial hash mix badly; take the high ones.
			if mixed := col[i] * px; mixed>>(64-patchPick) == 0 && lively(lum, w, i, y-n+1) {
				ps = append(ps, patch{col[i], int32(i), int32(y - n + 1)})
			}
		}
	}
	return ps
}

func sampleBits(v float32) uint64 { return uint64(math.Float32bits(v))*0xFF51AFD7ED558CCD + 1 }

// lively says whether a patch has enough distinct values to mean something.
func lively(lum []float32, w, x0, y0 int) bool {
	var seen [patchLevels]float32
	n := 0
	for y := y0; y < y0+patchSide; y++ {
		for _, v := range lum[y*w+x0 : y*w+x0+patchSide] {
			if !slices.Contains(seen[:n], v) {
				seen[n] = v
				if n++; n == patchLevels {
					return true
				}
			}
		}
	}
	return false
}

// thumbOf averages the image down to thumbSide² cells and normalises them.
func thumbOf(lum []float32, w, h int) []float32 {
	t := make([]float32, thumbSide*thumbSide)
	for ty := range thumbSide {
		y0, y1 := ty*h/thumbSide, max((ty+1)*h/thumbSide, ty*h/thumbSide+1)
		for tx := range thumbSide {
			x0, x1 := tx*w/thumbSide, max((tx+1)*w/thumbSide, tx*w/thumbSide+1)
			s := 0.0
			for y := y0; y < y1; y++ {
				for _, v := range lum[y*w+x0 : y*w+x1] {
					s += float64(v)
				}
			}
			t[ty*thumbSide+tx] = float32(s / float64((y1-y0)*(x1-x0)))
		}
	}
	m := mean(t)
	sq := 0.0
	for _, v := range t {
		sq += (float64(v) - m) * (float64(v) - m)
	}
	scale := 0.0
	if sq > 0 {
		scale = math.Sqrt(float64(len(t)) / sq)
	}
	for i, v := range t {
		t[i] = float32((float64(v) - m) * scale)
	}
	return t
}

// perceptualHash holds the signs of the 8x8 lowest DCT-II coefficients of a
// thumbnail; bit 8*v+u is set when coefficient (u, v) is negative.
func perceptualHash(t []float32) uint64 {
	var h uint64
	for v := range 8 {
		for u := range 8 {
			if u+v == 0 {
				continue
			}
			s := 0.0
			for y := range thumbSide {
				for x := range thumbSide {
					s += float64(t[y*thumbSide+x]) * dct[v][y] * dct[u][x]
				}
			}
			if s < 0 {
				h |= 1 << (8*v + u)
			}
		}
	}
	return h
}

// dct[k][x] is the k-th DCT-II basis function at cell x.
var dct = func() (t [8][thumbSide]float64) {
	for k := range t {
		for x := range t[k] {
			t[k][x] = math.Cos(math.Pi / thumbSide * (float64(x) + 0.5) * float64(k))
		}
	}
	return t
}()

// turned is the perceptual hash of the image in orientation o: bit 0 mirrors
// x, bit 1 mirrors y, bit 2 transposes (after mirroring). Mirroring negates
// the odd coefficients of its axis; transposing swaps the axes.
func turned(h uint64, o int) uint64 {
	if o&1 != 0 {
		h ^= 0xAAAAAAAAAAAAAAAA
	}
	if o&2 != 0 {
		h ^= 0xFF00FF00FF00FF00
	}
	if o&4 != 0 {
		var t uint64
		for v := range 8 {
			for u := range 8 {
				t |= (h >> (8*v + u) & 1) << (8*u + v)
			}
		}
		h = t
	}
	return h
}

// correlation of thumbnail a in orientation o with b, -1..1.
func correlation(a, b []float32, o int) float64 {
	s := 0.0
	for y := range thumbSide {
		for x := range thumbSide {
			ax, ay := x, y
			if o&4 != 0 {
				ax, ay = y, x
			}
			if o&1 != 0 {
				ax = thumbSide - 1 - ax
			}
			if o&2 != 0 {
				ay = thumbSide - 1 - ay
			}
			s += float64(a[ay*thumbSide+ax] * b[y*thumbSide+x])
		}
	}
	return s / (thumbSide * thumbSide)
}

// Relations of two images.
const (
	relDuplicate = "duplicate"      // equal files
	relNear      = "near-duplicate" // equal looks
	relOverlap   = "overlapping-crops"
	relAdjacent  = "adjacent-crops"
)

// link is a relation found between images i < j.
type link struct {
	i, j int
	kind string
}

func (l link) compare(m link) int {
	return cmp.Or(cmp.Compare(l.i, m.i), cmp.Compare(l.j, m.j), cmp.Compare(l.kind, m.kind))
}

// duplicates finds equal files; "" is no digest.
func duplicates(digests []string) (out []link) {
	first := map[string]int{}
	for i, d := range digests {
		if d == "" {
			continue
		}
		if j, ok := first[d]; ok {
			out = append(out, link{j, i, relDuplicate})
		} else {
			first[d] = i
		}
	}
	return out
}

// near says whether two images look alike in some orientation.
func near(a, b *look) bool {
	for o := range 8 {
		aw, ah := a.w, a.h
		if o&4 != 0 {
			aw, ah = ah, aw
		}
		if aw*b.h != ah*b.w { // other proportions
			continue
		}
		if bits.OnesCount64(a.hashes[o]^b.hashes[0]) <= hashBits && correlation(a.thumb, b.thumb, o) >= thumbAlike {
			return true
		}
	}
	return false
}

// groupOf numbers the images' groups by the first image of each.
func groupOf(n int, links []link) []int {
	up := make([]int, n)
	for i := range up {
		up[i] = i
	}
	find := func(a int) int {
		for up[a] != a {
			up[a] = up[up[a]]
			a = up[a]
		}
		return a
	}
	for _, l := range links {
		a, b := find(l.i), find(l.j)
		up[max(a, b)] = min(a, b)
	}
	g := make([]int, n)
	for i := range g {
		g[i] = find(i)
	}
	return g
}
