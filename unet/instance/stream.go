package instance

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"unet/unet/imageio"
)

// Stream segments an image that is too large for memory. Its maps arrive as
// bands of rows from top to bottom; label rows leave as soon as every nucleus
// in them is complete. A connected piece of foreground is flooded when its
// last row has arrived, so labels, numbers and measurements are exactly those
// of Separate and Measure on the whole image, whatever the height of the bands.
//
// Only a piece of foreground taller than MaxRows is cut: those of its nuclei
// that end above the last quarter of the rows held are decided with what is
// known, the others wait for more rows. Near such a cut the line between two
// touching nuclei can differ from the whole image's; a nucleus as tall as the
// window is split.
type Stream struct {
	// MaxRows bounds the rows held between bands; 0 means 4096. Memory is
	// about width * (MaxRows + band height) * 17 bytes, plus 4 for every
	// channel of the image and 8 where nuclei are rated.
	MaxRows int
	// PixelSize is that of the image, as far as known; see Measure.
	PixelSize imageio.PixelSize
	// Keep decides whether a nucleus counts; nil: all do. The others are neither
	// in labels nor in lists.
	Keep func(*Nucleus) (bool, error)
	// From is the row of the image that the first band begins with. Above 0, nuclei
	// whose first row is Owned or below are those of the whole image, if Add does not
	// fail with ErrAbove; others need not be.
	From, Owned int

	p    Params
	emit func(Block) error

	f     *field
	begun bool
	// y0 is the image row of the field's first row.
	y0 int
	// planes holds the image's samples of the field's rows, per channel.
	planes [][]float32
	// maps holds the foreground and distance maps of the field's rows, as far
	// as nuclei are rated by them.
	maps [2][]float32
	// numbered is the last number used in field.lab; waiting holds, by that
	// number, the nuclei that have rows still to leave.
	numbered uint32
	waiting  map[uint32]*Nucleus
	// emitted is the number of nuclei that have begun to leave: the last
	// final number.
	emitted uint32
	cuts    int
}

// ErrAbove says that a piece of foreground reaches from above the first row of a
// Stream down to the nuclei that it is for: it has to begin further up.
var ErrAbove = errors.New("a piece of foreground begins above the rows that are known")

// Block is what leaves a Stream at once.
type Block struct {
	// Y is the image row of the first row of Labels.
	Y int
	// Labels are the next finished rows.
	Labels *imageio.Labels
	// Nuclei are those whose first row is in Labels, measured completely,
	// in order of their numbers, in image coordinates.
	Nuclei []Nucleus
}

// NewStream returns a stream for an image of width w. It calls emit with
// consecutive blocks of rows, from within Add and Close.
func NewStream(w int, p Params, emit func(Block) error) *Stream {
	return &Stream{p: p, emit: emit, f: newField(w, 0), waiting: map[uint32]*Nucleus{}}
}

// Cuts is the number of times a piece of foreground taller than MaxRows was
// cut; 0 means the result is exactly the whole image's.
func (s *Stream) Cuts() int { return s.cuts }

// Add appends the next band of rows. img holds the same rows of the image for
// the intensities; it is nil for every band or for none.
func (s *Stream) Add(m Maps, img *imageio.Image) error {
	f, first := s.f, !s.begun
	if first {
		s.y0 = s.From
	}
	end := s.y0 + f.h
	if m.W != f.w || img != nil && (img.W != m.W || img.H != m.H) {
		return fmt.Errorf("band of %d x %d at row %d does not fit an image of width %d", m.W, m.H, end, f.w)
	}
	if img != nil && first {
		s.planes = make([][]float32, img.C)
	}
	if c := len(s.planes); img == nil && c > 0 || img != nil && img.C != c {
		return fmt.Errorf("band at row %d: the image needs the %d channels of the first band", end, c)
	}
	if f.stride*(f.h+m.H+2) > math.MaxInt32 {
		return fmt.Errorf("%d rows of %d pixels are too many at once; use lower bands or fewer MaxRows", f.h+m.H, f.w)
	}
	s.begun = true
	y := f.h
	f.grow(m.H)
	f.setLevels(y, m, s.p)
	for c := range s.planes {
		s.planes[c] = append(s.planes[c], img.Plane(c)...)
	}
	if s.p.Confidence != (Calibration{}) {
		for i, name := range [...]string{Foreground, Distance} {
			s.maps[i] = append(s.maps[i], m.Plane(name)...)
		}
	}
	// Where rows have left, all that touched the first of them is complete.
	if within := s.From > 0 && s.y0 == s.From; within && end <= s.Owned && s.Owned < end+m.H && s.reaches(s.Owned-s.y0) {
		return ErrAbove
	}
	if err := s.advance(edges{top: s.y0 == 0}, true, 0); err != nil {
		return err
	}
	maxRows := s.MaxRows
	if maxRows <= 0 {
		maxRows = 4096
	}
	if f.h <= maxRows {
		return nil
	}
	s.cuts++
	if err := s.advance(edges{top: s.y0 == 0}, false, f.h-f.h/4); err != nil {
		return err
	}
	if f.h <= maxRows {
		return nil
	}
	return s.advance(edges{top: s.y0 == 0}, false, f.h)
}

// Close decides and emits what is left.
func (s *Stream) Close() error {
	return s.advance(edges{top: s.y0 == 0, bottom: true}, false, s.f.h)
}

// reaches reports whether a piece of foreground has pixels in the field's first row
// and in row row.
func (s *Stream) reaches(row int) bool {
	f := s.f
	s.mark(0, 1)
	found := slices.Contains(f.lab[f.at(0, row):][:f.w], open)
	for i, v := range f.lab {
		if v == open {
			f.lab[i] = 0
		}
	}
	return found
}

// hold marks as open the undecided pixels 8-connected to the rows from row on.
func (s *Stream) hold(row int) { s.mark(row, s.f.h) }

// mark marks as open the undecided pixels 8-connected to rows from to to-1.
func (s *Stream) mark(from, to int) {
	f := s.f
	var stack []int
	push := func(i int) {
		if f.level[i] != 0 && f.lab[i] == 0 {
			f.lab[i] = open
			stack = append(stack, i)
		}
	}
	for y := from; y < to; y++ {
		for x := range f.w {
			push(f.at(x, y))
		}
	}
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, d := range [3]int{-f.stride, 0, f.stride} {
			push(i + d - 1)
			push(i + d)
			push(i + d + 1)
		}
	}
}

// advance decides the nuclei of the field, except, if whole is set, those in
// components that touch its last row, and else those that reach row keep. It
// emits the rows above the first pixel left undecided.
func (s *Stream) advance(e edges, whole bool, keep int) error {
	f := s.f
	if f.h == 0 {
		return nil
	}
	if whole {
		s.hold(f.h - 1)
	}
	first := s.numbered + 1
	s.numbered += uint32(f.flood(s.p, s.numbered))
	if !whole && keep < f.h {
		s.reopen(keep, first)
	}
	f.clean(s.p, first, s.numbered, e)

	c := newCollector()
	top := f.h
	for y := f.h - 1; y >= 0; y-- {
		at := f.at(0, y)
		for i, v := range f.lab[at:][:f.w] {
			if v == open {
				top = y
				f.lab[at+i] = 0
			} else {
				f.level[at+i] = 0
			}
		}
	}
	for y := range f.h {
		c.row(s.y0+y, f.lab[f.at(0, y):][:f.w], first, s.numbered)
	}
	for _, n := range c.sorted() {
		n.measure()
		n.reshape(s.PixelSize)
		n.Edge = n.X0 == 0 || n.X1 == f.w || n.Y0 == 0 || e.bottom && n.Y1 == s.y0+f.h
		for _, plane := range s.planes {
			n.Channels = append(n.Channels, n.intensity(plane, f.w, s.y0))
		}
		if s.p.Confidence != (Calibration{}) {
			n.Confidence = s.p.Confidence.Confidence(evidence{s.maps[0], s.maps[1], f.w, s.y0}.features(&n))
		}
		if s.Keep != nil {
			if ok, err := s.Keep(&n); err != nil {
				return err
			} else if !ok {
				continue
			}
		}
		s.waiting[n.ID] = &n
		n.ID = 0 // its final number comes when it leaves
	}
	return s.emitRows(top)
}

// reopen marks as open the nuclei numbered first and up that reach row row,
// and the pieces of foreground without a nucleus that do.
func (s *Stream) reopen(row int, first uint32) {
	f := s.f
	s.hold(row)
	again := make([]bool, s.numbered-first+1)
	for _, v := range f.lab[f.at(0, row):] {
		if v >= first && v <= s.numbered {
			again[v-first] = true
		}
	}
	for i, v := range f.lab {
		if v >= first && v <= s.numbered && again[v-first] {
			f.lab[i] = open
		}
	}
}

// emitRows lets the first rows of the field leave, with final numbers.
func (s *Stream) emitRows(rows int) error {
	if rows == 0 {
		return nil
	}
	f := s.f
	b := Block{Y: s.y0, Labels: imageio.NewLabels(f.w, rows)}
	var last, final uint32
	for y := range rows {
		dst := b.Labels.ID[y*f.w:][:f.w]
		for x, v := range f.lab[f.at(0, y):][:f.w] {
			if v == 0 {
				continue
			}
			if v != last {
				n := s.waiting[v]
				if n == nil { // does not count
					continue
				}
				if n.ID == 0 {
					s.emitted++
					n.ID = s.emitted
					b.Nuclei = append(b.Nuclei, *n)
				}
				last, final = v, n.ID
			}
			dst[x] = final
		}
	}
	f.drop(rows)
	for c := range s.planes {
		n := copy(s.planes[c], s.planes[c][rows*f.w:])
		s.planes[c] = s.planes[c][:n]
	}
	for i, plane := range s.maps {
		if plane != nil {
			s.maps[i] = plane[:copy(plane, plane[rows*f.w:])]
		}
	}
	s.y0 += rows
	for k, n := range s.waiting {
		if n.Y1 <= s.y0 {
			delete(s.waiting, k)
		}
	}
	return s.emit(b)
}
