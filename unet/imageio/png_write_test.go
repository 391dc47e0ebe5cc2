package imageio

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"testing"
)

// What streamPNG writes is what the standard library's decoder reads.
func TestStreamPNG(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range []image.Point{{1, 1}, {2, 3}, {37, 1}, {1, 40}, {300, 200}} {
		rect := image.Rectangle{Max: s}
		rgba, clear, gray16 := image.NewRGBA(rect), image.NewRGBA(rect), image.NewGray16(rect)
		gray, paletted := image.NewGray(rect), image.NewPaletted(rect.Add(image.Pt(-3, 5)), color.Palette{color.Black, color.RGBA{1, 200, 3, 255}})
		for i := range rgba.Pix {
			rgba.Pix[i] = byte(rng.IntN(256))
			if i%4 == 3 {
				rgba.Pix[i] = 255
			}
		}
		copy(clear.Pix, rgba.Pix)
		clear.SetRGBA(0, 0, color.RGBA{})
		for i := range gray16.Pix {
			gray16.Pix[i] = byte(rng.IntN(256))
		}
		for i := range gray.Pix {
			gray.Pix[i], paletted.Pix[i] = byte(rng.IntN(256)), byte(rng.IntN(2))
		}
		for _, m := range []image.Image{rgba, clear, gray, gray16, paletted} {
			var b bytes.Buffer
			if err := streamPNG(&b, m); err != nil {
				t.Fatal(err)
			}
			got, err := png.Decode(&b)
			if err != nil {
				t.Fatalf("%T %v: %v", m, s, err)
			}
			if got.Bounds().Size() != s {
				t.Fatalf("%T: %v pixels, not %v", m, got.Bounds().Size(), s)
			}
			if _, ok := m.(*image.Gray); ok && got.ColorModel() != color.GrayModel {
				t.Errorf("gray became %T", got)
			}
			for y := range s.Y {
				for x := range s.X {
					want := color.RGBA64Model.Convert(m.At(m.Bounds().Min.X+x, m.Bounds().Min.Y+y))
					if color.RGBA64Model.Convert(got.At(x, y)) != want {
						t.Fatalf("%T %v: pixel %d, %d differs", m, s, x, y)
					}
				}
			}
		}
	}
	if err := streamPNG(&bytes.Buffer{}, image.NewGray(image.Rect(0, 0, 0, 4))); err == nil {
		t.Error("an empty image is written")
	}
	// A writer that is full is an error wherever it ends.
	m := image.NewGray(image.Rect(0, 0, 200, 200))
	for i := range m.Pix {
		m.Pix[i] = byte(rng.IntN(256))
	}
	var whole bytes.Buffer
	if err := streamPNG(&whole, m); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < whole.Len(); n += 97 {
		if err := streamPNG(&fullWriter{n}, m); err == nil {
			t.Fatalf("%d bytes written, no error", n)
		}
	}
}

type fullWriter struct{ left int }

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}
