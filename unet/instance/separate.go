package instance

import (
	"fmt"
	"math"
	"slices"

	"unet/unet/imageio"
)

// Names of maps. A network gives the foreground and may give the others.
const (
	Foreground = "foreground" // inside any nucleus
	Border     = "border"     // between touching nuclei
	Distance   = "distance"   // to the nucleus' edge, divided by its maximum within the nucleus
)

// Maps are the network's probabilities, 0..1, for every pixel of an image: a
// plane of H rows of W values for each name, one after the other in Pix.
type Maps struct {
	W, H  int
	Names []string
	Pix   []float32
}

// NewMaps returns maps of zeros.
func NewMaps(w, h int, names ...string) Maps {
	return Maps{W: w, H: h, Names: names, Pix: make([]float32, len(names)*w*h)}
}

// Plane returns the map of a name, or nil if it is not among them.
func (m Maps) Plane(name string) []float32 {
	i := slices.Index(m.Names, name)
	if i < 0 {
		return nil
	}
	n := m.W * m.H
	return m.Pix[i*n : (i+1)*n : (i+1)*n]
}

// Params are the thresholds of Separate. They are tuned on validation images
// and stored in the model file; DefaultParams gives values that work untuned.
type Params struct {
	Foreground float64 `json:"foreground"` // foreground probability above which a pixel may belong to a nucleus, 0 to 1
	// Seed is the height a peak of the landscape needs to start a nucleus.
	Seed float64 `json:"seed"`
	// Prominence is the depth of the saddle that keeps two peaks apart:
	// peaks that rise less above the saddle to a higher one belong to it.
	Prominence float64 `json:"prominence"`
	// Border is the weight of the border map when it is cut out of the
	// landscape: landscape = distance * (1 - Border*border).
	Border float64 `json:"border"`
	// MinArea is the smallest nucleus kept, in pixels, holes not counted.
	MinArea    int  `json:"min_area"`
	FillHoles  bool `json:"fill_holes"`  // a hole that one nucleus encloses is given to that nucleus
	RemoveEdge bool `json:"remove_edge"` // nuclei that touch the edge of the image are dropped
	// Confidence rates nuclei; zero in models before version 0.3.
	Confidence Calibration `json:"confidence,omitzero"`
}

// DefaultParams returns the parameters used when a model states none.
func DefaultParams() Params {
	return Params{Foreground: 0.5, Seed: 0.3, Prominence: 0.4, Border: 1, MinArea: 16, FillHoles: true}
}

// Validate reports the first parameter that is out of range.
func (p Params) Validate() error {
	for _, v := range []struct {
		name string
		v    float64
	}{{"foreground", p.Foreground}, {"seed", p.Seed}, {"prominence", p.Prominence}, {"border", p.Border}} {
		if !(v.v >= 0 && v.v <= 1) {
			return fmt.Errorf("post-processing parameter %s is %v, want 0 to 1", v.name, v.v)
		}
	}
	if p.MinArea < 0 {
		return fmt.Errorf("post-processing parameter min_area is %d, want 0 or more", p.MinArea)
	}
	return nil
}

// Separate tells the nuclei of one image apart: peaks of the landscape
// distance*(1-border) of sufficient height and prominence (h-maxima) start a
// nucleus each, and a marker-controlled watershed floods the foreground from
// them. Without a distance map the foreground probability takes its place;
// with neither border nor distance every connected component of the
// foreground is one nucleus. Nuclei are numbered from 1 in raster order of
// their first pixel. The time is proportional to the number of pixels.
//
// The method is Meyer's flooding with a bucket queue (F. Meyer, "Color image
// segmentation", 1992) on the landscape in 255 levels; prominence is the
// dynamics of M. Grimaud (1992), found in one union-find sweep.
func Separate(m Maps, p Params) *imageio.Labels {
	f := newField(m.W, m.H)
	f.setLevels(0, m, p)
	n := f.flood(p, 0)
	f.clean(p, 1, uint32(n), edges{top: true, bottom: true})
	out := imageio.NewLabels(m.W, m.H)
	final := make([]uint32, n+1)
	var count uint32
	for y := range m.H {
		row := f.lab[f.at(0, y):][:m.W]
		dst := out.ID[y*m.W:][:m.W]
		for x, v := range row {
			if v == 0 {
				continue
			}
			if final[v] == 0 {
				count++
				final[v] = count
			}
			dst[x] = final[v]
		}
	}
	return out
}

// field is an image under segmentation. Every plane has a one-pixel frame of
// zeros so that neighbours are reached without bounds checks.
type field struct {
	w, h, stride int
	// level is 0 for background and pixels already decided, else 1..255.
	level []uint8
	// lab numbers the nuclei found so far; 0 is background.
	lab []uint32
	// link is scratch: union-find parents, then queue links.
	link []int32
}

func newField(w, h int) *field {
	f := &field{w: w, stride: w + 2}
	f.grow(h)
	return f
}

// grow adds rows at the bottom.
func (f *field) grow(rows int) {
	f.h += rows
	size := f.stride * (f.h + 2)
	if size > math.MaxInt32 {
		panic(fmt.Sprintf("instance: %d x %d pixels at once; use Stream", f.w, f.h))
	}
	f.level = append(f.level, make([]uint8, size-len(f.level))...)
	f.lab = append(f.lab, make([]uint32, size-len(f.lab))...)
}

// drop removes rows at the top.
func (f *field) drop(rows int) {
	cut := rows * f.stride
	n := len(f.level) - cut
	f.h -= rows
	copy(f.level[f.stride:], f.level[f.stride+cut:])
	copy(f.lab[f.stride:], f.lab[f.stride+cut:])
	f.level, f.lab = f.level[:n], f.lab[:n]
}

// at is the index of pixel (x, y).
func (f *field) at(x, y int) int { return (y+1)*f.stride + x + 1 }

// setLevels quantises the landscape of m into the rows from y0 on.
func (f *field) setLevels(y0 int, m Maps, p Params) {
	t := float32(p.Foreground)
	weight := float32(p.Border)
	foreground, border, distance := m.Plane(Foreground), m.Plane(Border), m.Plane(Distance)
	for y := range m.H {
		dst := f.level[f.at(0, y0+y):][:m.W]
		fg := foreground[y*m.W:][:m.W]
		if distance == nil && border == nil {
			for x, v := range fg {
				if v > t {
					dst[x] = 255
				}
			}
			continue
		}
		height := fg
		if distance != nil {
			height = distance[y*m.W:][:m.W]
		}
		var between []float32
		if border != nil {
			between = border[y*m.W:][:m.W]
		}
		for x, v := range fg {
			if !(v > t) {
				continue
			}
			s := height[x]
			if between != nil {
				s *= 1 - weight*between[x]
			}
			dst[x] = quantise(s)
		}
	}
}

// quantise maps 0..1 to the levels 1..255; NaN counts as 0.
func quantise(s float32) uint8 {
	if !(s > 0) {
		return 1
	}
	return 1 + uint8(min(s, 1)*254+0.5)
}
