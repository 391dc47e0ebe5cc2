package formats

import (
	"math"
	"strconv"
	"strings"

	"unet/unet/instance"
)

// Column describes a column of a table.
type Column = instance.Column

// MarkerPlaceholder stands for the name of a marker in Columns.
const MarkerPlaceholder = "MARKER"

// Names of columns that a batch adds to the tables.
const (
	PositiveColumn  = "positive_" // and the name of the marker
	ConditionColumn = "condition"
	WellColumn      = "well"
	CorrectedColumn = "corrected"
	ErrorColumn     = "error"
)

// Columns describes the columns of the table of nuclei, in their order; those
// of a channel end in its name, here CHANNEL, those of a marker in MARKER.
var Columns = append(append([]Column{imageColumn}, instance.Columns()...), batchColumns...)

var imageColumn = Column{Name: "image", Meaning: "name of the image, with the plane of a file that holds several"}

// batchColumns are those that only the table of a whole batch has.
var batchColumns = []Column{
	{Name: PositiveColumn + MarkerPlaceholder, Meaning: "whether the measurement that decides is above the threshold of the marker; in the table of all images only", Formula: "threshold_otsu, unless the threshold is given"},
	{Name: ConditionColumn, Meaning: "condition of the image; in the table of all images only"},
	{Name: WellColumn, Meaning: "well of the image; in the table of all images only"},
	{Name: CorrectedColumn, Meaning: "true in images whose nuclei a person has corrected; in the table of all images only"},
}

// Number is a number in a table: whole ones in full, others to six digits and at
// least two decimals; "" of one that is not known.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return ""
	case v == math.Trunc(v) && a < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a < 1 || a >= 1e15:
		return strconv.FormatFloat(v, 'g', 6, 64)
	default:
		decimals := 5
		for ; a >= 10 && decimals > 2; a /= 10 {
			decimals--
		}
		return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', decimals, 64), "0"), ".")
	}
}

// Rounded is the number that a table tells.
func Rounded(v float64) float64 {
	r, err := strconv.ParseFloat(Number(v), 64)
	if err != nil {
		return math.NaN()
	}
	return r
}
