package segment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"unet/unet/imageio"
	"unet/unet/imageio/input"
)

// readAll opens the inputs in order and reads their planes ahead.
func (r *run) readAll(ctx context.Context, group *errgroup.Group, out chan<- *job) error {
	for i := range r.batch.Inputs {
		in := &r.batch.Inputs[i]
		j := &job{in: in, record: &ImageRecord{Input: in.Path, Name: in.Name}, planes: make(chan *plane)}
		// The place in the queue comes first: it bounds the readers.
		if err := put(ctx, out, j); err != nil {
			return err
		}
		// In order: a file that waits for memory waits for earlier ones only.
		decoded := min(imageio.RasterBytes(in.Path), r.memory/2)
		if err := r.decoded.Acquire(ctx, decoded); err != nil {
			close(j.planes)
			return context.Cause(ctx)
		}
		group.Go(func() error {
			defer close(j.planes)
			defer r.decoded.Release(decoded)
			j.err = r.open(ctx, j)
			return nil
		})
	}
	return nil
}

// open opens an input and hands on its planes.
func (r *run) open(ctx context.Context, j *job) error {
	if j.in.Err != nil {
		return j.in.Err
	}
	if err := imageio.CheckSize(j.in.Path); err != nil {
		return err // rather than after reading all of it
	}
	sum, err := r.hash(ctx, j.in)
	if err != nil {
		return err
	}
	j.record.SHA256 = sum
	if j.record.RegionSHA256, err = r.regionHash(ctx, j.in); err != nil {
		return err
	}
	if e := r.earlier[j.in.Path]; e != nil && e.SHA256 == sum && e.RegionSHA256 == j.record.RegionSHA256 && r.stands(j.in, e) {
		j.kept = true
		*j.record = *e
		j.record.Status = Skipped
		return nil
	}
	whole := imageio.RasterBytes(j.in.Path)
	if whole > r.memory/2 {
		return r.tooMuch(j.in.Path, "its format is decoded as a whole, which takes", whole)
	}
	f, err := imageio.Open(j.in.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	refs, notes, err := r.batch.Choice.Planes(f)
	if err != nil {
		return err
	}
	j.record.Format = f.Format
	lastInput := j.in == &r.batch.Inputs[len(r.batch.Inputs)-1]
	for i, ref := range refs {
		decoded := whole + f.ChunkBytes(ref.Index)
		switch bytes := r.planeBytes(ref) + decoded; {
		case decoded > r.memory/2:
			return r.tooMuch(j.in.Path, "its tiles or chunks are decoded as wholes, which takes", decoded)
		case r.model.Card.Input.Size > 0 && bytes > r.memory:
			return r.tooMuch(j.in.Path, "a model that resizes images sees them as a whole, which takes", bytes)
		}
		p := &plane{in: j.in, ref: ref, name: j.in.Path, info: ref.Info, channels: ref.Channels, sha256: sum, decoded: decoded, last: lastInput && i == len(refs)-1}
		if r.tooLarge(ref, decoded) || !j.in.span.whole() {
			p.file, p.release = f, make(chan struct{})
			if r.batch.Regions.path != "" {
				return &imageio.LimitError{Name: j.in.Path, What: "it is too large for memory, and regions are counted in images that are not", Advice: "allow more memory", Option: "max-memory"}
			}
		} else if err := p.load(f); err != nil {
			return err
		} else if r.batch.Choice.Channel.text == "" && imageio.MergedFluorescence(p.img) {
			notes = appendOnce(notes, "it looks like channels of fluorescence merged in one picture; choose channel red, green or blue to segment one of them")
		}
		if p.file == nil {
			if p.region, err = r.region(j, ref); err != nil {
				return err
			}
		}
		if err := put(ctx, j.planes, p); err != nil {
			return err
		}
		if p.file != nil {
			<-p.release
		}
	}
	if n := len(f.Members); n > 0 {
		notes = append(notes, fmt.Sprintf("one data set of %d files, read as one", n+1))
	}
	j.record.Notes = append(slices.Clone(f.Notes), notes...)
	return nil
}

// tooMuch says that a file would take more memory than may be used.
func (r *run) tooMuch(name, what string, bytes int64) error {
	return &imageio.LimitError{Name: name, What: fmt.Sprintf("%s %s of memory, and %s is allowed", what, imageio.BytesText(bytes), imageio.BytesText(r.memory)),
		Advice: "store it as a TIFF of small tiles, which is read in pieces, or allow more memory", Option: "max-memory"}
}

// done gives the file of a large plane back to the reader.
func (p *plane) done() {
	if p.release != nil {
		close(p.release)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// appendOnce appends text unless it is there.
func appendOnce(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// hashInput is the SHA-256 of a file and the other members of its data set, or
// of all names and files of a folder.
func hashInput(ctx context.Context, p string, members ...string) (string, error) {
	h := sha256.New()
	one := func(q string) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		f, err := input.Open(q)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, readerFunc(func(p []byte) (int, error) {
			if err := context.Cause(ctx); err != nil {
				return 0, err
			}
			return f.Read(p)
		}))
		return err
	}
	if !isDir(p) {
		err := one(p)
		for _, m := range members {
			if err == nil {
				err = one(m)
			}
		}
		return hex.EncodeToString(h.Sum(nil)), err
	}
	p, err := filepath.EvalSymlinks(p) // a walk begins with no link
	if err != nil {
		return "", err
	}
	err = filepath.WalkDir(p, func(q string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(p, q)
		if err == nil && d.IsDir() && rel == "labels" {
			return fs.SkipDir // of an OME-Zarr image, which the results may go into
		}
		if err != nil {
			return err
		}
		if st, err := os.Stat(q); err != nil || !st.Mode().IsRegular() { // of a link, what it leads to
			return nil
		}
		io.WriteString(h, filepath.ToSlash(rel)+"\x00")
		return one(q)
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
