package report

import (
	"image/color"
	"strconv"
)

func (p *Plot) bars(d *Drawing, sx, sy scale) {
	var stack []float64
	for i, s := range p.Series {
		c := p.colour(i)
		switch s.Style {
		case Bars:
			for j, v := range s.Y {
				if j >= len(stack) {
					stack = append(stack, 0)
				}
				a, b, ok := p.span(s, j, sx)
				if !ok || !(v > 0) || !finite(v) {
					continue
				}
				y0, y1 := sy.at(stack[j]), sy.at(stack[j]+v)
				if sy.log && stack[j] == 0 {
					y0 = sy.from
				}
				stack[j] += v
				d.rect(a, y1, b-a, y0-y1, solid(c), barTip(p, s, j, v))
				if len(p.X.Names) > 0 && len(p.Series) == 1 {
					d.text((a+b)/2, y1-4, shortNumber(v), tickSize, inkSoft, middle, false)
				}
			}
		case Steps:
			pts := p.steps(s, sx, sy)
			if len(pts) > 2 {
				d.area(pts, faded(c, 0.16))
			}
		}
	}
}

// span returns the left and right side of bar j, with a hairline between
// neighbours where bars are wide enough.
func (p *Plot) span(s Series, j int, sx scale) (a, b float64, ok bool) {
	switch {
	case len(p.X.Names) > 0:
		if j >= len(p.X.Names) {
			return 0, 0, false
		}
		a, b = sx.at(float64(j)-0.36), sx.at(float64(j)+0.36)
		const widest = 72
		if b-a > widest {
			m := (a + b) / 2
			a, b = m-widest/2, m+widest/2
		}
	case j+1 < len(s.X) && finite(s.X[j]) && finite(s.X[j+1]):
		a, b = sx.at(s.X[j]), sx.at(s.X[j+1])
		if b-a > 4 {
			b--
		}
	default:
		return 0, 0, false
	}
	return a, b, b > a
}

func barTip(p *Plot, s Series, j int, v float64) string {
	text := shortNumber(v)
	switch {
	case len(p.X.Names) > 0:
		text = p.X.Names[j] + ": " + text
	default:
		text = shortNumber(s.X[j]) + "–" + shortNumber(s.X[j+1]) + ": " + text
	}
	if s.Name != "" {
		text = s.Name + ", " + text
	}
	return text
}

func shortNumber(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// steps returns the outline of a histogram, closed along the axis.
func (p *Plot) steps(s Series, sx, sy scale) []point {
	var pts []point
	for j, v := range s.Y {
		if j+1 >= len(s.X) || !finite(s.X[j]) || !finite(s.X[j+1]) {
			break
		}
		if !finite(v) {
			v = 0
		}
		y := sy.from
		if !sy.log || v > 0 {
			y = sy.at(v)
		}
		if j == 0 {
			pts = append(pts, point{sx.at(s.X[0]), sy.from})
		}
		pts = append(pts, point{sx.at(s.X[j]), y}, point{sx.at(s.X[j+1]), y})
	}
	if n := len(pts); n > 0 {
		pts = append(pts, point{pts[n-1].x, sy.from})
	}
	return pts
}

func (p *Plot) curve(d *Drawing, s Series, c color.RGBA, sx, sy scale) {
	n := min(len(s.X), len(s.Y))
	switch s.Style {
	case Steps:
		if pts := p.steps(s, sx, sy); len(pts) > 2 {
			d.line(pts, solid(c), 1.5)
		}
	case Points:
		for i := range n {
			if finite(s.X[i]) && finite(s.Y[i]) {
				d.disc(point{sx.at(s.X[i]), sy.at(s.Y[i])}, 3, solid(c), noPaint, 0, "")
			}
		}
	case Line, Dashed:
		var dash []float64
		if s.Style == Dashed {
			dash = []float64{5, 3}
		}
		var pts []point
		flush := func() {
			switch len(pts) {
			case 0:
			case 1: // a lone value would leave no trace
				d.disc(pts[0], 2.5, solid(c), noPaint, 0, "")
			default:
				d.line(pts, solid(c), 2, dash...)
			}
			pts = nil
		}
		for i := range n {
			bad := !finite(s.X[i]) || !finite(s.Y[i]) || sy.log && s.Y[i] <= 0 || sx.log && s.X[i] <= 0
			if bad {
				flush()
				continue
			}
			pts = append(pts, point{sx.at(s.X[i]), sy.at(s.Y[i])})
		}
		flush()
	}
}
