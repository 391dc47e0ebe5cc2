package serve

import (
	"bytes"
	"fmt"
	stdimage "image"
	"image/color"
	"image/png"
	"math"
	"net/http"
)

// Outlines of more nuclei than are listed are drawn here, as tiles that lie over
// those of the picture: from the labels, or, where that would read too many of them,
// as the ellipses of the nuclei's boxes.

// labelLevel is the smallest picture, 1/2^labelLevel, whose outlines come from the
// labels.
const labelLevel = 3

// The colours of outline tiles: nothing, the casing, and those of nuclei. A nucleus
// keeps its colour at every zoom.
var outlineColours = func() color.Palette {
	p := color.Palette{color.NRGBA{}, color.NRGBA{0, 0, 0, 150}}
	for i := range 24 {
		p = append(p, hsl(float64(i)*137.5, 0.9, 0.62))
	}
	return p
}()

const casing, firstColour = 1, 2

// casedScale is how much smaller a picture may be and have casings.
const casedScale = 2

// hsl is a colour by its angle on the colour circle, saturation and lightness.
func hsl(degrees, saturation, light float64) color.NRGBA {
	chroma := saturation * min(light, 1-light)
	part := func(offset float64) uint8 {
		k := math.Mod(offset+degrees/30, 12)
		return uint8(255 * (light - chroma*max(-1, min(k-3, 9-k, 1))))
	}
	return color.NRGBA{part(0), part(8), part(4), 255}
}

func outlineColour(id uint32) uint8 {
	return uint8(firstColour + id%uint32(len(outlineColours)-firstColour))
}

// outlineTile draws a tile of outlines at 1/2^level of the size, coloured by a
// measurement or, without one, by nucleus, and tells the revision that it shows.
func (d *document) outlineTile(level, x, y int, by string) (m *stdimage.Paletted, revision int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready(); err != nil {
		return nil, 0, err
	}
	scale := 1 << min(level, 30)
	w, h := (d.w+scale-1)/scale, (d.h+scale-1)/scale
	r := stdimage.Rect(x*tileSide, y*tileSide, (x+1)*tileSide, (y+1)*tileSide).Intersect(stdimage.Rect(0, 0, w, h))
	if r.Empty() {
		return nil, 0, &apiError{http.StatusNotFound, "there is no such tile"}
	}
	palette, colour := outlineColours, outlineColour
	if by != "" {
		c, err := d.colours(by)
		if err != nil {
			return nil, 0, err
		}
		palette, colour = rampColours, func(id uint32) uint8 { return c.colour[id] }
	}
	m = stdimage.NewPaletted(stdimage.Rect(0, 0, r.Dx(), r.Dy()), palette)
	if level > labelLevel {
		d.ellipses(m, r, scale, colour)
		return m, d.history.revision, nil
	}
	return m, d.history.revision, d.borders(m, r, scale, colour)
}

// borders draws the border pixels of labels, of which it sees every scale-th row and
// column, and a casing around them where there is room.
func (d *document) borders(m *stdimage.Paletted, r stdimage.Rectangle, scale int, colour func(uint32) uint8) error {
	w, h := r.Dx()+2, r.Dy()+2 // with a pixel around
	ids := make([]uint32, w*h)
	x0 := max(0, (r.Min.X-1)*scale)
	x1 := min(d.w, (r.Max.X+1)*scale)
	for v := range h {
		y := (r.Min.Y-1+v)*scale + scale/2
		if y < 0 || y >= d.h {
			continue
		}
		row, err := d.history.region(stdimage.Rect(x0, y, x1, y+1))
		if err != nil {
			return err
		}
		for u := range w {
			if x := (r.Min.X-1+u)*scale + scale/2; x >= x0 && x < x1 {
				ids[v*w+u] = row.ID[x-x0]
			}
		}
	}
	for v := 1; v < h-1; v++ {
		for u := 1; u < w-1; u++ {
			i := v*w + u
			id := ids[i]
			if id == ids[i-1] && id == ids[i+1] && id == ids[i-w] && id == ids[i+w] {
				continue
			}
			c := uint8(casing)
			if id != 0 {
				c = colour(id)
			} else if scale > casedScale {
				continue
			}
			m.Pix[(v-1)*m.Stride+u-1] = c
		}
	}
	return nil
}

// ellipses draws the ellipses that fill the boxes of nuclei.
func (d *document) ellipses(m *stdimage.Paletted, r stdimage.Rectangle, scale int, colour func(uint32) uint8) {
	area := stdimage.Rect(r.Min.X*scale, r.Min.Y*scale, r.Max.X*scale, r.Max.Y*scale)
	for id, p := range d.nuclei.at {
		if !p.rect().Overlaps(area) {
			continue
		}
		by := 1 / float64(scale)
		cx, cy := float64(p.x0+p.x1)/2*by-float64(r.Min.X), float64(p.y0+p.y1)/2*by-float64(r.Min.Y)
		a, b := max(float64(p.x1-p.x0)/2*by, 0.5), max(float64(p.y1-p.y0)/2*by, 0.5)
		steps := max(4, int(4*(a+b)))
		c := colour(id)
		for k := range steps {
			sin, cos := math.Sincos(2 * math.Pi * float64(k) / float64(steps))
			if q := stdimage.Pt(int(math.Floor(cx+a*cos)), int(math.Floor(cy+b*sin))); q.In(m.Rect) {
				m.Pix[q.Y*m.Stride+q.X] = c
			}
		}
	}
}

func (s *Server) outlines(w http.ResponseWriter, r *http.Request) error {
	var at [5]int
	for i, name := range []string{"level", "x", "y", "plane", "revision"} {
		n, err := natural(r, name, 0)
		if err != nil {
			return err
		}
		at[i] = n
	}
	d := s.opened(r.PathValue("id"), at[3])
	if d == nil {
		var err error
		if d, err = s.document(r); err != nil {
			return err
		}
	}
	by := r.URL.Query().Get("colour")
	key := fmt.Sprint("outlines", d.picture.id, d.picture.stamp, d.picture.choice, at, by)
	s.mu.Lock()
	b := s.tiles.get(key)
	s.mu.Unlock()
	if b == nil {
		m, revision, err := d.outlineTile(at[0], at[1], at[2], by)
		if err != nil {
			return err
		}
		var buffer bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&buffer, m); err != nil {
			return err
		}
		b = buffer.Bytes()
		if revision == at[4] {
			s.mu.Lock()
			s.tiles.put(key, d.picture.id, b)
			s.mu.Unlock()
		}
	}
	w.Header().Set("Content-Type", "image/png")
	_, err := w.Write(b)
	return err
}
