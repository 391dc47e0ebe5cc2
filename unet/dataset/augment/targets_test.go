package augment

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// parse reads a label map drawn as text: '.' is background.
func parse(rows ...string) (ids []uint32, w, h int) {
	for _, r := range rows {
		for _, c := range r {
			if c == '.' {
				ids = append(ids, 0)
			} else {
				ids = append(ids, uint32(c-'0'))
			}
		}
	}
	return ids, len(rows[0]), len(rows)
}

// blobs draws random rectangles and discs over each other, many of them
// touching each other and the edges, some with holes.
func blobs(rng *rand.Rand, w, h int) []uint32 {
	ids := make([]uint32, w*h)
	if rng.IntN(4) == 0 { // one nucleus from edge to edge
		for i := range ids {
			ids[i] = 20
		}
	}
	for id := uint32(1); id <= uint32(rng.IntN(12)); id++ {
		cx, cy, r := rng.Float64()*float64(w), rng.Float64()*float64(h), 1+rng.Float64()*float64(min(w, h))/4
		box := rng.IntN(2) == 0
		for i := range ids {
			dx, dy := math.Abs(float64(i%w)-cx), math.Abs(float64(i/w)-cy)
			if box && max(dx, dy) < r || !box && math.Hypot(dx, dy) < r {
				ids[i] = id
			}
		}
	}
	for range rng.IntN(len(ids)/8 + 1) { // ragged outlines and holes
		ids[rng.IntN(len(ids))] = 0
	}
	return ids
}

// slow computes the targets by their definitions.
func slow(ids []uint32, w, h int) (part []int, border, distance, weight []float64) {
	n := w * h
	part = make([]int, n)
	count := 0
	for i := range ids {
		if ids[i] == 0 || part[i] != 0 {
			continue
		}
		count++
		stack := []int{i}
		part[i] = count
		for len(stack) > 0 {
			j := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			for k := range ids {
				if dx, dy := k%w-j%w, k/w-j/w; dx*dx <= 1 && dy*dy <= 1 && part[k] == 0 && ids[k] == ids[j] {
					part[k] = count
					stack = append(stack, k)
				}
			}
		}
	}
	area, cut, furthest := make([]int, count+1), make([]bool, count+1), make([]float64, count+1)
	distance = make([]float64, n)
	for i, c := range part {
		area[c]++
		if x, y := i%w, i/w; x == 0 || y == 0 || x == w-1 || y == h-1 {
			cut[c] = true
		}
		if c == 0 {
			continue
		}
		best := math.Inf(1)
		for j, d := range part {
			if d != c {
				best = min(best, math.Hypot(float64(i%w-j%w), float64(i/w-j/w)))
			}
		}
		if math.IsInf(best, 1) {
			best = 1
		}
		distance[i] = best
		furthest[c] = max(furthest[c], best)
	}
	border, weight = make([]float64, n), make([]float64, n)
	for i, c := range part {
		weight[i] = 1
		if c != 0 {
			distance[i] /= furthest[c]
			if !cut[c] && area[c] >= 16 {
				weight[i] += min(max(math.Sqrt(300/float64(area[c]))-1, 0), 2)
			}
		}
		for r := 1; r <= 4; r++ {
			seen, numbers := map[int]bool{}, map[uint32]bool{}
			for j, d := range part {
				if dx, dy := i%w-j%w, i/w-j/w; d != 0 && max(dx, -dx) <= r && max(dy, -dy) <= r {
					seen[d], numbers[ids[j]] = true, true
				}
			}
			if len(numbers) < 2 {
				continue
			}
			weight[i] += 4 * math.Exp(-float64(r*r)/(2*1.75*1.75))
			if len(seen) > 2 {
				border[i] = -1 // the pair that decides is a matter of order
				break
			}
			limit := 99
			for d := range seen {
				limit = min(limit, int(min(max(math.Round(2*math.Sqrt(float64(area[d])/math.Pi)/16), 1), 3)))
			}
			if c == 0 {
				limit++
			}
			if r <= limit {
				border[i] = 1
			}
			break
		}
	}
	return part, border, distance, weight
}

func TestTargetsMatchDefinition(t *testing.T) {
	var maps TargetMaps // used again and again: nothing may be left over
	rapid.Check(t, func(t *rapid.T) {
		rng := source(rapid.Uint64().Draw(t, "seed"))
		w, h := rapid.IntRange(1, 30).Draw(t, "w"), rapid.IntRange(1, 30).Draw(t, "h")
		ids := blobs(rng, w, h)
		Targets(ids, w, h, &maps)
		part, border, distance, weight := slow(ids, w, h)
		for i, c := range part {
			if int(maps.part[i]) != c {
				t.Fatalf("pixel (%d, %d): component %d, want %d", i%w, i/w, maps.part[i], c)
			}
			if maps.Foreground[i] != float32(min(c, 1)) {
				t.Fatalf("pixel (%d, %d): foreground %v", i%w, i/w, maps.Foreground[i])
			}
			if d := float64(maps.Distance[i]) - distance[i]; math.Abs(d) > 1e-6 {
				t.Fatalf("pixel (%d, %d): distance %v, want %v", i%w, i/w, maps.Distance[i], distance[i])
			}
			if border[i] >= 0 && float64(maps.Border[i]) != border[i] {
				t.Fatalf("pixel (%d, %d): border %v, want %v", i%w, i/w, maps.Border[i], border[i])
			}
			if d := float64(maps.Weight[i]) - weight[i]; math.Abs(d) > 1e-5 {
				t.Fatalf("pixel (%d, %d): weight %v, want %v", i%w, i/w, maps.Weight[i], weight[i])
			}
		}
	})
}

func TestBorderOnlyBetweenTouchingNuclei(t *testing.T) {
	for _, c := range []struct {
		name string
		rows []string
		want string // '#' is border
	}{
		{"alone", []string{
			"......",
			".1111.",
			".1111.",
			"......",
		}, "........................"},
		{"contact", []string{
			"..........",
			".11112222.",
			".11112222.",
			"..........",
		}, "" +
			"...####..." +
			"....##...." +
			"....##...." +
			"...####..."},
		{"gap of one", []string{
			".........",
			".111.222.",
			".........",
		}, "" +
			"...###..." +
			"....#...." +
			"...###..."},
		{"pieces of one nucleus", []string{
			"111.11.11",
			"111.11.11",
		}, ".................."},
		{"gap of four", []string{
			"111....222",
			"111....222",
		}, "...................."},
	} {
		ids, w, h := parse(c.rows...)
		var maps TargetMaps
		Targets(ids, w, h, &maps)
		got := ""
		for _, b := range maps.Border {
			if b == 1 {
				got += "#"
			} else {
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("%s:", c.name)
			for y := range h {
				t.Logf("%s  got %s  want %s", c.rows[y], got[y*w:][:w], c.want[y*w:][:w])
			}
		}
	}
}

func TestDistanceRunsThroughThePatchEdge(t *testing.T) {
	ids, w, h := parse(
		"111..",
		"111..",
		"111..",
		".....",
	)
	var maps TargetMaps
	Targets(ids, w, h, &maps)
	want := []float32{
		1, 2. / 3, 1. / 3, 0, 0,
		2. / 3, 2. / 3, 1. / 3, 0, 0,
		1. / 3, 1. / 3, 1. / 3, 0, 0,
		0, 0, 0, 0, 0,
	}
	for i, v := range want {
		if math.Abs(float64(maps.Distance[i]-v)) > 1e-6 {
			t.Errorf("pixel (%d, %d): %v, want %v", i%w, i/w, maps.Distance[i], v)
		}
	}
	ids, w, h = parse("11", "11")
	Targets(ids, w, h, &maps)
	for i, v := range maps.Distance {
		if v != 1 {
			t.Errorf("patch inside one nucleus: pixel %d is %v, want 1", i, v)
		}
	}
}

func TestTargetsFillGivenMaps(t *testing.T) {
	batch := make([]float32, 3*16)
	maps := TargetMaps{Foreground: batch[16:32]}
	ids := make([]uint32, 16)
	ids[5] = 9
	Targets(ids, 4, 4, &maps)
	if batch[16+5] != 1 || batch[5] != 0 || batch[32+5] != 0 {
		t.Error("foreground was not written into the given slice")
	}
}

func BenchmarkTargets(b *testing.B) {
	rng := source(20)
	sparse := discs(rng, 256, 256, 1, 25, 10).Labels.ID
	dense := make([]uint32, 256*256) // hexagon-like cells, all touching
	for i := range dense {
		dense[i] = uint32(1 + i%256/22 + i/256/22*12)
		if i%256%22 == 0 || i/256%22 == 0 {
			dense[i] = 0
		}
	}
	for _, c := range []struct {
		name string
		ids  []uint32
	}{{"Sparse", sparse}, {"Dense", dense}} {
		b.Run(c.name, func(b *testing.B) {
			var maps TargetMaps
			b.ReportAllocs()
			for b.Loop() {
				Targets(c.ids, 256, 256, &maps)
			}
		})
	}
}
