package tiff

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unet/unet/imageio/plane"
)

// openData opens a file held in memory.
func openData(name string, data []byte) (*plane.File, error) {
	return Open(name, bytes.NewReader(data), int64(len(data)))
}

// decode reads the first plane of a file held in memory.
func decode(name string, data []byte) (*plane.Image, error) {
	f, err := openData(name, data)
	if err != nil {
		return nil, err
	}
	return f.ReadPlane(0)
}

// openFile opens a file on disk.
func openFile(t *testing.T, path string) *plane.File {
	t.Helper()
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, r, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// reference is a file of the parent's testdata.
func reference(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkHostile wants a typed one-line error that names the file.
func checkHostile(t *testing.T, err error, name string) {
	t.Helper()
	var fe *plane.FormatError
	var ue *plane.UnsupportedError
	var le *plane.LimitError
	if !errors.As(err, &fe) && !errors.As(err, &ue) && !errors.As(err, &le) {
		t.Fatalf("got %v (%T)", err, err)
	}
	if s := err.Error(); !strings.Contains(s, name) || strings.Contains(s, "\n") || len(s) > 500 {
		t.Errorf("message %q", s)
	}
}
