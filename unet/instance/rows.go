package instance

import (
	"cmp"
	"fmt"
	"slices"

	"unet/unet/imageio"
)

// MeasureRows is Measure, without intensities, for a label image of w x h pixels
// of a size too large for memory: read returns consecutive rows of it, any number at a
// time, and emit gets the nuclei in order of their numbers. If the labels are ordered,
// only nuclei that rows pass through are held: numbers must rise in the order of first
// pixels and every nucleus have pixels in each row from its first to its last, as
// those of Stream do. Else, as after corrections, all are held until the end.
func MeasureRows(w, h int, size imageio.PixelSize, ordered bool, read func(y int) (*imageio.Labels, error), emit func(*Nucleus) error) error {
	var open []*Nucleus // by number
	index := map[uint32]*Nucleus{}
	newest := uint32(0)
	leave := func(above int) error { // those that end above a row, as far as all before them do
		for len(open) > 0 && open[0].Runs[len(open[0].Runs)-1].Y < above {
			n := open[0]
			open = open[1:]
			delete(index, n.ID)
			n.measure()
			n.reshape(size)
			n.Edge = n.X0 == 0 || n.Y0 == 0 || n.X1 == w || n.Y1 == h
			if err := emit(n); err != nil {
				return err
			}
		}
		return nil
	}
	for y := 0; y < h; {
		l, err := read(y)
		if err != nil {
			return err
		}
		if l.W != w || l.H < 1 || l.H > h-y {
			return fmt.Errorf("label rows %d to %d of %d pixels do not fit an image of %d x %d", y, y+l.H-1, l.W, w, h)
		}
		for row := range l.H {
			ids := l.ID[row*w:][:w]
			for x := 0; x < w; {
				id, start := ids[x], x
				for x++; x < w && ids[x] == id; x++ {
				}
				if id == 0 {
					continue
				}
				n := index[id]
				if n == nil {
					if ordered && id < newest {
						return fmt.Errorf("label %d begins, or goes on, in row %d after label %d has begun: the labels are not numbered from top to bottom", id, y, newest)
					}
					newest = id
					n = &Nucleus{ID: id}
					index[id] = n
					open = append(open, n)
				}
				n.Runs = append(n.Runs, Run{y, start, x})
			}
			if ordered {
				if err := leave(y); err != nil {
					return err
				}
			}
			y++
		}
	}
	slices.SortFunc(open, func(a, b *Nucleus) int { return cmp.Compare(a.ID, b.ID) })
	return leave(h)
}
