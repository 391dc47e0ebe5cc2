package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	stdimage "image"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"unet/unet/formats"
	"unet/unet/imageio/atomicfile"
	"unet/unet/instance"
	"unet/unet/segment"
)

// document is a plane of an image that is looked at: labels and nuclei. Its
// pixels are the picture's.
type document struct {
	s       *Server
	ctx     context.Context // ends what takes long
	im      *image
	rec     *segment.PlaneRecord // nil while it is not segmented
	plane   int                  // place in the picture
	suffix  string               // of its results
	picture *picture
	w, h    int
	source  formats.Source
	// measuring says what is measured, of channels of those names; margin is how
	// many pixels around nuclei have a part in it.
	measuring segment.Measuring
	channels  []string
	margin    int
	whole     *segment.Content // of a copy that is written as files

	mu      sync.Mutex
	loaded  bool
	history *history // nil while it is not segmented
	nuclei  *catalogue
	outputs string // what the file of labels was when it was opened
	last    *measured
	// coloured are the colours of outlines that were asked for last.
	coloured *coloured
	gone     bool
}

// measured are the nuclei of a window at a revision.
type measured struct {
	revision int
	r        stdimage.Rectangle
	nuclei   []instance.Nucleus
}

var (
	errNotSegmented = &apiError{http.StatusConflict, "this image is not segmented yet"}
	errEnding       = &apiError{http.StatusServiceUnavailable, "the server is being closed"}
	errClosed       = &apiError{http.StatusServiceUnavailable, "the image was closed; try again"}
)

// stampOf tells versions of a file apart.
func stampOf(name string) string {
	st, err := os.Stat(name)
	if err != nil {
		return ""
	}
	return fmt.Sprint(st.Size(), st.ModTime().UnixNano())
}

// load opens the labels: the model's own, with the edits of the journal.
func (d *document) load() error {
	l, journal, err := d.openLabels()
	if l == nil || err != nil {
		return err
	}
	d.s.journals.Lock()
	h, err := openHistory(journal, l)
	d.s.journals.Unlock()
	if err != nil {
		l.close()
		return err
	}
	return d.find(h)
}

// openLabels opens the model's own labels, nil where there are none, and names the
// journal of their edits.
func (d *document) openLabels() (l *labels, journal string, err error) {
	file := d.s.output(d.im, d.suffix, segment.Labels)
	journal = d.s.correction(d.im, d.suffix, ".journal")
	if st, err := os.Stat(journal); err == nil && st.Size() > 0 {
		file = d.s.own(d.im, d.suffix, segment.Labels)
	}
	if file == "" {
		return nil, "", nil // no results, or none with labels
	}
	d.outputs = stampOf(file)
	if l, err = openLabels(file, d.s.o.Memory/16); err != nil {
		return nil, "", err
	}
	if l.w != d.w || l.h != d.h {
		l.close()
		return nil, "", &apiError{http.StatusConflict, fmt.Sprintf("%s was segmented when it had another size", d.im.Name)}
	}
	return l, journal, nil
}

// find finds the nuclei of labels.
func (d *document) find(h *history) error {
	c, err := d.table(h.labels)
	if err == nil {
		var changed map[uint32]stdimage.Rectangle
		if changed, err = h.changes(); err == nil {
			err = c.look(h.labels, changed)
		}
	}
	if err != nil {
		h.close()
		return err
	}
	d.history, d.nuclei = h, c
	return nil
}

// table reads the model's table of its own labels, or finds the nuclei where there is
// none.
func (d *document) table(l *labels) (*catalogue, error) {
	kept := d.s.own(d.im, d.suffix, segment.CSV)
	if c, err := readCatalogue(kept); err == nil {
		return c, nil
	}
	if d.outputs != stampOf(d.s.output(d.im, d.suffix, segment.Labels)) && !d.s.sameLabels(d.im, d.suffix) {
		return scan(l)
	}
	if c, err := readCatalogue(d.s.output(d.im, d.suffix, segment.CSV)); err == nil {
		return c, nil
	}
	return scan(l)
}

// sameLabels reports whether the labels among the results are those that are kept:
// corrections may be of an earlier run.
func (s *Server) sameLabels(im *image, suffix string) bool {
	return sameContent(s.own(im, suffix, segment.Labels), s.output(im, suffix, segment.Labels))
}

// sameContent reports whether two files are there and hold the same.
func sameContent(a, b string) bool {
	f, err := os.Open(a)
	if err != nil {
		return false
	}
	defer f.Close()
	g, err := os.Open(b)
	if err != nil {
		return false
	}
	defer g.Close()
	stF, errF := f.Stat()
	stG, errG := g.Stat()
	if errF != nil || errG != nil || stF.Size() != stG.Size() {
		return false
	}
	p, q := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, err := io.ReadFull(f, p)
		m, _ := io.ReadFull(g, q)
		if !bytes.Equal(p[:n], q[:m]) {
			return false
		}
		if err != nil {
			return err == io.EOF || err == io.ErrUnexpectedEOF
		}
	}
}

// copyOf opens a plane for who writes its files: an edit meanwhile changes nothing in
// it. It returns the size of the journal, too. What is done with it ends with ctx.
func (s *Server) copyOf(ctx context.Context, im *image, suffix string) (d *document, size int64, err error) {
	p, err := s.pictureOf(im)
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(p.refs, func(r segment.PlaneRef) bool { return r.Suffix == suffix })
	ref, err := p.ref(i)
	if err != nil {
		return nil, 0, err
	}
	d = s.newDocument(p, i, ref)
	d.ctx = ctx
	d.describe(im, ref)
	l, journal, err := d.openLabels()
	if err != nil {
		return nil, 0, err
	}
	if l == nil {
		return nil, 0, errNotSegmented
	}
	h, size, err := readHistory(journal, l)
	if err != nil {
		l.close()
		return nil, 0, err
	}
	return d, size, d.find(h)
}

func copyFile(to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return atomicfile.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

// close releases the files.
func (d *document) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
	if d.history != nil {
		d.history.close()
	}
}

// ready says why a document, which is locked, has no nuclei to work on.
func (d *document) ready() error {
	switch {
	case d.gone:
		return errClosed
	case d.history == nil:
		return errNotSegmented
	}
	return nil
}

// edit does a command unless the labels have changed since the user saw them.
func (d *document) edit(c Command) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready(); err != nil {
		return 0, err
	}
	if c.Revision != d.history.revision {
		return d.history.revision, &apiError{http.StatusConflict, "somebody else has edited this image in the meantime: check it and try again"}
	}
	if err := d.keepOwn(); err != nil {
		return d.history.revision, err
	}
	if revision, err := d.change(c); err != nil {
		return revision, err
	}
	d.s.follower.add(edited{d.picture.id, d.suffix})
	return d.history.revision, d.keepNumbers()
}

// change does a command: it is on disk when change returns.
func (d *document) change(c Command) (int, error) {
	h := d.history
	spans, err := h.spansOf(c, d.nuclei.top+1, d.nuclei.box)
	if err != nil {
		return h.revision, &apiError{http.StatusUnprocessableEntity, err.Error()}
	}
	changed := map[uint32]stdimage.Rectangle{}
	e := edit{spans: spans}
	if err := h.under(e, into(changed)); err != nil {
		return h.revision, err
	}
	d.s.journals.Lock()
	err = h.write(c.Tool, spans)
	d.s.journals.Unlock()
	if errors.Is(err, errBehind) {
		d.reload()
		return h.revision, err
	}
	if err != nil {
		return h.revision, &apiError{http.StatusInsufficientStorage, err.Error()}
	}
	if err := h.under(e, into(changed)); err != nil {
		return h.revision, err
	}
	return h.revision, d.nuclei.look(h.labels, changed)
}

// keepOwn copies the model's own labels before the first edit: a later run may
// replace the results.
func (d *document) keepOwn() error {
	if d.history.revision > 0 {
		return nil
	}
	from := d.s.output(d.im, d.suffix, segment.Labels)
	if stampOf(from) != d.outputs {
		d.reload()
		return &apiError{http.StatusConflict, "this image has been segmented again: check it and try again"}
	}
	to := d.s.own(d.im, d.suffix, segment.Labels)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copyFile(to, from)
}

// reload forgets the labels; they are opened when they are needed.
func (d *document) reload() {
	if d.history != nil {
		d.history.close()
	}
	d.history, d.nuclei, d.last, d.coloured, d.loaded = nil, nil, nil, nil, false
}

// numbers are what the list of images says of a corrected plane.
type numbers struct {
	Journal   int64   `json:"journal"` // its size, by which these are known to be true
	Corrected bool    `json:"corrected"`
	Count     int     `json:"count"`
	Diameter  float64 `json:"diameter_median"`
}

// keepNumbers writes them beside the journal, so that a list of many images need
// not open them all.
func (d *document) keepNumbers() error {
	n := numbers{Corrected: d.history.corrected()}
	n.Count, n.Diameter = d.nuclei.numbers()
	st, err := os.Stat(d.history.name)
	if err != nil {
		return err
	}
	n.Journal = st.Size()
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(d.s.correction(d.im, d.suffix, ".numbers.json"), func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

// corrections are the numbers of a plane whose journal is not empty, and whether
// there are such.
func (s *Server) corrections(im *image, suffix string) (n numbers, ok bool) {
	st, err := os.Stat(s.correction(im, suffix, ".journal"))
	if err != nil || st.Size() == 0 {
		return n, false
	}
	b, err := os.ReadFile(s.correction(im, suffix, ".numbers.json"))
	if err == nil && json.Unmarshal(b, &n) == nil && n.Journal == st.Size() {
		return n, true
	}
	// Written by an earlier version, or by a process that was killed.
	p, err := s.pictureOf(im)
	if err != nil {
		return numbers{Corrected: true}, true
	}
	i := slices.IndexFunc(p.refs, func(r segment.PlaneRef) bool { return r.Suffix == suffix })
	d, err := s.open(im, i)
	if err != nil {
		return numbers{Corrected: true}, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.history == nil || d.keepNumbers() != nil {
		return numbers{Corrected: true}, true
	}
	n.Corrected = d.history.corrected()
	n.Count, n.Diameter = d.nuclei.numbers()
	return n, true
}

// forgetEdits removes what is left of edits that are not in effect, once the
// image has new results.
func (s *Server) forgetEdits(im *image, suffix string) error {
	var failed error
	for _, ext := range correctionExts() {
		if err := os.Remove(s.correction(im, suffix, ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = err
		}
	}
	return failed
}

// shownNucleus is a row of the table of an image.
type shownNucleus struct {
	instance.Nucleus
	// Positive says, for each marker, whether the nucleus is positive; null where
	// that is not known.
	Positive []*bool        `json:"positive,omitempty"`
	Outline  [][][2]float64 `json:"outline"`
}

type shownNuclei struct {
	Revision  int  `json:"revision"`
	Segmented bool `json:"segmented"`
	Corrected bool `json:"corrected"`
	CanUndo   bool `json:"can_undo"`
	CanRedo   bool `json:"can_redo"`
	// Count is of all nuclei of the plane, Nuclei are those asked for, unless they
	// are too many.
	Count   int  `json:"count"`
	TooMany bool `json:"too_many"`
	// Range is what the colours of outline tiles stand for, from the first to the last.
	Range *[2]float64 `json:"range,omitempty"`
	// Rated says that the model's confidence is known of some nucleus of the plane.
	Rated    bool           `json:"rated"`
	Channels []string       `json:"channels"`
	Rings    bool           `json:"rings"`
	Markers  []shownMarker  `json:"markers"`
	Nuclei   []shownNucleus `json:"nuclei"`
}

// shownMarker tells positive nuclei from others: by a measurement above a threshold.
type shownMarker struct {
	Name      string  `json:"name"`
	Column    string  `json:"column"`
	Threshold float64 `json:"threshold"`
}

// shownMarkers are those of the batch of which the plane has the measurement.
func (d *document) shownMarkers(sheet *instance.Sheet) []shownMarker {
	list := []shownMarker{}
	for _, m := range d.im.markers {
		if sheet.Index(m.Column) >= 0 {
			list = append(list, shownMarker{m.Name, m.Column, float64(m.Threshold)})
		}
	}
	return list
}

// mostShown is how many nuclei of a part of a large image are listed at once. Tests
// make it less.
var mostShown = 3000

// show describes labels and nuclei: all of an image, of a large one those in a
// window, or, of too many, the range of their colours by a measurement.
func (d *document) show(r stdimage.Rectangle, by string) (shownNuclei, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := shownNuclei{Channels: d.source.Channels, Rings: d.source.Rings, Markers: []shownMarker{}, Nuclei: []shownNucleus{}}
	if d.gone {
		return out, errClosed
	}
	h := d.history
	if h == nil {
		return out, nil
	}
	out.Segmented, out.Revision, out.Corrected, out.CanUndo, out.CanRedo = true, h.revision, h.corrected(), h.done > 0, h.done < len(h.edits)
	out.Count = len(d.nuclei.at)
	for _, p := range d.nuclei.at {
		if out.Rated = p.confidence > 0; out.Rated {
			break
		}
	}
	list, few, err := d.within(r)
	if err != nil {
		return out, err
	}
	if out.TooMany = !few; out.TooMany && by != "" {
		c, err := d.colours(by)
		if err != nil {
			return out, err
		}
		out.Range = &[2]float64{c.Lo, c.Hi}
	}
	sheet := d.source.Sheet()
	out.Markers = d.shownMarkers(sheet)
	var row []float64
	for i := range list {
		n := shownNucleus{Nucleus: list[i]}
		row = sheet.Append(row[:0], &n.Nucleus)
		for _, m := range out.Markers {
			marker := formats.Marker(m)
			var shown *bool
			if positive, known := marker.Positive(sheet, row); known {
				shown = &positive
			}
			n.Positive = append(n.Positive, shown)
		}
		for _, polygon := range n.Nucleus.Outline() {
			for _, ring := range append([][]instance.Point{polygon.Outer}, polygon.Holes...) {
				var r [][2]float64
				for _, q := range ring {
					r = append(r, [2]float64{float64(q.X), float64(q.Y)})
				}
				n.Outline = append(n.Outline, r)
			}
		}
		out.Nuclei = append(out.Nuclei, n)
	}
	return out, nil
}

// within measures the nuclei that reach into a window, unless they are too many.
func (d *document) within(r stdimage.Rectangle) (list []instance.Nucleus, few bool, err error) {
	whole := stdimage.Rect(0, 0, d.w, d.h)
	large := int64(d.w)*int64(d.h) > int64(largePixels)
	if !large {
		r = whole
	}
	if d.last != nil && d.last.revision == d.history.revision && d.last.r == r {
		return d.last.nuclei, true, nil
	}
	var ids []uint32
	reach := stdimage.Rectangle{}
	for id, p := range d.nuclei.at {
		if p.rect().Overlaps(r) {
			ids, reach = append(ids, id), reach.Union(p.rect())
		}
	}
	if large && (len(ids) > mostShown || int64(reach.Dx())*int64(reach.Dy()) > int64(2*largePixels)) {
		return nil, false, nil
	}
	slices.Sort(ids)
	if !large {
		reach = whole // as the command measures
	}
	list, err = d.measure(ids, reach)
	if err == nil {
		d.last = &measured{d.history.revision, r, list}
	}
	return list, true, err
}

// measure measures nuclei, which lie in a rectangle, in order of their numbers.
func (d *document) measure(ids []uint32, r stdimage.Rectangle) ([]instance.Nucleus, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if err := context.Cause(d.ctx); err != nil {
		return nil, err
	}
	whole := stdimage.Rect(0, 0, d.w, d.h)
	r = r.Inset(-d.margin).Intersect(whole)
	l, err := d.history.region(r)
	if err != nil {
		return nil, err
	}
	img, err := d.picture.region(d.plane, r)
	if err != nil {
		return nil, err
	}
	if len(d.channels) == 1 {
		img.C, img.Pix = 1, img.Plane(0) // gray in all three
	}
	img.PixelSize = d.source.PixelSize
	found, err := d.measuring.Measure(l, img, d.channels, nil)
	if err != nil {
		return nil, err
	}
	list := found.Nuclei
	if r != whole { // parts of others are of no interest
		keep := map[uint32]bool{}
		for _, id := range ids {
			keep[id] = true
		}
		list = slices.DeleteFunc(list, func(n instance.Nucleus) bool { return !keep[n.ID] })
	}
	for i := range list {
		n := &list[i]
		move(n, r.Min)
		n.Edge = n.X0 == 0 || n.Y0 == 0 || n.X1 == d.w || n.Y1 == d.h
		n.Confidence = d.nuclei.at[n.ID].confidence
	}
	return list, nil
}

// move brings a nucleus of a window to its place in the image.
func move(n *instance.Nucleus, by stdimage.Point) {
	if by == (stdimage.Point{}) {
		return
	}
	n.X0, n.X1, n.Y0, n.Y1 = n.X0+by.X, n.X1+by.X, n.Y0+by.Y, n.Y1+by.Y
	n.X, n.Y = n.X+float64(by.X), n.Y+float64(by.Y)
	for i := range n.Runs {
		q := &n.Runs[i]
		q.Y, q.X0, q.X1 = q.Y+by.Y, q.X0+by.X, q.X1+by.X
	}
}

// each calls f for all nuclei in order of their numbers, measured in parts of the
// image that fit the memory.
func (d *document) each(f func(n *instance.Nucleus) error) error {
	ids := make([]uint32, 0, len(d.nuclei.at))
	for id := range d.nuclei.at {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if d.whole != nil {
		for i := range d.whole.Nuclei {
			if err := f(&d.whole.Nuclei[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return d.some(ids, f)
}

// some is each of some nuclei, whose numbers are in order.
func (d *document) some(ids []uint32, f func(n *instance.Nucleus) error) error {
	whole := stdimage.Rect(0, 0, d.w, d.h)
	var part func(ids []uint32) error
	part = func(ids []uint32) error {
		reach := stdimage.Rectangle{}
		for _, id := range ids {
			reach = reach.Union(d.nuclei.box(id))
		}
		if int64(d.w)*int64(d.h) <= int64(largePixels) {
			reach = whole
		} else if len(ids) > 1 && int64(reach.Dx())*int64(reach.Dy()) > int64(largePixels) {
			if err := part(ids[:len(ids)/2]); err != nil {
				return err
			}
			return part(ids[len(ids)/2:])
		}
		list, err := d.measure(ids, reach)
		if err != nil {
			return err
		}
		for i := range list {
			if err := f(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return part(ids)
}
