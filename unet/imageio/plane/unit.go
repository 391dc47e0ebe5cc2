package plane

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// PixelSize is the size of a pixel in µm along x and y, and the distance
// between slices along z; 0 where it is not known. X and Y are known together.
type PixelSize struct{ X, Y, Z float64 }

// SizeOf returns a pixel size as files state it: unknown where a number is
// none (negative, infinite, not a number, larger than any image), and square
// where only one of x and y is known.
func SizeOf(x, y, z float64) PixelSize {
	sane := func(um float64) float64 {
		if um > 0 && um < 1e9 {
			return um
		}
		return 0
	}
	s := PixelSize{sane(x), sane(y), sane(z)}
	if s.X == 0 {
		s.X = s.Y
	}
	if s.Y == 0 {
		s.Y = s.X
	}
	return s
}

// SquarePixels is the size of square pixels, um wide.
func SquarePixels(um float64) PixelSize { return SizeOf(um, um, 0) }

// ParsePixelSize reads a width in µm such as 0.5, or width and height, 0.5x1.
func ParsePixelSize(s string) (PixelSize, error) {
	xs, ys, two := strings.Cut(strings.ToLower(strings.TrimSpace(s)), "x")
	x, err := strconv.ParseFloat(strings.TrimSpace(xs), 64)
	y := x
	if err == nil && two {
		y, err = strconv.ParseFloat(strings.TrimSpace(ys), 64)
	}
	if err != nil || !(x > 0 && x < 1e4 && y > 0 && y < 1e4) {
		return PixelSize{}, fmt.Errorf("%q is not a pixel size in µm, such as 0.5 or, width x height, 0.5x1", s)
	}
	return PixelSize{X: x, Y: y}, nil
}

// Known reports whether the size in x and y is known.
func (s PixelSize) Known() bool { return s.X > 0 && s.Y > 0 }

// Square reports whether pixels are as high as they are wide, as far as known.
func (s PixelSize) Square() bool { return math.Abs(s.X-s.Y) <= 1e-6*s.X }

// Length is the side of a square pixel of the same area.
func (s PixelSize) Length() float64 {
	if s.Square() {
		return s.X
	}
	return math.Sqrt(s.X * s.Y)
}

// String is "0.5 µm", "0.5 x 1 µm" or "unknown".
func (s PixelSize) String() string {
	switch {
	case !s.Known():
		return "unknown"
	case s.Square():
		return fmt.Sprintf("%.6g µm", s.X)
	}
	return fmt.Sprintf("%.6g x %.6g µm", s.X, s.Y)
}

// MarshalJSON writes the width of square pixels, [width, height] of others and
// null where neither is known.
func (s PixelSize) MarshalJSON() ([]byte, error) {
	switch {
	case !s.Known():
		return []byte("null"), nil
	case s.Square():
		return json.Marshal(s.X)
	}
	return json.Marshal([2]float64{s.X, s.Y})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *PixelSize) UnmarshalJSON(b []byte) error {
	var two [2]float64
	if json.Unmarshal(b, &two[0]) == nil {
		*s = SquarePixels(two[0])
		return nil
	}
	if err := json.Unmarshal(b, &two); err != nil {
		return err
	}
	*s = SizeOf(two[0], two[1], 0)
	return nil
}

const inch = 25400 // µm

// Micrometres is a unit of length in µm, 0 when it is not known or, as
// "pixel", no length.
func Micrometres(unit string) float64 {
	switch strings.ToLower(strings.TrimSpace(unit)) {
	case "µm", "μm", "\xb5m", "um", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres", "µ", "μ":
		return 1
	case "nm", "nanometer", "nanometers", "nanometre", "nanometres":
		return 1e-3
	case "å", "\xc5", "angstrom", "angstroms", "ångström", "ångströms":
		return 1e-4
	case "pm", "picometer", "picometre":
		return 1e-6
	case "mm", "millimeter", "millimeters", "millimetre", "millimetres":
		return 1e3
	case "cm", "centimeter", "centimeters", "centimetre", "centimetres":
		return 1e4
	case "m", "meter", "meters", "metre", "metres":
		return 1e6
	case "in", "inch", "inches", `"`:
		return inch
	}
	return 0
}

// printed are resolutions in dots per inch that cameras, screens, scanners and
// printers put into files, whatever they show.
var printed = []float64{72, 75, 90, 96, 100, 110, 120, 133, 144, 150, 160, 170, 175, 180, 192, 200, 220, 225, 240, 250, 266, 288, 300, 314, 320,
	326, 350, 360, 400, 450, 480, 500, 600, 720, 800, 900, 1000, 1200, 1440, 1600, 1800, 2000, 2400, 2880, 3000, 3200, 3600, 4000, 4800, 5760,
	6400, 7200, 9600}

// PrintResolution returns the dots per inch that a pixel of um µm stands for
// when that is a resolution for print or screen, which says nothing about what
// the image shows, and 0 otherwise.
func PrintResolution(um float64) float64 {
	dpi := inch / um
	for _, v := range printed {
		if math.Abs(dpi-v) < 0.003*v {
			return v
		}
	}
	return 0
}

// BytesText is a number of bytes for people.
func BytesText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", (n+1<<9)>>10)
	case n < 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n < 1<<30:
		return fmt.Sprintf("%d MiB", (n+1<<19)>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
