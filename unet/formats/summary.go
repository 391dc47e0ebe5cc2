package formats

import (
	"encoding/csv"
	"io"
	"strconv"

	"unet/unet/instance"
)

// SummaryColumns are the columns of the table with a row for each image.
func SummaryColumns(channels []string) []string {
	columns := []string{"image", "width", "height", "pixel_size_um", "pixel_height_um", "count", "edge", "coverage",
		"area_mean", "area_median", "area_std", "diameter_median",
		"area_mean_um2", "area_median_um2", "diameter_median_um", "density_per_mm2",
		"circularity", "solidity", "eccentricity", "confidence"}
	for _, name := range channels {
		columns = append(columns, "mean_"+name)
	}
	return columns
}

// SummaryRow is the row of an image under SummaryColumns of its channels.
// Cells are empty where there is nothing to tell: a mean of no nuclei is not 0,
// and would bias means of images.
func SummaryRow(src Source, s instance.Summary) []string {
	num := func(f float64) string { return strconv.FormatFloat(f, 'g', 10, 64) }
	mean := func(f float64) string {
		if s.Count == 0 {
			return ""
		}
		return num(f)
	}
	row := []string{src.Name, strconv.Itoa(src.W), strconv.Itoa(src.H), "", "",
		strconv.Itoa(s.Count), strconv.Itoa(s.Edge), num(s.Coverage),
		mean(s.AreaMean), mean(s.AreaMedian), mean(s.AreaStd), mean(s.DiameterMedian), "", "", "", "",
		mean(s.Circularity), mean(s.Solidity), mean(s.Eccentricity), ""}
	if s.Confidence > 0 {
		row[19] = strconv.FormatFloat(s.Confidence, 'f', 4, 64)
	}
	if p := src.PixelSize; p.Known() {
		row[3], row[4] = num(p.X), num(p.Y)
		// A circle of as many pixels is an ellipse of as many µm².
		row[12], row[13], row[14] = mean(s.AreaMean*p.X*p.Y), mean(s.AreaMedian*p.X*p.Y), mean(s.DiameterMedian*p.Length())
		row[15] = num(float64(s.Count) / (float64(src.W) * float64(src.H) * p.X * p.Y / 1e6))
	}
	for c := range src.Channels {
		if c < len(s.Intensity) {
			row = append(row, num(s.Intensity[c]))
		} else {
			row = append(row, "")
		}
	}
	return row
}

// summaryTable writes one row per image.
type summaryTable struct {
	w        *csv.Writer
	src      Source
	t        instance.Tally
	begun    bool
	channels []string // of the header
}

// NewSummaryTable returns a writer of the per-image table: CSV, one row for
// every image begun, in µm too where the pixel size is known.
func NewSummaryTable(w io.Writer) Writer { return &summaryTable{w: csv.NewWriter(w)} }

func (t *summaryTable) Begin(src Source) error {
	if err := t.finish(); err != nil {
		return err
	}
	if !t.begun {
		t.channels = src.Channels
		if err := t.w.Write(SummaryColumns(t.channels)); err != nil {
			return err
		}
	}
	t.src, t.t, t.begun = src, instance.Tally{}, true
	return nil
}

func (t *summaryTable) Write(n *instance.Nucleus) error {
	if !t.begun {
		return errNoImage
	}
	t.t.Add(n)
	return nil
}

func (t *summaryTable) finish() error {
	if !t.begun {
		return nil
	}
	src := t.src
	src.Channels = t.channels
	return t.w.Write(SummaryRow(src, t.t.Summary(src.W, src.H)))
}

func (t *summaryTable) Close() error {
	if err := t.finish(); err != nil {
		return err
	}
	t.begun = false
	t.w.Flush()
	return t.w.Error()
}
