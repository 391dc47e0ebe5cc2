package imageio

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRasterBytes: every frame of an animation counts.
func TestRasterBytes(t *testing.T) {
	file := filepath.Join("testdata", "frames.gif")
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	f := openRef(t, "frames.gif")
	p := f.Planes[0]
	if least := st.Size() + int64(4*len(f.Planes)*p.W*p.H); RasterBytes(file) < least || len(f.Planes) < 2 {
		t.Errorf("%d bytes for %d frames of %d x %d pixels, at least %d are needed", RasterBytes(file), len(f.Planes), p.W, p.H, least)
	}
	if n := RasterBytes(filepath.Join("testdata", "u8-strips.tif")); n != 0 {
		t.Errorf("a TIFF, which is read in pieces: %d bytes", n)
	}
}
