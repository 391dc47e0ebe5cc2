package segment

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// TestRegionsOf: a file is the region of all images; in a folder each has its own, by its
// name without extension, polygons before a mask.
func TestRegionsOf(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/b.png", "c.tif", "c.geojson", "d.txt"} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	one := filepath.Join(dir, "c.tif")
	for _, c := range []struct {
		path, image, want string
		ok                bool
	}{
		{"", "a/b.tif", "", true},
		{one, "a/b.tif", one, true},
		{dir, "a/b.tif", filepath.Join(dir, "a", "b.png"), true},
		{dir, "c.png", filepath.Join(dir, "c.geojson"), true},
		{dir, "b.tif", "", false},
		{dir, "d.tif", "", false},
	} {
		r, err := ParseRegions(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if file, ok := r.Of(c.image); file != c.want || ok != c.ok {
			t.Errorf("%q of %s: %q %v, want %q %v", c.path, c.image, file, ok, c.want, c.ok)
		}
	}
	if _, err := ParseRegions(filepath.Join(dir, "missing")); err == nil {
		t.Error("no error of a path that is not there")
	}
}

// TestReadRegion: polygons and masks give a region of the size of the image, with a pixel
// in it at least.
func TestReadRegion(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	mask := filepath.Join(dir, "mask.png")
	l := imageio.NewLabels(6, 4)
	l.ID[1], l.ID[2] = 1, 1
	if err := imageio.WriteLabels(mask, l); err != nil {
		t.Fatal(err)
	}
	polygon := func(x string) string {
		return `{"type":"Polygon","coordinates":[[[` + x + `,1],[` + x + `,3],[5,3],[5,1],[` + x + `,1]]]}`
	}
	for _, c := range []struct {
		file   string
		w, h   int
		level  int // of a pyramid whose levels are half as large each
		pixels int // 0: an error
	}{
		{mask, 6, 4, 0, 2},
		{mask, 6, 4, 1, 2},
		{mask, 6, 5, 0, 0},
		{put("two.GeoJSON", `{"type":"Feature","geometry":`+polygon("3")+`}`), 6, 4, 0, 4},
		{put("half.geojson", `{"type":"Feature","geometry":`+polygon("1")+`}`), 3, 2, 1, 2},
		{put("outside.geojson", `{"type":"Feature","geometry":`+polygon("3")+`}`), 2, 2, 0, 0},
		{put("none.geojson", `{}`), 6, 4, 0, 0},
		{put("archive.zip", "PK"), 6, 4, 0, 0},
	} {
		l, err := readRegion(c.file, imageio.PlaneInfo{W: c.w, H: c.h, FullW: c.w << c.level, FullH: c.h << c.level})
		var input *InputError
		switch {
		case c.pixels == 0 && (!errors.As(err, &input) || input.Hint() == ""):
			t.Errorf("%s at %d x %d: error %v", c.file, c.w, c.h, err)
		case c.pixels > 0 && (err != nil || l.W != c.w || l.H != c.h || instance.RegionPixels(l) != c.pixels):
			t.Errorf("%s: %d pixels, want %d; %v", c.file, instance.RegionPixels(l), c.pixels, err)
		}
	}
	if n := instance.RegionPixels(nil); n != 0 {
		t.Errorf("no region has %d pixels", n)
	}
}
