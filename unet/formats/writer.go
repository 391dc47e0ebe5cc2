package formats

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// Writer writes nuclei to a file, one at a time, so that a file of any size
// needs little memory. Begin starts an image; ROI archives and GeoJSON hold
// one image, tables and COCO any number. Close completes the file but does not
// close what is below.
type Writer interface {
	Begin(Source) error
	Write(*instance.Nucleus) error
	Close() error
}

// Source is the image nuclei come from.
type Source struct {
	// Name identifies the image: a path or a Kaggle ImageId.
	Name string
	// W, H is its size in pixels.
	W, H int
	// PixelSize is that of the image, in µm, as far as known.
	PixelSize imageio.PixelSize
	// Channels names the channels that were measured; nil for none.
	Channels []string
}

// WriteAll writes all nuclei of one image and closes the writer.
func WriteAll(w Writer, src Source, nuclei []instance.Nucleus) error {
	if err := w.Begin(src); err != nil {
		return err
	}
	for i := range nuclei {
		if err := w.Write(&nuclei[i]); err != nil {
			return err
		}
	}
	return w.Close()
}

// ChannelNames returns the names of the image's channels, "1", "2", … where
// the file gives none.
func ChannelNames(img *imageio.Image) []string {
	names := make([]string, img.C)
	for c := range names {
		names[c] = strconv.Itoa(c + 1)
		if c < len(img.Channels) && img.Channels[c] != "" {
			names[c] = img.Channels[c]
		}
	}
	return names
}

var errNoImage = errors.New("nucleus written before its image was begun")

// table writes the measurements table.
type table struct {
	w        *csv.Writer
	src      Source
	channels int // columns in the header; -1 before it
	row      []string
}

// NewTable returns a writer of the measurements table: CSV, one row per
// nucleus, lengths in pixels and, where the pixel size is known, in µm (else
// those cells are empty). The header follows the first image; an image with
// more channels than it is an error.
func NewTable(w io.Writer) Writer { return &table{w: csv.NewWriter(w), channels: -1} }

var tableColumns = []string{
	"image", "nucleus", "x", "y", "x0", "y0", "x1", "y1", "edge",
	"area", "perimeter", "major_axis", "minor_axis", "orientation", "eccentricity",
	"solidity", "circularity", "equivalent_diameter", "feret_max",
	"x_um", "y_um", "area_um2", "perimeter_um", "major_axis_um", "minor_axis_um",
	"equivalent_diameter_um", "feret_max_um",
}

func (t *table) Begin(src Source) error {
	if t.channels < 0 {
		t.row = append(t.row[:0], tableColumns...)
		for _, name := range src.Channels {
			for _, what := range []string{"mean", "min", "max", "std", "sum"} {
				t.row = append(t.row, what+"_"+name)
			}
		}
		t.channels = len(src.Channels)
		if err := t.w.Write(t.row); err != nil {
			return err
		}
	}
	if len(src.Channels) > t.channels {
		return fmt.Errorf("%s has %d channels but the table's first image had %d; measure it into a table of its own", src.Name, len(src.Channels), t.channels)
	}
	t.src = src
	return nil
}

func (t *table) Write(n *instance.Nucleus) error {
	if t.channels < 0 {
		return errNoImage
	}
	t.row = append(t.row[:0], t.src.Name, strconv.FormatUint(uint64(n.ID), 10))
	t.numbers(n.X, n.Y, float64(n.X0), float64(n.Y0), float64(n.X1), float64(n.Y1))
	t.row = append(t.row, strconv.FormatBool(n.Edge))
	t.numbers(float64(n.Area), n.Perimeter, n.Major, n.Minor, n.Orientation, n.Eccentricity,
		n.Solidity, n.Circularity, n.EquivalentDiameter, n.FeretMax)
	if s := t.src.PixelSize; s.Known() {
		p := n.In(s)
		t.numbers(p.X, p.Y, p.Area, p.Perimeter, p.Major, p.Minor, p.EquivalentDiameter, p.FeretMax)
	} else {
		t.row = append(t.row, make([]string, 8)...)
	}
	for c := range t.channels {
		if c < len(n.Channels) {
			in := n.Channels[c]
			t.numbers(in.Mean, in.Min, in.Max, in.Std, in.Sum)
		} else {
			t.row = append(t.row, make([]string, 5)...)
		}
	}
	return t.w.Write(t.row)
}

func (t *table) numbers(v ...float64) {
	for _, f := range v {
		t.row = append(t.row, strconv.FormatFloat(f, 'g', 10, 64))
	}
}

func (t *table) Close() error {
	t.w.Flush()
	return t.w.Error()
}

// summaryTable writes one row per image.
type summaryTable struct {
	w        *csv.Writer
	src      Source
	t        instance.Tally
	begun    bool
	channels int
}

// NewSummaryTable returns a writer of the per-image table: CSV, one row for
// every image begun, in µm too where the pixel size is known.
func NewSummaryTable(w io.Writer) Writer { return &summaryTable{w: csv.NewWriter(w)} }

func (t *summaryTable) Begin(src Source) error {
	if err := t.finish(); err != nil {
		return err
	}
	if !t.begun {
		row := []string{"image", "width", "height", "pixel_size_um", "pixel_height_um", "count", "edge", "coverage",
			"area_mean", "area_median", "area_std", "diameter_median",
			"area_mean_um2", "area_median_um2", "diameter_median_um", "density_per_mm2",
			"circularity", "solidity", "eccentricity"}
		t.channels = len(src.Channels)
		for _, name := range src.Channels {
			row = append(row, "mean_"+name)
		}
		if err := t.w.Write(row); err != nil {
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
	s := t.t.Summary(t.src.W, t.src.H)
	num := func(f float64) string { return strconv.FormatFloat(f, 'g', 10, 64) }
	mean := func(f float64) string { // of no nuclei is not 0, and would bias means of images
		if s.Count == 0 {
			return ""
		}
		return num(f)
	}
	row := []string{t.src.Name, strconv.Itoa(t.src.W), strconv.Itoa(t.src.H), "", "",
		strconv.Itoa(s.Count), strconv.Itoa(s.Edge), num(s.Coverage),
		mean(s.AreaMean), mean(s.AreaMedian), mean(s.AreaStd), mean(s.DiameterMedian), "", "", "", "",
		mean(s.Circularity), mean(s.Solidity), mean(s.Eccentricity)}
	if p := t.src.PixelSize; p.Known() {
		row[3], row[4] = num(p.X), num(p.Y)
		// A circle of as many pixels is an ellipse of as many µm².
		row[12], row[13], row[14] = mean(s.AreaMean*p.X*p.Y), mean(s.AreaMedian*p.X*p.Y), mean(s.DiameterMedian*p.Length())
		row[15] = num(float64(s.Count) / (float64(t.src.W) * float64(t.src.H) * p.X * p.Y / 1e6))
	}
	for c := range t.channels {
		if c < len(s.Intensity) {
			row = append(row, num(s.Intensity[c]))
		} else {
			row = append(row, "")
		}
	}
	return t.w.Write(row)
}

func (t *summaryTable) Close() error {
	if err := t.finish(); err != nil {
		return err
	}
	t.begun = false
	t.w.Flush()
	return t.w.Error()
}
