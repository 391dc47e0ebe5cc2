package augment

import (
	"fmt"
	"math"

	"unet/unet/instance"
)

// TargetMaps holds what the network learns for one patch: w·h values per map,
// row by row. Maps of the right length are reused, so they may lie in a batch;
// others are allocated. The zero value is ready for use, by one goroutine at a
// time.
type TargetMaps struct {
	// Foreground is 1 on nuclei, else 0.
	Foreground []float32
	// Border is 1 between touching nuclei, else 0: where the square window of
	// half-side r around the pixel sees two nuclei. r grows with the diameter
	// D = 2·√(A/π) of the smaller one: round(D/16), from 1 to 3, on nuclei,
	// and one more on the background between them. (After the border class of
	// the "topcoders" entry to the 2018 Data Science Bowl.)
	Border []float32
	// Distance is the Euclidean distance to the nearest pixel outside the
	// nucleus divided by the largest such distance in the nucleus, so that it
	// is 1 at the centre; 0 on the background. The edge of the patch is no
	// outside: a nucleus cut by it keeps rising towards the edge, and the
	// largest distance is that of its visible part.
	Distance []float32
	// Weight is the importance of each pixel in the loss:
	// 1 + 4·exp(-r²/(2·1.75²)) + s. r is the half-side of the smallest square
	// window around the pixel that sees two nuclei (the term is left out
	// beyond r = 4), which marks the gaps and contacts as the weight map of
	// Ronneberger et al. (2015) does. s is √(300/A) - 1, from 0 to 2, on
	// nuclei of A pixels, at least 16, that are not cut by the patch's edge,
	// so that small nuclei, which count as much as large ones, are heard;
	// still smaller ones are mostly slips of the annotator.
	Weight []float32

	part    []int32 // component of each pixel, 0 is background
	parent  []int32 // union-find, then the final number of each provisional component
	parts   []component
	square  []int32 // squared distances
	hull    []parabola
	first   []int32 // nucleus that reached a pixel first
	outline []int32 // pixels of nuclei with an outside neighbour
	ring    []int32 // steps to the pixels of one ring
}

// Plane returns the target of the network's map of that name.
func (t *TargetMaps) Plane(name string) []float32 {
	switch name {
	case instance.Foreground:
		return t.Foreground
	case instance.Border:
		return t.Border
	case instance.Distance:
		return t.Distance
	}
	return nil
}

// component is a connected part of a nucleus.
type component struct {
	id       uint32
	area     int
	cut      bool // touches the patch's edge
	furthest int32
	window   int32 // half-side of the border window on the nucleus
	small    float32
}

const (
	furthestWindow = 4 // half-side of the largest window searched for two nuclei
	contactWeight  = 4
	contactSigma   = 1.75
	smallArea      = 300
	leastArea      = 16
)

// contact holds the weight of seeing two nuclei first at each half-side.
var contact = func() (t [furthestWindow + 1]float32) {
	for r := range t {
		t[r] = float32(contactWeight * math.Exp(-float64(r*r)/(2*contactSigma*contactSigma)))
	}
	return t
}()

// Targets computes the maps of a patch of w × h instance numbers. Parts of one
// number that do not touch each other (8 neighbours), as reflection at an
// image's edge makes them, each have their own size and largest distance, but
// no border between them.
func Targets(ids []uint32, w, h int, t *TargetMaps) {
	n := w * h
	if len(ids) != n {
		panic(fmt.Sprintf("augment: %d instance numbers for %dx%d pixels", len(ids), w, h))
	}
	for _, m := range []*[]float32{&t.Foreground, &t.Border, &t.Distance, &t.Weight} {
		if len(*m) != n {
			*m = make([]float32, n)
		}
	}
	t.components(ids, w, h)
	for i, c := range t.part {
		t.Foreground[i] = float32(min(c, 1))
	}
	t.distances(w, h)
	for i, c := range t.part {
		p := &t.parts[c]
		p.furthest = max(p.furthest, t.square[i])
	}
	for i, c := range t.part {
		t.Distance[i] = 0
		t.Weight[i] = 1
		if c != 0 {
			p := &t.parts[c]
			t.Weight[i] += p.small
			t.Distance[i] = float32(math.Sqrt(float64(t.square[i]) / float64(p.furthest)))
		}
	}
	t.borders(w, h)
}

// components numbers the 8-connected parts of equal instance number from 1 on
// and measures them.
func (t *TargetMaps) components(ids []uint32, w, h int) {
	t.part = grow(t.part, w*h)
	t.parent = append(t.parent[:0], 0)
	find := func(i int32) int32 {
		for t.parent[i] != i {
			t.parent[i] = t.parent[t.parent[i]]
			i = t.parent[i]
		}
		return i
	}
	for y := range h {
		for x := range w {
			i := y*w + x
			id := ids[i]
			if id == 0 {
				t.part[i] = 0
				continue
			}
			var c int32
			if x > 0 && ids[i-1] == id {
				c = t.part[i-1]
			}
			if y > 0 {
				for j := i - w - min(x, 1); j <= i-w+min(w-1-x, 1); j++ {
					if ids[j] != id || t.part[j] == c {
						continue
					}
					if c == 0 {
						c = t.part[j]
					} else if a, b := find(c), find(t.part[j]); a != b {
						t.parent[max(a, b)] = min(a, b)
					}
				}
			}
			if c == 0 {
				c = int32(len(t.parent))
				t.parent = append(t.parent, c)
			}
			t.part[i] = c
		}
	}
	// A parent comes before its children, so one pass gives final numbers.
	t.parts = append(t.parts[:0], component{})
	for i := 1; i < len(t.parent); i++ {
		if p := t.parent[i]; p != int32(i) {
			t.parent[i] = t.parent[p]
		} else {
			t.parent[i] = int32(len(t.parts))
			t.parts = append(t.parts, component{})
		}
	}
	for y := range h {
		row := t.part[y*w:][:w]
		for x, c := range row {
			if c == 0 {
				continue
			}
			c = t.parent[c]
			row[x] = c
			p := &t.parts[c]
			p.id = ids[y*w+x]
			p.area++
			if x == 0 || y == 0 || x == w-1 || y == h-1 {
				p.cut = true
			}
		}
	}
	for i := range t.parts[1:] {
		p := &t.parts[i+1]
		diameter := 2 * math.Sqrt(float64(p.area)/math.Pi)
		p.window = int32(min(max(math.Round(diameter/16), 1), 3))
		if !p.cut && p.area >= leastArea {
			p.small = float32(min(max(math.Sqrt(smallArea/float64(p.area))-1, 0), 2))
		}
	}
}
