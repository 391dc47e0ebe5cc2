package plane

import "strings"

// PlausibleSize is a pixel's size in µm as a file states it, or 0, unknown, where
// it is none: negative, infinite, not a number or larger than any image.
func PlausibleSize(um float64) float64 {
	if um > 0 && um < 1e9 {
		return um
	}
	return 0
}

// Micrometres is a unit of length in µm, 0 when it is not known.
func Micrometres(unit string) float64 {
	switch strings.ToLower(strings.TrimSpace(unit)) {
	case "µm", "μm", "um", "micron", "microns", "micrometer", "micrometre":
		return 1
	case "nm", "nanometer", "nanometre":
		return 1e-3
	case "å", "angstrom", "ångström":
		return 1e-4
	case "mm", "millimeter", "millimetre":
		return 1e3
	case "cm", "centimeter", "centimetre":
		return 1e4
	case "m", "meter", "metre":
		return 1e6
	}
	return 0
}
