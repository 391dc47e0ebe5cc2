package core

import (
	"math/rand/v2"
	"testing"

	"unet/csrc"
)

// TestLayout lays out random programs and walks through their steps: whatever a
// step writes must be untouched when the last step that uses it has come.
func TestLayout(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for range 300 {
		p := &Program{micros: 1}
		for range 1 + rng.IntN(12) {
			b := p.buffer("", 16*(2+rng.IntN(20)))
			b.liveIn, b.liveOut = rng.IntN(6) == 0, rng.IntN(6) == 0
		}
		for range 1 + rng.IntN(15) {
			phase := Phase(rng.IntN(3)) // in any order: Run sorts them
			o := p.op(phase, csrc.OpPool, new(csrc.Pool), "")
			for range 1 + rng.IntN(3) {
				b := p.bufs[rng.IntN(len(p.bufs))]
				if half := b.size / 32 * 16; rng.IntN(2) == 0 {
					o.to(nil, b, half*rng.IntN(2), half)
				} else {
					p.bind(nil, b, 0)
				}
			}
		}
		p.layout()

		type place struct {
			b  *buffer
			at int
		}
		// first and last are the steps that use a float, in the order of Run.
		first, last := map[place]int{}, map[place]int{}
		touch := func(b *buffer, from, size, step int) {
			for i := from; i < from+size; i += 16 {
				q := place{b, i}
				if _, ok := first[q]; !ok {
					first[q] = step
				}
				last[q] = step
			}
		}
		for _, b := range p.bufs {
			if b.liveIn {
				touch(b, 0, b.size, -1)
			}
		}
		step := 0
		for phase := Pack; phase <= Backward; phase++ {
			for _, s := range p.steps {
				if s.phase != phase {
					continue
				}
				for _, v := range s.ops[0].bind {
					size := v.size
					if size == 0 {
						size = v.buf.size
					}
					touch(v.buf, v.offset, size, step)
				}
				step++
			}
		}
		for _, b := range p.bufs {
			if b.liveOut {
				if !b.liveIn && len(b.pieces) == 0 {
					t.Fatal("a buffer that is looked at has no place")
				}
				touch(b, 0, b.size, step)
			}
		}
		owner := map[int]place{}
		for s := -1; s <= step; s++ {
			for q := range first {
				if first[q] <= s && s <= last[q] {
					at := q.b.offset + q.at
					if at < 0 || at+16 > p.size {
						t.Fatalf("offset %d of an arena of %d", at, p.size)
					}
					if o, ok := owner[at]; ok && o != q && first[o] <= s && s <= last[o] {
						t.Fatalf("two live buffers share offset %d at step %d", at, s)
					}
					owner[at] = q
				}
			}
		}
	}
}
