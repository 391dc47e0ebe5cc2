package report

import (
	"math"
	"slices"
)

// Group is a set of measurements that belong together, such as those of one
// kind of image.
type Group struct {
	Name   string
	Values []float64
}

// Histogram counts the values of all groups in bins of equal width (of equal
// ratio on a logarithmic axis) and stacks the groups. Values that are not
// finite, beyond 1e150, or not positive on a logarithmic axis, are left out.
func Histogram(title string, x, y Axis, bins int, groups []Group) *Plot {
	p := &Plot{Title: title, X: x, Y: y}
	bins = min(max(bins, 1), 1000)
	// The bounds keep differences and ratios of values finite.
	usable := func(v float64) bool { return math.Abs(v) < 1e150 && (!x.Log || v > 1e-150) }
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, g := range groups {
		for _, v := range g.Values {
			if usable(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if !(lo <= hi) {
		return p
	}
	if x.Integer && !x.Log { // whole bins, centred on whole numbers
		step := max(1, math.Ceil((hi-lo+1)/float64(bins)))
		bins = int(math.Ceil((hi - lo + 1) / step))
		lo, hi = lo-0.5, lo-0.5+step*float64(bins)
	}
	if lo == hi {
		if x.Log {
			lo, hi = lo/1.1, hi*1.1
		} else {
			lo, hi = lo-0.5, hi+0.5
		}
	}
	edges := make([]float64, bins+1)
	for i := range edges {
		t := float64(i) / float64(bins)
		if x.Log {
			edges[i] = lo * math.Pow(hi/lo, t)
		} else {
			edges[i] = lo + (hi-lo)*t
		}
	}
	edges[bins] = hi
	for i, g := range groups {
		counts := make([]float64, bins)
		for _, v := range g.Values {
			if usable(v) {
				k, found := slices.BinarySearch(edges, v)
				if !found {
					k--
				}
				counts[min(max(k, 0), bins-1)]++
			}
		}
		p.Series = append(p.Series, Series{Name: g.Name, X: edges, Y: counts, Style: Bars, Colour: SeriesColour(i)})
	}
	return p
}

// Bins counts values: Counts[i] of them in [Edges[i], Edges[i+1]).
type Bins struct {
	Edges  []float64
	Counts []int64
}

// valid says that the edges increase and fit the counts.
func (b Bins) valid() bool {
	if len(b.Counts) == 0 || len(b.Edges) != len(b.Counts)+1 {
		return false
	}
	for i, e := range b.Edges {
		if !finite(e) || i > 0 && e <= b.Edges[i-1] {
			return false
		}
	}
	return true
}

// Stack draws counts of several groups above each other. Groups need not have
// the same bins: all are spread over those of the group that reaches
// farthest, as if values lay evenly (on the axis) inside each bin. Bins at the
// ends that nobody has values in are left out.
func Stack(title string, x, y Axis, names []string, groups []Bins) *Plot {
	p := &Plot{Title: title, X: x, Y: y}
	pos := func(v float64) float64 {
		if x.Log {
			return math.Log(max(v, math.SmallestNonzeroFloat64))
		}
		return v
	}
	var edges []float64
	for _, g := range groups {
		if g.valid() && (edges == nil || g.Edges[len(g.Edges)-1] > edges[len(edges)-1]) {
			edges = g.Edges
		}
	}
	for i, g := range groups {
		s := Series{X: edges, Y: make([]float64, max(len(edges)-1, 0)), Style: Bars, Colour: SeriesColour(i)}
		if i < len(names) {
			s.Name = names[i]
		}
		if g.valid() {
			for j, n := range g.Counts {
				a, b := pos(g.Edges[j]), pos(g.Edges[j+1])
				for k := range s.Y {
					lo, hi := pos(edges[k]), pos(edges[k+1])
					if k == 0 { // nothing is lost below the first edge
						lo = min(lo, a)
					}
					if part := min(b, hi) - max(a, lo); part > 0 && b > a {
						s.Y[k] += float64(n) * part / (b - a)
					}
				}
			}
		}
		p.Series = append(p.Series, s)
	}
	p.trim()
	return p
}

// trim takes the bins off both ends in which every series is empty; all
// series have the same bins.
func (p *Plot) trim() {
	from, to := math.MaxInt, 0
	for _, s := range p.Series {
		for k, v := range s.Y {
			if v > 0 {
				from, to = min(from, k), max(to, k+1)
			}
		}
	}
	for i := range p.Series {
		if s := &p.Series[i]; from < to {
			s.X, s.Y = s.X[from:to+1], s.Y[from:to]
		}
	}
}
