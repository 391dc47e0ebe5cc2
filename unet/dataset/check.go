package dataset

import (
	"fmt"
	"slices"

	"unet/unet/imageio"
)

// Thresholds of the label checks, in pixels of the source image.
const (
	// A further part of a nucleus is stray when it has at most strayPixels
	// pixels or one strayShare-th of the nucleus; else the nucleus is
	// disconnected: probably two in one mask.
	strayPixels = 5
	strayShare  = 20
	// A sliver has no pixel with four neighbours of its own, so it is at most
	// two pixels wide everywhere, or has fewer than tinyArea pixels.
	tinyArea = 8
)

// defect is one thing wrong with a label image.
type defect struct {
	code  string // "hole", "stray", "disconnected" or "sliver"
	label uint32
	part  int // number of the part to blame
	area  int // its pixels
}

// findDefects looks for holes, stray pixels, disconnected nuclei and slivers.
func findDefects(l *imageio.Labels) (parts, []defect) {
	p := findParts(l)
	main := make([]int32, int(l.Max())+1) // largest part of each label
	inner := make([]int, len(main))
	for i := range main {
		main[i] = -1
	}
	for i, q := range p.list {
		if q.label == 0 {
			continue
		}
		if m := main[q.label]; m < 0 || q.area > p.list[m].area {
			main[q.label] = int32(i)
		}
		inner[q.label] += q.inner
	}
	var ds []defect
	holed := map[uint32]bool{} // labels that have a body once it is filled
	for i, q := range p.list {
		if q.label == 0 && !q.edge && q.nAround == 1 {
			ds = append(ds, defect{"hole", q.around, i, q.area})
			holed[q.around] = true
		}
	}
	for i, q := range p.list {
		switch {
		case q.label == 0:
		case int32(i) != main[q.label]:
			body := p.list[main[q.label]].area
			if q.area <= strayPixels || q.area*strayShare <= body {
				ds = append(ds, defect{"stray", q.label, i, q.area})
			} else {
				ds = append(ds, defect{"disconnected", q.label, i, q.area})
			}
		case (inner[q.label] == 0 || q.area < tinyArea) && !holed[q.label]:
			ds = append(ds, defect{"sliver", q.label, i, q.area})
		}
	}
	return p, ds
}

// checkLabels reports the defects of an image's labels, one finding per kind.
func checkLabels(id string, l *imageio.Labels) []Finding {
	_, ds := findDefects(l)
	var fs []Finding
	for _, c := range []struct{ code, one, many, in, more string }{
		{"hole", "hole", "holes", " in ", ""},
		{"stray", "stray part", "stray parts", " off ", ""},
		{"disconnected", "further large part", "further large parts", " in ", ": one mask may hold two nuclei"},
		{"sliver", "sliver or speck", "slivers or specks", " as ", ""},
	} {
		n, px := 0, 0
		var labels []uint32
		for _, d := range ds {
			if d.code == c.code {
				n++
				px += d.area
				labels = append(labels, d.label)
			}
		}
		if n > 0 {
			slices.Sort(labels)
			text := plural(n, c.one, c.many) + c.in + plural(len(slices.Compact(labels)), "nucleus", "nuclei") + ", " +
				plural(px, "pixel", "pixels") + " in all" + c.more
			fs = append(fs, Finding{Warning, id, "", c.code, text})
		}
	}
	return fs
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Fix repairs what the checks of labels report, in place: it fills holes,
// removes stray parts, gives each large part of a disconnected nucleus its own
// number, and removes slivers, or joins them to the nucleus they line. It returns one finding of level Info for each repair
// and renumbers the nuclei 1..n.
func Fix(id string, l *imageio.Labels) []Finding {
	var fs []Finding
	// One repair can lay bare another defect, a sliver around a hole say, so
	// the labels are looked at again after each kind of repair. A few looks do;
	// the bound only makes sure of an end.
	for range 100 {
		p, ds := findDefects(l)
		if len(ds) == 0 {
			break
		}
		first := ds[0].code
		for _, code := range []string{"sliver", "disconnected", "stray", "hole"} {
			if slices.ContainsFunc(ds, func(d defect) bool { return d.code == code }) {
				first = code
			}
		}
		ds = slices.DeleteFunc(ds, func(d defect) bool { return d.code != first })
		faulty := map[uint32]bool{} // a sliver must not join another
		for _, d := range ds {
			faulty[d.label] = true
		}
		next := l.Max()
		to := make([]uint32, len(p.list))
		for i, q := range p.list {
			to[i] = q.label
		}
		for _, d := range ds {
			q := p.list[d.part]
			at := fmt.Sprintf("at (%d, %d), %d pixels", q.firstPix%l.W, q.firstPix/l.W, q.area)
			switch d.code {
			case "hole":
				to[d.part] = d.label
				fs = append(fs, Finding{Info, id, "", "fixed-hole", fmt.Sprintf("filled a hole in nucleus %d %s", d.label, at)})
			case "stray":
				to[d.part] = 0
				fs = append(fs, Finding{Info, id, "", "fixed-stray", fmt.Sprintf("removed a stray part of nucleus %d %s", d.label, at)})
			case "sliver":
				if k := lined(l, p, d.part); k != 0 && !faulty[k] {
					to[d.part] = k
					fs = append(fs, Finding{Info, id, "", "fixed-sliver", fmt.Sprintf("joined sliver %d to nucleus %d %s", d.label, k, at)})
					break
				}
				to[d.part] = 0
				fs = append(fs, Finding{Info, id, "", "fixed-sliver", fmt.Sprintf("removed sliver %d %s", d.label, at)})
			case "disconnected":
				next++
				to[d.part] = next
				fs = append(fs, Finding{Info, id, "", "fixed-disconnected", fmt.Sprintf("made a part of nucleus %d its own %s", d.label, at)})
			}
		}
		for i := range l.ID {
			l.ID[i] = to[p.of[i]]
		}
	}
	compact(l)
	return fs
}

// lined returns the nucleus that at least half of a sliver's pixels touch, 0
// when there is none: then the sliver is the nucleus's rim, annotated apart.
func lined(l *imageio.Labels, p parts, part int) uint32 {
	q := p.list[part]
	touch := map[uint32]int{}
	for y := q.y0; y <= q.y1; y++ {
		for x := q.x0; x <= q.x1; x++ {
			i := y*l.W + x
			if int(p.of[i]) != part {
				continue
			}
			var seen [4]uint32
			n := 0
			for _, d := range [4][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
				nx, ny := x+d[0], y+d[1]
				if nx < 0 || ny < 0 || nx >= l.W || ny >= l.H {
					continue
				}
				if v := l.ID[ny*l.W+nx]; v != 0 && v != q.label && !slices.Contains(seen[:n], v) {
					seen[n] = v
					n++
					touch[v]++
				}
			}
		}
	}
	best := uint32(0)
	for v, n := range touch {
		if 2*n >= q.area && (best == 0 || n > touch[best] || n == touch[best] && v < best) {
			best = v
		}
	}
	return best
}
