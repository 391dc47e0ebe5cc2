package instance

import (
	"math"
	"slices"
)

// rowsOf splits runs, in raster order, by row: those of row y0+i are rows[i].
func rowsOf(runs []Run) (y0 int, rows [][]Run) {
	y0 = runs[0].Y
	rows = make([][]Run, runs[len(runs)-1].Y-y0+1)
	for i := 0; i < len(runs); {
		j := i + 1
		for j < len(runs) && runs[j].Y == runs[i].Y {
			j++
		}
		rows[runs[i].Y-y0] = runs[i:j]
		i = j
	}
	return y0, rows
}

// perimeter is scikit-image's measure.perimeter (neighborhood=4): the border
// is the set of pixels with a 4-neighbour outside, and every border pixel
// counts 1, √2 or (1+√2)/2 by how many of its neighbours are border pixels.
func perimeter(rows [][]Run) float64 {
	at := func(i int) []Run {
		if i < 0 || i >= len(rows) {
			return nil
		}
		return rows[i]
	}
	// The x of the border pixels of three rows, sliding down.
	var above, here, below []int
	below = border(below, nil, at(0), at(1))
	var straight, diagonal, mixed int
	for y := range rows {
		above, here, below = here, below, above
		below = border(below[:0], at(y), at(y+1), at(y+2))
		a, b := 0, 0
		for i, x := range here {
			edge, corner := 0, 0
			if i > 0 && here[i-1] == x-1 {
				edge++
			}
			if i+1 < len(here) && here[i+1] == x+1 {
				edge++
			}
			count := func(row []int, k int) int {
				for k < len(row) && row[k] < x-1 {
					k++
				}
				for j := k; j < len(row) && row[j] <= x+1; j++ {
					if row[j] == x {
						edge++
					} else {
						corner++
					}
				}
				return k
			}
			a, b = count(above, a), count(below, b)
			switch 1 + 2*edge + 10*corner {
			case 5, 7, 15, 17, 25, 27:
				straight++
			case 21, 33:
				diagonal++
			case 13, 23:
				mixed++
			}
		}
	}
	return float64(straight) + math.Sqrt2*float64(diagonal) + (1+math.Sqrt2)/2*float64(mixed)
}

// crofton is the length of the outline of pixels of width w and height h by
// Crofton's formula: half the integral, over directions, of how often parallel
// lines cross the outline, times their distance. The lines are those through pixel
// centres along x, y and both diagonals; a direction stands for the angles nearest
// to it (G. Lehmann and D. Legland, Insight Journal 2012).
func crofton(rows [][]Run, w, h float64) float64 {
	var row, column, diagonals int // crossings
	var above []Run
	for i := range len(rows) + 1 {
		var here []Run
		if i < len(rows) {
			here = rows[i]
		}
		row += 2 * len(here)
		n := width(above) + width(here)
		column += n - 2*common(above, here, 0)
		diagonals += 2*n - 2*common(above, here, 1) - 2*common(above, here, -1)
		above = here
	}
	slope := math.Atan2(h, w) // of the diagonals
	return (slope*h*float64(row) + (math.Pi/2-slope)*w*float64(column) + math.Pi/4*w*h/math.Hypot(w, h)*float64(diagonals)) / 2
}

// width is the number of pixels of a row.
func width(row []Run) (n int) {
	for _, r := range row {
		n += r.X1 - r.X0
	}
	return n
}

// common is the number of pixels x of a row for which x+shift is in the other.
func common(row, other []Run, shift int) (n int) {
	k := 0
	for _, r := range row {
		for k < len(other) && other[k].X1 <= r.X0+shift {
			k++
		}
		for j := k; j < len(other) && other[j].X0 < r.X1+shift; j++ {
			n += min(r.X1+shift, other[j].X1) - max(r.X0+shift, other[j].X0)
		}
	}
	return n
}

// border appends to dst the pixels of row that have a 4-neighbour outside.
func border(dst []int, above, row, below []Run) []int {
	a, b := 0, 0
	inside := func(rs []Run, k, x int) (int, bool) {
		for k < len(rs) && rs[k].X1 <= x {
			k++
		}
		return k, k < len(rs) && rs[k].X0 <= x
	}
	for _, r := range row {
		for x := r.X0; x < r.X1; x++ {
			var up, down bool
			a, up = inside(above, a, x)
			b, down = inside(below, b, x)
			if !up || !down || x == r.X0 || x == r.X1-1 {
				dst = append(dst, x)
			}
		}
	}
	return dst
}

// corner is a point in half pixels.
type corner struct{ x, y int }

// convexHull returns the number of pixels of the convex hull image and its
// largest Feret diameter as scikit-image defines them: the hull is that of
// the midpoints of all pixel edges, a pixel belongs to the hull image when
// its centre is inside or on it, and the diameter is the largest distance
// between edge midpoints of that image, in pixels of width w and height h. The
// hull is found in exact integers.
func convexHull(rows [][]Run, y0 int, w, h float64) (pixels int, feret float64) {
	spans := make([]Run, len(rows))
	for i, r := range rows {
		spans[i] = Run{y0 + i, 0, 0}
		if len(r) > 0 {
			spans[i] = Run{y0 + i, r[0].X0, r[len(r)-1].X1}
		}
	}
	points := hull(nil, spans)
	fillHull(points, spans)
	for _, s := range spans {
		pixels += s.X1 - s.X0
	}
	points = hull(points[:0], spans)
	var best float64
	for i, a := range points {
		for _, b := range points[:i] {
			dx, dy := float64(a.x-b.x), float64(a.y-b.y)
			best = max(best, dx*dx*(w*w)+dy*dy*(h*h))
		}
	}
	return pixels, math.Sqrt(best) / 2
}

// hull appends to h the strictly convex hull of the edge midpoints of the
// spans, which are in order of y; empty ones count for nothing. The midpoints
// on a line of half pixels lie between those of the first and the last pixel
// above, on or below it, so that the two sides of the hull grow from the top
// down without sorting (Andrew's monotone chain). The order is down the right
// side and up the left one.
func hull(h []corner, spans []Run) []corner {
	// side appends the chain of one side; left is -1 and right 1.
	side := func(sign int) {
		low := len(h)
		add := func(x, y int) {
			p := corner{x, y}
			for len(h) >= low+2 {
				a, b := h[len(h)-2], h[len(h)-1]
				if sign*((b.x-a.x)*(p.y-a.y)-(b.y-a.y)*(p.x-a.x)) > 0 {
					break
				}
				h = h[:len(h)-1]
			}
			h = append(h, p)
		}
		// The outermost midpoint on the line below the newest span.
		below, pending := corner{}, false
		for _, s := range spans {
			if s.X0 == s.X1 {
				continue
			}
			x := 2 * s.X0
			if sign > 0 {
				x = 2 * (s.X1 - 1)
			}
			top := corner{x, 2*s.Y - 1}
			if pending && below.y == top.y {
				if sign*below.x > sign*top.x {
					top.x = below.x
				}
			} else if pending {
				add(below.x, below.y)
			}
			add(top.x, top.y)
			add(x+sign, 2*s.Y)
			below, pending = corner{x, 2*s.Y + 1}, true
		}
		if pending {
			add(below.x, below.y)
		}
	}
	side(1)
	turn := len(h)
	side(-1)
	slices.Reverse(h[turn:])
	return h
}

// fillHull sets each span to the pixels whose centres the hull covers.
func fillHull(h []corner, spans []Run) {
	for i := range spans {
		s := &spans[i]
		y := 2 * s.Y
		lo, hi := math.MaxInt, math.MinInt
		for k, a := range h {
			b := h[(k+1)%len(h)]
			if a.y > b.y {
				a, b = b, a
			}
			if y < a.y || y > b.y || a.y == b.y {
				continue
			}
			// The edge crosses the row of centres at num/den half
			// pixels; the pixels at or right of it start at
			// ceil(num/2den), those at or left end at floor.
			num, den := a.x*(b.y-a.y)+(b.x-a.x)*(y-a.y), 2*(b.y-a.y)
			lo = min(lo, -floorDiv(-num, den))
			hi = max(hi, floorDiv(num, den))
		}
		s.X0, s.X1 = lo, hi+1
	}
}

// floorDiv is the quotient rounded down; b > 0.
func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
