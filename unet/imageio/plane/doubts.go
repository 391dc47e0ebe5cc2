package plane

import "fmt"

// Doubts says what makes it unlikely that l is a label image: one number for
// several nuclei, a background that is not 0, an image of intensities. There is
// no certainty about any of these; the sentences are for the user to judge.
func (l *Labels) Doubts() []string {
	var doubts []string
	numbers, pieces, area, only := l.pieces()
	if numbers == 1 && pieces > 1 {
		doubts = append(doubts, fmt.Sprintf("its only number is %d, as in a mask: its %d separate pieces count as one nucleus", only, pieces))
	}
	if id, share := l.frame(); id != 0 && share > 0.5 && l.Share(id) > 0.25 {
		doubts = append(doubts, fmt.Sprintf("the number %d covers %.0f %% of it and most of its edge: it looks like the background, which has to be 0", id, 100*l.Share(id)))
	}
	if numbers > 1 && pieces > 2*numbers+100 && area < 20*pieces {
		doubts = append(doubts, fmt.Sprintf("its %d numbers lie in %d pieces of %.1f pixels on average: it looks like an image of intensities, not of labels", numbers, pieces, float64(area)/float64(pieces)))
	}
	return doubts
}

// Share is how much of the image has a number, 0 to 1.
func (l *Labels) Share(id uint32) float64 {
	n := 0
	for _, v := range l.ID {
		if v == id {
			n++
		}
	}
	return float64(n) / float64(max(1, len(l.ID)))
}

// frame returns the most common number of the outermost pixels and its share of
// them.
func (l *Labels) frame() (id uint32, share float64) {
	count := map[uint32]int{}
	total := 0
	add := func(v uint32) {
		count[v]++
		total++
	}
	for y := range l.H {
		row := l.ID[y*l.W:][:l.W]
		if y == 0 || y == l.H-1 {
			for _, v := range row {
				add(v)
			}
			continue
		}
		add(row[0])
		add(row[l.W-1])
	}
	best := 0
	for v, n := range count {
		if n > best || n == best && v < id {
			id, best = v, n
		}
	}
	return id, float64(best) / float64(max(1, total))
}

// maxRuns bounds the memory for counting pieces.
const maxRuns = 1 << 24

// pieces counts the numbers other than 0, the connected pieces (by edges) of
// equal number, and their pixels; only is the last number met.
func (l *Labels) pieces() (numbers, pieces, area int, only uint32) {
	type run struct {
		x0, x1, set int
		id          uint32
	}
	var parent []int
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	seen := map[uint32]bool{}
	var above, here []run
	last := uint32(0)
	for y := range l.H {
		if len(parent) > maxRuns { // enough to judge by
			break
		}
		above, here = here, above[:0]
		row := l.ID[y*l.W:][:l.W]
		k := 0
		for x := 0; x < len(row); {
			id, start := row[x], x
			for x++; x < len(row) && row[x] == id; x++ {
			}
			if id == 0 {
				continue
			}
			if id != last {
				seen[id] = true
				last = id
			}
			area += x - start
			r := run{start, x, len(parent), id}
			parent = append(parent, r.set)
			pieces++
			for k < len(above) && above[k].x1 <= start {
				k++
			}
			for j := k; j < len(above) && above[j].x0 < x; j++ {
				if above[j].id != id {
					continue
				}
				if a, b := find(above[j].set), find(r.set); a != b {
					parent[max(a, b)] = min(a, b)
					pieces--
				}
			}
			here = append(here, r)
		}
	}
	return len(seen), pieces, area, last
}
