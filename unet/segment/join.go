package segment

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"

	"unet/unet/imageio"
	"unet/unet/imageio/input"
	"unet/unet/instance"
)

// imageParts is an image with the records of the parts that did it, and the rows that
// were theirs.
type imageParts struct {
	records []*ImageRecord
	spans   []span
}

// record is that of the image: of its parts the first that failed, or else the first,
// with the planes that all have done.
func (g imageParts) record() *ImageRecord {
	im := g.records[max(0, slices.IndexFunc(g.records, func(im *ImageRecord) bool { return im.Status == Failed }))]
	if im.Status == Skipped { // by a part that was begun again
		im.Status = Done
	}
	im.Planes = slices.DeleteFunc(im.Planes, func(p PlaneRecord) bool {
		return slices.ContainsFunc(g.records, func(other *ImageRecord) bool { return other.plane(p.Suffix) == nil })
	})
	return im
}

// plane is the record of the plane of that suffix, nil where there is none.
func (r *ImageRecord) plane(suffix string) *PlaneRecord {
	for i := range r.Planes {
		if r.Planes[i].Suffix == suffix {
			return &r.Planes[i]
		}
	}
	return nil
}

// joinPlane writes the files of a plane that parts divided, from what they kept of
// their pieces, and adds its nuclei to those of the batch.
func (r *results) joinPlane(ctx context.Context, in *Input, rec *PlaneRecord, g imageParts) error {
	pieces, dirs := make([]*keptPiece, len(g.spans)), make([]string, len(g.spans))
	seconds := 0.0
	var dropped []instance.Dropped
	for i, s := range g.spans {
		dirs[i] = pieceDir(r.batch.Out, in.Base+rec.Suffix, s)
		k := new(keptPiece)
		if err := readGob(filepath.Join(dirs[i], pieceFile), k); err != nil {
			return &InputError{Name: in.Path, Problem: fmt.Sprintf("what a part found in its rows cannot be read: %v", err), Advice: "run its part again", Err: err}
		}
		pieces[i] = k
		if k.About.Description != pieces[0].About.Description {
			return &InputError{Name: in.Path, Problem: "its parts were computed at different scales", Advice: "allow all of them the same memory, and start over: remove " + filepath.Join(r.batch.Out, PartsDir)}
		}
		for _, d := range k.Dropped {
			dropped = instance.Count(dropped, d.Why, d.Nuclei)
		}
		seconds += g.records[i].plane(rec.Suffix).Seconds
	}
	rec.Seconds, rec.Nuclei = seconds, 0
	o := &bandFiles{r: r, banded: pieces[0].About, rec: rec}
	defer func() {
		o.abort() // nothing after commit
		if o.spool != nil {
			o.spool.remove()
		}
	}()
	if err := o.create(); err != nil {
		return err
	}
	if err := o.join(ctx, dirs, pieces, g.spans); err != nil {
		return err
	}
	if err := o.commit(); err != nil {
		return err
	}
	o.count(dropped)
	slices.Sort(rec.Outputs)
	if o.spool == nil {
		return nil
	}
	return r.files.write(o.Source, rec, o.spool.all())
}

// join puts the pieces of a plane together.
func (o *bandFiles) join(ctx context.Context, dirs []string, pieces []*keptPiece, spans []span) error {
	o.small = imageio.NewImage(o.shown.W, o.shown.H, pieces[0].Small.C)
	o.small.Bits, o.small.Float = pieces[0].Small.Bits, pieces[0].Small.Float
	for i, k := range pieces {
		from, to := spans[i].rows(o.Source.H)
		first, end := smallRows(from, to, o.step)
		if k.Small.W != o.small.W || k.Small.H != end-first || k.Small.C != o.small.C || len(k.Small.Pix) != k.Small.W*k.Small.H*k.Small.C {
			return &InputError{Name: dirs[i], Problem: "holds other rows of the image than it should", Advice: "remove it, and run its part again"}
		}
		for c := range o.small.C {
			copy(o.small.Plane(c)[first*o.small.W:], k.Small.Plane(c))
		}
		for name, f := range o.maps {
			if err := copyRows(filepath.Join(dirs[i], pieceMap+name), o.Source.W, to-from, f.WriteFloats); err != nil {
				return err
			}
		}
	}
	return drawRows(ctx, o.Source.W, o.Source.H, func(yield func(*instance.Nucleus, error) bool) {
		for _, dir := range dirs {
			for n, err := range keptNuclei(filepath.Join(dir, pieceNuclei)) {
				if !yield(n, err) {
					return
				}
			}
		}
	}, o.block)
}

// copyRows hands on rows of w samples of a file.
func copyRows(name string, w, rows int, to func([]float32) error) error {
	f, err := input.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	v := make([]float32, w)
	for range rows {
		if err := binary.Read(r, binary.LittleEndian, v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := to(v); err != nil {
			return err
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s holds more rows than it should", name)
	}
	return nil
}

// drawnRows is how many rows of labels are drawn at once.
const drawnRows = 128

// drawRows numbers nuclei, which come in the order of their first pixels, and draws
// the label image of w x h pixels, of which emit gets rows with the nuclei that begin
// in them. Held are those that rows pass through.
func drawRows(ctx context.Context, w, h int, nuclei iter.Seq2[*instance.Nucleus, error], emit func(instance.Block) error) error {
	next, stop := iter.Pull2(nuclei)
	defer stop()
	n, err, more := next()
	id := uint32(0)
	var open []*instance.Nucleus // with the runs that are not drawn yet
	for y := 0; y < h; y += drawnRows {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b := instance.Block{Y: y, Labels: imageio.NewLabels(w, min(drawnRows, h-y))}
		end := y + b.Labels.H
		for ; more && (err != nil || len(n.Runs) == 0 || n.Runs[0].Y < end); n, err, more = next() {
			if err != nil {
				return err
			}
			id++
			n.ID = id
			b.Nuclei = append(b.Nuclei, *n)
			open = append(open, n)
		}
		for _, n := range open {
			for len(n.Runs) > 0 && n.Runs[0].Y < end {
				run := n.Runs[0]
				if run.Y < y || run.X0 < 0 || run.X1 > w || run.X0 > run.X1 {
					return fmt.Errorf("nucleus %d does not lie in the rows of its part", n.ID)
				}
				for x := run.X0; x < run.X1; x++ {
					b.Labels.ID[(run.Y-y)*w+x] = n.ID
				}
				n.Runs = n.Runs[1:]
			}
		}
		open = slices.DeleteFunc(open, func(n *instance.Nucleus) bool { return len(n.Runs) == 0 })
		if err := emit(b); err != nil {
			return err
		}
	}
	if more {
		return errors.Join(errors.New("nuclei lie below the last row"), err)
	}
	return nil
}
