package formats

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"unet/unet/instance"
)

// pairs returns the pixels of a nucleus of an image of height h as maximal
// (start, length) runs in column-major order, from 0.
func pairs(runs []instance.Run, h int) []int {
	type span struct{ x, y0, y1 int }
	var done, open []span
	// open holds the spans that reached the previous row, by x.
	for i := 0; i < len(runs); {
		y := runs[i].Y
		var row []span
		k := 0
		for ; i < len(runs) && runs[i].Y == y; i++ {
			for x := runs[i].X0; x < runs[i].X1; x++ {
				for k < len(open) && open[k].x < x {
					done = append(done, open[k])
					k++
				}
				if k < len(open) && open[k].x == x && open[k].y1 == y {
					open[k].y1++
					row = append(row, open[k])
					k++
				} else {
					row = append(row, span{x, y, y + 1})
				}
			}
		}
		done = append(done, open[k:]...)
		open = row
	}
	done = append(done, open...)
	slices.SortFunc(done, func(a, b span) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.y0, b.y0)) })
	var out []int
	for _, s := range done {
		start, n := s.x*h+s.y0, s.y1-s.y0
		if k := len(out); k > 0 && out[k-2]+out[k-1] == start {
			out[k-1] += n
		} else {
			out = append(out, start, n)
		}
	}
	return out
}

// rleTable writes Kaggle's submission table.
type rleTable struct {
	w     *csv.Writer
	src   Source
	begun bool
	empty bool
}

// NewRLE returns a writer of Kaggle's submission format: a CSV table
// ImageId,EncodedPixels with one nucleus per row as "start length" pairs,
// column by column, counted from 1; an image without nuclei has one row with
// no pixels.
func NewRLE(w io.Writer) Writer { return &rleTable{w: csv.NewWriter(w)} }

func (t *rleTable) header() error {
	if t.begun {
		return nil
	}
	t.begun = true
	return t.w.Write([]string{"ImageId", "EncodedPixels"})
}

func (t *rleTable) finish() error {
	if t.empty {
		t.empty = false
		return t.w.Write([]string{t.src.Name, ""})
	}
	return nil
}

func (t *rleTable) Begin(src Source) error {
	if err := errors.Join(t.header(), t.finish()); err != nil {
		return err
	}
	t.src, t.empty = src, true
	return nil
}

func (t *rleTable) Write(n *instance.Nucleus) error {
	if !t.begun {
		return errNoImage
	}
	t.empty = false
	var b []byte
	for i, v := range pairs(n.Runs, t.src.H) {
		if i%2 == 0 {
			v++
		}
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(v), 10)
	}
	return t.w.Write([]string{t.src.Name, string(b)})
}

func (t *rleTable) Close() error {
	if err := errors.Join(t.header(), t.finish()); err != nil {
		return err
	}
	t.w.Flush()
	return t.w.Error()
}

// ReadRLE reads a table of run-length encoded nuclei as Kaggle's: columns
// ImageId and EncodedPixels, and, as in its solution files, Height, Width and
// Usage, in any order. Images come in the order of their first row. A nucleus
// that repeats a pixel, or two of an image that share one, are errors by the
// competition's rules. At most 1 GiB is read.
func ReadRLE(r io.Reader) ([]Encoded, error) {
	c := csv.NewReader(limited(r))
	c.ReuseRecord = true
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the header of the run-length table: %w", err)
	}
	col := map[string]int{}
	for i, name := range head {
		col[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))] = i
	}
	id, okID := col["imageid"]
	px, okPx := col["encodedpixels"]
	if !okID || !okPx {
		return nil, errors.New("run-length table: its first line must name the columns ImageId and EncodedPixels")
	}
	cell := func(row []string, name string) string {
		if i, ok := col[name]; ok {
			return row[i]
		}
		return ""
	}
	var all []Encoded
	index := map[string]int{}
	for {
		row, err := c.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("run-length table: %w", err)
		}
		line, _ := c.FieldPos(0)
		i, ok := index[row[id]]
		if !ok {
			name := strings.Clone(row[id])
			i = len(all)
			index[name] = i
			all = append(all, Encoded{Name: name, Usage: strings.Clone(cell(row, "usage"))})
		}
		e := &all[i]
		if hs, ws := cell(row, "height"), cell(row, "width"); hs != "" || ws != "" {
			h, err1 := strconv.Atoi(hs)
			w, err2 := strconv.Atoi(ws)
			if err1 != nil || err2 != nil || h < 1 || w < 1 {
				return nil, fmt.Errorf("run-length table, line %d: %q x %q is not the size of an image", line, ws, hs)
			}
			if e.W != 0 && (e.W != w || e.H != h) {
				return nil, fmt.Errorf("run-length table, line %d: image %q is %d x %d here and %d x %d before", line, e.Name, w, h, e.W, e.H)
			}
			e.W, e.H = w, h
		}
		p, err := parsePairs(row[px])
		if err != nil {
			return nil, fmt.Errorf("run-length table, line %d: %w", line, err)
		}
		if len(p) > 0 {
			e.objects = append(e.objects, object{pairs: p})
		}
	}
	for i := range all {
		if err := all[i].disjoint(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parsePairs reads "start length start length …", starts from 1.
func parsePairs(s string) ([]int, error) {
	var out []int
	for f := range strings.FieldsSeq(s) {
		v, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("%q is not a pixel number or run length", f)
		}
		// Starts and lengths are positive; no image has 2^40 pixels.
		if v < 1 || v > 1<<40 {
			return nil, fmt.Errorf("pixel number or run length %d is out of range (they count from 1)", v)
		}
		if len(out)%2 == 0 {
			v--
		}
		out = append(out, v)
	}
	if len(out)%2 != 0 {
		return nil, fmt.Errorf("%d numbers, but starts and lengths come in pairs", len(out))
	}
	return out, nil
}

// disjoint reports the first pixel that is encoded twice.
func (e *Encoded) disjoint() error {
	type run struct{ start, n, nucleus int }
	var runs []run
	for i, o := range e.objects {
		for k := 0; k < len(o.pairs); k += 2 {
			runs = append(runs, run{o.pairs[k], o.pairs[k+1], i + 1})
		}
	}
	slices.SortFunc(runs, func(a, b run) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.nucleus, b.nucleus)) })
	end, by := math.MinInt, 0
	for _, r := range runs {
		if r.start < end {
			if by == r.nucleus {
				return fmt.Errorf("image %q: nucleus %d encodes pixel %d twice", e.Name, by, r.start+1)
			}
			return fmt.Errorf("image %q: nuclei %d and %d overlap at pixel %d, which the competition forbids", e.Name, by, r.nucleus, r.start+1)
		}
		end, by = r.start+r.n, r.nucleus
	}
	return nil
}

// limited reads at most maxInput bytes and then fails; of a longer file none.
func limited(r io.Reader) io.Reader {
	if f, ok := r.(fs.File); ok {
		if st, err := f.Stat(); err == nil && st.Size() > maxInput {
			return &limitReader{r, 0}
		}
	}
	return &limitReader{r, maxInput}
}

type limitReader struct {
	r    io.Reader
	left int
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("larger than the limit of %d MiB", maxInput>>20)
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
