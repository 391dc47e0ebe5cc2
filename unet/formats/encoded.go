package formats

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// Limits of the readers. They bound what a hostile file can cost.
const (
	maxInput     = 1 << 30 // bytes read from one file
	maxPixels    = 1 << 28 // pixels of a label image made from a file
	maxCrossings = 1 << 28 // rows crossed by all polygons of one image
	maxSlice     = 1 << 20 // of a stack
	maxOverlap   = 16      // how many times over nuclei may cover an image
)

// Encoded is one image's nuclei as read from a table, an archive of regions or a
// JSON file.
type Encoded struct {
	// Name is the image's name in the file.
	Name string
	// W, H is the image's size, 0 when the file does not say.
	W, H int
	// Usage is the column of that name in Kaggle's solution files
	// ("Public", "Private", "Ignored"), else "".
	Usage string
	// Notes say what of the file is no nucleus.
	Notes   []string
	objects []object
}

// object is the shape of one nucleus: run pairs (start, length, …) in
// column-major order from 0, or polygons of an outer ring and its holes each.
type object struct {
	pairs    []int
	polygons [][][]instance.Point
	slice    int // of a stack, from 1; 0 for all of them
}

// Scale makes the polygons larger or smaller, as those of an image of another size.
func (e *Encoded) Scale(x, y float64) {
	for _, o := range e.objects {
		for _, p := range o.polygons {
			for _, ring := range p {
				for i := range ring {
					ring[i].X *= x
					ring[i].Y *= y
				}
			}
		}
	}
}

// Len is the number of nuclei.
func (e *Encoded) Len() int { return len(e.objects) }

// note adds a note about n things, if there are any.
func (e *Encoded) note(n int, one, many string) {
	switch n {
	case 0:
	case 1:
		e.Notes = append(e.Notes, "1 "+one)
	default:
		e.Notes = append(e.Notes, fmt.Sprintf("%d %s", n, many))
	}
}

// SliceError says that nuclei lie on several slices of a stack, or on none, and
// none or another was chosen.
type SliceError struct {
	Slices []int // from 0, rising
	Chosen int   // -1 for none
}

func (e *SliceError) Error() string {
	if len(e.Slices) == 0 {
		return fmt.Sprintf("there is no slice %d; its nuclei belong to no slice", e.Chosen)
	}
	list := fmt.Sprint(e.Slices[0])
	if n := len(e.Slices); n > 1 {
		list = fmt.Sprintf("%d to %d", e.Slices[0], e.Slices[n-1])
	}
	if e.Chosen >= 0 {
		return fmt.Sprintf("there is nothing on slice %d; its nuclei lie on slices %s", e.Chosen, list)
	}
	return fmt.Sprintf("its nuclei lie on %d slices of a stack, %s", len(e.Slices), list)
}

// Hint says what to do about it.
func (e *SliceError) Hint() string {
	if len(e.Slices) == 0 {
		return "leave the choice of a slice out"
	}
	return "choose a slice, from 0"
}

// Adjust names the option that the hint speaks of.
func (e *SliceError) Adjust() string { return "z" }

// Slice keeps the nuclei of slice z, from 0, and those that belong to all. With
// z below 0 it fails if they lie on several.
func (e *Encoded) Slice(z int) error {
	var on []int
	for _, o := range e.objects {
		if o.slice > 0 && !slices.Contains(on, o.slice-1) {
			on = append(on, o.slice-1)
		}
	}
	slices.Sort(on)
	switch {
	case z < 0 && len(on) > 1, z >= 0 && !slices.Contains(on, z):
		return &SliceError{Slices: on, Chosen: max(z, -1)}
	case z >= 0:
		e.objects = slices.DeleteFunc(e.objects, func(o object) bool { return o.slice > 0 && o.slice != z+1 })
	}
	return nil
}

// Lost counts what drawing nuclei could not show.
type Lost struct {
	// Overlap is the pixels of nuclei that earlier ones kept.
	Overlap int
	// Outside is the nuclei that lie outside the image.
	Outside int
	// Hidden is the nuclei that lie wholly under earlier ones, or are smaller
	// than a pixel.
	Hidden int
}

// Labels draws the nuclei, numbered from 1 in the order of the file, into an
// image of w x h pixels; 0 x 0 means the size the file gives. Where nuclei
// overlap the earlier keeps the pixel.
func (e *Encoded) Labels(w, h int) (*imageio.Labels, Lost, error) {
	if w == 0 && h == 0 {
		w, h = e.W, e.H
	}
	if w <= 0 || h <= 0 {
		return nil, Lost{}, fmt.Errorf("image %q: its size is not known; give the image or a label image of its size", e.Name)
	}
	if e.W > 0 && e.H > 0 && (e.W != w || e.H != h) {
		return nil, Lost{}, fmt.Errorf("image %q: outlined on %d x %d pixels, but the image has %d x %d", e.Name, e.W, e.H, w, h)
	}
	if w > imageio.MaxSide || h > imageio.MaxSide || w > maxPixels/h {
		return nil, Lost{}, fmt.Errorf("image %q: %d x %d pixels are more than the limit of %d", e.Name, w, h, maxPixels)
	}
	c := newCanvas(w, h)
	var lost Lost
	for i, o := range e.objects {
		id := uint32(i + 1)
		before := c.given
		err := c.fillPairs(id, o.pairs)
		for _, p := range o.polygons {
			if err == nil {
				err = c.fillPolygon(id, p)
			}
		}
		if err != nil {
			return nil, Lost{}, fmt.Errorf("image %q, nucleus %d: %w", e.Name, id, err)
		}
		if c.given == before {
			if o.outside(w, h) {
				lost.Outside++
			} else {
				lost.Hidden++
			}
		}
	}
	lost.Overlap = c.overlap
	return c.l, lost, nil
}

// outside reports whether all points of a shape lie outside of an image.
func (o *object) outside(w, h int) bool {
	if len(o.polygons) == 0 {
		return false
	}
	x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, p := range o.polygons {
		for _, ring := range p {
			for _, q := range ring {
				x0, y0, x1, y1 = min(x0, q.X), min(y0, q.Y), max(x1, q.X), max(y1, q.Y)
			}
		}
	}
	return x1 <= 0 || y1 <= 0 || x0 >= float64(w) || y0 >= float64(h)
}

// canvas is a label image under construction from shapes. The earlier of two
// overlapping nuclei keeps the pixel. What hostile shapes can cost is bounded.
type canvas struct {
	l *imageio.Labels
	// overlap counts the pixels refused to later nuclei.
	overlap int
	// given counts the pixels that nuclei got.
	given int
	// drawn counts all pixels given to nuclei, once more for every time.
	drawn int
	// crossings counts the rows crossed by edges of polygons.
	crossings int
}

func newCanvas(w, h int) *canvas { return &canvas{l: imageio.NewLabels(w, h)} }

// check fails when nuclei overlap beyond all reason.
func (c *canvas) check() error {
	if c.drawn > maxOverlap*(len(c.l.ID)+1) {
		return fmt.Errorf("the nuclei cover the image more than %d times over", maxOverlap)
	}
	return nil
}

// put gives pixel i to id unless an earlier nucleus has it.
func (c *canvas) put(i int, id uint32) {
	c.drawn++
	if v := c.l.ID[i]; v == 0 {
		c.l.ID[i] = id
		c.given++
	} else if v != id {
		c.overlap++
	}
}

// fillPairs draws disjoint column-major runs.
func (c *canvas) fillPairs(id uint32, pairs []int) error {
	w, h := c.l.W, c.l.H
	for k := 0; k < len(pairs); k += 2 {
		start, n := pairs[k], pairs[k+1]
		if start > w*h-n {
			return fmt.Errorf("run %d %d ends beyond the %d x %d pixels of the image; is the file for another image?", start+1, n, w, h)
		}
		x, y := start/h, start%h
		for range n {
			c.put(y*w+x, id)
			if y++; y == h {
				x, y = x+1, 0
			}
		}
	}
	return c.check()
}

// edge is a side of a polygon, from its upper end a to its lower end b.
type edge struct {
	a, b       instance.Point
	first, end int // rows whose centre y+0.5 lies in [a.Y, b.Y), within the image
}

// fillPolygon draws the pixels whose centres lie inside the rings by the
// even-odd rule, clipped to the image. It goes by rows, and takes memory for the
// edges alone.
func (c *canvas) fillPolygon(id uint32, rings [][]instance.Point) error {
	var edges []edge
	for _, ring := range rings {
		for i, a := range ring {
			b := ring[(i+1)%len(ring)]
			if !usable(a.X) || !usable(a.Y) {
				return fmt.Errorf("point %d of the outline is not a sensible number", i+1)
			}
			if a.Y > b.Y {
				a, b = b, a
			}
			first := math.Max(0, math.Ceil(a.Y-0.5))
			end := math.Min(float64(c.l.H), math.Ceil(b.Y-0.5))
			if !(first < end) {
				continue
			}
			if c.crossings += int(end - first); c.crossings > maxCrossings {
				return fmt.Errorf("the outlines are too long: more than %d rows crossed", maxCrossings)
			}
			edges = append(edges, edge{a, b, int(first), int(end)})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.first, b.first) })
	var active []edge
	var cross []float64
	for y := 0; len(edges) > 0 || len(active) > 0; y++ {
		if len(active) == 0 {
			y = edges[0].first
		}
		for len(edges) > 0 && edges[0].first == y {
			active, edges = append(active, edges[0]), edges[1:]
		}
		cross = cross[:0]
		for _, e := range active {
			t := (float64(y) + 0.5 - e.a.Y) / (e.b.Y - e.a.Y)
			cross = append(cross, e.a.X+t*(e.b.X-e.a.X))
		}
		slices.Sort(cross)
		// Closed rings cross every row an even number of times.
		for k := 0; k+1 < len(cross); k += 2 {
			first := math.Max(0, math.Ceil(cross[k]-0.5))
			end := math.Min(float64(c.l.W), math.Ceil(cross[k+1]-0.5))
			for x := int(first); x < int(end); x++ {
				c.put(y*c.l.W+x, id)
			}
		}
		active = slices.DeleteFunc(active, func(e edge) bool { return e.end == y+1 })
	}
	return c.check()
}

// usable says that a coordinate is finite and within any image's reach.
func usable(v float64) bool { return math.Abs(v) < 1e9 }
