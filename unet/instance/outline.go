package instance

import (
	"slices"

	"unet/unet/imageio"
)

// Point is a position in pixels; (0, 0) is the upper left corner of the first
// pixel, whose centre is (0.5, 0.5).
type Point struct{ X, Y float64 }

// Polygon is an outer ring and the holes in it, each closed implicitly from
// its last point to its first.
type Polygon struct {
	Outer []Point
	Holes [][]Point
}

// Outline traces the pixel edges around the nucleus: one polygon for each
// 4-connected part of it. Rings turn clockwise on the screen around the
// nucleus, holes the other way; no ring touches itself, so the polygons are
// valid by the OGC rules. Points are whole numbers, at corners only.
func (n *Nucleus) Outline() []Polygon {
	var out []Polygon
	for _, part := range parts(n.Runs) {
		out = append(out, trace(part))
	}
	return out
}

// Outlines traces all nuclei of a label image: the rings of every outline,
// holes included, in order of the nuclei's numbers.
func Outlines(l *imageio.Labels) [][]Point {
	var out [][]Point
	for _, n := range shapes(l) {
		for _, p := range n.Outline() {
			out = append(append(out, p.Outer), p.Holes...)
		}
	}
	return out
}

// parts splits runs, in raster order, into 4-connected components.
func parts(runs []Run) [][]Run {
	parent := make([]int, len(runs))
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	k := 0 // first run of the row above that can touch
	for i, r := range runs {
		parent[i] = i
		for runs[k].Y < r.Y-1 || runs[k].Y == r.Y-1 && runs[k].X1 <= r.X0 {
			k++
		}
		for j := k; runs[j].Y == r.Y-1 && runs[j].X0 < r.X1; j++ {
			a, b := find(i), find(j)
			parent[max(a, b)] = min(a, b)
		}
	}
	var out [][]Run
	index := make([]int, len(runs))
	for i, r := range runs {
		root := find(i)
		if root == i {
			index[i] = len(out)
			out = append(out, nil)
		}
		out[index[root]] = append(out[index[root]], r)
	}
	return out
}

// event is the end of a vertical edge on a grid line: of the row above the
// line and of the row below, -1 for none. Edge 2i is the left side of run i,
// walked upwards, 2i+1 its right side, walked downwards.
type event struct{ x, above, below int }

// trace walks the rings of one 4-connected component. Where two of its pixels
// meet at a corner only, the walk passes between them as if they were joined:
// what lies between becomes a hole, and no ring visits a point twice.
func trace(runs []Run) Polygon {
	next := make([]int, 2*len(runs))
	y0, rows := rowsOf(runs)
	first := 0 // index of the first run of the row below
	var line []event
	for i := range len(rows) + 1 {
		line = line[:0]
		var above, below []Run
		if i > 0 {
			above = rows[i-1]
		}
		if i < len(rows) {
			below = rows[i]
		}
		base := first - len(above)
		for k, r := range above {
			line = append(line, event{r.X0, 2 * (base + k), -1}, event{r.X1, 2*(base+k) + 1, -1})
		}
		for k, r := range below {
			line = append(line, event{r.X0, -1, 2 * (first + k)}, event{r.X1, -1, 2*(first+k) + 1})
		}
		slices.SortFunc(line, func(a, b event) int {
			if a.x != b.x {
				return a.x - b.x
			}
			return a.below - b.below // the edge above first
		})
		link(next, line)
		first += len(below)
	}
	var p Polygon
	done := make([]bool, len(next))
	x := func(e int) int {
		if e&1 == 0 {
			return runs[e/2].X0
		}
		return runs[e/2].X1
	}
	for e := range next {
		if done[e] {
			continue
		}
		var ring []Point
		var area float64 // positive around the nucleus
		for !done[e] {
			done[e] = true
			n := next[e]
			if xe, xn := x(e), x(n); xe != xn {
				y := runs[e/2].Y + e&1
				ring = append(ring, Point{float64(xe), float64(y)}, Point{float64(xn), float64(y)})
				area += float64(xe-xn) * float64(y-y0)
			}
			e = n
		}
		if area > 0 {
			p.Outer = ring
		} else {
			p.Holes = append(p.Holes, ring)
		}
	}
	return p
}

// link joins the vertical edges that end on one grid line by the horizontal
// edges between them. Walking keeps the inside on the right hand.
func link(next []int, line []event) {
	// Merge the two edges that may share a point.
	n := 0
	for i := 0; i < len(line); i++ {
		e := line[i]
		if i+1 < len(line) && line[i+1].x == e.x {
			e.below = line[i+1].below
			i++
		}
		line[n] = e
		n++
	}
	line = line[:n]
	var insideAbove, insideBelow bool
	for i, e := range line {
		if e.above >= 0 && e.below >= 0 && e.above&1 == e.below&1 {
			if e.above&1 == 1 {
				next[e.above] = e.below
			} else {
				next[e.below] = e.above
			}
		}
		if e.above >= 0 {
			insideAbove = !insideAbove
		}
		if e.below >= 0 {
			insideBelow = !insideBelow
		}
		if insideAbove == insideBelow {
			continue
		}
		// The edge from this event to the next belongs to the row below
		// (walked to the right) or above (to the left). Where both
		// events have two edges, take the one that joins the corners.
		f := line[i+1]
		if insideBelow {
			next[pick(e.above, e.below)] = pick(f.above, f.below)
		} else {
			next[pick(f.below, f.above)] = pick(e.below, e.above)
		}
	}
}

// pick returns a, or b when there is no a.
func pick(a, b int) int {
	if a >= 0 {
		return a
	}
	return b
}
