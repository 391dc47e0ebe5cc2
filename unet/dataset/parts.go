package dataset

import (
	"cmp"
	"slices"

	"unet/unet/imageio"
)

// part is a connected region of pixels of one label: 8-connected for nuclei,
// 4-connected for background (label 0), so that the two are each other's dual.
type part struct {
	label    uint32
	area     int
	inner    int  // pixels whose four neighbours belong to the same label
	edge     bool // touches the image's edge
	around   uint32
	nAround  int // distinct labels next to a background part: 0, 1 or 2 for more
	x0, y0   int // bounding box, inclusive
	x1, y1   int
	firstPix int
}

// parts are the connected regions of a label image, numbered in the order of
// their first pixel.
type parts struct {
	of   []int32 // part of each pixel
	list []part
}

// forest joins pixels to trees: a pixel's number is that of one further up, or its
// own, which is the first pixel of the region.
type forest []int32

func (up forest) root(a int32) int32 {
	for up[a] != a {
		up[a] = up[up[a]]
		a = up[a]
	}
	return a
}

func (up forest) join(a, b int) {
	x, y := up.root(int32(a)), up.root(int32(b))
	up[max(x, y)] = min(x, y)
}

// connect joins the pixels of every connected region by one raster scan.
func connect(l *imageio.Labels) forest {
	w, h := l.W, l.H
	up := make(forest, w*h)
	for y := range h {
		for x := range w {
			i := y*w + x
			up[i] = int32(i)
			v := l.ID[i]
			if x > 0 && l.ID[i-1] == v {
				up.join(i, i-1)
			}
			if y == 0 {
				continue
			}
			if l.ID[i-w] == v {
				up.join(i, i-w)
			}
			if v != 0 {
				if x > 0 && l.ID[i-w-1] == v {
					up.join(i, i-w-1)
				}
				if x+1 < w && l.ID[i-w+1] == v {
					up.join(i, i-w+1)
				}
			}
		}
	}
	return up
}

// findParts labels and measures the connected regions.
func findParts(l *imageio.Labels) parts {
	w, h := l.W, l.H
	up := connect(l)
	p := parts{of: make([]int32, w*h)}
	for y := range h {
		for x := range w {
			i := y*w + x
			root := up.root(int32(i))
			if int(root) == i {
				p.of[i] = int32(len(p.list))
				p.list = append(p.list, part{label: l.ID[i], x0: x, y0: y, x1: x, y1: y, firstPix: i})
			} else {
				p.of[i] = p.of[root]
			}
			q := &p.list[p.of[i]]
			q.area++
			q.x0, q.x1, q.y1 = min(q.x0, x), max(q.x1, x), y
			q.edge = q.edge || x == 0 || y == 0 || x == w-1 || y == h-1
			inner := true
			for _, o := range [4]struct {
				in bool
				at int
			}{{x > 0, i - 1}, {x+1 < w, i + 1}, {y > 0, i - w}, {y+1 < h, i + w}} {
				if !o.in {
					continue
				}
				if v := l.ID[o.at]; v != q.label {
					inner = false
					if q.label == 0 && q.nAround < 2 && (q.nAround == 0 || q.around != v) {
						q.around = v
						q.nAround++
					}
				}
			}
			if inner {
				q.inner++
			}
		}
	}
	return p
}

// compactSparse is compact for label numbers far above the pixel count.
func compactSparse(l *imageio.Labels) int {
	ids := slices.Clone(l.ID)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) > 0 && ids[0] == 0 {
		ids = ids[1:]
	}
	for i, v := range l.ID {
		if v != 0 {
			k, _ := slices.BinarySearchFunc(ids, v, cmp.Compare[uint32])
			l.ID[i] = uint32(k) + 1
		}
	}
	return len(ids)
}
