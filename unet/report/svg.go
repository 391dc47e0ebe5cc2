package report

import (
	"bytes"
	"encoding/xml"
	"image/color"
	"io"
	"math"
	"strconv"
)

// The light values are attributes, so that every viewer shows them; viewers
// that know style sheets follow the reader's dark setting.
const svgDark = `<style>@media (prefers-color-scheme:dark){` +
	`.bg{fill:#16191d}.ink{fill:#e8ebee}.soft{fill:#a3adb8}` +
	`circle.ink{fill:#16191d;stroke:#e8ebee}.grid{stroke:#2c3239}.axis{stroke:#68727d}}</style>`

// SVG writes the drawing as a stand-alone SVG file that follows the light or
// dark setting of the viewer. The bytes depend on the drawing only.
func (d *Drawing) SVG(w io.Writer) error {
	var b bytes.Buffer
	d.svg(&b, true)
	_, err := w.Write(b.Bytes())
	return err
}

// svg writes the drawing; inside an HTML page the style and the namespace are
// left to the page.
func (d *Drawing) svg(b *bytes.Buffer, alone bool) {
	b.WriteString("<svg")
	if alone {
		b.WriteString(` xmlns="http://www.w3.org/2000/svg"`)
	}
	attr(b, "width", num(d.W))
	attr(b, "height", num(d.H))
	attr(b, "viewBox", "0 0 "+num(d.W)+" "+num(d.H))
	attr(b, "role", "img")
	attr(b, "font-family", "Go, system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif")
	if d.Alt != "" {
		attr(b, "aria-label", d.Alt)
	}
	b.WriteString(">\n")
	if alone {
		b.WriteString(svgDark + "\n")
		b.WriteString(`<rect width="100%" height="100%" fill="#ffffff" class="bg"/>` + "\n")
	}
	for i := range d.shapes {
		d.shapes[i].svg(b)
	}
	b.WriteString("</svg>\n")
}

func (s *shape) svg(b *bytes.Buffer) {
	name := "path"
	switch s.kind {
	case disc:
		name = "circle"
		b.WriteString("<circle")
		attr(b, "cx", num(s.pts[0].x))
		attr(b, "cy", num(s.pts[0].y))
		attr(b, "r", num(s.r))
	case label:
		name = "text"
		b.WriteString("<text")
		attr(b, "x", num(s.pts[0].x))
		attr(b, "y", num(s.pts[0].y))
		attr(b, "font-size", num(s.size))
		if s.bold {
			attr(b, "font-weight", "600")
		}
		if s.at != start {
			attr(b, "text-anchor", [...]string{"start", "middle", "end"}[s.at])
		}
	default:
		b.WriteString(`<path d="`)
		for i, p := range s.pts {
			b.WriteByte("ML"[min(i, 1)])
			b.WriteString(num(p.x))
			b.WriteByte(' ')
			b.WriteString(num(p.y))
		}
		if s.kind == polygon {
			b.WriteByte('Z')
		}
		b.WriteByte('"')
	}
	role := s.fill.role
	svgPaint(b, "fill", s.fill, s.kind == label || s.kind == polygon)
	if s.stroke != noPaint {
		role = s.stroke.role
		svgPaint(b, "stroke", s.stroke, true)
		attr(b, "stroke-width", num(s.width))
		if s.kind == polyline {
			attr(b, "stroke-linejoin", "round")
		}
		if len(s.dash) > 0 {
			v := ""
			for i, x := range s.dash {
				if i > 0 {
					v += " "
				}
				v += num(x)
			}
			attr(b, "stroke-dasharray", v)
		}
	}
	if role != "" {
		attr(b, "class", role)
	}
	switch {
	case s.kind == label:
		b.WriteByte('>')
		escape(b, s.text)
	case s.tip != "":
		b.WriteString("><title>")
		escape(b, s.tip)
		b.WriteString("</title>")
	default:
		b.WriteString("/>\n")
		return
	}
	b.WriteString("</" + name + ">\n")
}

func svgPaint(b *bytes.Buffer, name string, p paint, always bool) {
	if p == noPaint {
		if !always {
			attr(b, name, "none")
		}
		return
	}
	attr(b, name, hexColour(p.c))
	if p.c.A != 255 {
		attr(b, name+"-opacity", strconv.FormatFloat(float64(p.c.A)/255, 'f', 2, 64))
	}
}

func hexColour(c color.RGBA) string {
	const digits = "0123456789abcdef"
	return string([]byte{'#', digits[c.R>>4], digits[c.R&15],
		digits[c.G>>4], digits[c.G&15], digits[c.B>>4], digits[c.B&15]})
}

func attr(b *bytes.Buffer, name, value string) {
	b.WriteString(" " + name + `="`)
	escape(b, value)
	b.WriteByte('"')
}

// escape writes s as XML text; characters XML cannot hold become U+FFFD.
func escape(b *bytes.Buffer, s string) {
	_ = xml.EscapeText(b, []byte(s)) // a bytes.Buffer does not fail
}

// num prints a coordinate to a tenth of a pixel, without trailing zeros.
func num(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}
