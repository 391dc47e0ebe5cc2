package formats

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
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
	// Rings says that they were measured around the nuclei, too.
	Rings bool
	// FullW, FullH is its size at full resolution, if it is another level of a
	// pyramid; else 0.
	FullW, FullH int
	// Region is the number of pixels in which nuclei were counted; 0: all.
	Region int
	// Markers tell which nuclei are positive, in further columns of tables.
	Markers []Marker
}

// Marker is a column that tells which nuclei are positive: those of which a
// measurement, as tables tell it, is above a threshold.
type Marker struct {
	Name, Column string
	Threshold    float64
}

// Positive reports whether a nucleus with those values of a sheet is positive; known
// is false where the measurement is not.
func (m *Marker) Positive(sheet *instance.Sheet, values []float64) (positive, known bool) {
	at := sheet.Index(m.Column)
	if at < 0 || math.IsNaN(values[at]) {
		return false, false
	}
	return Rounded(values[at]) > m.Threshold, true
}

// Sheet holds the measurements of the image's nuclei.
func (s *Source) Sheet() *instance.Sheet {
	return instance.NewSheet(instance.SheetOptions{Channels: s.Channels, Rings: s.Rings, PixelSize: s.PixelSize})
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
	w       *csv.Writer
	src     Source
	columns int // of the header; 0 before it
	sheet   *instance.Sheet
	row     []string
	values  []float64
}

// NewTable returns a writer of the measurements table: CSV, one row per
// nucleus, with the columns of the image's sheet. Cells are empty where a value is
// not known, as those in µm are without a pixel size. The header follows the first
// image; an image with more columns than it is an error.
func NewTable(w io.Writer) Writer { return &table{w: csv.NewWriter(w)} }

func (t *table) Begin(src Source) error {
	t.src, t.sheet = src, src.Sheet()
	if t.columns == 0 {
		t.row = append(t.row[:0], imageColumn.Name)
		for _, c := range t.sheet.Columns {
			t.row = append(t.row, c.Name)
		}
		for _, m := range src.Markers {
			t.row = append(t.row, PositiveColumn+m.Name)
		}
		t.columns = len(t.row)
		return t.w.Write(t.row)
	}
	if 1+len(t.sheet.Columns)+len(src.Markers) > t.columns {
		return fmt.Errorf("%s has %d channels, more than the table's first image; measure it into a table of its own", src.Name, len(src.Channels))
	}
	return nil
}

func (t *table) Write(n *instance.Nucleus) error {
	if t.columns == 0 {
		return errNoImage
	}
	t.row = append(t.row[:0], t.src.Name)
	t.values = t.sheet.Append(t.values[:0], n)
	for i, v := range t.values {
		if t.sheet.Columns[i].Name == instance.EdgeColumn {
			t.row = append(t.row, strconv.FormatBool(v != 0))
		} else {
			t.row = append(t.row, Number(v))
		}
	}
	for i := range t.src.Markers {
		positive, known := t.src.Markers[i].Positive(t.sheet, t.values)
		if known {
			t.row = append(t.row, strconv.FormatBool(positive))
		} else {
			t.row = append(t.row, "")
		}
	}
	for len(t.row) < t.columns {
		t.row = append(t.row, "")
	}
	return t.w.Write(t.row)
}

func (t *table) Close() error {
	t.w.Flush()
	return t.w.Error()
}
