package segment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"unet/unet/imageio/atomicfile"
)

// shared is what is known of a whole image that parts divide, such as its levels: the
// first part that needs it finds it, and the others take it from there, so that the
// image is read as often as by one process, and all count with the same. Of an image
// that is not divided it is just what find returns.
func shared[T any](ctx context.Context, r *run, in *Input, name string, find func() (T, error)) (v T, err error) {
	if in.span.whole() {
		return find()
	}
	file := under(r.batch.Out, piecesDir+"/"+name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return v, err
	}
	type kept struct {
		Plan  string // the hash
		Value T
	}
	for waiting := false; ; waiting = true {
		k := new(kept)
		if err := readGob(file, k); err == nil && k.Plan == r.plan.Hash {
			return k.Value, nil
		}
		unlock, err := atomicfile.Lock(file)
		if err == nil {
			defer unlock()
			k := new(kept)
			if err := readGob(file, k); err == nil && k.Plan == r.plan.Hash {
				return k.Value, nil // found in between
			}
			if v, err = find(); err != nil {
				return v, err
			}
			return v, writeGob(file, kept{r.plan.Hash, v})
		}
		if !errors.Is(err, atomicfile.ErrLocked) {
			return v, err
		}
		if !waiting {
			r.observer.Note(fmt.Sprintf("another process reads all of %s: waiting for it", in.Name))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return v, context.Cause(ctx)
		}
	}
}

// seen is a file as it was when it was read.
type seen struct {
	SHA256         string
	Size, Modified int64
}

// hash is the SHA-256 of an input. A part of an image that has changed since another
// part read it does not belong to the others.
func (r *run) hash(ctx context.Context, in *Input) (string, error) {
	look := func() seen {
		var s seen
		if st, err := os.Stat(in.Path); err == nil && st.Mode().IsRegular() {
			s.Size, s.Modified = st.Size(), st.ModTime().UnixNano()
		}
		return s
	}
	now := look()
	then, err := shared(ctx, r, in, in.Base+".sum", func() (s seen, err error) {
		s = now
		s.SHA256, err = hashInput(ctx, in.Path, in.Members...)
		return s, err
	})
	if now.SHA256 = then.SHA256; err == nil && now != then {
		err = &InputError{Name: in.Path, Problem: "has changed since another part read it", Advice: "start over: remove " + filepath.Join(r.batch.Out, PartsDir)}
	}
	return then.SHA256, err
}
