package tiff

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unet/unet/imageio/plane"
)

// labelPattern has runs, as label images do, and every kind of number.
func labelPattern(w, h int, top uint32) *plane.Labels {
	l := plane.NewLabels(w, h)
	for i := range l.ID {
		l.ID[i] = uint32(uint64(i/7) * 2654435761 % (uint64(top) + 1))
	}
	l.ID[len(l.ID)-1] = top
	return l
}

// Rows may come in any portions; the bytes do not depend on them.
func TestWriterPortions(t *testing.T) {
	dir := t.TempDir()
	l := labelPattern(520, 600, 9000)
	var files [][]byte
	for _, rows := range []int{1, 7, 256, 600} {
		path := filepath.Join(dir, "l.tif")
		w, err := Create(path, Options{W: l.W, H: l.H, Bits: 16, Tiled: true})
		if err != nil {
			t.Fatal(err)
		}
		for y := 0; y < l.H; y += rows {
			if err := w.WriteLabels(l.ID[y*l.W : min(y+rows, l.H)*l.W]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w.Abort() // as deferred: no effect
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
	}
	for _, b := range files[1:] {
		if !bytes.Equal(b, files[0]) {
			t.Fatal("different files")
		}
	}
}

func TestWriterMisuse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.tif")
	start := func(o Options) *Writer {
		w, err := Create(path, o)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, do := range map[string]func() error{
		"too few rows": func() error {
			w := start(Options{W: 4, H: 2, Bits: 8})
			w.WriteLabels(make([]uint32, 4))
			return w.Close()
		},
		"too many rows": func() error { return start(Options{W: 4, H: 2, Bits: 8}).WriteLabels(make([]uint32, 12)) },
		"half a row":    func() error { return start(Options{W: 4, H: 2, Bits: 8}).WriteLabels(make([]uint32, 6)) },
		"does not fit": func() error {
			return start(Options{W: 4, H: 1, Bits: 8}).WriteLabels([]uint32{0, 256, 0, 0})
		},
		"floats in integers": func() error { return start(Options{W: 4, H: 1, Bits: 8}).WriteFloats(make([]float32, 4)) },
		"labels in floats": func() error {
			return start(Options{W: 4, H: 1, Bits: 32, Float: true}).WriteLabels(make([]uint32, 4))
		},
		"after close": func() error {
			w := start(Options{W: 1, H: 1, Bits: 8})
			w.WriteLabels([]uint32{1})
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			os.Remove(path)
			return w.WriteLabels([]uint32{1})
		},
		"no pixels":   func() error { _, err := Create(path, Options{Bits: 8}); return err },
		"bits":        func() error { _, err := Create(path, Options{W: 1, H: 1, Bits: 12}); return err },
		"half floats": func() error { _, err := Create(path, Options{W: 1, H: 1, Bits: 16, Float: true}); return err },
		"no folder": func() error {
			_, err := Create(filepath.Join(dir, "no", "x.tif"), Options{W: 1, H: 1, Bits: 8})
			return err
		},
	} {
		if err := do(); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Fatalf("%s: files left: %v", name, left)
		}
	}
}
