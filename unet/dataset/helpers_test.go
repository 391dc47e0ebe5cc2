package dataset

import (
	"archive/zip"
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"

	"unet/unet/imageio"
)

// entry of a test archive.
type zentry struct {
	name string
	data []byte
	edit func(*zip.FileHeader)
}

func zipOf(t testing.TB, entries ...zentry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.edit != nil {
			e.edit(h)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sourceOf(t testing.TB, entries ...zentry) *Source {
	t.Helper()
	s, err := openBytes(zipOf(t, entries...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openBytes(b []byte) (*Source, error) {
	return NewSource("test.zip", bytes.NewReader(b), int64(len(b)))
}

// drawn makes labels from lines of characters: '.' is 0, '1'..'9' and letters
// are numbers.
func drawn(lines ...string) *imageio.Labels {
	l := imageio.NewLabels(len(lines[0]), len(lines))
	for y, line := range lines {
		for x, c := range line {
			switch {
			case c >= '1' && c <= '9':
				l.ID[y*l.W+x] = uint32(c - '0')
			case c >= 'a' && c <= 'z':
				l.ID[y*l.W+x] = uint32(c-'a') + 10
			}
		}
	}
	return l
}

func undraw(l *imageio.Labels) string {
	var b strings.Builder
	for i, v := range l.ID {
		b.WriteByte(".123456789abcdefghijklmnopqrstuvwxyz"[v])
		if i%l.W == l.W-1 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noisePNG is a gray image in which no two pixels are alike.
func noisePNG(t testing.TB, w, h int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	g := image.NewGray(image.Rect(0, 0, w, h))
	for i := range g.Pix {
		g.Pix[i] = uint8(rng.IntN(200))
	}
	return pngOf(t, g)
}

// maskPNG sets the pixels of a rectangle.
func maskPNG(t testing.TB, w, h int, r image.Rectangle) []byte {
	g := image.NewGray(image.Rect(0, 0, w, h))
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			g.SetGray(x, y, color.Gray{255})
		}
	}
	return pngOf(t, g)
}

// one is a sound image of 32x32 with a nucleus, in the Kaggle layout.
func one(t testing.TB, id string, seed uint64) []zentry {
	return []zentry{
		{name: id + "/images/" + id + ".png", data: noisePNG(t, 32, 32, seed)},
		{name: id + "/masks/m1.png", data: maskPNG(t, 32, 32, image.Rect(4, 4, 12, 12))},
	}
}

func codes(fs []Finding) string {
	var c []string
	for _, f := range fs {
		c = append(c, f.Code)
	}
	return strings.Join(c, " ")
}
