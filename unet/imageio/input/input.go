// Package input opens what a user names as input: regular files, without ever
// waiting for one. A pipe would wait for its other end, and a device need not end.
package input

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// KindError says that a name means something that is no regular file.
type KindError struct {
	Name string
	// Kind is what it is: "a folder", "a pipe", "a device", "a socket".
	Kind string
}

func (e *KindError) Error() string { return e.Name + " is " + e.Kind + ", not a regular file" }

// Hint says what to do about it.
func (e *KindError) Hint() string {
	if e.Kind == "a folder" {
		return "give the file itself"
	}
	return "copy what it holds to a file, and give that"
}

// Check reports what st of a name is, unless a regular file, as a *KindError.
func Check(name string, st fs.FileInfo) error {
	kind := "no file"
	switch m := st.Mode(); {
	case m.IsRegular():
		return nil
	case m.IsDir():
		kind = "a folder"
	case m&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case m&fs.ModeDevice != 0:
		kind = "a device"
	case m&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return &KindError{name, kind}
}

// Open opens a regular file for reading, and fails with a *KindError for all
// else. Links are followed.
func Open(name string) (*os.File, error) {
	// Asked first: some devices act on being opened.
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if err := Check(name, st); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	return checked(name, f)
}

// OpenIn is Open for a file below a folder that no link leads out of; name is
// relative to it.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	st, err := root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err != nil {
		if link, linkErr := root.Lstat(name); linkErr == nil && link.Mode()&fs.ModeSymlink != 0 {
			return nil, &KindError{name, "a link that leads out of its folder"}
		}
		return nil, err
	}
	if err := Check(name, st); err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	return checked(name, f)
}

// checked asks once more, of the open file: its name may have changed its meaning.
func checked(name string, f *os.File) (*os.File, error) {
	st, err := f.Stat()
	if err == nil {
		err = Check(name, st)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ErrTooLong says that a file is longer than it may be.
var ErrTooLong = errors.New("the file is too long")

// ReadFile returns what a regular file of at most limit bytes holds.
func ReadFile(name string, limit int64) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(name, f, limit)
}

// ReadFileIn is ReadFile for a file below a folder, see OpenIn.
func ReadFileIn(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := OpenIn(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(name, f, limit)
}

func readAll(name string, f *os.File, limit int64) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are read", name, ErrTooLong, st.Size(), limit)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", name, ErrTooLong, limit)
	}
	return b, nil
}
