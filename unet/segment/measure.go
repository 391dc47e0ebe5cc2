package segment

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// Length is a length in pixels or micrometres; the zero value is none.
type Length struct{ Pixels, Micrometres float64 }

// ParseLength reads a length such as 5, 5px or 2um.
func ParseLength(text string) (Length, error) {
	l, ok := readLength(text)
	if !ok {
		return l, fmt.Errorf("give pixels such as 5, or micrometres such as 2um")
	}
	return l, nil
}

// readLength is ParseLength without words for what is none.
func readLength(text string) (l Length, ok bool) {
	number, into := text, &l.Pixels
	for _, unit := range []string{"um", "µm", "μm"} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			number, into = n, &l.Micrometres
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(number, "px")), 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		return l, false
	}
	*into = v
	return l, true
}

// String is the text that ParseLength reads, "" for none.
func (l Length) String() string {
	switch {
	case l.Pixels > 0:
		return strconv.FormatFloat(l.Pixels, 'g', -1, 64)
	case l.Micrometres > 0:
		return strconv.FormatFloat(l.Micrometres, 'g', -1, 64) + "um"
	}
	return ""
}

// in is the length in widths of a pixel; ok is false where it is in µm and the
// size of a pixel is not known.
func (l Length) in(size imageio.PixelSize) (v float64, ok bool) {
	if l.Micrometres > 0 {
		return l.Micrometres / size.X, size.Known()
	}
	return l.Pixels, true
}

// Measuring decides what is measured of nuclei and which of them count. The zero
// value measures their shapes and the intensities of the channels inside.
type Measuring struct {
	// Ring is the width of the rings around nuclei that are measured, too.
	Ring Length
	// Stains are told apart in colour images.
	Stains *instance.Stains
	// Keep are the rules that a nucleus must fulfil to count.
	Keep []instance.Rule
}

// Measured are the nuclei of an image that count.
type Measured struct {
	Nuclei []instance.Nucleus
	// Dropped are those that do not.
	Dropped []instance.Dropped
	// Channels names the channels that were measured.
	Channels []string
	// Region is where nuclei count, nil for everywhere.
	Region *imageio.Labels
	// Warnings tell what could not be measured.
	Warnings []string
}

// Measure measures the nuclei of a label image in an image whose channels have
// those names, and takes those that do not count out of the labels; the others
// keep their numbers. Where there is a region, only those in it do.
func (m Measuring) Measure(l *imageio.Labels, img *imageio.Image, channels []string, region *imageio.Labels) (*Measured, error) {
	out := &Measured{}
	img = m.stained(out, img, channels, img.PixelSize)
	out.Nuclei = instance.Measure(l, img)
	return out, m.count(out, l, img, instance.Keeper{Rules: m.Keep, Region: region})
}

// stained returns the image that is measured, with its stains as further
// channels, where it has any.
func (m Measuring) stained(out *Measured, img *imageio.Image, channels []string, size imageio.PixelSize) *imageio.Image {
	with := *img
	with.PixelSize, out.Channels = size, channels
	if m.Stains == nil {
		return &with
	}
	stained, ok := m.Stains.Append(&with)
	if !ok {
		out.Warnings = append(out.Warnings, noStains)
		return &with
	}
	out.Channels = append(slices.Clone(channels), m.Stains.Names()...)
	return stained
}

const noStains = "stains can be separated in colour images only"

// count measures the rings of nuclei, and leaves out those that do not count.
func (m Measuring) count(out *Measured, l *imageio.Labels, img *imageio.Image, keeper instance.Keeper) (err error) {
	out.Region = keeper.Region
	if m.Rings() {
		width, ok := m.Ring.in(img.PixelSize)
		if !ok {
			return errNoPixelSize
		}
		instance.MeasureRings(l, img, out.Nuclei, width)
	}
	if len(m.Keep) == 0 && keeper.Region == nil {
		return nil
	}
	sheet := instance.NewSheet(instance.SheetOptions{Channels: out.Channels, Rings: m.Rings(), PixelSize: img.PixelSize})
	out.Nuclei, out.Dropped, err = keeper.Keep(l, out.Nuclei, sheet)
	return err
}

// errNoPixelSize says that the width of rings cannot be told in pixels.
var errNoPixelSize = &InputError{Name: "rings", Problem: "their width is in µm, but the file does not say how large its pixels are", Advice: "give the width in pixels, or say how large they are", Option: "pixel-size"}

// Rings reports whether there are any.
func (m Measuring) Rings() bool { return m.Ring != Length{} }

// keepText is a list of rules as ParseRules reads it.
func keepText(rules []instance.Rule) string {
	var list []string
	for _, r := range rules {
		list = append(list, r.String())
	}
	return strings.Join(list, ",")
}

// Summarise sums up the nuclei that count, of an image of w x h pixels.
func (m *Measured) Summarise(w, h int) instance.Summary {
	s := instance.Summarise(m.Nuclei, w, h, m.Region)
	s.LeftOut = m.Dropped
	return s
}

// Pixels is the number of pixels of the region in which nuclei count; 0 is all.
func (m *Measured) Pixels() int { return instance.RegionPixels(m.Region) }
