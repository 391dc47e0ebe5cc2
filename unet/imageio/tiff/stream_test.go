package tiff

import (
	"bytes"
	"errors"
	"image"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/imageio/plane"

	"github.com/google/go-cmp/cmp"
)

// streamAll has all chunks decoded row by row until the test ends.
func streamAll(t *testing.T) {
	before := streamBytes
	streamBytes = 0
	t.Cleanup(func() { streamBytes = before })
}

// TestStreams reads all reference files whole and, decoded row by row, in regions
// that go forwards, backwards and from plane to plane.
func TestStreams(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.tif")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, name := range files {
		var whole []*plane.Image
		f := openFile(t, name)
		for i := range f.Planes {
			m, err := f.ReadPlane(i)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			whole = append(whole, m)
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			streamAll(t)
			f := openFile(t, name)
			for range 20 {
				i := rng.IntN(len(f.Planes))
				p := f.Planes[i]
				x, y := rng.IntN(p.W), rng.IntN(p.H)
				w, h := 1+rng.IntN(p.W-x), 1+rng.IntN(p.H-y)
				got, err := f.ReadRegion(i, x, y, w, h)
				if err != nil {
					t.Fatal(err)
				}
				for c := range p.C {
					for row := range h {
						want := whole[i].Plane(c)[(y+row)*p.W+x:][:w]
						if diff := cmp.Diff(want, got.Plane(c)[row*w:][:w]); diff != "" {
							t.Fatalf("plane %d, %d x %d at (%d, %d), row %d (-whole +row by row):\n%s", i, w, h, x, y, row, diff)
						}
					}
				}
			}
		})
	}
}

// TestStreamedDamage: a chunk that ends early, and one whose checksum is wrong, is
// an error of one line each time it is read.
func TestStreamedDamage(t *testing.T) {
	streamAll(t)
	for name, says := range map[string]string{"u32-deflate-p2.tif": "checksum", "u16-lzw-p2.tif": "data", "u8-packbits.tif": "data"} {
		b := reference(t, name)
		f, err := openTIFF(name, bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		page := f.pages[0]
		if err := errors.Join(f.readable(page), f.loadChunks(page)); err != nil {
			t.Fatal(err)
		}
		if says == "checksum" {
			b[page.chunkPos[0]+page.chunkLen[0]-1] ^= 1
		} else {
			page.chunkLen[0] /= 2
		}
		for range 2 {
			m := plane.NewImage(page.w, page.h, 1)
			err := f.read(tiffPlane{page: page}, image.Rect(0, 0, page.w, page.h), []int{0}, plane.ImageSink{Image: m})
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: error %v, want one with %q", name, err, says)
			}
		}
		f.closeStreams()
	}
}
