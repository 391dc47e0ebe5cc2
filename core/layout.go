package core

import (
	"slices"
	"sort"
)

// use is a step that reads or writes floats from..to-1 of a buffer.
type use struct{ step, from, to int }

// piece is a part of a buffer with a lifetime of its own, from the first to the
// last step that uses it: the half of a skip connection that the encoder writes
// lives longer than the other.
type piece struct{ from, to, first, last int }

// layout places buffers largest first, each at the lowest offset where no
// piece of it lies on one alive at the same time (greedy by size, as TensorFlow
// Lite and XNNPACK do).
func (p *Program) layout() {
	slices.SortStableFunc(p.steps, func(a, b *step) int { return int(a.phase - b.phase) }) // as they run
	for i, s := range p.steps {
		for _, b := range s.bufs {
			b.uses = append(b.uses, use{i, 0, b.size})
		}
		for _, o := range s.ops {
			for _, v := range o.bind {
				u := use{i, 0, v.buf.size}
				if v.size > 0 {
					u.from, u.to = v.offset, v.offset+v.size
				}
				v.buf.uses = append(v.buf.uses, u)
			}
			for _, b := range o.bufs {
				b.uses = append(b.uses, use{i, 0, b.size})
			}
		}
	}
	var order []*buffer
	for _, b := range p.bufs {
		if b.shared == nil {
			b.divide(len(p.steps))
			order = append(order, b)
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i].size > order[j].size })
	for i, b := range order {
		if len(b.pieces) > 0 {
			b.put(order[:i])
			p.size = max(p.size, b.offset+b.size)
		}
	}
}

// divide finds the pieces of b in a program of so many steps.
func (b *buffer) divide(steps int) {
	if b.liveIn {
		b.uses = append(b.uses, use{0, 0, b.size})
	}
	if b.liveOut {
		b.uses = append(b.uses, use{steps, 0, b.size})
	}
	var cuts []int
	for _, u := range b.uses {
		cuts = append(cuts, u.from, u.to)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := range max(len(cuts), 1) - 1 {
		q := piece{cuts[i], cuts[i+1], steps + 1, -1}
		for _, u := range b.uses {
			if u.from <= q.from && q.to <= u.to {
				q.first, q.last = min(q.first, u.step), max(q.last, u.step)
			}
		}
		if q.last >= 0 {
			b.pieces = append(b.pieces, q)
		}
	}
	b.uses = nil
}

// put finds the lowest offset of b beside others.
func (b *buffer) put(others []*buffer) {
	for clear := false; !clear; {
		clear = true
		for _, q := range b.pieces {
			for _, o := range others {
				for _, r := range o.pieces {
					if q.first <= r.last && r.first <= q.last &&
						b.offset+q.from < o.offset+r.to && o.offset+r.from < b.offset+q.to {
						b.offset = o.offset + r.to - q.from
						clear = false
					}
				}
			}
		}
	}
}
