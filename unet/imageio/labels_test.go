package imageio

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
	"unet/unet/imageio/tiff"

	"unet/unet/imageio/plane"

	xtiff "golang.org/x/image/tiff"
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
			for _, o := range []tiff.Options{{}, {BigTIFF: true, Tiled: true}, {PixelSize: plane.SquarePixels(0.325), Description: `{"made by": "µnet"}`}} {
				l := labelPattern(size[0], size[1], top)
				path := filepath.Join(dir, "l.tif")
				if err := WriteLabels(path, l, o); err != nil {
					t.Fatal(err)
				}
				f, err := Open(path)
				if err != nil {
					t.Fatal(err)
				}
				if p := f.Planes[0]; math.Abs(p.PixelSize.X-o.PixelSize.X) > 1e-9 || !p.PixelSize.Square() || p.Bits != LabelBits(top) || len(f.Notes) > 0 {
					t.Errorf("%+v notes %q", p, f.Notes)
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
		if err := WriteLabels(path, l, tiff.Options{Tiled: tiled, Description: "x", PixelSize: plane.SquarePixels(0.5)}); err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(path)
		m, err := xtiff.Decode(bytes.NewReader(b))
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
