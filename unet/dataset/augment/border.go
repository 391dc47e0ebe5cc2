package augment

// borders fills Border and adds the contact term to Weight. Every outline
// pixel marks the pixels around it, ring by ring, with its nucleus; the second
// nucleus to reach a pixel gives the half-side of the smallest window that
// sees two.
func (t *TargetMaps) borders(w, h int) {
	clear(t.Border)
	if len(t.parts) < 3 {
		return
	}
	// first is the nucleus that reached a pixel first, 0 for none yet and done
	// when two have. A margin as wide as the widest window is done from the
	// start, so that rings need no clipping.
	const margin, done = furthestWindow, -1
	wide := w + 2*margin
	t.first = grow(t.first, wide*(h+2*margin))
	first := t.first
	for i := range first {
		first[i] = done
	}
	for y := range h {
		copy(first[(y+margin)*wide+margin:][:w], t.part[y*w:][:w])
	}
	t.outline = t.outline[:0]
	for y := range h {
		for x := range w {
			at := (y+margin)*wide + x + margin
			c := first[at]
			if c > 0 && (first[at-1] != c || first[at+1] != c || first[at-wide] != c || first[at+wide] != c) {
				t.outline = append(t.outline, int32(at))
			}
		}
	}
	for r := 1; r <= furthestWindow; r++ {
		t.ring = t.ring[:0]
		for k := -r; k <= r; k++ {
			t.ring = append(t.ring, int32(-r*wide+k), int32(r*wide+k))
			if k > -r && k < r {
				t.ring = append(t.ring, int32(k*wide-r), int32(k*wide+r))
			}
		}
		for _, at := range t.outline {
			x, y := int(at)%wide-margin, int(at)/wide-margin
			c := t.part[y*w+x]
			for _, step := range t.ring {
				f := &first[at+step]
				if *f == c || *f == done {
					continue
				}
				if *f == 0 {
					*f = c
					continue
				}
				if t.parts[*f].id == t.parts[c].id {
					continue // pieces of one nucleus do not border each other
				}
				to := int(at + step)
				i := (to/wide-margin)*w + to%wide - margin
				window := min(t.parts[*f].window, t.parts[c].window)
				if t.part[i] == 0 {
					window++
				}
				if int32(r) <= window {
					t.Border[i] = 1
				}
				t.Weight[i] += contact[r]
				*f = done
			}
		}
	}
}
