package imageio

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"
)

// unzipZarr unpacks the reference folders, written by zarr-python.
func unzipZarr(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	z, err := zip.OpenReader(testdata("zarr.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReferenceZarr(t *testing.T) {
	dir := unzipZarr(t)
	for name, c := range map[string]struct{ typ, format string }{
		"v2-blosc-lz4":            {"u16", "OME-Zarr 0.4"},
		"v2-zlib-be":              {"u16", "OME-Zarr 0.4"},
		"v2-raw-f32":              {"f32", "OME-Zarr 0.4"},
		"v2-blosc-bitshuffle":     {"u16", "OME-Zarr 0.4"},
		"v2-blosclz":              {"u16", "OME-Zarr 0.4"},
		"v2-blosc-bitshuffle-f32": {"f32", "OME-Zarr 0.4"},
		"v3-zstd":                 {"u16", "OME-Zarr 0.5"},
		"v3-gzip-be":              {"u16", "OME-Zarr 0.5"},
		"v3-blosc":                {"u8", "OME-Zarr 0.5"},
		"v3-raw":                  {"f32", "OME-Zarr 0.5"},
		"v3-sharded":              {"u16", "OME-Zarr 0.5"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Open(filepath.Join(dir, name+".zarr"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Format != c.format {
				t.Errorf("format %q", f.Format)
			}
			checkPlanes(t, f, hyperstack(c.typ, 0.25, dyes, "Z3", "C2"))
			// The bare array, without OME metadata, has the same samples.
			bare, err := Open(filepath.Join(dir, name+".zarr", "0"))
			if err != nil {
				t.Fatal(err)
			}
			defer bare.Close()
			checkPlanes(t, bare, hyperstack(c.typ, 0, nil, "Z3", "C2"))
		})
	}
}

// bioformats2raw writes several images as numbered folders.
func TestZarrCollection(t *testing.T) {
	dir := unzipZarr(t)
	all := filepath.Join(dir, "all.zarr")
	os.Mkdir(all, 0o700)
	os.WriteFile(filepath.Join(all, ".zattrs"), []byte(`{"bioformats2raw.layout": 3}`), 0o600)
	os.Rename(filepath.Join(dir, "v2-blosc-lz4.zarr"), filepath.Join(all, "0"))
	os.Rename(filepath.Join(dir, "v2-raw-f32.zarr"), filepath.Join(all, "1"))
	f, err := Open(all)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Planes) != 12 || f.Planes[5].Series != 0 || f.Planes[6].Series != 1 || !f.Planes[6].Float {
		t.Fatalf("%+v", f.Planes)
	}
	for i, typ := range map[int]string{5: "u16", 11: "f32"} {
		m, err := f.ReadPlane(i)
		if err != nil {
			t.Fatal(err)
		}
		checkSamples(t, m, one(typ, 5), 0, 0)
	}
}

// Of a slide that bioformats2raw wrote, the pictures of its label and of the whole
// glass are no images of cells.
func TestZarrCollectionOfASlide(t *testing.T) {
	dir := unzipZarr(t)
	all := filepath.Join(dir, "slide.zarr")
	if err := os.MkdirAll(filepath.Join(all, "OME"), 0o700); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(all, ".zattrs"), []byte(`{"bioformats2raw.layout": 3}`), 0o600)
	os.Rename(filepath.Join(dir, "v2-blosc-lz4.zarr"), filepath.Join(all, "0"))
	os.Rename(filepath.Join(dir, "v2-raw-f32.zarr"), filepath.Join(all, "1"))
	for _, c := range []struct {
		names  string
		planes int
	}{
		{`<OME><Image ID="Image:0" Name="slide.svs"><Pixels/></Image><Image ID="Image:1" Name="macro image"><Pixels/></Image></OME>`, 6},
		{`<ome:OME><ome:Image Name="a"/><ome:Image Name="label"/></ome:OME>`, 12},
		{`<OME><Image Name="label image"/><Image Name="macro image"/></OME>`, 12},
		{`damaged <Image Name="`, 12},
		{`<OME><Image ID="Image:0"><Pixels/></Image><Image ID="Image:1" Name="macro image"/><ImageRef ID="Image:0"/></OME>`, 6},
	} {
		if err := os.WriteFile(filepath.Join(all, "OME", "METADATA.ome.xml"), []byte(c.names), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(all)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if len(f.Planes) != c.planes || (c.planes == 6) != (len(f.Notes) == 1) {
			t.Errorf("%s: %d planes, notes %q", c.names, len(f.Planes), f.Notes)
		}
	}
}

func TestZarrFillValue(t *testing.T) {
	dir := filepath.Join(unzipZarr(t), "v2-sparse.zarr")
	if _, err := os.Stat(filepath.Join(dir, "0", "0", "0", "0", "0")); err == nil {
		t.Fatal("the chunk of fill values is stored: nothing tested")
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range f.Planes {
		l, err := f.ReadLabels(i)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range l.ID {
			x, y := k%refW, k/refW
			want := uint32(refValue("u16", i, 0, x, y))
			if x < 16 && y < 16 {
				want = 7
			}
			if v != want {
				t.Fatalf("plane %d, pixel (%d, %d) is %d, want %d", i, x, y, v, want)
			}
		}
	}
}
