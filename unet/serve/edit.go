package serve

import (
	"fmt"
	stdimage "image"
	"math"
	"slices"

	"unet/unet/imageio"
)

// Command is an edit as a user asks for it. Positions are pixels, (0, 0) the
// upper left corner of the image.
type Command struct {
	// Tool is delete, draw, join, split, grow, shrink, paint, erase, undo, redo
	// or reset.
	Tool string `json:"tool"`
	// Revision is that of the labels the user saw.
	Revision int `json:"revision"`
	// IDs are the nuclei meant.
	IDs []uint32 `json:"ids,omitempty"`
	// Points are the outline to draw, the line to split along, the way of the
	// brush or eraser.
	Points [][2]float64 `json:"points,omitempty"`
	// Radius is that of brush and eraser in pixels.
	Radius float64 `json:"radius,omitempty"`
}

// span is the pixels X0..X1-1 of row Y, and the number they have.
type span struct {
	Y, X0, X1 int
	ID        uint32
}

// painter collects the pixels that an edit changes, row by row. It sees a window
// of the labels and works in its coordinates; spans are those of the image.
type painter struct {
	l      *imageio.Labels
	origin stdimage.Point // of the window
	next   uint32         // a number that is free
	spans  []span
}

// set gives pixel (x, y) a number.
func (p *painter) set(x, y int, id uint32) {
	if p.l.ID[y*p.l.W+x] == id {
		return
	}
	x, y = x+p.origin.X, y+p.origin.Y
	if n := len(p.spans); n > 0 {
		if s := &p.spans[n-1]; s.Y == y && s.X1 == x && s.ID == id {
			s.X1++
			return
		}
	}
	p.spans = append(p.spans, span{y, x, x + 1, id})
}

// each calls f for all pixels in rows.
func (p *painter) each(f func(x, y int, id uint32)) {
	for i, id := range p.l.ID {
		f(i%p.l.W, i/p.l.W, id)
	}
}

// maxPoints bounds the points of a command.
const maxPoints = 10000

// check refuses commands that are too much or make no sense anywhere.
func (c *Command) check() error {
	if len(c.Points) > maxPoints || len(c.IDs) > maxPoints {
		return fmt.Errorf("more than %d points or nuclei", maxPoints)
	}
	for _, q := range c.Points {
		if !(math.Abs(q[0]) < 1e8) || !(math.Abs(q[1]) < 1e8) {
			return fmt.Errorf("the point (%g, %g) lies far outside the image", q[0], q[1])
		}
	}
	if (c.Tool == "paint" || c.Tool == "erase") && !(c.Radius >= 0.5 && c.Radius <= 500) {
		return fmt.Errorf("radius %g: 0.5 to 500", c.Radius)
	}
	return nil
}

// reach bounds the pixels that a command can change: the nuclei it names, by
// their boxes, and the way of its points.
func (c *Command) reach(box func(id uint32) stdimage.Rectangle) stdimage.Rectangle {
	var r stdimage.Rectangle
	for _, id := range c.IDs {
		r = r.Union(box(id))
	}
	if c.Tool == "draw" || c.Tool == "paint" || c.Tool == "erase" {
		for _, q := range c.Points {
			x0, y0 := int(math.Floor(q[0]-c.Radius)), int(math.Floor(q[1]-c.Radius))
			r = r.Union(stdimage.Rect(x0, y0, int(math.Ceil(q[0]+c.Radius))+1, int(math.Ceil(q[1]+c.Radius))+1))
		}
	}
	return r.Inset(-1) // nuclei grow by a pixel
}

// within is the command in the coordinates of a window.
func (c Command) within(origin stdimage.Point) Command {
	points := make([][2]float64, len(c.Points))
	for i, q := range c.Points {
		points[i] = [2]float64{q[0] - float64(origin.X), q[1] - float64(origin.Y)}
	}
	c.Points = points
	return c
}

// plan finds the pixels that a command changes. The window begins at origin and
// holds all that the command reaches, next is a number that is free.
func plan(l *imageio.Labels, origin stdimage.Point, next uint32, c Command) ([]span, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c = c.within(origin)
	need := func(ids, points int) error {
		if len(c.IDs) < ids {
			return fmt.Errorf("%s needs %d nuclei, not %d", c.Tool, ids, len(c.IDs))
		}
		if len(c.Points) < points {
			return fmt.Errorf("%s needs %d points, not %d", c.Tool, points, len(c.Points))
		}
		return nil
	}
	p := &painter{l: l, origin: origin, next: next}
	var err error
	switch c.Tool {
	case "delete":
		err = need(1, 0)
		p.recolour(c.IDs, func(int, int) uint32 { return 0 })
	case "join":
		if err = need(2, 0); err == nil {
			to := slices.Min(c.IDs)
			p.recolour(c.IDs, func(int, int) uint32 { return to })
		}
	case "split":
		if err = need(1, 2); err == nil {
			err = p.split(c.IDs[0], c.Points[0], c.Points[len(c.Points)-1])
		}
	case "grow", "shrink":
		if err = need(1, 0); err == nil {
			p.resize(c.IDs, c.Tool == "grow")
		}
	case "draw":
		if err = need(0, 3); err == nil {
			p.fill(c.Points, next)
		}
	case "paint", "erase":
		if err = need(0, 1); err == nil {
			p.stroke(c)
		}
	default:
		return nil, fmt.Errorf("there is no tool %q", c.Tool)
	}
	if err == nil && len(p.spans) == 0 {
		err = fmt.Errorf("%s changes no pixel", c.Tool)
	}
	return p.spans, err
}

// recolour gives the pixels of nuclei other numbers.
func (p *painter) recolour(ids []uint32, to func(x, y int) uint32) {
	p.each(func(x, y int, id uint32) {
		if id != 0 && slices.Contains(ids, id) {
			p.set(x, y, to(x, y))
		}
	})
}

// split gives what of a nucleus lies left of the line from a to b a new number.
func (p *painter) split(id uint32, a, b [2]float64) error {
	right := 0
	p.recolour([]uint32{id}, func(x, y int) uint32 {
		if (b[0]-a[0])*(float64(y)+0.5-a[1])-(b[1]-a[1])*(float64(x)+0.5-a[0]) < 0 {
			return p.next
		}
		right++
		return id
	})
	if right == 0 || len(p.spans) == 0 {
		return fmt.Errorf("the line does not cross nucleus %d", id)
	}
	return nil
}

// resize grows nuclei into the background by a pixel, or takes one off.
func (p *painter) resize(ids []uint32, grow bool) {
	l := p.l
	p.each(func(x, y int, id uint32) {
		inside := id != 0 && slices.Contains(ids, id)
		if grow == inside || grow && id != 0 {
			return
		}
		for _, d := range [...][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
			u, v := x+d[0], y+d[1]
			if u < 0 || v < 0 || u >= l.W || v >= l.H {
				continue
			}
			n := l.ID[v*l.W+u]
			switch {
			case grow && n != 0 && slices.Contains(ids, n):
				p.set(x, y, n)
				return
			case !grow && n != id:
				p.set(x, y, 0)
				return
			}
		}
	})
}

// fill gives the background inside a polygon, by its pixels' centres and the
// even-odd rule, a number.
func (p *painter) fill(points [][2]float64, id uint32) {
	for y := range p.l.H {
		centre := float64(y) + 0.5
		var cuts []float64
		for i, a := range points {
			b := points[(i+1)%len(points)]
			if (a[1] <= centre) != (b[1] <= centre) {
				cuts = append(cuts, a[0]+(centre-a[1])/(b[1]-a[1])*(b[0]-a[0]))
			}
		}
		slices.Sort(cuts)
		for i := 0; i+1 < len(cuts); i += 2 {
			for x := max(0, int(math.Ceil(cuts[i]-0.5))); x < p.l.W && float64(x)+0.5 < cuts[i+1]; x++ {
				if p.l.ID[y*p.l.W+x] == 0 {
					p.set(x, y, id)
				}
			}
		}
	}
}

// stroke paints or erases what lies within the radius of the way through the
// points: background becomes the nucleus, or a new one where none is named;
// pixels of the nuclei named, or of any, become background.
func (p *painter) stroke(c Command) {
	id := p.next
	if len(c.IDs) > 0 {
		id = c.IDs[0]
	}
	lo, hi := [2]float64{math.Inf(1), math.Inf(1)}, [2]float64{math.Inf(-1), math.Inf(-1)}
	for _, q := range c.Points {
		for k := range 2 {
			lo[k], hi[k] = min(lo[k], q[k]-c.Radius), max(hi[k], q[k]+c.Radius)
		}
	}
	for y := max(0, int(lo[1])); y < min(p.l.H, int(hi[1])+1); y++ {
		for x := max(0, int(lo[0])); x < min(p.l.W, int(hi[0])+1); x++ {
			if !near(c.Points, float64(x)+0.5, float64(y)+0.5, c.Radius) {
				continue
			}
			old := p.l.ID[y*p.l.W+x]
			switch {
			case c.Tool == "paint" && old == 0:
				p.set(x, y, id)
			case c.Tool == "erase" && old != 0 && (len(c.IDs) == 0 || slices.Contains(c.IDs, old)):
				p.set(x, y, 0)
			}
		}
	}
}

// near reports whether (x, y) lies within r of the way through the points.
func near(points [][2]float64, x, y, r float64) bool {
	for i, a := range points {
		b := points[min(i+1, len(points)-1)]
		dx, dy := b[0]-a[0], b[1]-a[1]
		t := 0.0
		if d := dx*dx + dy*dy; d > 0 {
			t = min(max(((x-a[0])*dx+(y-a[1])*dy)/d, 0), 1)
		}
		if math.Hypot(x-a[0]-t*dx, y-a[1]-t*dy) <= r {
			return true
		}
	}
	return false
}
