package imageio

import (
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unet/unet/imageio/tiff"
)

// benchImage is a picture with blobs and noise, about as compressible as a
// micrograph.
func benchImage(n int) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, n, n))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		x, y := i%n, i/n
		v := 20 + r.IntN(8)
		if (x/24+y/24)%3 == 0 {
			v += 100
		}
		m.Pix[i] = byte(v)
	}
	return m
}

func BenchmarkDecode(b *testing.B) {
	const n = 1024
	m := benchImage(n)
	l := NewLabels(n, n)
	for i, v := range m.Pix {
		l.ID[i] = uint32(v)
	}
	path := filepath.Join(b.TempDir(), "x.tif")
	writeTIFF := func(o tiff.Options) []byte {
		if err := WriteLabels(path, l, o); err != nil {
			b.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	rgba := image.NewNRGBA(m.Rect)
	for i, v := range m.Pix {
		rgba.Pix[4*i], rgba.Pix[4*i+1], rgba.Pix[4*i+2], rgba.Pix[4*i+3] = v, v, v, 255
	}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"png-gray8", encodePNG(b, m)},
		{"png-rgba8", encodePNG(b, rgba)},
		{"tiff-strips8", writeTIFF(tiff.Options{})},
		{"tiff-tiles8", writeTIFF(tiff.Options{Tiled: true})},
		{"tiff-tiles16", writeTIFF(tiff.Options{Tiled: true, Bits: 16})},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(n * n)
			for b.Loop() {
				if _, err := Decode(c.name, c.data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriteLabels(b *testing.B) {
	l := labelPattern(2048, 2048, 3000)
	path := filepath.Join(b.TempDir(), "x.tif")
	for name, o := range map[string]tiff.Options{"strips": {}, "tiles": {Tiled: true}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(2 * len(l.ID)))
			for b.Loop() {
				if err := WriteLabels(path, l, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLarge writes a label image of 40,000 x 40,000 pixels by rows of
// tiles and reads it back the same way; Sys is all memory taken from the
// system.
func BenchmarkLarge(b *testing.B) {
	const n, rows = 40000, 512
	band := labelPattern(n, rows, 60000)
	path := filepath.Join(b.TempDir(), "large.tif")
	memory := func(b *testing.B) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-Sys")
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(2 * n * n)
		for b.Loop() {
			w, err := tiff.Create(path, tiff.Options{W: n, H: n, Bits: 16})
			if err != nil {
				b.Fatal(err)
			}
			for y := 0; y < n; y += rows {
				if err := w.WriteLabels(band.ID[:min(rows, n-y)*n]); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
		memory(b)
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(2 * n * n)
		for b.Loop() {
			f, err := Open(path)
			if err != nil {
				b.Fatal(err)
			}
			for y := 0; y < n; y += rows {
				h := min(rows, n-y)
				m, err := f.ReadRegion(0, 0, y, n, h)
				if err != nil {
					b.Fatal(err)
				}
				for _, i := range []int{0, n / 3, h*n - 1} {
					if m.Pix[i] != float32(band.ID[i]) {
						b.Fatalf("row %d, sample %d is %v, want %d", y, i, m.Pix[i], band.ID[i])
					}
				}
			}
			f.Close()
		}
		memory(b)
	})
}
