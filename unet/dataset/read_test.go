package dataset

import (
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"slices"
	"strings"
	"testing"

	"unet/unet/imageio"
)

func TestReadFindings(t *testing.T) {
	img := noisePNG(t, 32, 32, 1)
	m1 := maskPNG(t, 32, 32, image.Rect(4, 4, 12, 12))
	m2 := maskPNG(t, 32, 32, image.Rect(20, 20, 30, 30))
	big := maskPNG(t, 32, 32, image.Rect(2, 2, 28, 28))
	translucent := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for i := range translucent.Pix {
		translucent.Pix[i] = uint8(100 + i%100)
	}
	colour := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for y := range 32 {
		for x := range 32 {
			colour.Set(x, y, color.RGBA{uint8(x * 8), uint8(y * 8), 100, 255})
		}
	}
	for _, c := range []struct {
		name   string
		image  []byte
		masks  [][]byte
		codes  string
		nuclei int // -1: no sample
		level  Level
	}{
		{"sound", img, [][]byte{m1, m2}, "", 2, ""},
		{"colour", pngOf(t, colour), [][]byte{m1}, "", 1, ""},
		{"no png", []byte("not an image"), [][]byte{m1}, "unreadable", -1, Error},
		{"empty file", nil, [][]byte{m1}, "unreadable", -1, Error},
		{"too many pixels to decode", claims(img, 1<<14, 1<<13+1), [][]byte{m1}, "too-large", -1, Error},
		{"as many as are allowed, but not there", claims(img, 1<<14, 1<<13), [][]byte{m1}, "unreadable", -1, Error},
		{"cut image", img[:len(img)/2], [][]byte{m1}, "unreadable", -1, Error},
		{"cut mask", img, [][]byte{m1[:len(m1)-20]}, "unreadable", -1, Error},
		{"mask of other size", img, [][]byte{maskPNG(t, 16, 32, image.Rect(0, 0, 4, 4))}, "size-mismatch", -1, Error},
		{"colour mask of other size", img, [][]byte{pngOf(t, image.NewRGBA(image.Rect(0, 0, 9, 9)))}, "size-mismatch", -1, Error},
		{"constant", pngOf(t, image.NewGray(image.Rect(0, 0, 32, 32))), [][]byte{m1}, "constant", -1, Error},
		{"no masks", img, nil, "no-annotation", -1, Error},
		{"empty mask", img, [][]byte{m1, maskPNG(t, 32, 32, image.Rectangle{})}, "empty-mask", 1, Warning},
		{"only an empty mask", img, [][]byte{maskPNG(t, 32, 32, image.Rectangle{})}, "empty-mask no-nuclei", 0, Warning},
		{"overlap", img, [][]byte{m1, maskPNG(t, 32, 32, image.Rect(10, 10, 18, 18))}, "overlap", 2, Warning},
		{"same mask twice", img, [][]byte{m1, m1}, "overlap duplicate-mask", 1, Warning},
		{"nucleus under a large mask", img, [][]byte{m1, big}, "overlap", 2, Warning},
		{"nucleus over a large mask", img, [][]byte{big, m1}, "overlap", 2, Warning},
		{"transparent", pngOf(t, translucent), [][]byte{m1}, "alpha", 1, Warning},
		{"sliver", img, [][]byte{m1, maskPNG(t, 32, 32, image.Rect(30, 4, 31, 20))}, "sliver", 2, Warning},
	} {
		t.Run(c.name, func(t *testing.T) {
			es := []zentry{{name: "a/images/a.png", data: c.image}}
			for i, m := range c.masks {
				es = append(es, zentry{name: "a/masks/" + string(rune('m'+i)) + ".png", data: m})
			}
			m, fs := sourceOf(t, es...).Read(0)
			if got := codes(fs); got != c.codes {
				t.Errorf("findings %q, want %q", got, c.codes)
			}
			for _, f := range fs {
				if f.Level != c.level || f.ID != "a" || f.Text == "" || strings.Contains(f.String(), "\n") {
					t.Errorf("finding %+v, want level %s", f, c.level)
				}
			}
			if (m == nil) != (c.nuclei < 0) || m != nil && int(m.Labels.Max()) != c.nuclei {
				t.Fatalf("sample %v, want %d nuclei", m, c.nuclei)
			}
			if m != nil && (m.Image.C != 1) != (c.name == "colour" || c.name == "transparent") {
				t.Errorf("%d channels", m.Image.C)
			}
		})
	}
}

// claims returns a PNG whose header says another size.
func claims(png []byte, w, h uint32) []byte {
	const header, size = 12, 8 + 8 // its chunk without length, and where in the file its width is
	b := slices.Clone(png)
	binary.BigEndian.PutUint32(b[size:], w)
	binary.BigEndian.PutUint32(b[size+4:], h)
	binary.BigEndian.PutUint32(b[size+13:], crc32.ChecksumIEEE(b[header:size+13]))
	return b
}

// Overlapping pixels go to the smaller mask whatever the order of the files.
func TestOverlapGoesToTheSmaller(t *testing.T) {
	small, big := maskPNG(t, 32, 32, image.Rect(8, 8, 12, 12)), maskPNG(t, 32, 32, image.Rect(2, 2, 28, 28))
	for _, order := range [][2][]byte{{small, big}, {big, small}} {
		m, _ := sourceOf(t, zentry{name: "a/images/a.png", data: noisePNG(t, 32, 32, 1)},
			zentry{name: "a/masks/1.png", data: order[0]}, zentry{name: "a/masks/2.png", data: order[1]}).Read(0)
		n := areas(m.Labels, 3)
		if min(n[1], n[2]) != 16 || max(n[1], n[2]) != 26*26-16 {
			t.Errorf("areas %v", n)
		}
	}
}

// Of two masks of equal size the earlier keeps what they share, so that the
// result does not depend on more than the order of names.
func TestOverlapOfEqualsStays(t *testing.T) {
	m, _ := sourceOf(t, zentry{name: "a/images/a.png", data: noisePNG(t, 32, 32, 1)},
		zentry{name: "a/masks/1.png", data: maskPNG(t, 32, 32, image.Rect(2, 2, 12, 12))},
		zentry{name: "a/masks/2.png", data: maskPNG(t, 32, 32, image.Rect(8, 2, 18, 12))}).Read(0)
	if n := areas(m.Labels, 3); n[1] != 100 || n[2] != 60 {
		t.Errorf("areas %v, want 100 of the first and 60 of the second", n[1:])
	}
}

// A label image keeps its numbers' order; one with a single value is a binary
// mask, whose parts are numbered.
func TestLabelImages(t *testing.T) {
	img := noisePNG(t, 32, 32, 1)
	lab := image.NewGray16(image.Rect(0, 0, 32, 32))
	put := func(v uint16, r image.Rectangle) {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				lab.SetGray16(x, y, color.Gray16{v})
			}
		}
	}
	put(900, image.Rect(1, 1, 8, 8))
	put(7, image.Rect(8, 1, 16, 8))
	read := func() (*Sample, []Finding) {
		return sourceOf(t, zentry{name: "images/a.png", data: img}, zentry{name: "labels/a.png", data: pngOf(t, lab)}).Read(0)
	}
	m, fs := read()
	if len(fs) > 0 || m.Labels.Max() != 2 || m.Labels.ID[33] != 2 || m.Labels.ID[32+10] != 1 {
		t.Errorf("two nuclei: %v, max %d", fs, m.Labels.Max())
	}
	put(7, image.Rect(1, 1, 8, 8))     // joins the other
	put(7, image.Rect(20, 20, 28, 28)) // apart
	m, fs = read()
	if codes(fs) != "binary-mask" || m.Labels.Max() != 2 {
		t.Errorf("binary mask: %v, max %d", fs, m.Labels.Max())
	}
}

func TestCompactSparse(t *testing.T) {
	l := &imageio.Labels{W: 3, H: 2, ID: []uint32{0, 1 << 31, 5, 1<<32 - 1, 5, 0}}
	if n := compact(l); n != 3 || undraw(l) != ".21\n31.\n" {
		t.Errorf("%d nuclei:\n%s", n, undraw(l))
	}
}

// TestDoubtfulLabels: a label image whose background is not 0 is told.
func TestDoubtfulLabels(t *testing.T) {
	lab := image.NewGray(image.Rect(0, 0, 32, 32))
	for i := range lab.Pix {
		lab.Pix[i] = 4
	}
	for x := range 8 {
		lab.SetGray(10+x, 12, color.Gray{1})
		lab.SetGray(10+x, 20, color.Gray{2})
	}
	_, fs := sourceOf(t, zentry{name: "images/a.png", data: noisePNG(t, 32, 32, 1)}, zentry{name: "labels/a.png", data: pngOf(t, lab)}).Read(0)
	if !strings.Contains(codes(fs), "doubtful-labels") || !strings.Contains(fs[0].String(), "the number 4 covers") {
		t.Errorf("findings %v", fs)
	}
}
