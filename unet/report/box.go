package report

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// Boxes draws a box plot of each group: the box from the first to the third
// quartile with a line at the median, whiskers to the farthest values within one
// and a half times its height, and every value as a dot; of many, as many as can be
// told apart. Values that are not finite are left out.
func Boxes(title, label string, groups []Group) *Drawing {
	const w, left, top, bottom = 560.0, 150.0, 52.0, 40.0
	const row = 34.0
	d := &Drawing{W: w, H: top + bottom + row*float64(len(groups)), Alt: title + ": " + label}
	d.text(14, 26, fit(title, w-28, titleSize, true), titleSize, inkStrong, start, true)
	d.text(14, 44, fit(label, w-28, tickSize, false), tickSize, inkSoft, start, false)
	lo, hi := math.Inf(1), math.Inf(-1)
	values := make([][]float64, len(groups))
	for i, g := range groups {
		for _, v := range g.Values {
			if finite(v) {
				values[i] = append(values[i], v)
				lo, hi = min(lo, v), max(hi, v)
			}
		}
		slices.Sort(values[i])
	}
	if !(lo <= hi) {
		return d
	}
	if lo >= 0 && lo < hi/2 {
		lo = 0
	}
	axis := Axis{}
	s := axis.scale(lo, hi).padded(axis)
	s.from, s.to = left, w-20
	base := top + row*float64(len(groups))
	for _, t := range axis.ticks(s, 6) {
		x := math.Round(s.at(t.v)) + 0.5
		d.line([]point{{x, top}, {x, base}}, gridStroke, 1)
		d.text(x, base+16, t.text, tickSize, inkSoft, middle, false)
	}
	d.line([]point{{left, base + 0.5}, {w - 20, base + 0.5}}, axisStroke, 1)
	for i, g := range groups {
		y := top + row*(float64(i)+0.5)
		d.text(left-8, y+4, fit(g.Name, left-20, tickSize, false), tickSize, inkStrong, end, false)
		d.box(s, y, values[i], i, g.Name)
	}
	return d
}

// manyDots is from how many values on a box has not a dot for each.
const manyDots = 500

// box draws the box of sorted values around height y.
func (d *Drawing) box(s scale, y float64, v []float64, colour int, name string) {
	if len(v) == 0 {
		return
	}
	c := SeriesColour(colour)
	q1, q2, q3 := quantile(v, 0.25), quantile(v, 0.5), quantile(v, 0.75)
	reach := 1.5 * (q3 - q1)
	from := v[sort.SearchFloat64s(v, q1-reach)]
	to := v[max(sort.SearchFloat64s(v, math.Nextafter(q3+reach, math.Inf(1)))-1, 0)]
	if len(v) > 4 {
		d.line([]point{{s.at(from), y}, {s.at(to), y}}, inkSoft, 1)
		tip := fmt.Sprintf("%s: median %s, quartiles %s and %s, %d values", name, shortNumber(q2), shortNumber(q1), shortNumber(q3), len(v))
		d.rect(s.at(q1), y-9, max(s.at(q3)-s.at(q1), 1), 18, faded(c, 0.3), tip)
	}
	d.line([]point{{s.at(q2), y - 9}, {s.at(q2), y + 9}}, inkStrong, 2)
	drawn := map[int]int{}
	for k, x := range v {
		if len(v) > manyDots {
			place := int(s.at(x) / 2)
			if drawn[place]++; drawn[place] > 5 {
				continue // it would lie on others
			}
		}
		// Dots of equal values lie beside each other.
		d.disc(point{s.at(x), y + float64(k*7%5-2)*2.5}, 2.2, faded(c, 0.75), noPaint, 0, shortNumber(x))
	}
}

// PlateMap colours the wells of a plate, given by row and column from 0, by a
// value; others stay empty.
func PlateMap(title, label string, wells map[[2]int]float64) *Drawing {
	rows, columns := 8, 12
	lo, hi := math.Inf(1), math.Inf(-1)
	for at, v := range wells {
		for at[0] >= rows || at[1] >= columns { // 96, 384, 1536 wells
			rows, columns = 2*rows, 2*columns
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	side := 560.0 / float64(columns+1)
	const top = 56.0
	d := &Drawing{W: 560 + 20, H: top + side*float64(rows) + 54, Alt: title}
	d.text(14, 26, fit(title, d.W-28, titleSize, true), titleSize, inkStrong, start, true)
	heat := heatTable()
	colour := func(v float64) paint {
		if hi <= lo {
			return solid(heat[128])
		}
		return solid(heat[int((v-lo)/(hi-lo)*255)])
	}
	for x := range columns {
		d.text(side*(float64(x)+1.5), top-6, fmt.Sprint(x+1), 9, inkSoft, middle, false)
	}
	for y := range rows {
		d.text(side*0.6, top+side*(float64(y)+0.6), rowName(y), 10, inkSoft, middle, false)
		for x := range columns {
			at := point{side * (float64(x) + 1.5), top + side*(float64(y)+0.5)}
			name := fmt.Sprintf("%s%02d", rowName(y), x+1)
			if v, ok := wells[[2]int{y, x}]; ok {
				d.disc(at, side*0.42, colour(v), noPaint, 0, name+": "+shortNumber(v))
			} else {
				d.disc(at, side*0.42, noPaint, gridStroke, 1, "")
			}
		}
	}
	y := top + side*float64(rows) + 14
	for i := range 64 {
		d.rect(side+float64(i)*3, y, 3.2, 10, solid(heat[i*4]), "")
	}
	d.text(side, y+24, shortNumber(lo), tickSize, inkSoft, start, false)
	d.text(side+192, y+24, shortNumber(hi), tickSize, inkSoft, end, false)
	d.text(side+206, y+9, label, tickSize, inkSoft, start, false)
	return d
}

// rowName is the name of a row of a plate: A to Z, AA to AF.
func rowName(y int) string {
	if y >= 26 {
		return "A" + string(rune('A'+y-26))
	}
	return string(rune('A' + y))
}
