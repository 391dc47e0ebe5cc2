package instance

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"

	"unet/unet/imageio"
)

// Run is the pixels X0..X1-1 of row Y.
type Run struct{ Y, X0, X1 int }

// Nucleus is one object of a label image with its measurements, in pixels.
// Definitions are those of scikit-image's regionprops where it has them. Where
// pixels are known not to be square, orientation, eccentricity and circularity
// are those of the shape as it is, not as pixels draw it.
type Nucleus struct {
	ID uint32 `json:"id"` // number in the label image
	// Runs are its pixels in raster order, as long as can be.
	Runs []Run `json:"-"`
	X0   int   `json:"x0"` // first column
	Y0   int   `json:"y0"` // first row
	X1   int   `json:"x1"` // column after the last
	Y1   int   `json:"y1"` // row after the last
	// Area is the number of pixels.
	Area int     `json:"area"`
	X    float64 `json:"x"` // column of the centroid; the centre of the first pixel is 0
	Y    float64 `json:"y"` // row of the centroid
	// Perimeter is the length of the 4-connected border through pixel
	// centres (Benkrid and Crookes), 0 for a single pixel.
	Perimeter    float64 `json:"perimeter"`
	Major        float64 `json:"major_axis"`   // long axis of the ellipse of equal second moments, in pixels
	Minor        float64 `json:"minor_axis"`   // short axis of that ellipse, in pixels
	Orientation  float64 `json:"orientation"`  // angle in radians from the vertical to the long axis, counter-clockwise, -π/2 to π/2
	Eccentricity float64 `json:"eccentricity"` // of that ellipse: 0 a circle, 1 a line
	// Solidity is the area over the number of pixels of the convex hull.
	Solidity float64 `json:"solidity"`
	// Circularity is 4π·area/perimeter², at most 1, and 0 when the
	// perimeter is 0 (ImageJ's rule).
	Circularity float64 `json:"circularity"`
	// EquivalentDiameter is that of the circle of equal area.
	EquivalentDiameter float64 `json:"equivalent_diameter"`
	// FeretMax is the largest distance across the convex hull.
	FeretMax   float64     `json:"feret_max"`
	Edge       bool        `json:"edge"`                 // it touches the edge of the image, and may go on beyond
	Confidence float64     `json:"confidence,omitempty"` // probability that a person would draw this nucleus, 0 to 1; 0 where the model does not say
	Channels   []Intensity `json:"channels,omitempty"`   // intensities of each channel; none where only labels were measured
	Ring       *Ring       `json:"ring,omitempty"`       // the ring around it, where one was measured
}

// Intensity summarises one channel within one nucleus, in the image's units.
type Intensity struct {
	Mean float64 `json:"mean"` // mean of the samples inside, null where it is no number, as the following
	Min  float64 `json:"min"`  // the least
	Max  float64 `json:"max"`  // the greatest
	Std  float64 `json:"std"`  // standard deviation, of the population
	Sum  float64 `json:"sum"`  // sum of the samples inside
}

// MarshalJSON writes null for what is no number, as samples of float images may not be.
func (in Intensity) MarshalJSON() ([]byte, error) {
	finite := func(v float64) *float64 {
		if v-v != 0 {
			return nil
		}
		return &v
	}
	return json.Marshal(struct {
		Mean *float64 `json:"mean"`
		Min  *float64 `json:"min"`
		Max  *float64 `json:"max"`
		Std  *float64 `json:"std"`
		Sum  *float64 `json:"sum"`
	}{finite(in.Mean), finite(in.Min), finite(in.Max), finite(in.Std), finite(in.Sum)})
}

// Measure returns the nuclei of a label image in order of their numbers. The
// image, of the same size, supplies the intensities, of which it may have no
// channels, and the size of pixels; it may be nil.
func Measure(l *imageio.Labels, img *imageio.Image) []Nucleus {
	all := shapes(l)
	for i := range all {
		n := &all[i]
		n.measure()
		n.Edge = n.X0 == 0 || n.Y0 == 0 || n.X1 == l.W || n.Y1 == l.H
		if img != nil {
			n.reshape(img.PixelSize)
			for c := range img.C {
				n.Channels = append(n.Channels, n.intensity(img.Plane(c), img.W, 0))
			}
		}
	}
	return all
}

// shapes collects the objects of l by number, with their runs only.
func shapes(l *imageio.Labels) []Nucleus {
	c := newCollector()
	for y := range l.H {
		c.row(y, l.ID[y*l.W:][:l.W], 1, math.MaxUint32)
	}
	return c.sorted()
}

// collector gathers the runs of each label.
type collector struct {
	index map[uint32]int
	all   []Nucleus
	// last is the object of the previous run: neighbouring runs mostly
	// share it, which saves the look-up.
	lastID uint32
	last   int
}

func newCollector() *collector { return &collector{index: map[uint32]int{}} }

// row adds the runs of row y whose label is in first..last.
func (c *collector) row(y int, ids []uint32, first, last uint32) {
	for x := 0; x < len(ids); {
		id := ids[x]
		start := x
		for x++; x < len(ids) && ids[x] == id; x++ {
		}
		if id == 0 || id < first || id > last {
			continue
		}
		if id != c.lastID {
			i, ok := c.index[id]
			if !ok {
				i = len(c.all)
				c.index[id] = i
				c.all = append(c.all, Nucleus{ID: id})
			}
			c.lastID, c.last = id, i
		}
		n := &c.all[c.last]
		n.Runs = append(n.Runs, Run{y, start, x})
	}
}

func (c *collector) sorted() []Nucleus {
	slices.SortFunc(c.all, func(a, b Nucleus) int { return cmp.Compare(a.ID, b.ID) })
	return c.all
}

// measure fills in everything that follows from the runs.
func (n *Nucleus) measure() {
	n.X0, n.X1 = n.Runs[0].X0, n.Runs[0].X1
	n.Y0, n.Y1 = n.Runs[0].Y, n.Runs[len(n.Runs)-1].Y+1
	for _, r := range n.Runs {
		n.X0, n.X1 = min(n.X0, r.X0), max(n.X1, r.X1)
		n.Area += r.X1 - r.X0
	}
	n.X, n.Y, n.Major, n.Minor, n.Orientation, n.Eccentricity = n.moments(1, 1)
	y0, rows := rowsOf(n.Runs)
	n.Perimeter = perimeter(rows)
	n.EquivalentDiameter = math.Sqrt(4 * float64(n.Area) / math.Pi)
	if n.Perimeter > 0 {
		n.Circularity = circularity(float64(n.Area), n.Perimeter)
	}
	var hullArea int
	hullArea, n.FeretMax = convexHull(rows, y0, 1, 1)
	n.Solidity = float64(n.Area) / float64(hullArea)
}

// circularity is 4π·area/perimeter², at most 1.
func circularity(area, perimeter float64) float64 {
	return min(1, 4*math.Pi*area/(perimeter*perimeter))
}

// moments computes the centroid in pixels and, of pixels of width w and height
// h, axes, orientation and eccentricity, from sums over pixels relative to the
// bounding box. The second moments are kept as exact integers (times area²)
// until the last step while they fit.
func (n *Nucleus) moments(w, h float64) (x, y, major, minor, orientation, eccentricity float64) {
	var sx, sy, sxx, sxy, syy float64
	for _, r := range n.Runs {
		a, b := float64(r.X0-n.X0), float64(r.X1-n.X0)
		y, k := float64(r.Y-n.Y0), float64(r.X1-r.X0)
		// Sums of x and x² over a..b-1; all terms are integers, exact
		// in float64 below 2⁵³.
		s1 := (b*(b-1) - a*(a-1)) / 2
		s2 := (b*(b-1)*(2*b-1) - a*(a-1)*(2*a-1)) / 6
		sx += s1
		sxx += s2
		sy += k * y
		syy += k * y * y
		sxy += s1 * y
	}
	area := float64(n.Area)
	x, y = float64(n.X0)+sx/area, float64(n.Y0)+sy/area
	vx := (area*sxx - sx*sx) / (area * area) * (w * w)
	vy := (area*syy - sy*sy) / (area * area) * (h * h)
	cov := (area*sxy - sx*sy) / (area * area) * (w * h)
	mean, diff := (vx+vy)/2, math.Hypot((vx-vy)/2, cov)
	l1, l2 := mean+diff, max(0, mean-diff)
	major, minor = 4*math.Sqrt(l1), 4*math.Sqrt(l2)
	if l1 > 0 {
		eccentricity = math.Sqrt(max(0, 1-l2/l1))
	}
	switch {
	case vx != vy:
		orientation = 0.5 * math.Atan2(2*cov, vy-vx)
	case cov > 0:
		orientation = math.Pi / 4
	default:
		orientation = -math.Pi / 4
	}
	return x, y, major, minor, orientation, eccentricity
}

// intensity measures a plane of width w whose first row is row y0 of the
// label image.
func (n *Nucleus) intensity(plane []float32, w, y0 int) Intensity {
	in := Intensity{Min: math.Inf(1), Max: math.Inf(-1)}
	for _, r := range n.Runs {
		for _, v := range plane[(r.Y-y0)*w+r.X0 : (r.Y-y0)*w+r.X1] {
			f := float64(v)
			in.Sum += f
			in.Min = min(in.Min, f)
			in.Max = max(in.Max, f)
		}
	}
	in.Mean = in.Sum / float64(n.Area)
	var ss float64
	for _, r := range n.Runs {
		for _, v := range plane[(r.Y-y0)*w+r.X0 : (r.Y-y0)*w+r.X1] {
			d := float64(v) - in.Mean
			ss += d * d
		}
	}
	in.Std = math.Sqrt(ss / float64(n.Area))
	return in
}
