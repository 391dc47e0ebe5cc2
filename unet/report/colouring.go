package report

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"strconv"

	"unet/unet/imageio"
)

// Range is what the colours of a picture stand for.
type Range struct {
	// Name of the measurement, with its unit.
	Name string
	// Lo and Hi are the values of the first and the last colour.
	Lo, Hi float64
}

// Colouring colours nuclei by a measurement.
type Colouring struct {
	Range
	// Column is the measurement as tables name it.
	Column string
	// Values of the nuclei, by number.
	Values map[uint32]float64
}

// RangeOf is the range that holds the middle 96 % of values.
func RangeOf(name string, values []float64) Range {
	v := slices.DeleteFunc(slices.Clone(values), func(x float64) bool { return x-x != 0 })
	if len(v) == 0 {
		return Range{name, 0, 1}
	}
	slices.Sort(v)
	at := func(q float64) float64 { return v[int(q*float64(len(v)-1)+0.5)] }
	return Range{name, at(0.02), at(0.98)}
}

// firstHeat is the first colour used on pictures: those before it are too dark.
const firstHeat = 40

// colour is that of a value; gray of what is not known.
func (r Range) colour(v float64) color.RGBA {
	if math.IsNaN(v) {
		return color.RGBA{150, 150, 150, 255}
	}
	t := 0.5
	if r.Hi > r.Lo {
		t = min(max((v-r.Lo)/(r.Hi-r.Lo), 0), 1)
	}
	return heat[firstHeat+int(t*float64(255-firstHeat)+0.5)]
}

var heat = heatTable()

// colours are those of the nuclei of a label image.
func (c *Colouring) colours(l *imageio.Labels) map[uint32]color.RGBA {
	out := make(map[uint32]color.RGBA, len(c.Values))
	for _, id := range l.ID {
		if id != 0 {
			if _, ok := out[id]; !ok {
				v, known := c.Values[id]
				if !known {
					v = math.NaN()
				}
				out[id] = c.colour(v)
			}
		}
	}
	return out
}

// textSizeOn is the size of text on a picture.
func textSizeOn(m *image.RGBA) float64 {
	return min(max(float64(max(m.Rect.Dx(), m.Rect.Dy()))/45, 11), 64)
}

// Legend returns the picture with the colours and what they stand for below it.
func Legend(m *image.RGBA, r Range) *image.RGBA {
	size := textSizeOn(m)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	height := int(3.6*size + 0.5)
	out := image.NewRGBA(image.Rect(0, 0, w, h+height))
	draw.Draw(out, out.Rect, image.NewUniform(color.RGBA{24, 26, 30, 255}), image.Point{}, draw.Src)
	draw.Draw(out, m.Rect, m, m.Rect.Min, draw.Src)
	margin := int(0.8 * size)
	bar := image.Rect(margin, h+int(0.7*size), max(w-margin, margin+1), h+int(1.5*size))
	for x := bar.Min.X; x < bar.Max.X; x++ {
		t := float64(x-bar.Min.X) / float64(max(1, bar.Dx()-1))
		draw.Draw(out, image.Rect(x, bar.Min.Y, x+1, bar.Max.Y), image.NewUniform(r.colour(r.Lo+t*(r.Hi-r.Lo))), image.Point{}, draw.Src)
	}
	white := color.RGBA{235, 235, 235, 255}
	y := float64(h) + 2.9*size
	lo, hi := legendNumber(r.Lo), legendNumber(r.Hi)
	drawText(out, float64(bar.Min.X), y, lo, size, white, start, false)
	drawText(out, float64(bar.Max.X), y, hi, size, white, end, false)
	room := float64(bar.Dx()) - textWidth(lo, size, false) - textWidth(hi, size, false) - 2*size
	drawText(out, float64(w)/2, y, fit(r.Name, room, size, false), size, white, middle, false)
	return out
}

// legendNumber is a number to three digits, or whole.
func legendNumber(v float64) string {
	if math.Abs(v) >= 100 {
		return Number(v, 0)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// barLength is a round length in µm, 1, 2 or 5 times a power of ten, of at most most,
// and how it reads.
func barLength(most float64) (length float64, text string) {
	length = math.Pow(10, math.Floor(math.Log10(most)))
	for _, k := range []float64{5, 2} {
		if k*length <= most {
			length *= k
			break
		}
	}
	if length >= 1000 {
		return length, fmt.Sprintf("%g mm", length/1000)
	}
	return length, fmt.Sprintf("%g µm", length)
}

// ScaleBar draws a bar of a round length, about a fifth of the width of the
// picture, whose pixels are um micrometres wide.
func ScaleBar(m *image.RGBA, um float64) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	if !(um > 0) || w < 64 || h < 48 {
		return
	}
	length, text := barLength(float64(w) * um / 4)
	size := textSizeOn(m)
	margin, thick := int(0.9*size), max(2, int(size/4))
	pixels := int(length/um + 0.5)
	bar := image.Rect(w-margin-pixels, h-margin-thick, w-margin, h-margin)
	black, white := image.NewUniform(color.RGBA{0, 0, 0, 255}), image.NewUniform(color.RGBA{255, 255, 255, 255})
	edge := max(1, thick/3)
	draw.Draw(m, bar.Inset(-edge), black, image.Point{}, draw.Src)
	draw.Draw(m, bar, white, image.Point{}, draw.Src)
	outlinedText(m, float64(bar.Min.X+bar.Max.X)/2, float64(bar.Min.Y)-0.45*size, text, size)
}

// outlinedText writes white text with a dark outline, which shows on any picture.
func outlinedText(m *image.RGBA, x, y float64, s string, size float64) {
	d := max(1, size/12)
	for _, o := range [...]point{{-d, 0}, {d, 0}, {0, -d}, {0, d}, {-d, -d}, {d, d}, {-d, d}, {d, -d}} {
		drawText(m, x+o.x, y+o.y, s, size, color.RGBA{0, 0, 0, 200}, middle, true)
	}
	drawText(m, x, y, s, size, color.RGBA{255, 255, 255, 255}, middle, true)
}

// DensityPicture shows a map of densities, of w x h values, enlarged to about side
// pixels, with its legend.
// um is the width of a pixel of the image it is of, iw pixels wide, in µm; 0: not
// known.
func DensityPicture(density []float32, w, h, side int, name string, um float64, iw int) *image.RGBA {
	top := float32(0)
	for _, v := range density {
		top = max(top, v)
	}
	r := Range{Name: name, Lo: 0, Hi: float64(top)}
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i, v := range density {
		set(m, i, r.colour(float64(v)))
	}
	scale := float64(side) / float64(max(w, h))
	m = resize(m, scaled(w, scale), scaled(h, scale))
	ScaleBar(m, um*float64(iw)/float64(m.Rect.Dx()))
	return Legend(m, r)
}
