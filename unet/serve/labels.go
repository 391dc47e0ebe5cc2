package serve

import (
	"cmp"
	"container/list"
	stdimage "image"
	"slices"

	"unet/unet/imageio"
)

// labels are a label image of any size on disk with edits done to it. Pixels are
// read by windows; an edit in effect costs memory for its spans alone.
type labels struct {
	w, h int
	side int           // of tiles
	file *imageio.File // the model's own
	// edits are all that can be in effect, the first done of them are.
	edits []edit
	done  int
	// touching lists the edits that change pixels of a tile, in order.
	touching map[stdimage.Point][]int
	cache    tileCache
}

// edit is a change of pixels, and whether it brings the model's own labels back.
type edit struct {
	spans []span
	reset bool
}

// openLabels opens the file of the model's own labels. Tiles take up to limit
// bytes of memory.
func openLabels(name string, limit int64) (*labels, error) {
	f, err := imageio.Open(name)
	if err != nil {
		return nil, err
	}
	return &labels{w: f.Planes[0].W, h: f.Planes[0].H, side: tileSide, file: f, touching: map[stdimage.Point][]int{},
		cache: tileCache{most: int(max(4, limit/(4*tileSide*tileSide)))}}, nil
}

func (l *labels) close() error { return l.file.Close() }

// tiles calls f for all tiles of a rectangle, with the part that lies in it.
func (l *labels) tiles(r stdimage.Rectangle, f func(at stdimage.Point, part stdimage.Rectangle) error) error {
	r = r.Intersect(stdimage.Rect(0, 0, l.w, l.h))
	if r.Empty() {
		return nil
	}
	for ty := r.Min.Y / l.side; ty*l.side < r.Max.Y; ty++ {
		for tx := r.Min.X / l.side; tx*l.side < r.Max.X; tx++ {
			if err := f(stdimage.Pt(tx, ty), l.tileRect(stdimage.Pt(tx, ty)).Intersect(r)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *labels) tileRect(at stdimage.Point) stdimage.Rectangle {
	return stdimage.Rect(at.X*l.side, at.Y*l.side, (at.X+1)*l.side, (at.Y+1)*l.side).Intersect(stdimage.Rect(0, 0, l.w, l.h))
}

// own reads a tile of the model's own labels.
func (l *labels) own(at stdimage.Point) (*imageio.Labels, error) {
	r := l.tileRect(at)
	return l.file.ReadLabelsRegion(0, r.Min.X, r.Min.Y, r.Dx(), r.Dy())
}

// tile returns a tile with the edits in effect. It belongs to the cache.
func (l *labels) tile(at stdimage.Point) (*imageio.Labels, error) {
	if t := l.cache.get(at); t != nil {
		return t, nil
	}
	t, err := l.own(at)
	if err != nil {
		return nil, err
	}
	r := l.tileRect(at)
	for _, k := range l.touching[at] {
		if k < l.done {
			paintSpans(t, r, l.edits[k].spans)
		}
	}
	l.cache.put(at, t)
	return t, nil
}

// paintSpans does the part of an edit that lies in the tile with bounds r.
func paintSpans(t *imageio.Labels, r stdimage.Rectangle, spans []span) {
	for _, s := range spans {
		if s.Y < r.Min.Y || s.Y >= r.Max.Y {
			continue
		}
		row := t.ID[(s.Y-r.Min.Y)*t.W:][:t.W]
		for x := max(s.X0, r.Min.X); x < min(s.X1, r.Max.X); x++ {
			row[x-r.Min.X] = s.ID
		}
	}
}

// region reads a rectangle, which must lie inside the image.
func (l *labels) region(r stdimage.Rectangle) (*imageio.Labels, error) {
	out := imageio.NewLabels(r.Dx(), r.Dy())
	err := l.tiles(r, func(at stdimage.Point, part stdimage.Rectangle) error {
		t, err := l.tile(at)
		if err != nil {
			return err
		}
		from := l.tileRect(at).Min
		for y := part.Min.Y; y < part.Max.Y; y++ {
			copy(out.ID[(y-r.Min.Y)*out.W+part.Min.X-r.Min.X:], t.ID[(y-from.Y)*t.W+part.Min.X-from.X:][:part.Dx()])
		}
		return nil
	})
	return out, err
}

// do adds an edit, in the place of those that were taken back.
func (l *labels) do(e edit) {
	if l.done < len(l.edits) {
		for at, list := range l.touching {
			l.touching[at] = slices.DeleteFunc(list, func(k int) bool { return k >= l.done })
		}
		l.edits = l.edits[:l.done]
	}
	k := len(l.edits)
	l.edits = append(l.edits, e)
	l.done++
	l.touched(e, func(at stdimage.Point) {
		l.touching[at] = append(l.touching[at], k)
		if t := l.cache.get(at); t != nil {
			paintSpans(t, l.tileRect(at), e.spans)
		}
	})
}

// step takes the last edit back, or does it again, and returns it.
func (l *labels) step(back bool) edit {
	k := l.done
	if back {
		k--
		l.done--
	} else {
		l.done++
	}
	l.touched(l.edits[k], l.cache.drop)
	return l.edits[k]
}

// touched calls f once for each tile that an edit changes.
func (l *labels) touched(e edit, f func(at stdimage.Point)) {
	seen := map[stdimage.Point]bool{}
	for _, s := range e.spans {
		for tx := s.X0 / l.side; tx*l.side < s.X1; tx++ {
			if at := stdimage.Pt(tx, s.Y/l.side); !seen[at] {
				seen[at] = true
				f(at)
			}
		}
	}
}

// corrected reports whether edits are in effect that the model's own labels do
// not stand for again.
func (l *labels) corrected() bool {
	return l.done > 0 && !l.edits[l.done-1].reset
}

// inEffect returns the edits that make the labels what they are.
func (l *labels) inEffect() []edit { return l.edits[:l.done] }

// original is the edit that brings the model's own labels back.
func (l *labels) original() ([]span, error) {
	var spans []span
	for at, list := range l.touching {
		if !slices.ContainsFunc(list, func(k int) bool { return k < l.done }) {
			continue
		}
		now, err := l.tile(at)
		if err != nil {
			return nil, err
		}
		own, err := l.own(at)
		if err != nil {
			return nil, err
		}
		p := &painter{l: now, origin: l.tileRect(at).Min}
		p.each(func(x, y int, _ uint32) { p.set(x, y, own.ID[y*own.W+x]) })
		spans = append(spans, p.spans...)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.Y-b.Y, a.X0-b.X0) })
	return spans, nil
}

// under calls f with every span of an edit in pieces of one label each: what the
// labels are now.
func (l *labels) under(e edit, f func(s span)) error {
	var failed error
	l.touched(e, func(at stdimage.Point) {
		t, err := l.tile(at)
		if err != nil {
			failed = err
			return
		}
		pieces(t, l.tileRect(at), e.spans, f)
	})
	return failed
}

// pieces calls f for the parts of spans inside a tile, of one label each.
func pieces(t *imageio.Labels, r stdimage.Rectangle, spans []span, f func(s span)) {
	for _, s := range spans {
		if s.Y < r.Min.Y || s.Y >= r.Max.Y {
			continue
		}
		row := t.ID[(s.Y-r.Min.Y)*t.W:][:t.W]
		for x, end := max(s.X0, r.Min.X), min(s.X1, r.Max.X); x < end; {
			from := x
			for x < end && row[x-r.Min.X] == row[from-r.Min.X] {
				x++
			}
			f(span{s.Y, from, x, row[from-r.Min.X]})
		}
	}
}

// tileCache keeps the tiles used last.
type tileCache struct {
	most  int
	order list.List // the one used last comes first
	at    map[stdimage.Point]*list.Element
}

type cachedTile struct {
	at stdimage.Point
	t  *imageio.Labels
}

func (c *tileCache) get(at stdimage.Point) *imageio.Labels {
	e := c.at[at]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(cachedTile).t
}

func (c *tileCache) put(at stdimage.Point, t *imageio.Labels) {
	if c.at == nil {
		c.at = map[stdimage.Point]*list.Element{}
	}
	c.at[at] = c.order.PushFront(cachedTile{at, t})
	for len(c.at) > c.most {
		c.drop(c.order.Back().Value.(cachedTile).at)
	}
}

func (c *tileCache) drop(at stdimage.Point) {
	if e := c.at[at]; e != nil {
		c.order.Remove(e)
		delete(c.at, at)
	}
}
