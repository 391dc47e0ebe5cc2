package serve

import (
	"encoding/csv"
	"errors"
	stdimage "image"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"

	"unet/unet/imageio"
)

// catalogue knows of every nucleus of an image where it lies: the rest is measured
// when somebody looks. It stays true to the labels by looking again where an edit
// has been.
type catalogue struct {
	at  map[uint32]place
	top uint32 // the largest number there has been
	// rated are the nuclei as the model found them, where edits have changed them:
	// the network alone knows their confidence.
	rated map[uint32]place
}

// place is where a nucleus lies, and the model's confidence in it as it is.
type place struct {
	x0, y0, x1, y1 int32
	area           int32
	confidence     float64
}

func (p place) rect() stdimage.Rectangle {
	return stdimage.Rect(int(p.x0), int(p.y0), int(p.x1), int(p.y1))
}

func newCatalogue() *catalogue {
	return &catalogue{at: map[uint32]place{}, rated: map[uint32]place{}}
}

// add enters a nucleus.
func (c *catalogue) add(id uint32, p place) {
	c.at[id] = p
	c.top = max(c.top, id)
}

// errTable says that a table is not one of ours.
var errTable = errors.New("it is not a table of nuclei")

// readCatalogue reads a table of nuclei.
func readCatalogue(name string) (*catalogue, error) {
	c := newCatalogue()
	err := readTable(name, "confidence", func(id uint32, p place, confidence float64) {
		if !math.IsNaN(confidence) {
			p.confidence = confidence
		}
		c.add(id, p)
	})
	return c, err
}

// readTable calls f for the nuclei of a table with what a column says of them, which
// is no number where it says nothing.
func readTable(name, column string, f func(id uint32, p place, v float64)) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	return readRows(csv.NewReader(in), column, f)
}

// readRows is readTable of a file that is open.
func readRows(r *csv.Reader, column string, f func(id uint32, p place, v float64)) error {
	r.ReuseRecord = true
	row, err := r.Read()
	if err != nil {
		return errTable
	}
	var at [7]int
	for i, name := range []string{"nucleus", "x0", "y0", "x1", "y1", "area", column} {
		if at[i] = slices.Index(row, name); at[i] < 0 {
			return errTable
		}
	}
	for {
		row, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var n [6]int64
		for i := range n {
			if n[i], err = strconv.ParseInt(row[at[i]], 10, 64); err != nil || n[i] < 0 || n[i] > math.MaxUint32 {
				return errTable
			}
		}
		v, err := strconv.ParseFloat(row[at[6]], 64)
		if err != nil { // empty: not known
			v = math.NaN()
		}
		f(uint32(n[0]), place{int32(n[1]), int32(n[2]), int32(n[3]), int32(n[4]), int32(n[5]), 0}, v)
	}
}

// scan finds the nuclei of labels without a table.
func scan(l *labels) (*catalogue, error) {
	c := newCatalogue()
	rows := max(1, maxWindow/4/l.w)
	for y := 0; y < l.h; y += rows {
		m, err := l.file.ReadLabelsRegion(0, 0, y, l.w, min(rows, l.h-y))
		if err != nil {
			return nil, err
		}
		runs(m, func(id uint32, v, x0, x1 int) {
			p, ok := c.at[id]
			c.add(id, p.with(!ok, x0, y+v, x1))
		})
	}
	return c, nil
}

// runs calls f for all runs of pixels of one label.
func runs(m *imageio.Labels, f func(id uint32, y, x0, x1 int)) {
	for y := range m.H {
		row := m.ID[y*m.W:][:m.W]
		for x := 0; x < m.W; {
			from := x
			for x < m.W && row[x] == row[from] {
				x++
			}
			if row[from] != 0 {
				f(row[from], y, from, x)
			}
		}
	}
}

// with is the place with one more run of pixels, its first or not.
func (p place) with(first bool, x0, y, x1 int) place {
	if first {
		return place{int32(x0), int32(y), int32(x1), int32(y) + 1, int32(x1 - x0), 0}
	}
	p.x0, p.y0, p.x1, p.y1 = min(p.x0, int32(x0)), min(p.y0, int32(y)), max(p.x1, int32(x1)), max(p.y1, int32(y)+1)
	p.area += int32(x1 - x0)
	return p
}

// box is where a nucleus lies, nowhere when there is none.
func (c *catalogue) box(id uint32) stdimage.Rectangle { return c.at[id].rect() }

// look looks again at nuclei of which pixels within rectangles have changed.
func (c *catalogue) look(l *labels, changed map[uint32]stdimage.Rectangle) error {
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		before, was := c.at[id]
		r := changed[id].Union(before.rect())
		m, err := l.region(r)
		if err != nil {
			return err
		}
		var now place
		runs(m, func(found uint32, y, x0, x1 int) {
			if found == id {
				now = now.with(now.area == 0, r.Min.X+x0, r.Min.Y+y, r.Min.X+x1)
			}
		})
		if was && before.confidence > 0 {
			c.rated[id] = before
		}
		if now.area == 0 {
			delete(c.at, id)
			continue
		}
		if old := c.rated[id]; old.area == now.area && old.rect() == now.rect() {
			now.confidence = old.confidence
		}
		c.add(id, now)
	}
	return nil
}

// numbers are how many nuclei there are and their median diameter.
func (c *catalogue) numbers() (count int, diameter float64) {
	areas := make([]int32, 0, len(c.at))
	for _, p := range c.at {
		areas = append(areas, p.area)
	}
	if len(areas) == 0 {
		return 0, 0
	}
	slices.Sort(areas)
	d := func(a int32) float64 { return math.Sqrt(4 * float64(a) / math.Pi) }
	return len(areas), (d(areas[(len(areas)-1)/2]) + d(areas[len(areas)/2])) / 2
}

// changes are the nuclei that edits in effect have changed, and where.
func (l *labels) changes() (map[uint32]stdimage.Rectangle, error) {
	changed := map[uint32]stdimage.Rectangle{}
	for at, list := range l.touching {
		list = slices.DeleteFunc(slices.Clone(list), func(k int) bool { return k >= l.done })
		if len(list) == 0 {
			continue
		}
		own, err := l.own(at)
		if err != nil {
			return nil, err
		}
		for _, k := range list {
			pieces(own, l.tileRect(at), l.edits[k].spans, into(changed))
		}
	}
	for _, e := range l.inEffect() {
		for _, s := range e.spans {
			into(changed)(s)
		}
	}
	return changed, nil
}

// into collects the spans of each nucleus as rectangles.
func into(changed map[uint32]stdimage.Rectangle) func(s span) {
	return func(s span) {
		if s.ID != 0 {
			changed[s.ID] = changed[s.ID].Union(stdimage.Rect(s.X0, s.Y, s.X1, s.Y+1))
		}
	}
}
