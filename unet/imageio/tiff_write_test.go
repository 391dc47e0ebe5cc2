package imageio

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/tiff"
)

// labelPattern has runs, as label images do, and every kind of number.
func labelPattern(w, h int, top uint32) *Labels {
	l := NewLabels(w, h)
	for i := range l.ID {
		l.ID[i] = uint32(uint64(i/7) * 2654435761 % (uint64(top) + 1))
	}
	l.ID[len(l.ID)-1] = top
	return l
}

func sameLabels(t *testing.T, got, want *Labels) {
	t.Helper()
	if got.W != want.W || got.H != want.H {
		t.Fatalf("%d x %d, want %d x %d", got.W, got.H, want.W, want.H)
	}
	for i, v := range want.ID {
		if got.ID[i] != v {
			t.Fatalf("pixel (%d, %d) is %d, want %d", i%want.W, i/want.W, got.ID[i], v)
		}
	}
}

func TestTIFFRoundTrip(t *testing.T) {
	dir := t.TempDir()
	for _, size := range [][2]int{{1, 1}, {256, 256}, {257, 300}, {70000, 3}} {
		for _, top := range []uint32{255, 256, math.MaxUint32} {
			for _, o := range []TIFFOptions{{}, {BigTIFF: true, Tiled: true}, {PixelSize: 0.325, Description: `{"made by": "µnet"}`}} {
				l := labelPattern(size[0], size[1], top)
				path := filepath.Join(dir, "l.tif")
				if err := WriteLabels(path, l, o); err != nil {
					t.Fatal(err)
				}
				f, err := Open(path)
				if err != nil {
					t.Fatal(err)
				}
				if p := f.Planes[0]; math.Abs(p.PixelSize-o.PixelSize) > 1e-9 || p.Bits != LabelBits(top) || len(f.Notes) > 0 {
					t.Errorf("%+v notes %q", p, f.Notes)
				}
				if s := f.src.(*tiffSource); o.Description != "" {
					if text, _ := s.description(s.pages[0]); text != o.Description {
						t.Errorf("description %q", text)
					}
				}
				got, err := f.ReadLabels(0)
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
				sameLabels(t, got, l)
			}
		}
	}
}

// Rows may come in any portions; the bytes do not depend on them.
func TestTIFFWriterPortions(t *testing.T) {
	dir := t.TempDir()
	l := labelPattern(520, 600, 9000)
	var files [][]byte
	for _, rows := range []int{1, 7, 256, 600} {
		path := filepath.Join(dir, "l.tif")
		w, err := CreateTIFF(path, TIFFOptions{W: l.W, H: l.H, Bits: 16, Tiled: true})
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

func TestWriteMaps(t *testing.T) {
	m := NewImage(300, 200, 3)
	m.Channels = []string{"foreground", "border", "distance"}
	for i := range m.Pix {
		m.Pix[i] = float32(i%977)/977 - 0.25
	}
	path := filepath.Join(t.TempDir(), "m.tif")
	if err := WriteMaps(path, m); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Planes) != 3 || !f.Planes[2].Float || f.Planes[2].Bits != 32 {
		t.Fatalf("%+v", f.Planes)
	}
	for i := range 3 {
		got, err := f.ReadPlane(i)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range m.Plane(i) {
			if got.Pix[k] != v {
				t.Fatalf("map %d differs at %d", i, k)
			}
		}
	}
}

// x/image's reader is another's view of what is written here.
func TestTIFFOtherReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.tif")
	for _, tiled := range []bool{false, true} {
		l := labelPattern(400, 300, 60000)
		if err := WriteLabels(path, l, TIFFOptions{Tiled: tiled, Description: "x", PixelSize: 0.5}); err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(path)
		m, err := tiff.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		get, ok := grayIndex(m)
		if !ok {
			t.Fatalf("%T", m)
		}
		for i, v := range l.ID {
			if get(i%l.W, i/l.W) != v {
				t.Fatalf("pixel %d", i)
			}
		}
	}
}

func TestTIFFWriterMisuse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.tif")
	start := func(o TIFFOptions) *TIFFWriter {
		w, err := CreateTIFF(path, o)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, do := range map[string]func() error{
		"too few rows": func() error {
			w := start(TIFFOptions{W: 4, H: 2, Bits: 8})
			w.WriteLabels(make([]uint32, 4))
			return w.Close()
		},
		"too many rows": func() error { return start(TIFFOptions{W: 4, H: 2, Bits: 8}).WriteLabels(make([]uint32, 12)) },
		"half a row":    func() error { return start(TIFFOptions{W: 4, H: 2, Bits: 8}).WriteLabels(make([]uint32, 6)) },
		"does not fit": func() error {
			return start(TIFFOptions{W: 4, H: 1, Bits: 8}).WriteLabels([]uint32{0, 256, 0, 0})
		},
		"floats in integers": func() error { return start(TIFFOptions{W: 4, H: 1, Bits: 8}).WriteFloats(make([]float32, 4)) },
		"labels in floats": func() error {
			return start(TIFFOptions{W: 4, H: 1, Bits: 32, Float: true}).WriteLabels(make([]uint32, 4))
		},
		"after close": func() error {
			w := start(TIFFOptions{W: 1, H: 1, Bits: 8})
			w.WriteLabels([]uint32{1})
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			os.Remove(path)
			return w.WriteLabels([]uint32{1})
		},
		"no pixels": func() error { _, err := CreateTIFF(path, TIFFOptions{Bits: 8}); return err },
		"bits":      func() error { _, err := CreateTIFF(path, TIFFOptions{W: 1, H: 1, Bits: 12}); return err },
		"no folder": func() error {
			_, err := CreateTIFF(filepath.Join(dir, "no", "x.tif"), TIFFOptions{W: 1, H: 1, Bits: 8})
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
