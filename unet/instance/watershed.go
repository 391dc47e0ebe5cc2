package instance

import "slices"

// flood finds the markers among the pixels with a level and no label, floods
// them and numbers the basins from base+1 on in raster order of their peaks.
// It returns the number of basins. Components whose peak is too low stay 0.
func (f *field) flood(p Params, base uint32) int {
	order := f.descending()
	if len(f.link) < len(f.level) {
		f.link = make([]int32, len(f.level))
	}
	seed := int(quantise(float32(p.Seed)))
	markers := f.markers(order, seed, max(1, int(p.Prominence*254+0.5)))
	f.spread(markers, base)
	// Peaks are told apart across corners but basins spread across edges
	// only: a piece that hangs by a corner is a basin of its own.
	n := len(markers)
	for _, i := range order {
		if int(f.level[i]) < seed {
			break
		}
		if f.lab[i] == 0 {
			n++
			f.spread([]int32{i}, base+uint32(n)-1)
		}
	}
	return n
}

// descending lists the open pixels from the highest level to the lowest, in
// raster order within a level.
func (f *field) descending() []int32 {
	var count [256]int32
	for i, l := range f.level {
		if l != 0 && f.lab[i] == 0 {
			count[l]++
		}
	}
	var start [256]int32
	var n int32
	for l := 255; l > 0; l-- {
		start[l] = n
		n += count[l]
	}
	order := make([]int32, n)
	for i, l := range f.level {
		if l != 0 && f.lab[i] == 0 {
			order[start[l]] = int32(i)
			start[l]++
		}
	}
	return order
}

// markers returns, in raster order, the first pixel of every regional maximum
// at or above the level seed whose dynamics is at least rise. Sweeping down,
// components of the level set grow; where two meet, the lower peak's dynamics
// is known: its height above the meeting level. Components are 8-connected,
// or every slanting ridge would be a row of peaks. The root of a component in
// the union-find forest is its peak.
func (f *field) markers(order []int32, seed, rise int) []int32 {
	link, level, stride := f.link, f.level, int32(f.stride)
	for i := range level {
		link[i] = -1
	}
	around := [8]int32{-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1}
	var out []int32
	for _, p := range order {
		link[p] = p
		root, l := p, int(level[p])
		for _, d := range &around {
			q := p + d
			up := link[q]
			if up < 0 || up == root {
				continue
			}
			for up != q {
				above := link[up]
				link[q] = above
				q, up = above, link[above]
			}
			if q == root {
				continue
			}
			high, low := root, q
			if level[q] > level[root] || level[q] == level[root] && q < root {
				high, low = q, root
			}
			if peak := int(level[low]); peak-l >= rise && peak >= seed {
				out = append(out, low)
			}
			link[low] = high
			root = high
		}
	}
	for _, p := range order {
		if link[p] == p && int(level[p]) >= seed {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// spread floods from the markers in order of level with one first-in
// first-out queue per level, so that basins meet halfway on plateaus.
func (f *field) spread(markers []int32, base uint32) {
	next, level, lab, stride := f.link, f.level, f.lab, int32(f.stride)
	var head, tail [256]int32
	for l := range head {
		head[l] = -1
	}
	push := func(p int32, l uint8) {
		next[p] = -1
		if head[l] < 0 {
			head[l] = p
		} else {
			next[tail[l]] = p
		}
		tail[l] = p
	}
	for i, p := range markers {
		lab[p] = base + uint32(i) + 1
		push(p, level[p])
	}
	for cur := 255; cur > 0; cur-- {
		for head[cur] >= 0 {
			p := head[cur]
			head[cur] = next[p]
			id := lab[p]
			for _, q := range [4]int32{p - stride, p - 1, p + 1, p + stride} {
				if level[q] != 0 && lab[q] == 0 {
					lab[q] = id
					push(q, min(level[q], uint8(cur)))
				}
			}
		}
	}
}
