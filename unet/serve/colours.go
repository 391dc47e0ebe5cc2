package serve

import (
	"errors"
	"image/color"
	"io/fs"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"unet/unet/formats"
	"unet/unet/instance"
	"unet/unet/report"
	"unet/unet/segment"
)

// coloured are the outlines' colours by a measurement, of all nuclei of a plane.
type coloured struct {
	by       string
	revision int
	report.Range
	colour map[uint32]uint8 // places in rampColours
}

// rampColours are those of outline tiles by a measurement: nothing, the casing, that
// of nuclei of which it is not known, and a ramp, which is also the page's.
var rampColours = func() color.Palette {
	p := color.Palette{outlineColours[0], outlineColours[casing], color.NRGBA{150, 150, 150, 255}}
	for i := range rampSteps {
		t := float64(i) / (rampSteps - 1)
		p = append(p, hsl(260-200*t, 0.85, 0.55+0.15*t))
	}
	return p
}()

const rampSteps, firstStep = 64, 3

// colours are those by a measurement, which is a column of nuclei.csv, or by whether
// it is above a threshold, as in mean_2>200. The document is locked.
func (d *document) colours(by string) (*coloured, error) {
	if c := d.coloured; c != nil && c.by == by && c.revision == d.history.revision {
		return c, nil
	}
	values, err := d.values(by)
	if err != nil {
		return nil, err
	}
	c := &coloured{by: by, revision: d.history.revision, colour: make(map[uint32]uint8, len(values))}
	list := make([]float64, 0, len(values))
	for _, v := range values {
		list = append(list, v)
	}
	c.Range = report.RangeOf(by, list)
	for id, v := range values {
		c.colour[id] = firstStep - 1
		if !math.IsNaN(v) {
			t := min(max((v-c.Lo)/max(c.Hi-c.Lo, 1e-12), 0), 1)
			c.colour[id] = firstStep + uint8(t*(rampSteps-1)+0.5)
		}
	}
	d.coloured = c
	return c, nil
}

// values are those of all nuclei: from the table of the results as far as it tells of
// the nuclei as they are, else measured.
func (d *document) values(by string) (map[uint32]float64, error) {
	column, threshold, ruled := strings.Cut(by, ">")
	above, err := strconv.ParseFloat(threshold, 64)
	if ruled && err != nil {
		return nil, &apiError{http.StatusBadRequest, "colour: the threshold of " + strconv.Quote(clip(by)) + " is not a number"}
	}
	sheet := d.source.Sheet()
	at := sheet.Index(column)
	if at < 0 {
		unknown := &instance.UnknownColumnError{Name: clip(column), Known: sheet.Columns}
		return nil, &apiError{http.StatusBadRequest, "colour: " + unknown.Error() + "; " + unknown.Hint()}
	}
	values := make(map[uint32]float64, len(d.nuclei.at))
	err = readTable(d.s.output(d.im, d.suffix, segment.CSV), sheet.Columns[at].Name, func(id uint32, p place, v float64) {
		if now := d.nuclei.at[id]; now.rect() == p.rect() && now.area == p.area {
			values[id] = v
		}
	})
	if err != nil && !errors.Is(err, errTable) && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var others []uint32
	for id := range d.nuclei.at {
		if _, ok := values[id]; !ok {
			others = append(others, id)
		}
	}
	slices.Sort(others)
	var row []float64
	err = d.some(others, func(n *instance.Nucleus) error {
		row = sheet.Append(row[:0], n)
		values[n.ID] = formats.Rounded(row[at]) // as the table, and who is positive by it
		return nil
	})
	if ruled {
		for id, v := range values {
			switch {
			case v > above:
				values[id] = 1
			case v <= above: // else it is not known
				values[id] = 0
			}
		}
	}
	return values, err
}
