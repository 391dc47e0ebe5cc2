package segment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDivide: whatever the images cost, their parts follow each other without a gap
// and are of about the same size.
func TestDivide(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 1))
	for range 2000 {
		var list []cost
		var all []Input
		total, largest := int64(0), 0.0 // of what cannot be divided
		for i := range 1 + rng.IntN(6) {
			c := cost{1 + rng.Int64N(1000), 1}
			if rng.IntN(2) == 0 {
				c = cost{c.bytes * 50, 1 + rng.IntN(40)}
			}
			list, all = append(list, c), append(all, Input{Path: fmt.Sprint(i)})
			total += c.bytes
			largest = max(largest, float64(c.bytes)/float64(c.pieces))
		}
		parts := 1 + rng.IntN(9)
		p := &plan{Schema: planSchema, Parts: parts, Inputs: make([]planned, len(all)), Starts: starts(list, parts)}
		if !p.valid() {
			t.Fatalf("%v: %v", list, p.Starts)
		}
		const rows = 7919
		next := make([]int, len(all)) // row of each
		for part := 1; part <= parts; part++ {
			work := 0.0
			for _, in := range p.share(part, all) {
				i := slices.IndexFunc(all, func(a Input) bool { return a.Path == in.Path })
				from, to := in.span.rows(rows)
				if from != next[i] || to <= from || in.span.whole() && to != rows {
					t.Fatalf("%v in %d parts: %v: part %d has rows %d to %d of image %d, %d are done", list, parts, p.Starts, part, from, to, i, next[i])
				}
				next[i] = to
				work += float64(list[i].bytes) * float64(to-from) / rows
			}
			if share := float64(total) / float64(parts); work > share+largest+1 || work < share-largest-1 {
				t.Errorf("%v: part %d of %d has %.1f of %.1f", list, part, parts, work, share)
			}
		}
		for i, row := range next {
			if row != rows {
				t.Fatalf("%v in %d parts: %d rows of image %d are done", list, parts, row, i)
			}
		}
	}
}

// TestPlanValid refuses plans whose parts do not follow each other.
func TestPlanValid(t *testing.T) {
	for _, c := range []struct {
		starts []start
		valid  bool
	}{
		{[]start{{}, {Input: 1}, {Input: 2}}, true},
		{[]start{{}, {Input: 1, Piece: 1, Of: 3}, {Input: 1, Piece: 2, Of: 3}}, true},
		{[]start{{}, {}, {Input: 2}}, true},
		{[]start{{}, {Input: 1}}, false},
		{[]start{{Input: 1}, {Input: 1}, {Input: 2}}, false},
		{[]start{{}, {Input: 2}, {Input: 1}}, false},
		{[]start{{}, {Input: 1}, {Input: 3}}, false},
		{[]start{{}, {Input: 1, Piece: 3, Of: 3}, {Input: 2}}, false},
		{[]start{{}, {Input: 1, Piece: -1, Of: 3}, {Input: 2}}, false},
		{[]start{{}, {Input: 1, Piece: 1, Of: 3}, {Input: 1, Piece: 2, Of: 4}}, false},
		{[]start{{}, {Input: 1}, {Input: 2, Piece: 1, Of: 2}}, false},
	} {
		p := &plan{Schema: planSchema, Parts: 3, Inputs: make([]planned, 2), Starts: c.starts}
		if p.valid() != c.valid {
			t.Errorf("%v: valid %v", c.starts, p.valid())
		}
	}
}
