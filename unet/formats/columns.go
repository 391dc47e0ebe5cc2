package formats

import (
	"strings"
)

// Column describes a column of the table of nuclei.
type Column struct {
	Name    string `json:"name"`
	Meaning string `json:"meaning"`
	// Unit is "" of names, numbers without one and answers.
	Unit string `json:"unit,omitempty"`
	// Reference is the property of scikit-image's regionprops that is the same.
	Reference string `json:"regionprops,omitempty"`
}

// Columns describes the columns of the table of nuclei, in their order; those
// of a channel end in its name, here CHANNEL.
var Columns = []Column{
	{"image", "name of the image, with the plane of a file that holds several", "", ""},
	{"nucleus", "number in the label image", "", "label"},
	{"x", "centroid, from the centre of the leftmost pixel", "pixels", "centroid[1]"},
	{"y", "centroid, from the centre of the topmost pixel", "pixels", "centroid[0]"},
	{"x0", "first column", "pixels", "bbox[1]"},
	{"y0", "first row", "pixels", "bbox[0]"},
	{"x1", "column after the last", "pixels", "bbox[3]"},
	{"y1", "row after the last", "pixels", "bbox[2]"},
	{"edge", "whether it touches the edge of the image, and may go on beyond", "", ""},
	{"area", "number of pixels", "pixels", "area"},
	{"perimeter", "length of the border through pixel centres", "pixels", "perimeter"},
	{"major_axis", "long axis of the ellipse of equal second moments", "pixels", "axis_major_length"},
	{"minor_axis", "short axis of that ellipse", "pixels", "axis_minor_length"},
	{"orientation", "angle from the vertical to the long axis, counter-clockwise", "radians", "orientation"},
	{"eccentricity", "of that ellipse: 0 a circle, 1 a line", "", "eccentricity"},
	{"solidity", "area / area of the convex hull", "", "solidity"},
	{"circularity", "4π · area / perimeter², at most 1", "", ""},
	{"equivalent_diameter", "of the circle of equal area: √(4 · area / π)", "pixels", "equivalent_diameter_area"},
	{"feret_max", "largest distance across", "pixels", "feret_diameter_max"},
	{"x_um", "as x", "µm", ""},
	{"y_um", "as y", "µm", ""},
	{"area_um2", "as area", "µm²", ""},
	{"perimeter_um", "as perimeter", "µm", ""},
	{"major_axis_um", "as major_axis", "µm", ""},
	{"minor_axis_um", "as minor_axis", "µm", ""},
	{"equivalent_diameter_um", "as equivalent_diameter", "µm", ""},
	{"feret_max_um", "as feret_max", "µm", ""},
	{"confidence", "probability that a person would draw this nucleus; empty where the model does not say", "", ""},
	{"mean_CHANNEL", "mean of the samples inside", "the image's", "intensity_mean"},
	{"min_CHANNEL", "least of them", "the image's", "intensity_min"},
	{"max_CHANNEL", "greatest of them", "the image's", "intensity_max"},
	{"std_CHANNEL", "their standard deviation, of the population", "the image's", "intensity_std"},
	{"sum_CHANNEL", "their sum", "the image's", ""},
}

// ColumnsTable is Columns as a table of Markdown.
func ColumnsTable() string {
	var b strings.Builder
	b.WriteString("| column | meaning | unit | scikit-image |\n|---|---|---|---|\n")
	for _, c := range Columns {
		ref := ""
		if c.Reference != "" {
			ref = "`" + c.Reference + "`"
		}
		b.WriteString("| `" + c.Name + "` | " + c.Meaning + " | " + c.Unit + " | " + ref + " |\n")
	}
	return b.String()
}
