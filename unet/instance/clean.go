package instance

// open marks, in field.lab, the pixels of components that may still grow.
const open = ^uint32(0)

// edges says which of the field's first and last rows are edges of the image;
// its left and right always are.
type edges struct{ top, bottom bool }

// clean removes, fills and removes again, in this order: nuclei below the
// minimum size, holes, nuclei at the image's edge. It concerns the labels
// first..last only (all others, and open, are obstacles).
func (f *field) clean(p Params, first, last uint32, e edges) {
	if first > last {
		return
	}
	gone := make([]bool, last-first+1)
	any := false
	if p.MinArea > 1 {
		area := make([]int, len(gone))
		for _, v := range f.lab {
			if v >= first && v <= last {
				area[v-first]++
			}
		}
		for i, a := range area {
			gone[i] = a < p.MinArea
			any = any || gone[i]
		}
	}
	if any {
		f.erase(gone, first)
	}
	if p.FillHoles {
		f.fillHoles()
	}
	if p.RemoveEdge {
		clear(gone)
		mark := func(i int) {
			if v := f.lab[i]; v >= first && v <= last {
				gone[v-first] = true
			}
		}
		for x := range f.w {
			if e.top {
				mark(f.at(x, 0))
			}
			if e.bottom {
				mark(f.at(x, f.h-1))
			}
		}
		for y := range f.h {
			mark(f.at(0, y))
			mark(f.at(f.w-1, y))
		}
		f.erase(gone, first)
	}
}

// erase clears the labels first+i with gone[i].
func (f *field) erase(gone []bool, first uint32) {
	last := first + uint32(len(gone)) - 1
	for i, v := range f.lab {
		if v >= first && v <= last && gone[v-first] {
			f.lab[i] = 0
		}
	}
}

// fillHoles gives every 4-connected piece of background that touches no edge
// and exactly one nucleus to that nucleus (as scipy.ndimage.binary_fill_holes
// does for one object).
func (f *field) fillHoles() {
	b := f.background()
	// owner of each enclosed piece, keyed by its first run: the one label
	// around it, or mixed when there are several.
	type piece struct {
		owner uint32
		mixed bool
	}
	pieces := map[int32]*piece{}
	for i := range b {
		r := b.find(int32(i))
		if r == 0 {
			continue
		}
		pc := pieces[r]
		if pc == nil {
			pc = &piece{}
			pieces[r] = pc
		}
		meet := func(v uint32) {
			if v == 0 {
				return
			}
			if v == open || pc.owner != 0 && pc.owner != v {
				pc.mixed = true
			}
			pc.owner = v
		}
		meet(f.lab[b[i].start-1])
		meet(f.lab[b[i].end])
		for p := int(b[i].start); p < int(b[i].end) && !pc.mixed; p++ {
			meet(f.lab[p-f.stride])
			meet(f.lab[p+f.stride])
		}
	}
	if len(pieces) == 0 {
		return
	}
	for i := range b {
		if pc := pieces[b.find(int32(i))]; pc != nil && !pc.mixed {
			for p := b[i].start; p < b[i].end; p++ {
				f.lab[p] = pc.owner
			}
		}
	}
}

// runs are stretches of background within rows, joined to trees of those that
// belong together.
type runs []struct{ start, end, parent int32 }

// find returns the first run of the piece that run i belongs to.
func (b runs) find(i int32) int32 {
	for b[i].parent != i {
		b[i].parent = b[b[i].parent].parent
		i = b[i].parent
	}
	return i
}

// background lists the runs of background. The frame's first row is run 0:
// whatever joins it lies outside.
func (f *field) background() runs {
	b := runs{{0, int32(f.stride), 0}}
	above := 0 // first run of the row above
	for y := 0; y <= f.h; y++ {
		base := int32(y+1) * int32(f.stride)
		row := f.lab[base:][:f.stride]
		first := len(b)
		k := above
		for x := 0; x < len(row); {
			if row[x] != 0 {
				x++
				continue
			}
			s := x
			for x < len(row) && row[x] == 0 {
				x++
			}
			id := int32(len(b))
			start, end := base+int32(s), base+int32(x)
			b = append(b, struct{ start, end, parent int32 }{start, end, id})
			for k < first && b[k].end+int32(f.stride) <= start {
				k++
			}
			for j := k; j < first && b[j].start+int32(f.stride) < end; j++ {
				a, c := b.find(int32(j)), b.find(id)
				b[max(a, c)].parent = min(a, c)
			}
		}
		above = first
	}
	return b
}
