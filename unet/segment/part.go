package segment

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
)

// partRecord is what a part leaves of itself.
type partRecord struct {
	Plan string `json:"plan"` // the hash
	Summary
}

// readPart returns the record of a part, nil where it left none for this plan.
func readPart(out string, p *plan, part int) (*partRecord, error) {
	rec := new(partRecord)
	switch err := readJSON(partFile(out, part), rec); {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if rec.Plan != p.Hash || rec.Schema != schema {
		return nil, nil
	}
	rec.Images = slices.DeleteFunc(rec.Images, func(im *ImageRecord) bool { return im == nil })
	return rec, nil
}

// writePart writes the record of this part.
func (r *results) writePart() error {
	return writeJSON(partFile(r.batch.Out, r.batch.Part.Index), partRecord{r.plan.Hash, r.summaryNow()})
}

// takePart is takeFolder for a part. A part that was begun before goes on where
// it ended; one that another process is doing is waited for, and then nothing is
// left to do.
func (r *results) takePart(ctx context.Context) error {
	for waiting := false; ; waiting = true {
		err := r.takeFolder()
		if !errors.Is(err, owned.ErrBusy) {
			if err != nil {
				return err
			}
			break
		}
		if !waiting {
			r.observer.Note(fmt.Sprintf("another process is doing part %s: waiting for it", r.batch.Part))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	rec, err := readPart(r.batch.Out, r.plan, r.batch.Part.Index)
	if err != nil {
		r.observer.Warn(fmt.Sprintf("the part is segmented again: %v", err))
	}
	if rec == nil {
		return nil
	}
	if r.earlier == nil {
		r.earlier = map[string]*ImageRecord{}
	}
	for _, im := range rec.Images {
		if im.Status != Failed {
			r.earlier[im.Input] = im
		}
	}
	return nil
}

// keepsNuclei reports whether this is a part that keeps the nuclei of its images
// for the files of the whole batch.
func (r *results) keepsNuclei() bool {
	return r.plan != nil && slices.ContainsFunc(wholeFormats, func(k struct{ format, name string }) bool { return r.has(k.format) })
}

// keptFile is where a part keeps the nuclei of a plane.
func keptFile(out, base string) string { return under(out, PartsDir+"/nuclei/"+base) }

// keepNuclei keeps the nuclei of a plane.
func keepNuclei(file string, nuclei iter.Seq2[*instance.Nucleus, error]) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteFile(file, func(w io.Writer) error {
		e := gob.NewEncoder(w)
		for n, err := range nuclei {
			if err != nil {
				return err
			}
			if err := e.Encode(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// keptNuclei hands on the nuclei of a plane that a part kept.
func keptNuclei(file string) iter.Seq2[*instance.Nucleus, error] {
	return func(yield func(*instance.Nucleus, error) bool) {
		f, err := input.Open(file)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		d := gob.NewDecoder(bufio.NewReader(f))
		for {
			n := new(instance.Nucleus)
			switch err := d.Decode(n); {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(nil, &InputError{Name: file, Problem: fmt.Sprintf("cannot be read: %v", err), Advice: "remove it, and run its part again", Err: err})
				return
			}
			if !yield(n, nil) {
				return
			}
		}
	}
}

// nucleiStand reports whether the nuclei of an image's planes are kept.
func (r *results) nucleiStand(in *Input, e *ImageRecord) bool {
	for _, p := range e.Planes {
		if st, err := os.Stat(keptFile(r.batch.Out, in.Base+p.Suffix)); err != nil || !st.Mode().IsRegular() {
			return false
		}
	}
	return true
}
