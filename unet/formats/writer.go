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
// those cells are empty), confidence where it is known. The header follows the first image; an image with
// more channels than it is an error.
func NewTable(w io.Writer) Writer { return &table{w: csv.NewWriter(w), channels: -1} }

var tableColumns = []string{
	"image", "nucleus", "x", "y", "x0", "y0", "x1", "y1", "edge",
	"area", "perimeter", "major_axis", "minor_axis", "orientation", "eccentricity",
	"solidity", "circularity", "equivalent_diameter", "feret_max",
	"x_um", "y_um", "area_um2", "perimeter_um", "major_axis_um", "minor_axis_um",
	"equivalent_diameter_um", "feret_max_um",
	"confidence",
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
	if n.Confidence > 0 {
		t.row = append(t.row, strconv.FormatFloat(n.Confidence, 'f', 4, 64))
	} else {
		t.row = append(t.row, "")
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
