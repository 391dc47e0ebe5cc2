package segment

import (
	"bufio"
	"encoding/gob"
	"fmt"
	"io"
	"iter"
	"path/filepath"

	"unet/unet/imageio/atomicfile"
	"unet/unet/instance"
)

// spool keeps the nuclei of a large plane in a temporary file until the plane
// is done: one that fails leaves nothing in the files of the batch.
type spool struct {
	f *atomicfile.File
	w *bufio.Writer
	e *gob.Encoder
	n int
}

func newSpool(dir string) (*spool, error) {
	f, err := atomicfile.Create(filepath.Join(dir, "nuclei"))
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriter(f)
	return &spool{f: f, w: w, e: gob.NewEncoder(w)}, nil
}

func (s *spool) add(n *instance.Nucleus) error {
	s.n++
	return s.e.Encode(n)
}

// all reads the nuclei back.
func (s *spool) all() iter.Seq2[*instance.Nucleus, error] {
	return func(yield func(*instance.Nucleus, error) bool) {
		if err := s.w.Flush(); err != nil {
			yield(nil, err)
			return
		}
		d := gob.NewDecoder(bufio.NewReader(io.NewSectionReader(s.f, 0, 1<<62)))
		for range s.n {
			var n instance.Nucleus
			if err := d.Decode(&n); err != nil {
				yield(nil, fmt.Errorf("temporary file of nuclei: %w", err))
				return
			}
			if !yield(&n, nil) {
				return
			}
		}
	}
}

// remove deletes the file.
func (s *spool) remove() { s.f.Abort() }
