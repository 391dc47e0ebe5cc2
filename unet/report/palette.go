package report

import (
	"image/color"
	"math"
)

// The colours of plots and error pictures are from Okabe and Ito's palette
// for readers with any kind of colour vision ("Color Universal Design",
// 2008), slightly lightened so that they read on white and on dark pages.
var (
	blue      = color.RGBA{46, 125, 194, 255}
	orange    = color.RGBA{230, 149, 20, 255}
	green     = color.RGBA{10, 158, 115, 255}
	vermilion = color.RGBA{213, 94, 20, 255}
	pink      = color.RGBA{204, 121, 167, 255}
	sky       = color.RGBA{86, 180, 233, 255}
	stone     = color.RGBA{136, 146, 156, 255}
)

// SeriesColour returns the colour of the i-th series of a plot.
func SeriesColour(i int) color.RGBA {
	c := [...]color.RGBA{blue, orange, green, pink, vermilion, sky, stone}
	return c[((i%len(c))+len(c))%len(c)]
}

// oklch converts lightness 0..1, chroma and hue in turns to sRGB; colours
// outside the gamut lose chroma until they fit. Source: B. Ottosson, "A
// perceptual color space for image processing", 2020.
func oklch(l, c, hue float64) color.RGBA {
	for ; ; c -= 0.01 {
		sin, cos := math.Sincos(2 * math.Pi * hue)
		a, b := max(c, 0)*cos, max(c, 0)*sin
		l3 := cube(l + 0.3963377774*a + 0.2158037573*b)
		m3 := cube(l - 0.1055613458*a - 0.0638541728*b)
		s3 := cube(l - 0.0894841775*a - 1.2914855480*b)
		rgb := [3]float64{
			4.0767416621*l3 - 3.3077115913*m3 + 0.2309699292*s3,
			-1.2684380046*l3 + 2.6097574011*m3 - 0.3413193965*s3,
			-0.0041960863*l3 - 0.7034186147*m3 + 1.7076147010*s3,
		}
		inside := true
		for _, v := range rgb {
			inside = inside && v >= -1e-4 && v <= 1+1e-4
		}
		if inside || c <= 0 {
			return color.RGBA{gamma(rgb[0]), gamma(rgb[1]), gamma(rgb[2]), 255}
		}
	}
}

// chromaHue returns the chroma and the hue in turns of an sRGB colour, the
// inverse of oklch.
func chromaHue(c color.RGBA) (chroma, hue float64) {
	r, g, b := linear(c.R), linear(c.G), linear(c.B)
	l := math.Cbrt(0.4122214708*r + 0.5363325363*g + 0.0514459929*b)
	m := math.Cbrt(0.2119034982*r + 0.6806995451*g + 0.1073969566*b)
	s := math.Cbrt(0.0883024619*r + 0.2817188376*g + 0.6299787005*b)
	x := 1.9779984951*l - 2.4285922050*m + 0.4505937099*s
	y := 0.0259040371*l + 0.7827717662*m - 0.8086757660*s
	return math.Hypot(x, y), math.Atan2(y, x) / (2 * math.Pi)
}

func cube(v float64) float64 { return v * v * v }

// gamma encodes linear light 0..1 as an sRGB byte.
func gamma(v float64) uint8 {
	v = min(max(v, 0), 1)
	if v <= 0.0031308 {
		v *= 12.92
	} else {
		v = 1.055*math.Pow(v, 1/2.4) - 0.055
	}
	return uint8(v*255 + 0.5)
}

// linear is the inverse of gamma.
func linear(v uint8) float64 {
	x := float64(v) / 255
	if x <= 0.04045 {
		return x / 12.92
	}
	return math.Pow((x+0.055)/1.055, 2.4)
}
