package report

import (
	"image/color"
	"math"
)

// Style is the way a Series is drawn.
type Style uint8

const (
	// Line joins the points (X[i], Y[i]); a NaN breaks the line.
	Line Style = iota
	// Dashed is a broken Line.
	Dashed
	// Points draws the points alone.
	Points
	// Bars draws Y[i] as a bar from X[i] to X[i+1] (len(X) = len(Y)+1), or at
	// category i when the axis has names. Several Bars series are stacked.
	Bars
	// Steps draws the outline of the bars, with a light fill.
	Steps
)

// Series is one named set of values of a plot.
type Series struct {
	Name  string
	X, Y  []float64
	Style Style
	// Colour is chosen from the palette when it is fully transparent.
	Colour color.RGBA
}

// Mark is a vertical line at X with a short label at its top, and a ring at
// Y when Y is a number.
type Mark struct {
	X, Y  float64
	Label string
}

// Plot is one coordinate system with its series.
type Plot struct {
	Title  string
	X, Y   Axis
	Series []Series
	Marks  []Mark
	// Width and Height are in CSS pixels, at least 160 and 180; 0 means 560
	// and 320.
	Width, Height int
	// NoLegend leaves the legend out, where a figure has one for all plots.
	NoLegend bool
}

// Draw lays the plot out alone.
func (p *Plot) Draw() *Drawing {
	w, h := p.size()
	d := &Drawing{W: w, H: h, Alt: p.Title}
	p.draw(d, 0, 0)
	return d
}

// Grid lays several plots out in columns under one title.
func Grid(title string, columns int, plots ...*Plot) *Drawing {
	d := &Drawing{Alt: title}
	columns = max(1, min(columns, max(1, len(plots))))
	y := 0.0
	if title != "" {
		y = 34
	}
	for i := 0; i < len(plots); i += columns {
		x, row := 0.0, 0.0
		for _, p := range plots[i:min(i+columns, len(plots))] {
			w, h := p.size()
			p.draw(d, x, y)
			x += w
			row = max(row, h)
		}
		d.W = max(d.W, x)
		y += row
	}
	d.H = y
	d.W, d.H = max(d.W, 80), max(d.H, 40)
	if title != "" {
		d.text(16, 24, fit(title, d.W-32, 16, true), 16, inkStrong, start, true)
	}
	return d
}

func (p *Plot) size() (w, h float64) {
	w, h = 560, 320
	if p.Width > 0 {
		w = float64(max(p.Width, 160))
	}
	if p.Height > 0 {
		h = float64(max(p.Height, 180))
	}
	return w, h
}

const (
	titleSize  = 14.0
	labelSize  = 12.0
	tickSize   = 11.0
	plotMargin = 14.0
)

// draw lays the plot out with its top left corner at ox, oy.
func (p *Plot) draw(d *Drawing, ox, oy float64) {
	w, h := p.size()
	top := oy + plotMargin
	if p.Title != "" {
		d.text(ox+plotMargin, top+12, fit(p.Title, w-2*plotMargin, titleSize, true), titleSize, inkStrong, start, true)
		top += 22
	}
	if !p.NoLegend {
		top = p.legend(d, ox+plotMargin, top, w-2*plotMargin)
	}
	if p.Y.Label != "" {
		d.text(ox+plotMargin, top+10, fit(p.Y.Label, w-2*plotMargin, tickSize, false), tickSize, inkSoft, start, false)
		top += 16
	}
	if len(p.Marks) > 0 {
		top += 14
	}
	top = math.Round(top + 6)
	bottom := math.Round(oy + h - plotMargin - 18)
	if p.X.Label != "" || p.staggered(w) {
		bottom -= 16
	}
	bottom = max(bottom, top+8) // where the legend of a small plot takes all room
	xlo, xhi, ylo, yhi := p.ranges()
	empty := !(ylo <= yhi)
	sy := p.Y.scale(ylo, yhi).padded(p.Y)
	sy.from, sy.to = bottom, top
	yt := p.Y.ticks(sy, int(max(2, (bottom-top)/34)))
	gutter := 8.0
	for _, t := range yt {
		gutter = max(gutter, textWidth(t.text, tickSize, false))
	}
	left := math.Round(ox + plotMargin + gutter + 7)
	right := max(math.Round(ox+w-plotMargin-6), left+8)
	sx := p.X.scale(xlo, xhi)
	sx.from, sx.to = left, right

	for _, t := range yt {
		y := math.Round(sy.at(t.v)) + 0.5
		d.line([]point{{left, y}, {right, y}}, gridStroke, 1)
		d.text(left-7, y+3.8, t.text, tickSize, inkSoft, end, false)
	}
	p.bars(d, sx, sy)
	base := math.Round(bottom) + 0.5
	d.line([]point{{left, base}, {right, base}}, axisStroke, 1)
	p.xTicks(d, sx, base)
	if empty {
		d.text((left+right)/2, (top+bottom)/2, "no data", labelSize, inkSoft, middle, false)
	}
	if p.X.Label != "" {
		d.text((left+right)/2, bottom+33, fit(p.X.Label, right-left, labelSize, false), labelSize, inkSoft, middle, false)
	}
	for _, m := range p.Marks {
		if !finite(m.X) {
			continue
		}
		x := math.Round(sx.at(m.X)) + 0.5
		d.line([]point{{x, top}, {x, bottom}}, axisStroke, 1, 3, 3)
		at := start
		if half := textWidth(m.Label, tickSize, false) / 2; x+half > right {
			at = end
		} else if x-half > left {
			at = middle
		}
		d.text(x, top-4, m.Label, tickSize, inkSoft, at, false)
	}
	for i, s := range p.Series {
		p.curve(d, s, p.colour(i), sx, sy)
	}
	for _, m := range p.Marks {
		if finite(m.X) && finite(m.Y) {
			d.disc(point{sx.at(m.X), sy.at(m.Y)}, 4, paper, inkStrong, 1.6, m.Label)
		}
	}
}

func (p *Plot) colour(i int) color.RGBA {
	if c := p.Series[i].Colour; c.A != 0 {
		return c
	}
	return SeriesColour(i)
}

// legend draws the entries in lines of text and returns the new top.
func (p *Plot) legend(d *Drawing, x, y, w float64) float64 {
	if len(p.Series) < 2 {
		return y
	}
	cx, any := x, false
	for i, s := range p.Series {
		if s.Name == "" {
			continue
		}
		name := fit(s.Name, w-30, tickSize, false)
		ew := 22 + 1.1*textWidth(name, tickSize, false) + 14 // viewers without the Go font use wider ones
		if any && cx+ew-16 > x+w {
			cx, y = x, y+16
		}
		any = true
		key(d, cx, y+6, s.Style, p.colour(i))
		d.text(cx+22, y+10, name, tickSize, inkSoft, start, false)
		cx += ew
	}
	if any {
		y += 18
	}
	return y
}

func key(d *Drawing, x, y float64, style Style, c color.RGBA) {
	switch style {
	case Line:
		d.line([]point{{x, y}, {x + 17, y}}, solid(c), 2)
	case Dashed:
		d.line([]point{{x, y}, {x + 17, y}}, solid(c), 2, 5, 3)
	case Points:
		d.disc(point{x + 9, y}, 3, solid(c), noPaint, 0, "")
	default:
		d.rect(x+3, y-5, 11, 10, solid(c), "")
	}
}

// ranges returns the extent of the finite data. Bars start at zero.
func (p *Plot) ranges() (xlo, xhi, ylo, yhi float64) {
	xlo, ylo = math.Inf(1), math.Inf(1)
	xhi, yhi = math.Inf(-1), math.Inf(-1)
	add := func(lo, hi *float64, v float64, log bool) {
		if finite(v) && !(log && v <= 0) {
			*lo, *hi = min(*lo, v), max(*hi, v)
		}
	}
	var stack []float64
	for _, s := range p.Series {
		for _, v := range s.X {
			add(&xlo, &xhi, v, p.X.Log)
		}
		switch s.Style {
		case Bars:
			for i, v := range s.Y {
				if i >= len(stack) {
					stack = append(stack, 0)
				}
				if finite(v) && v > 0 {
					stack[i] += v
				}
			}
			for _, v := range stack {
				add(&ylo, &yhi, v, p.Y.Log)
			}
		default:
			for _, v := range s.Y {
				add(&ylo, &yhi, v, p.Y.Log)
			}
		}
		if s.Style == Bars || s.Style == Steps {
			add(&ylo, &yhi, 0, p.Y.Log)
		}
	}
	for _, m := range p.Marks {
		add(&xlo, &xhi, m.X, p.X.Log)
	}
	if n := len(p.X.Names); n > 0 {
		xlo, xhi = -0.5, float64(n)-0.5
	}
	return xlo, xhi, ylo, yhi
}

// staggered says whether the names of a categorical axis need two rows in a
// plot w pixels wide.
func (p *Plot) staggered(w float64) bool {
	for _, name := range p.X.Names {
		if textWidth(name, tickSize, false)+6 > w/float64(len(p.X.Names)) {
			return true
		}
	}
	return false
}

func (p *Plot) xTicks(d *Drawing, sx scale, base float64) {
	if n := len(p.X.Names); n > 0 {
		room := (sx.to - sx.from) / float64(n)
		rows := 1
		if p.staggered(sx.to - sx.from) {
			rows = 2
		}
		for i, name := range p.X.Names {
			name = fit(name, max(room*float64(rows)-6, 18), tickSize, false)
			d.text(sx.at(float64(i)), base+16+14*float64(i%rows), name, tickSize, inkSoft, middle, false)
		}
		return
	}
	for _, t := range p.X.ticks(sx, int(max(2, (sx.to-sx.from)/50))) {
		x := math.Round(sx.at(t.v)) + 0.5
		d.line([]point{{x, base}, {x, base + 4}}, axisStroke, 1)
		d.text(x, base+16, t.text, tickSize, inkSoft, middle, false)
	}
}
