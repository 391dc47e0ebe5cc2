package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"io"
)

// Drawing is a finished vector picture of plots. It is laid out once and
// rendered alike by SVG and by Image.
type Drawing struct {
	// W and H are the size in CSS pixels.
	W, H float64
	// Alt describes the drawing in words for readers who cannot see it.
	Alt string

	shapes []shape
}

type point struct{ x, y float64 }

// paint is a colour. A paint with a role keeps its meaning when the SVG is
// shown on a dark page; the colour is its value on white.
type paint struct {
	role string
	c    color.RGBA
}

var (
	noPaint    = paint{}
	paper      = paint{"bg", color.RGBA{255, 255, 255, 255}}
	inkStrong  = paint{"ink", color.RGBA{31, 38, 46, 255}}
	inkSoft    = paint{"soft", color.RGBA{91, 102, 114, 255}}
	gridStroke = paint{"grid", color.RGBA{226, 230, 235, 255}}
	axisStroke = paint{"axis", color.RGBA{150, 159, 169, 255}}
)

func solid(c color.RGBA) paint { return paint{c: c} }

// faded returns c at the given opacity, not premultiplied; the back-ends
// treat the alpha of a paint as opacity.
func faded(c color.RGBA, opacity float64) paint {
	c.A = uint8(opacity*255 + 0.5)
	return paint{c: c}
}

type shapeKind uint8

const (
	polygon shapeKind = iota
	polyline
	disc
	label
)

type anchor uint8

const (
	start anchor = iota
	middle
	end
)

type shape struct {
	kind         shapeKind
	pts          []point // disc and label: one point, centre and baseline
	r            float64
	fill, stroke paint
	width        float64
	dash         []float64
	text         string
	size         float64
	bold         bool
	at           anchor
	tip          string // shown on hover in the SVG
}

func (d *Drawing) rect(x, y, w, h float64, fill paint, tip string) {
	d.shapes = append(d.shapes, shape{
		kind: polygon, fill: fill, tip: tip,
		pts: []point{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}},
	})
}

func (d *Drawing) line(pts []point, stroke paint, width float64, dash ...float64) {
	d.shapes = append(d.shapes, shape{kind: polyline, pts: pts, stroke: stroke, width: width, dash: dash})
}

func (d *Drawing) area(pts []point, fill paint) {
	d.shapes = append(d.shapes, shape{kind: polygon, pts: pts, fill: fill})
}

func (d *Drawing) disc(at point, r float64, fill, stroke paint, width float64, tip string) {
	d.shapes = append(d.shapes, shape{kind: disc, pts: []point{at}, r: r, fill: fill, stroke: stroke, width: width, tip: tip})
}

func (d *Drawing) text(x, y float64, s string, size float64, fill paint, at anchor, bold bool) {
	if s == "" {
		return
	}
	d.shapes = append(d.shapes, shape{
		kind: label, pts: []point{{x, y}}, text: s, size: size, fill: fill, at: at, bold: bold,
	})
}

// PNG writes the drawing as a PNG file at scale pixels per CSS pixel.
func (d *Drawing) PNG(w io.Writer, scale float64) error {
	return EncodePNG(w, d.Image(scale))
}

// EncodePNG writes img as a PNG file, as one gray channel where all its
// pixels are gray.
func EncodePNG(w io.Writer, img image.Image) error {
	if m, ok := img.(*image.RGBA); ok {
		if g := asGray(m); g != nil {
			img = g
		}
	}
	return png.Encode(w, img)
}

func asGray(m *image.RGBA) *image.Gray {
	g := image.NewGray(m.Rect)
	w := m.Rect.Dx()
	for y := range m.Rect.Dy() {
		src, dst := m.Pix[y*m.Stride:], g.Pix[y*g.Stride:]
		for x := range w {
			p := src[4*x : 4*x+4]
			if p[0] != p[1] || p[1] != p[2] || p[3] != 255 {
				return nil
			}
			dst[x] = p[0]
		}
	}
	return g
}

func pngBytes(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := EncodePNG(&b, img)
	return b.Bytes(), err
}
