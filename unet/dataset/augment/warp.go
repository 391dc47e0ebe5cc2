package augment

import (
	"math"
	"math/rand/v2"
)

// geometry maps patch pixels to image pixels: with (x, y) relative to the
// middle of the patch, the source is (xx·x + xy·y + cx, yx·x + yy·y + cy).
// Pixel centres are at whole coordinates.
type geometry struct {
	xx, xy, yx, yy float64
	cx, cy         float64
	zoom           float64 // magnification
}

// place draws the magnification, the turn and the place of a patch.
func (p Policy) place(rng *rand.Rand, s Labelled) geometry {
	g := geometry{zoom: 1}
	if lo, hi := bounds(p.Scale); lo != 1 || hi != 1 {
		g.zoom = logBetween(rng, lo, hi)
	}
	c, sn, mirror := 1.0, 0.0, 1.0
	if p.Flip {
		k := rng.IntN(8)
		c, sn = quarter[k&3][0], quarter[k&3][1]
		if k >= 4 {
			mirror = -1
		}
	}
	if hit(rng, p.Rotate) {
		c, sn = turn(2 * math.Pi * rng.Float64())
	}
	step := 1 / g.zoom
	g.xx, g.xy = step*c*mirror, -step*sn
	g.yx, g.yy = step*sn*mirror, step*c

	// The square of side `side` around the centre stays inside the image, or,
	// when it is larger, keeps the whole image inside.
	side := float64(p.Size) * step
	if hit(rng, p.Foreground) && len(s.Nuclei) > 0 {
		n := s.Nuclei[rng.IntN(len(s.Nuclei))]
		jx, jy := between(rng, -0.4, 0.4)*side, between(rng, -0.4, 0.4)*side
		g.cx = centre(float64(n.X0+n.X1-1)/2+jx, s.Image.W, side)
		g.cy = centre(float64(n.Y0+n.Y1-1)/2+jy, s.Image.H, side)
	} else {
		slackX, slackY := math.Abs(float64(s.Image.W)-side), math.Abs(float64(s.Image.H)-side)
		g.cx = centre(float64(s.Image.W-1)/2+between(rng, -0.5, 0.5)*(slackX+1), s.Image.W, side)
		g.cy = centre(float64(s.Image.H-1)/2+between(rng, -0.5, 0.5)*(slackY+1), s.Image.H, side)
	}
	return g
}

// centre moves c, the middle of a window of the given side, so that the
// window lies within 0..w-1 or covers it, then to the pixel grid: patches that
// are neither scaled nor turned copy samples exactly.
func centre(c float64, w int, side float64) float64 {
	lo, hi := (side-1)/2, float64(w-1)-(side-1)/2
	if lo > hi {
		lo, hi = hi, lo
	}
	// The window begins at a whole pixel.
	begin := math.Round(min(max(c, lo), hi) - (side-1)/2)
	if first, last := math.Ceil(lo-(side-1)/2), math.Floor(hi-(side-1)/2); first <= last {
		begin = min(max(begin, first), last)
	}
	return begin + (side-1)/2
}

const (
	fracBits = 20 // of fixed-point source coordinates
	fracOne  = 1 << fracBits

	elasticSpacing = 32 // pixels between control points
	elasticReach   = 3  // control points move at most so many deviations
)

// tap says where one sample is read: four neighbours and the weights of the
// right and lower ones.
type tap struct {
	a, b, c, d int32
	fx, fy     float32
}

// raster is what samples are read from: an image or a reduced part of one.
type raster struct {
	w, h   int
	stride int     // samples from one row to the next
	x, y   float64 // image coordinates of its first pixel
	step   float64 // image pixels from one of its pixels to the next
	planes [3][]float32
}

// warp resamples an image once: affine map, elastic deformation and
// reflection at the edges together, bilinear. Where the image shrinks by more
// than 1.5, it is reduced by 2 × 2 means first, as often as needed.
type warp struct {
	taps         []tap
	cols, rows   []pair // for each source coordinate: column, and row offset
	col0, row0   int64  // coordinate of cols[0], rows[0]
	reduced      []float32
	gridX, gridY []float32
	lineX, lineY []float32 // control values of one row
	ex, ey       []float32 // displacement of each pixel of one row, source pixels
}

// run fills buf (s.Image.C planes) and ids with the patch of geometry g.
func (w *warp) run(rng *rand.Rand, p Policy, g geometry, s Labelled, buf []float32, ids []uint32) {
	size, img := p.Size, s.Image
	w.taps, w.ex, w.ey = grow(w.taps, size), grow(w.ex, size), grow(w.ey, size)
	elastic := hit(rng, p.Elastic) && p.ElasticPixels > 0
	reach := float64(size-1)/2 + 1
	if elastic {
		w.control(rng, size, p.ElasticPixels)
		reach += elasticReach * p.ElasticPixels
	}
	// Whole pixels of the smallest raster only: all rasters have their edges,
	// where they are mirrored, in the same place.
	levels := 0
	for 1/(g.zoom*float64(int(1)<<levels)) > 1.5 && min(img.W, img.H)>>levels >= 4 {
		levels++
	}
	full := raster{w: img.W >> levels << levels, h: img.H >> levels << levels, stride: img.W, step: 1}
	for c := range img.C {
		full.planes[c] = img.Plane(c)
	}
	src := full
	for range levels {
		src = w.reduce(src, g, reach, img.C)
	}

	on := g.on(src)
	w.frame(on, reach, src)
	for y := range size {
		w.aim(on, size, y, elastic)
		for c := range img.C {
			w.read(buf[(c*size+y)*size:][:size], src.planes[c])
		}
		if levels == 0 {
			w.vote(ids[y*size:][:size], s.Labels.ID)
		}
	}
	if levels == 0 {
		return
	}
	w.frame(g, reach, full)
	for y := range size {
		w.aim(g, size, y, elastic)
		w.vote(ids[y*size:][:size], s.Labels.ID)
	}
}

// on returns g with the source in coordinates of r.
func (g geometry) on(r raster) geometry {
	return geometry{
		xx: g.xx / r.step, xy: g.xy / r.step, yx: g.yx / r.step, yy: g.yy / r.step,
		cx: (g.cx - r.x) / r.step, cy: (g.cy - r.y) / r.step,
		zoom: g.zoom * r.step,
	}
}

// box returns how far from the centre the source of a patch reaches that
// itself reaches so far from its middle.
func (g geometry) box(reach float64) (rx, ry float64) {
	return reach * (math.Abs(g.xx) + math.Abs(g.xy)), reach * (math.Abs(g.yx) + math.Abs(g.yy))
}

// reduce returns src at half the resolution, only as much of it as a patch
// needs. The planes may lie in w.reduced before and do so afterwards.
func (w *warp) reduce(src raster, g geometry, reach float64, channels int) raster {
	on := g.on(src)
	rx, ry := on.box(reach)
	x0, x1 := span(on.cx-rx, on.cx+rx, src.w)
	y0, y1 := span(on.cy-ry, on.cy+ry, src.h)
	r := raster{
		w: (x1 - x0) / 2, h: (y1 - y0) / 2, stride: (x1 - x0) / 2,
		x: src.x + (float64(x0)+0.5)*src.step, y: src.y + (float64(y0)+0.5)*src.step,
		step: 2 * src.step,
	}
	if src.step == 1 {
		w.reduced = grow(w.reduced, channels*r.w*r.h)
	}
	for c := range channels {
		// A plane of a second reduction lies no later than it did before, and
		// every mean no later than its samples: they do not overwrite each
		// other's source.
		r.planes[c] = w.reduced[c*r.w*r.h:][:r.w*r.h]
		for y := range r.h {
			top := src.planes[c][(y0+2*y)*src.stride+x0:][:2*r.w]
			low := src.planes[c][(y0+2*y+1)*src.stride+x0:][:2*r.w]
			out := r.planes[c][y*r.w:][:r.w]
			for x := range out {
				a, b := top[2*x:2*x+2:2*x+2], low[2*x:2*x+2:2*x+2]
				out[x] = (a[0] + a[1] + b[0] + b[1]) * 0.25
			}
		}
	}
	return r
}

// span returns the part of 0..n-1, end excluded, that coordinates from lo to
// hi need, all of it when they leave it. Its length is even if n is.
func span(lo, hi float64, n int) (first, end int) {
	const margin = 2 // of the reduced raster's neighbours
	lo, hi = math.Floor(lo)-margin, math.Ceil(hi)+1+margin
	if lo < 0 || hi+1 >= float64(n) {
		return 0, n
	}
	first, end = int(lo), int(hi)+1
	return first, end + (end-first)&1
}

// pair holds the places of a source coordinate and of the next one.
type pair struct{ at, next int32 }

// frame sets the tables of the source coordinates that g reads from src.
func (w *warp) frame(g geometry, reach float64, src raster) {
	rx, ry := g.box(reach)
	w.cols, w.col0 = reflection(w.cols, g.cx-rx, g.cx+rx, src.w, 1)
	w.rows, w.row0 = reflection(w.rows, g.cy-ry, g.cy+ry, src.h, src.stride)
}

// reflection returns, for every whole coordinate from lo to hi, the coordinate
// in 0..n-1 that it mirrors (the mirror is the edge of the edge pixel, which
// is repeated) times stride, and the first coordinate.
func reflection(table []pair, lo, hi float64, n, stride int) ([]pair, int64) {
	first, last := int64(math.Floor(lo)), int64(math.Ceil(hi))
	mirror := func(k int64) int32 {
		k %= int64(2 * n)
		if k < 0 {
			k += int64(2 * n)
		}
		if k >= int64(n) {
			k = int64(2*n) - 1 - k
		}
		return int32(k) * int32(stride)
	}
	table = grow(table, int(last-first)+1)
	for i := range table {
		table[i] = pair{mirror(first + int64(i)), mirror(first + int64(i) + 1)}
	}
	return table, first
}

// aim sets the taps of row y.
func (w *warp) aim(g geometry, size, y int, elastic bool) {
	if elastic {
		w.displace(size, y, g)
	}
	m := float64(size-1) / 2
	dy := float64(y) - m
	u := int64(math.Round((g.xy*dy-g.xx*m+g.cx)*fracOne)) - w.col0<<fracBits
	v := int64(math.Round((g.yy*dy-g.yx*m+g.cy)*fracOne)) - w.row0<<fracBits
	du, dv := int64(math.Round(g.xx*fracOne)), int64(math.Round(g.yx*fracOne))
	cols, rows := w.cols, w.rows
	lastU, lastV := int64(len(cols))<<fracBits-1, int64(len(rows))<<fracBits-1
	ex, ey := w.ex[:len(w.taps)], w.ey[:len(w.taps)]
	for x := range w.taps {
		su, sv := u, v
		if elastic {
			su += int64(ex[x])
			sv += int64(ey[x])
		}
		su, sv = min(max(su, 0), lastU), min(max(sv, 0), lastV)
		c, r := cols[su>>fracBits], rows[sv>>fracBits]
		t := &w.taps[x]
		t.a, t.b, t.c, t.d = r.at+c.at, r.at+c.next, r.next+c.at, r.next+c.next
		t.fx = float32(int32(su&(fracOne-1))) * (1.0 / fracOne)
		t.fy = float32(int32(sv&(fracOne-1))) * (1.0 / fracOne)
		u += du
		v += dv
	}
}

// read samples one row bilinearly.
func (w *warp) read(row, src []float32) {
	taps := w.taps[:len(row)]
	for x := range row {
		t := &taps[x]
		a, c := src[t.a], src[t.c]
		top := a + (src[t.b]-a)*t.fx
		low := c + (src[t.d]-c)*t.fx
		row[x] = top + (low-top)*t.fy
	}
}

// vote gives every pixel the instance with most bilinear weight among its four
// neighbours: nearest neighbour, but without its staircase when nuclei grow.
func (w *warp) vote(row []uint32, src []uint32) {
	taps := w.taps[:len(row)]
	for x := range row {
		t := &taps[x]
		a, b, c, d := src[t.a], src[t.b], src[t.c], src[t.d]
		if a == b && a == c && a == d {
			row[x] = a
			continue
		}
		wa, wb := (1-t.fx)*(1-t.fy), t.fx*(1-t.fy)
		wc, wd := (1-t.fx)*t.fy, t.fx*t.fy
		if b == a {
			wa += wb
			wb = 0
		}
		if c == a {
			wa += wc
			wc = 0
		} else if c == b {
			wb += wc
			wc = 0
		}
		switch d {
		case a:
			wa += wd
			wd = 0
		case b:
			wb += wd
			wd = 0
		case c:
			wc += wd
			wd = 0
		}
		best, most := a, wa
		if wb > most {
			best, most = b, wb
		}
		if wc > most {
			best, most = c, wc
		}
		if wd > most {
			best = d
		}
		row[x] = best
	}
}

// bspline holds the four weights of the uniform cubic B-spline at each of the
// pixels between two control points.
var bspline = func() (t [elasticSpacing][4]float32) {
	for i := range t {
		u := (float64(i) + 0.5) / elasticSpacing
		t[i] = [4]float32{
			float32((1 - u) * (1 - u) * (1 - u) / 6),
			float32((3*u*u*u - 6*u*u + 4) / 6),
			float32((-3*u*u*u + 3*u*u + 3*u + 1) / 6),
			float32(u * u * u / 6),
		}
	}
	return t
}()

// control draws the control points of an elastic deformation.
func (w *warp) control(rng *rand.Rand, size int, sigma float64) {
	n := size/elasticSpacing + 4
	w.gridX, w.gridY = grow(w.gridX, n*n), grow(w.gridY, n*n)
	w.lineX, w.lineY = grow(w.lineX, n), grow(w.lineY, n)
	for i := range w.gridX {
		w.gridX[i] = float32(sigma * min(max(rng.NormFloat64(), -elasticReach), elasticReach))
		w.gridY[i] = float32(sigma * min(max(rng.NormFloat64(), -elasticReach), elasticReach))
	}
}

// displace fills ex and ey, in units of the fixed-point source coordinates,
// for row y.
func (w *warp) displace(size, y int, g geometry) {
	n := size/elasticSpacing + 4
	k, wy := y/elasticSpacing, &bspline[y%elasticSpacing]
	xx, xy, yx, yy := float32(g.xx*fracOne), float32(g.xy*fracOne), float32(g.yx*fracOne), float32(g.yy*fracOne)
	for i := range w.lineX {
		var dx, dy float32
		for j, wj := range wy {
			dx += wj * w.gridX[(k+j)*n+i]
			dy += wj * w.gridY[(k+j)*n+i]
		}
		// Displacements are in patch pixels: the affine map takes them along.
		w.lineX[i], w.lineY[i] = xx*dx+xy*dy, yx*dx+yy*dy
	}
	for x := 0; x < size; x += elasticSpacing {
		lx, ly := w.lineX[x/elasticSpacing:][:4], w.lineY[x/elasticSpacing:][:4]
		ex, ey := w.ex[x:min(size, x+elasticSpacing)], w.ey[x:min(size, x+elasticSpacing)]
		for i := range ex {
			b := &bspline[i]
			ex[i] = b[0]*lx[0] + b[1]*lx[1] + b[2]*lx[2] + b[3]*lx[3]
			ey[i] = b[0]*ly[0] + b[1]*ly[1] + b[2]*ly[2] + b[3]*ly[3]
		}
	}
}
