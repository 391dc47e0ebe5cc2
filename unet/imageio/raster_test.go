package imageio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecodePNGKinds(t *testing.T) {
	r := image.Rect(0, 0, 3, 2)
	gray := image.NewGray(r)
	gray.SetGray(2, 1, color.Gray{77})
	gray16 := image.NewGray16(r)
	gray16.SetGray16(2, 1, color.Gray16{0x1234})
	nrgba := image.NewNRGBA(r)
	for y := range 2 {
		for x := range 3 {
			nrgba.SetNRGBA(x, y, color.NRGBA{1, 2, 3, 255})
		}
	}
	nrgba.SetNRGBA(2, 1, color.NRGBA{200, 100, 50, 51})
	rgb16 := image.NewNRGBA64(r)
	rgb16.SetNRGBA64(2, 1, color.NRGBA64{1000, 2000, 3000, 0xffff})
	pal := image.NewPaletted(r, color.Palette{color.Black, color.NRGBA{9, 8, 7, 255}})
	pal.SetColorIndex(2, 1, 1)
	for _, c := range []struct {
		name string
		m    image.Image
		bits int
		want []float32 // channels of pixel (2, 1)
	}{
		{"gray", gray, 8, []float32{77}},
		{"gray16", gray16, 16, []float32{0x1234}},
		{"nrgba over black", nrgba, 8, []float32{40, 20, 10}},
		{"rgb16", rgb16, 16, []float32{1000, 2000, 3000}},
		{"palette", pal, 8, []float32{9, 8, 7}},
	} {
		got, err := Decode(c.name, encodePNG(t, c.m))
		if err != nil {
			t.Fatal(c.name, err)
		}
		if got.W != 3 || got.H != 2 || got.C != len(c.want) || got.Bits != c.bits {
			t.Fatalf("%s: %dx%dx%d, %d bits", c.name, got.W, got.H, got.C, got.Bits)
		}
		for k, v := range c.want {
			if g := got.Plane(k)[5]; g != v {
				t.Errorf("%s: channel %d is %v, want %v", c.name, k, g, v)
			}
		}
	}
}

func TestGrayCollapses(t *testing.T) {
	m := NewImage(2, 1, 3)
	copy(m.Pix, []float32{5, 6, 5, 6, 5, 6})
	if g := m.Gray(); g.C != 1 || g.Pix[1] != 6 || len(g.Pix) != 2 {
		t.Fatalf("equal channels: %+v", g)
	}
	m.Pix[5] = 7
	if g := m.Gray(); g != m {
		t.Fatal("colour collapsed")
	}
}

// A header's claim is refused before anything is allocated for it.
func TestPNGHeaderLies(t *testing.T) {
	data := encodePNG(t, image.NewGray(image.Rect(0, 0, 4, 4)))
	for _, w := range []uint32{1 << 14, 1 << 17, 1 << 30, 0x7fffffff} {
		b := bytes.Clone(data)
		for i := range 4 {
			b[16+i] = byte(w >> (24 - 8*i))
			b[20+i] = byte(w >> (24 - 8*i))
		}
		fixPNGHeader(b)
		_, err := Decode("lie.png", b)
		var fe *FormatError
		var le *LimitError
		if !errors.As(err, &fe) && !errors.As(err, &le) {
			t.Errorf("%d: %v", w, err)
		}
	}
}

func TestLabelsPNGRoundTrip(t *testing.T) {
	dir := t.TempDir()
	for _, top := range []uint32{1, 255, 256, 65535} {
		l := NewLabels(5, 3)
		l.ID[7] = top
		path := filepath.Join(dir, "l.png")
		if err := WriteLabels(path, l); err != nil {
			t.Fatal(err)
		}
		got, err := ReadLabels(path)
		if err != nil || got.W != 5 || got.H != 3 || got.ID[7] != top || got.ID[6] != 0 {
			t.Fatalf("top %d: %v %+v", top, err, got)
		}
	}
	l := NewLabels(1, 1)
	l.ID[0] = 65536
	path := filepath.Join(dir, "big.png")
	if err := WriteLabels(path, l); err == nil {
		t.Fatal("65536 written to PNG")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Fatalf("files left: %v", left)
	}
}

// fixPNGHeader recomputes the checksum of the IHDR chunk.
func fixPNGHeader(b []byte) {
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
}
