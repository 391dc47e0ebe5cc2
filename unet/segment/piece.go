package segment

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/instance"
)

// A part may do some rows of an image that is too large for memory: a piece of it.
// It computes what it needs above and below them, and keeps the nuclei whose first
// row is its own, with the rows that pictures and maps show. Gather numbers the
// nuclei and draws them.

// span is the rows of an image that a part does: of each plane those from from/of of
// its height to to/of. The zero value is all of them.
type span struct{ from, to, of int }

func (s span) whole() bool { return s.of == 0 }

// rows are the first and the end of the rows of a plane of height h.
func (s span) rows(h int) (from, to int) {
	if s.whole() {
		return 0, h
	}
	return h * s.from / s.of, h * s.to / s.of
}

// piecesDir is the folder, below that of the results, of what parts keep of pieces.
const piecesDir = PartsDir + "/pieces"

// Files of a piece.
const (
	pieceFile   = "piece"
	pieceNuclei = "nuclei"
	pieceMap    = "prob-" // and the name of the map
)

// pieceDir is where a part keeps its piece of a plane.
func pieceDir(out, base string, s span) string {
	return under(out, fmt.Sprintf("%s/%s.%d-%d-%d", piecesDir, base, s.from, s.to, s.of))
}

// keptPiece is what a part keeps of a piece beside nuclei and maps.
type keptPiece struct {
	Plan    string // the hash
	About   banded
	Dropped []instance.Dropped
	Small   imageio.Image // those of the rows that the overlay shows
}

// firstMargin is how many rows above its own a part computes at first.
const firstMargin = 256

// piece does the part's rows of a large plane. Where clumps of nuclei reach further
// up than is computed, it begins again with more.
func (r *run) piece(ctx context.Context, p *plane, w *bandWork, about banded, rec *PlaneRecord) error {
	for margin := firstMargin; ; margin *= 2 {
		w.read.From = max(0, w.from-margin)
		cuts, err := r.pieceFrom(ctx, p, w, about, rec)
		above := errors.Is(err, instance.ErrAbove)
		if cuts > 0 || above && margin > w.rows {
			return &imageio.LimitError{Name: p.name, What: fmt.Sprintf("a clump of nuclei is taller than %d rows, and so the image cannot be divided", w.rows),
				Advice: "allow more memory, or do the image as one part", Option: "max-memory"}
		}
		if !above {
			return err
		}
	}
}

func (r *run) pieceFrom(ctx context.Context, p *plane, w *bandWork, about banded, rec *PlaneRecord) (cuts int, err error) {
	o := &pieceFiles{dir: pieceDir(r.batch.Out, p.base(), p.in.span), width: p.info.W, from: w.from, to: w.to, step: overlayStep(about.Source)}
	defer o.abort() // nothing after commit
	if err := o.create(r.has(Prob), about.Heads); err != nil {
		return 0, err
	}
	dropped, cuts, err := r.stream(ctx, p, w, about.Source, o)
	if err != nil || cuts > 0 {
		return cuts, err
	}
	rec.Nuclei = o.spool.n
	return 0, o.commit(keptPiece{Plan: r.plan.Hash, About: about, Dropped: dropped})
}

// pieceFiles are the sink of a piece.
type pieceFiles struct {
	dir             string
	width, from, to int
	step            int // of the overlay
	spool           *spool
	maps            map[string]*rawFile
	small           imageio.Image
	open            []*atomicfile.File
}

// rawFile holds samples as they are.
type rawFile struct {
	*bufio.Writer
	f *atomicfile.File
}

func (o *pieceFiles) create(maps bool, heads []string) (err error) {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	if o.spool, err = newSpool(o.dir); err != nil || !maps {
		return err
	}
	o.maps = map[string]*rawFile{}
	for _, head := range heads {
		f, err := atomicfile.Create(filepath.Join(o.dir, pieceMap+head))
		if err != nil {
			return err
		}
		o.open = append(o.open, f)
		o.maps[head] = &rawFile{bufio.NewWriterSize(f, 1<<16), f}
	}
	return nil
}

// smallRows are the first and the end of the rows of an overlay that show rows from
// to to-1 of the image.
func smallRows(from, to, step int) (first, end int) {
	return (from + step - 1) / step, (to + step - 1) / step
}

func (o *pieceFiles) band(y int, m instance.Maps, img *imageio.Image) error {
	from, to := max(o.from-y, 0), min(o.to-y, m.H)
	if from >= to {
		return nil
	}
	for _, name := range m.Names {
		if f := o.maps[name]; f != nil {
			if err := binary.Write(f, binary.LittleEndian, m.Plane(name)[from*m.W:to*m.W]); err != nil {
				return err
			}
		}
	}
	first, end := smallRows(o.from, o.to, o.step)
	if o.small.C == 0 {
		o.small = *imageio.NewImage((o.width+o.step-1)/o.step, end-first, img.C)
		o.small.Bits, o.small.Float = img.Bits, img.Float
	}
	for c := range img.C {
		thin(o.small.Plane(c), img.Plane(c)[from*m.W:to*m.W], m.W, y+from-first*o.step, o.step)
	}
	return nil
}

func (o *pieceFiles) block(b instance.Block) error {
	for i := range b.Nuclei {
		if err := o.spool.add(&b.Nuclei[i]); err != nil {
			return err
		}
	}
	if b.Y+b.Labels.H >= o.to {
		return errEnough
	}
	return nil
}

// commit completes the files; the last of them tells that all are there.
func (o *pieceFiles) commit(k keptPiece) error {
	for _, f := range o.maps {
		if err := errors.Join(f.Flush(), f.f.Commit()); err != nil {
			return err
		}
	}
	if err := keepNuclei(filepath.Join(o.dir, pieceNuclei), o.spool.all()); err != nil {
		return err
	}
	k.Small = o.small
	return writeGob(filepath.Join(o.dir, pieceFile), k)
}

func (o *pieceFiles) abort() {
	for _, f := range o.open {
		f.Abort()
	}
	if o.spool != nil {
		o.spool.remove()
	}
}

func writeGob(name string, v any) error {
	return atomicfile.WriteFile(name, func(w io.Writer) error { return gob.NewEncoder(w).Encode(v) })
}

// readGob reads what a part kept.
func readGob(name string, v any) error {
	f, err := input.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := gob.NewDecoder(bufio.NewReader(f)).Decode(v); err != nil {
		return &InputError{Name: name, Problem: fmt.Sprintf("cannot be read: %v", err), Advice: "remove it, and run its part again", Err: err}
	}
	return nil
}

// pieceStands reports whether the pieces of an image's planes are kept.
func (r *results) pieceStands(in *Input, e *ImageRecord) bool {
	for _, p := range e.Planes {
		k := new(keptPiece)
		if err := readGob(filepath.Join(pieceDir(r.batch.Out, in.Base+p.Suffix, in.span), pieceFile), k); err != nil || k.Plan != r.plan.Hash {
			return false
		}
	}
	return len(e.Planes) > 0
}
