package instance

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"unet/unet/imageio"
)

// Column describes a measurement: a column of tables, and what rules and
// colours name.
type Column struct {
	Name    string `json:"name"`    // name of the column
	Meaning string `json:"meaning"` // what it holds
	// Unit is "" of names, numbers without one and answers.
	Unit string `json:"unit,omitempty"`
	// Formula is the property of scikit-image's regionprops, or the function,
	// that gives the same.
	Formula string `json:"formula,omitempty"`
}

// measurement is a column with its value; physical ones are only known where
// the size of a pixel is.
type measurement struct {
	Column
	of       func(*Nucleus) float64
	physical func(*Physical) float64
}

// measurements are those of a nucleus as a whole, in the order of tables.
var measurements = []measurement{
	{Column{"nucleus", "number in the label image", "", "label"}, func(n *Nucleus) float64 { return float64(n.ID) }, nil},
	{Column{"x", "centroid, from the centre of the leftmost pixel", "pixels", "centroid[1]"}, func(n *Nucleus) float64 { return n.X }, nil},
	{Column{"y", "centroid, from the centre of the topmost pixel", "pixels", "centroid[0]"}, func(n *Nucleus) float64 { return n.Y }, nil},
	{Column{"x0", "first column", "pixels", "bbox[1]"}, func(n *Nucleus) float64 { return float64(n.X0) }, nil},
	{Column{"y0", "first row", "pixels", "bbox[0]"}, func(n *Nucleus) float64 { return float64(n.Y0) }, nil},
	{Column{"x1", "column after the last", "pixels", "bbox[3]"}, func(n *Nucleus) float64 { return float64(n.X1) }, nil},
	{Column{"y1", "row after the last", "pixels", "bbox[2]"}, func(n *Nucleus) float64 { return float64(n.Y1) }, nil},
	{Column{EdgeColumn, "whether it touches the edge of the image, and may go on beyond", "", ""}, func(n *Nucleus) float64 {
		if n.Edge {
			return 1
		}
		return 0
	}, nil},
	{Column{"area", "number of pixels", "pixels", "area"}, func(n *Nucleus) float64 { return float64(n.Area) }, nil},
	{Column{"perimeter", "length of the border through pixel centres", "pixels", "perimeter"}, func(n *Nucleus) float64 { return n.Perimeter }, nil},
	{Column{"major_axis", "long axis of the ellipse of equal second moments", "pixels", "axis_major_length"}, func(n *Nucleus) float64 { return n.Major }, nil},
	{Column{"minor_axis", "short axis of that ellipse", "pixels", "axis_minor_length"}, func(n *Nucleus) float64 { return n.Minor }, nil},
	{Column{"orientation", "angle from the vertical to the long axis, counter-clockwise", "radians", "orientation"}, func(n *Nucleus) float64 { return n.Orientation }, nil},
	{Column{"eccentricity", "of that ellipse: 0 a circle, 1 a line", "", "eccentricity"}, func(n *Nucleus) float64 { return n.Eccentricity }, nil},
	{Column{"solidity", "area / area of the convex hull", "", "solidity"}, func(n *Nucleus) float64 { return n.Solidity }, nil},
	{Column{"circularity", "4π · area / perimeter², at most 1", "", ""}, func(n *Nucleus) float64 { return n.Circularity }, nil},
	{Column{"equivalent_diameter", "of the circle of equal area: √(4 · area / π)", "pixels", "equivalent_diameter_area"}, func(n *Nucleus) float64 { return n.EquivalentDiameter }, nil},
	{Column{"feret_max", "largest distance across", "pixels", "feret_diameter_max"}, func(n *Nucleus) float64 { return n.FeretMax }, nil},
	{Column{"x_um", "as x, from the left edge", "µm", ""}, nil, func(p *Physical) float64 { return p.X }},
	{Column{"y_um", "as y, from the upper edge", "µm", ""}, nil, func(p *Physical) float64 { return p.Y }},
	{Column{"area_um2", "as area", "µm²", ""}, nil, func(p *Physical) float64 { return p.Area }},
	{Column{"perimeter_um", "as perimeter; where pixels are not square, of the outline by Crofton's formula", "µm", ""}, nil, func(p *Physical) float64 { return p.Perimeter }},
	{Column{"major_axis_um", "as major_axis", "µm", ""}, nil, func(p *Physical) float64 { return p.Major }},
	{Column{"minor_axis_um", "as minor_axis", "µm", ""}, nil, func(p *Physical) float64 { return p.Minor }},
	{Column{"equivalent_diameter_um", "as equivalent_diameter", "µm", ""}, nil, func(p *Physical) float64 { return p.EquivalentDiameter }},
	{Column{"feret_max_um", "as feret_max", "µm", ""}, nil, func(p *Physical) float64 { return p.FeretMax }},
	{Column{"confidence", "probability that a person would draw this nucleus; empty where the model does not say", "", ""}, func(n *Nucleus) float64 {
		if n.Confidence > 0 {
			return n.Confidence
		}
		return math.NaN()
	}, nil},
}

// EdgeColumn is the one measurement that is an answer: 1 for yes, 0 for no.
const EdgeColumn = "edge"

// ChannelPlaceholder stands for the name of a channel in Columns.
const ChannelPlaceholder = "CHANNEL"

// intensities are those of each channel.
var intensities = []struct {
	Column
	of func(*Intensity) float64
}{
	{Column{"mean_", "mean of the samples inside", "the channel's", "intensity_mean"}, func(i *Intensity) float64 { return i.Mean }},
	{Column{"min_", "least of them", "the channel's", "intensity_min"}, func(i *Intensity) float64 { return i.Min }},
	{Column{"max_", "greatest of them", "the channel's", "intensity_max"}, func(i *Intensity) float64 { return i.Max }},
	{Column{"std_", "their standard deviation, of the population", "the channel's", "intensity_std"}, func(i *Intensity) float64 { return i.Std }},
	{Column{"sum_", "their sum", "the channel's", "image_intensity.sum()"}, func(i *Intensity) float64 { return i.Sum }},
}

// rings describe the columns of rings, those of each channel like intensities.
var (
	ringColumn = Column{"ring_area", "number of pixels of the ring around it, without those of any nucleus", "pixels", "expand_labels(labels, width) - labels"}
	ringPrefix = "ring_"
)

// Columns describes all columns that a sheet may have, in their order.
func Columns() (list []Column) {
	return NewSheet(SheetOptions{Channels: []string{ChannelPlaceholder}, Rings: true}).Columns
}

// SheetOptions say what is measured of the nuclei of an image.
type SheetOptions struct {
	// Channels names the channels of which there are intensities.
	Channels []string
	// Rings says that they are measured around the nuclei, too.
	Rings bool
	// PixelSize is that of the image, as far as known.
	PixelSize imageio.PixelSize
}

// Sheet holds the measurements of the nuclei of one image as numbers, by column.
type Sheet struct {
	Columns []Column
	options SheetOptions
}

// NewSheet returns the sheet of an image.
func NewSheet(o SheetOptions) *Sheet {
	s := &Sheet{options: o}
	for _, m := range measurements {
		s.Columns = append(s.Columns, m.Column)
	}
	perChannel := func(prefix, of string) {
		for _, name := range o.Channels {
			for _, in := range intensities {
				c := in.Column
				c.Name, c.Meaning = prefix+c.Name+name, c.Meaning+of
				s.Columns = append(s.Columns, c)
			}
		}
	}
	perChannel("", "")
	if o.Rings {
		s.Columns = append(s.Columns, ringColumn)
		perChannel(ringPrefix, ", of the ring")
	}
	return s
}

// Append appends the values of a nucleus, in the order of Columns; NaN is what
// is not known.
func (s *Sheet) Append(dst []float64, n *Nucleus) []float64 {
	var physical *Physical
	if size := s.options.PixelSize; size.Known() {
		p := n.In(size)
		physical = &p
	}
	for i := range measurements {
		switch m := &measurements[i]; {
		case m.of != nil:
			dst = append(dst, m.of(n))
		case physical != nil:
			dst = append(dst, m.physical(physical))
		default:
			dst = append(dst, math.NaN())
		}
	}
	dst = s.appendIntensities(dst, n.Channels)
	if s.options.Rings {
		area := math.NaN()
		var ring []Intensity
		if n.Ring != nil {
			area, ring = float64(n.Ring.Area), n.Ring.Channels
		}
		dst = s.appendIntensities(append(dst, area), ring)
	}
	return dst
}

func (s *Sheet) appendIntensities(dst []float64, channels []Intensity) []float64 {
	for c := range s.options.Channels {
		for _, in := range intensities {
			v := math.NaN()
			if c < len(channels) {
				v = in.of(&channels[c])
			}
			dst = append(dst, v)
		}
	}
	return dst
}

// Index is the place of a column of that name, or, of the name of a channel, of
// its mean; -1 where there is none. Upper and lower case are the same.
func (s *Sheet) Index(name string) int { return IndexOf(s.Columns, name) }

// IndexOf is the place of a column as Sheet.Index finds it.
func IndexOf(columns []Column, name string) int {
	for _, want := range []string{name, intensities[0].Name + name} {
		if i := slices.IndexFunc(columns, func(c Column) bool { return strings.EqualFold(c.Name, want) }); i >= 0 {
			return i
		}
	}
	return -1
}

// UnknownColumnError says that a measurement is none of an image.
type UnknownColumnError struct {
	Name string
	// Known are the columns there are.
	Known []Column
}

// Error implements error.
func (e *UnknownColumnError) Error() string {
	return fmt.Sprintf("there is no measurement %q", e.Name)
}

// Hint names those there are.
func (e *UnknownColumnError) Hint() string {
	var names []string
	for _, c := range e.Known {
		names = append(names, c.Name)
	}
	return "choose one of " + strings.Join(names, ", ")
}
