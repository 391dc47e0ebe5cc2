package formats

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReadNPY reads files of NumPy 2.4: arrays in every order, Cellpose's
// dictionaries pickled by protocols 4 and 3, and what is no label image.
func TestReadNPY(t *testing.T) {
	want := []uint32{0, 0, 0, 0, 0, 7, 7, 0, 0, 0, 0, 300}
	for name, problem := range map[string]string{
		"cellpose_seg.npy": "", "protocol3_seg.npy": "", "fortran.npy": "", "bytes.npy": "",
		"float.npy": "whole numbers", "stack.npy": "3 dimensions", "negative.npy": "cannot be a label",
	} {
		data, err := os.ReadFile(filepath.Join("testdata", "numpy", name))
		if err != nil {
			t.Fatal(err)
		}
		l, err := ReadNPY(bytes.NewReader(data))
		if problem != "" {
			if err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%s: %v, want %q", name, err, problem)
			}
			continue
		}
		expect := slices.Clone(want)
		if name == "bytes.npy" {
			expect[11] = 300 % 256
		}
		if err != nil || l.W != 4 || l.H != 3 || !slices.Equal(l.ID, expect) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
		for cut := range len(data) { // no file that is cut off is read, or breaks the reader
			if l, err := ReadNPY(bytes.NewReader(data[:cut])); err == nil && name != "cellpose_seg.npy" && name != "protocol3_seg.npy" {
				t.Fatalf("%s cut to %d bytes: %v", name, cut, l)
			}
		}
	}
}

func FuzzReadNPY(f *testing.F) {
	files, err := filepath.Glob("testdata/numpy/*.npy")
	if err != nil || len(files) == 0 {
		f.Fatal("no files", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := ReadNPY(bytes.NewReader(data)); err == nil && len(l.ID) != l.W*l.H {
			t.Errorf("%d x %d pixels, %d labels", l.W, l.H, len(l.ID))
		}
	})
}
