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
	maxOverlap   = 16      // how many times over nuclei may cover an image
)

// Encoded is one image's nuclei as read from a table or JSON file.
type Encoded struct {
	// Name is the image's name in the file.
	Name string
	// W, H is the image's size, 0 when the file does not say.
	W, H int
	// Usage is the column of that name in Kaggle's solution files
	// ("Public", "Private", "Ignored"), else "".
	Usage   string
	objects []object
}

// object is the shape of one nucleus: run pairs (start, length, …) in
// column-major order from 0, or polygons of an outer ring and its holes each.
type object struct {
	pairs    []int
	polygons [][][]instance.Point
}

// Len is the number of nuclei.
func (e *Encoded) Len() int { return len(e.objects) }

// Labels draws the nuclei, numbered from 1 in the order of the file, into an
// image of w x h pixels; 0 x 0 means the size the file gives. Where nuclei
// overlap the earlier keeps the pixel; overlap is the number of pixels lost.
func (e *Encoded) Labels(w, h int) (l *imageio.Labels, overlap int, err error) {
	if w == 0 && h == 0 {
		w, h = e.W, e.H
	}
	if w <= 0 || h <= 0 {
		return nil, 0, fmt.Errorf("image %q: its size is not known; give the image or a label image of its size", e.Name)
	}
	if e.W > 0 && e.H > 0 && (e.W != w || e.H != h) {
		return nil, 0, fmt.Errorf("image %q: outlined on %d x %d pixels, but the image has %d x %d", e.Name, e.W, e.H, w, h)
	}
	if w > maxPixels/h {
		return nil, 0, fmt.Errorf("image %q: %d x %d pixels are more than the limit of %d", e.Name, w, h, maxPixels)
	}
	c := newCanvas(w, h)
	for i, o := range e.objects {
		id := uint32(i + 1)
		err := c.fillPairs(id, o.pairs)
		for _, p := range o.polygons {
			if err == nil {
				err = c.fillPolygon(id, p)
			}
		}
		if err != nil {
			return nil, 0, fmt.Errorf("image %q, nucleus %d: %w", e.Name, id, err)
		}
	}
	return c.l, c.overlap, nil
}

// canvas is a label image under construction from shapes. The earlier of two
// overlapping nuclei keeps the pixel. What hostile shapes can cost is bounded.
type canvas struct {
	l *imageio.Labels
	// overlap counts the pixels refused to later nuclei.
	overlap int
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

// fillPolygon draws the pixels whose centres lie inside the rings by the
// even-odd rule, clipped to the image.
func (c *canvas) fillPolygon(id uint32, rings [][]instance.Point) error {
	type crossing struct {
		row int
		x   float64
	}
	var cross []crossing
	for _, ring := range rings {
		for i, a := range ring {
			b := ring[(i+1)%len(ring)]
			if !usable(a.X) || !usable(a.Y) {
				return fmt.Errorf("point %d of the outline is not a sensible number", i+1)
			}
			if a.Y > b.Y {
				a, b = b, a
			}
			// Rows whose centre y+0.5 lies in [a.Y, b.Y).
			first := math.Max(0, math.Ceil(a.Y-0.5))
			end := math.Min(float64(c.l.H), math.Ceil(b.Y-0.5))
			if !(first < end) {
				continue
			}
			if c.crossings += int(end - first); c.crossings > maxCrossings {
				return fmt.Errorf("the outlines are too long: more than %d rows crossed", maxCrossings)
			}
			for y := int(first); y < int(end); y++ {
				t := (float64(y) + 0.5 - a.Y) / (b.Y - a.Y)
				cross = append(cross, crossing{y, a.X + t*(b.X-a.X)})
			}
		}
	}
	slices.SortFunc(cross, func(a, b crossing) int { return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.x, b.x)) })
	// Closed rings cross every row an even number of times.
	for k := 0; k+1 < len(cross); k += 2 {
		a, b := cross[k], cross[k+1]
		first := math.Max(0, math.Ceil(a.x-0.5))
		end := math.Min(float64(c.l.W), math.Ceil(b.x-0.5))
		for x := int(first); x < int(end); x++ {
			c.put(a.row*c.l.W+x, id)
		}
	}
	return c.check()
}

// usable says that a coordinate is finite and within any image's reach.
func usable(v float64) bool { return math.Abs(v) < 1e9 }
