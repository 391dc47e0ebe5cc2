package segment

import (
	"fmt"
	"image"
	"math"
	"strconv"
	"strings"

	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/report"
)

// ColourBy says by which measurement nuclei are coloured; the zero value by none,
// so that neighbours differ.
type ColourBy struct {
	Column string
	// Lo and Hi are the values of the first and the last colour; equal: those that
	// hold the middle 96 % of the nuclei of an image.
	Lo, Hi float64
}

// ParseColourBy reads the name of a measurement, or of a channel for its mean, and
// perhaps the range of the colours, such as area or area:20-400.
func ParseColourBy(text string) (c ColourBy, err error) {
	var span string
	var ranged bool
	if c.Column, span, ranged = strings.Cut(text, ":"); !ranged {
		return c, nil
	}
	from, to, _ := strings.Cut(span, "-")
	if c.Lo, err = strconv.ParseFloat(from, 64); err == nil {
		c.Hi, err = strconv.ParseFloat(to, 64)
	}
	if err != nil || c.Column == "" || !(c.Lo < c.Hi) {
		return c, fmt.Errorf("give a measurement such as area, or with a range such as area:20-400")
	}
	return c, nil
}

// String is the text that ParseColourBy reads.
func (c ColourBy) String() string {
	if c.Lo == c.Hi {
		return c.Column
	}
	return fmt.Sprintf("%s:%v-%v", c.Column, c.Lo, c.Hi)
}

// Colouring gives the nuclei of a sheet their colours; nil where none is asked for.
func (c ColourBy) Colouring(sheet *instance.Sheet, nuclei []instance.Nucleus) (*report.Colouring, error) {
	if c.Column == "" {
		return nil, nil
	}
	at := sheet.Index(c.Column)
	if at < 0 {
		return nil, &instance.UnknownColumnError{Name: c.Column, Known: sheet.Columns}
	}
	out := &report.Colouring{Column: sheet.Columns[at].Name, Values: make(map[uint32]float64, len(nuclei))}
	var row, all []float64
	for i := range nuclei {
		row = sheet.Append(row[:0], &nuclei[i])
		out.Values[nuclei[i].ID] = row[at]
		all = append(all, row[at])
	}
	name := sheet.Columns[at].Name
	if unit := sheet.Columns[at].Unit; unit != "" && !strings.HasPrefix(unit, "the ") {
		name += " (" + unit + ")"
	}
	out.Range = report.RangeOf(name, all)
	if c.Lo != c.Hi {
		out.Lo, out.Hi = c.Lo, c.Hi
	}
	return out, nil
}

// UncolouredText says that nuclei have no values to be coloured by, "" where any has.
func UncolouredText(by *report.Colouring) string {
	if by == nil || len(by.Values) == 0 {
		return ""
	}
	for _, v := range by.Values {
		if !math.IsNaN(v) {
			return ""
		}
	}
	return unknownValues(by.Column) + ": all are gray in pictures"
}

// Picture draws the outlines of nuclei over their image, whose pixels are um µm
// wide, with a scale bar unless that is 0 for not known, and with a legend where
// they are coloured by something.
func Picture(img *imageio.Image, l *imageio.Labels, um float64, o report.OverlayOptions) (*image.RGBA, error) {
	m, err := report.Overlay(img, l, o)
	if err != nil {
		return nil, err
	}
	report.ScaleBar(m, um*float64(l.W)/float64(m.Rect.Dx()))
	if o.By != nil {
		m = report.Legend(m, o.By.Range)
	}
	return m, nil
}

// densitySide is the longer side of density maps in pixels, kernelDiameters the
// standard deviation of their kernel in median diameters of the nuclei.
const (
	densitySide     = 1024
	kernelDiameters = 2.5
)

// DensityPicture maps how dense nuclei are, from their centroids and median diameter.
func DensityPicture(centroids [][2]float64, diameter float64, w, h int, size imageio.PixelSize) *image.RGBA {
	sigma := max(kernelDiameters*diameter, 1)
	step := min(1, 6/sigma, densitySide/float64(max(w, h)))
	density, dw, dh := instance.Density(centroids, w, h, sigma, step)
	name, unit := "nuclei per 100 x 100 pixels", 1e4
	if size.Known() {
		name, unit = "nuclei per mm²", 1e6/(size.X*size.Y)
	}
	for i := range density {
		density[i] *= float32(unit)
	}
	return report.DensityPicture(density, dw, dh, min(densitySide, max(w, h)), name, size.X, w)
}

// centroidsOf are those of nuclei.
func centroidsOf(nuclei []instance.Nucleus) [][2]float64 {
	list := make([][2]float64, len(nuclei))
	for i := range nuclei {
		list[i] = [2]float64{nuclei[i].X, nuclei[i].Y}
	}
	return list
}
