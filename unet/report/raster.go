package report

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// Image renders the drawing on white at scale pixels per CSS pixel. A scale
// that is not a positive number counts as 1, and the picture is at most 16384
// pixels wide or high.
func (d *Drawing) Image(scale float64) *image.RGBA {
	if !(scale > 0) {
		scale = 1
	}
	scale = min(scale, 16384/max(d.W, d.H, 1))
	w, h := int(math.Ceil(d.W*scale)), int(math.Ceil(d.H*scale))
	r := raster{dst: image.NewRGBA(image.Rect(0, 0, w, h)), scale: scale}
	draw.Draw(r.dst, r.dst.Rect, image.White, image.Point{}, draw.Src)
	for i := range d.shapes {
		r.shape(&d.shapes[i])
	}
	return r.dst
}

// raster draws shapes in pixels with exact-area antialiasing.
type raster struct {
	dst   *image.RGBA
	scale float64
	vec   vector.Rasterizer
	rings [][]point // pixel coordinates, all turning the same way where they overlap
}

func (r *raster) shape(s *shape) {
	switch s.kind {
	case label:
		drawText(r.dst, s.pts[0].x*r.scale, s.pts[0].y*r.scale, s.text, s.size*r.scale, s.fill.c, s.at, s.bold)
		return
	case disc:
		if s.fill != noPaint {
			r.rings = append(r.rings, circle(r.px(s.pts[0]), s.r*r.scale))
			r.fill(s.fill.c)
		}
		if s.stroke != noPaint {
			c := circle(r.px(s.pts[0]), s.r*r.scale)
			r.stroke(append(c, c[0]), s.width*r.scale, nil)
			r.fill(s.stroke.c)
		}
		return
	}
	pts := make([]point, len(s.pts))
	for i, p := range s.pts {
		pts[i] = r.px(p)
	}
	if s.fill != noPaint {
		r.rings = append(r.rings, pts)
		r.fill(s.fill.c)
	}
	if s.stroke != noPaint {
		dash := make([]float64, len(s.dash))
		for i, v := range s.dash {
			dash[i] = v * r.scale
		}
		r.stroke(pts, s.width*r.scale, dash)
		r.fill(s.stroke.c)
	}
}

func (r *raster) px(p point) point { return point{p.x * r.scale, p.y * r.scale} }

// fill paints the collected rings, rasterising only their bounding box.
func (r *raster) fill(c color.RGBA) {
	lo, hi := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, ring := range r.rings {
		for _, p := range ring {
			lo = point{min(lo.x, p.x), min(lo.y, p.y)}
			hi = point{max(hi.x, p.x), max(hi.y, p.y)}
		}
	}
	size := r.dst.Rect
	box := image.Rect(clampInt(math.Floor(lo.x), size.Max.X), clampInt(math.Floor(lo.y), size.Max.Y),
		clampInt(math.Ceil(hi.x), size.Max.X), clampInt(math.Ceil(hi.y), size.Max.Y))
	if !box.Empty() {
		r.vec.Reset(box.Dx(), box.Dy())
		for _, ring := range r.rings {
			for i, p := range ring {
				x, y := float32(p.x-float64(box.Min.X)), float32(p.y-float64(box.Min.Y))
				if i == 0 {
					r.vec.MoveTo(x, y)
				} else {
					r.vec.LineTo(x, y)
				}
			}
			r.vec.ClosePath()
		}
		src := image.NewUniform(color.NRGBA(c))
		r.vec.Draw(r.dst, box, src, image.Point{})
	}
	r.rings = r.rings[:0]
}

func clampInt(v float64, top int) int { return int(min(max(v, 0), float64(top))) }

// stroke collects the outline of a polyline: a rectangle per segment and a
// disc per joint, all turning the same way so that overlaps do not cancel.
func (r *raster) stroke(pts []point, width float64, dash []float64) {
	half := width / 2
	for _, part := range dashes(pts, dash) {
		for i := 1; i < len(part); i++ {
			a, b := part[i-1], part[i]
			dx, dy := b.x-a.x, b.y-a.y
			l := math.Hypot(dx, dy)
			if l == 0 {
				continue
			}
			nx, ny := -dy/l*half, dx/l*half
			r.rings = append(r.rings, []point{
				{a.x - nx, a.y - ny}, {b.x - nx, b.y - ny}, {b.x + nx, b.y + ny}, {a.x + nx, a.y + ny}})
			if i+1 < len(part) && width > 1.2 {
				r.rings = append(r.rings, circle(b, half))
			}
		}
	}
}

// dashes cuts a polyline into the drawn parts of an on, off, on, off pattern.
func dashes(pts []point, pattern []float64) [][]point {
	total := 0.0
	for _, v := range pattern {
		total += v
	}
	if len(pts) < 2 || len(pattern) < 2 || !(total > 0) {
		return [][]point{pts}
	}
	var parts [][]point
	k, left := 0, pattern[0]
	cur := []point{pts[0]}
	for i := 1; i < len(pts); i++ {
		a, b := pts[i-1], pts[i]
		l := math.Hypot(b.x-a.x, b.y-a.y)
		for pos := 0.0; l > 0; {
			if pos+left > l {
				left -= l - pos
				if k%2 == 0 {
					cur = append(cur, b)
				}
				break
			}
			pos += left
			p := point{a.x + (b.x-a.x)*pos/l, a.y + (b.y-a.y)*pos/l}
			if k%2 == 0 {
				parts = append(parts, append(cur, p))
			}
			cur = []point{p}
			k++
			left = max(pattern[k%len(pattern)], 1e-3)
		}
	}
	if k%2 == 0 && len(cur) > 1 {
		parts = append(parts, cur)
	}
	return parts
}

func circle(c point, r float64) []point {
	n := min(max(int(4*math.Sqrt(max(r, 0))*2), 8), 64)
	pts := make([]point, n)
	for i := range pts {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		pts[i] = point{c.x + r*cos, c.y + r*sin}
	}
	return pts
}

var fonts = sync.OnceValue(func() [2]*opentype.Font {
	var out [2]*opentype.Font
	for i, data := range [][]byte{goregular.TTF, gobold.TTF} {
		f, err := opentype.Parse(data)
		if err != nil {
			panic("report: built-in font: " + err.Error())
		}
		out[i] = f
	}
	return out
})

type faceKey struct {
	size float64
	bold bool
}

// faces holds the glyph caches of the sizes in use. Faces are not safe for
// concurrent use, so all text goes through one lock.
var faces = struct {
	sync.Mutex
	m map[faceKey]font.Face
}{m: map[faceKey]font.Face{}}

// face returns the Go font at size pixels; faces must be locked.
func face(size float64, bold bool) font.Face {
	key := faceKey{size, bold}
	f := faces.m[key]
	if f == nil {
		i := 0
		if bold {
			i = 1
		}
		var err error
		f, err = opentype.NewFace(fonts()[i], &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			panic("report: built-in font: " + err.Error())
		}
		if len(faces.m) > 64 {
			clear(faces.m)
		}
		faces.m[key] = f
	}
	return f
}

// textWidth returns the width of s in the Go font at size pixels.
func textWidth(s string, size float64, bold bool) float64 {
	faces.Lock()
	defer faces.Unlock()
	return float64(font.MeasureString(face(size, bold), s)) / 64
}

func drawText(dst draw.Image, x, y float64, s string, size float64, c color.RGBA, at anchor, bold bool) {
	faces.Lock()
	defer faces.Unlock()
	d := font.Drawer{Dst: dst, Src: image.NewUniform(color.NRGBA(c)), Face: face(size, bold)}
	switch at {
	case middle:
		x -= float64(d.MeasureString(s)) / 128
	case end:
		x -= float64(d.MeasureString(s)) / 64
	}
	d.Dot = fixed.Point26_6{X: fixed.Int26_6(math.Round(x * 64)), Y: fixed.Int26_6(math.Round(y * 64))}
	d.DrawString(s)
}

// fit shortens s with an ellipsis to at most width pixels.
func fit(s string, width, size float64, bold bool) string {
	if textWidth(s, size, bold) <= width {
		return s
	}
	r := []rune(s)
	if len(r) > 400 { // names can be hostile; nothing wider fits anyway
		r = r[:400]
	}
	for len(r) > 0 && textWidth(string(r)+"…", size, bold) > width {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}
