package zarr

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unet/unet/imageio/plane"
)

// unzipZarr unpacks the reference folders, written by zarr-python.
func unzipZarr(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	z, err := zip.OpenReader(filepath.Join("..", "testdata", "zarr.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Metadata that lies, leads out of the folder or asks for too much.
func TestHostileZarr(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(outside, []byte("secret"), 0o600)
	zattrs := `{"multiscales": [{"version": "0.4", "axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}]}`
	zarray := `{"zarr_format": 2, "shape": [4, 4], "chunks": [4, 4], "dtype": "|u1", "compressor": null, "filters": null, "order": "C", "fill_value": 0}`
	change := func(s, old, new string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%q not in %s", old, s)
		}
		return strings.Replace(s, old, new, 1)
	}
	for name, files := range map[string]map[string]string{
		"empty folder":       {},
		"no json":            {".zattrs": "\x00\x01"},
		"deep json":          {".zattrs": strings.Repeat("[", 1<<20)},
		"no datasets":        {".zattrs": `{"multiscales": [{}]}`},
		"no array":           {".zattrs": zattrs},
		"path out":           {".zattrs": change(zattrs, `"path": "0"`, `"path": "../0"`), "0/.zarray": zarray},
		"absolute path":      {".zattrs": change(zattrs, `"path": "0"`, `"path": "/etc"`)},
		"axes":               {".zattrs": change(zattrs, `{"name": "y"}, `, ``), "0/.zarray": zarray},
		"axes swapped":       {".zattrs": change(zattrs, `{"name": "y"}, {"name": "x"}`, `{"name": "x"}, {"name": "y"}`), "0/.zarray": zarray},
		"huge shape":         {".zarray": change(zarray, `"shape": [4, 4]`, `"shape": [1000000000000, 4]`)},
		"huge image":         {".zarray": change(zarray, `"shape": [4, 4]`, `"shape": [10000000, 10000000]`)},
		"too many planes":    {".zarray": change(change(zarray, `"shape": [4, 4]`, `"shape": [99999999, 99999999, 4, 4]`), `"chunks": [4, 4]`, `"chunks": [1, 1, 4, 4]`)},
		"negative shape":     {".zarray": change(zarray, `"shape": [4, 4]`, `"shape": [-4, 4]`)},
		"huge chunk":         {".zarray": change(zarray, `"chunks": [4, 4]`, `"chunks": [9223372036854775807, 9223372036854775807]`)},
		"zero chunk":         {".zarray": change(zarray, `"chunks": [4, 4]`, `"chunks": [0, 4]`)},
		"chunk axes":         {".zarray": change(zarray, `"chunks": [4, 4]`, `"chunks": [4]`)},
		"type":               {".zarray": change(zarray, `"|u1"`, `"<U9"`)},
		"structured type":    {".zarray": change(zarray, `"|u1"`, `[["a", "<u2"]]`)},
		"filter":             {".zarray": change(zarray, `"filters": null`, `"filters": [{"id": "delta"}]`)},
		"compressor":         {".zarray": change(zarray, `"compressor": null`, `"compressor": {"id": "lzma"}`)},
		"fill":               {".zarray": change(zarray, `"fill_value": 0`, `"fill_value": "a"`)},
		"chunk too short":    {".zarray": zarray, "0.0": "abc"},
		"chunk lies":         {".zarray": change(change(change(zarray, `[4, 4]`, `[30000, 30000]`), `[4, 4]`, `[30000, 30000]`), `"compressor": null`, `"compressor": {"id": "zlib"}`), "0.0": "x\x9c\x03\x00"},
		"chunk is a folder":  {".zarray": zarray, "0.0/x": "abc"},
		"damaged blosc":      {".zarray": change(zarray, `"compressor": null`, `"compressor": {"id": "blosc"}`), "0.0": "\x02\x01\x21\x01\x10\x00\x00\x00\x10\x00\x00\x00\x20\x00\x00\x00\xff\xff\xff\xff"},
		"plate":              {".zattrs": `{"plate": {"wells": []}}`},
		"shards do not fit":  {"zarr.json": `{"node_type": "array", "shape": [4, 4], "data_type": "uint8", "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}}, "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [3, 4], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]}}], "fill_value": 0}`},
		"shard index beyond": {"zarr.json": `{"node_type": "array", "shape": [4, 4], "data_type": "uint8", "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}}, "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [4, 4], "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]}}], "fill_value": 0}`, "c/0/0": "\xff\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "image.zarr")
			os.Mkdir(dir, 0o700)
			for file, text := range files {
				file = filepath.Join(dir, file)
				os.MkdirAll(filepath.Dir(file), 0o700)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := Open(dir)
			if err == nil {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err = f.ReadRegion(0, 0, 0, 4, 4)
				runtime.ReadMemStats(&after)
				if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
					t.Errorf("%d bytes were allocated: %v", used, err)
				}
				f.Close()
			}
			checkHostile(t, err, "image.zarr")
		})
	}
	t.Run("a file per pixel", func(t *testing.T) {
		dir := t.TempDir()
		tiny := change(change(zarray, `[4, 4]`, `[2000, 2000]`), `[4, 4]`, `[1, 1]`)
		os.WriteFile(filepath.Join(dir, ".zarray"), []byte(tiny), 0o600)
		err := readFirst(dir)
		checkHostile(t, err, dir)
	})
	t.Run("link out", func(t *testing.T) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, ".zarray"), []byte(zarray), 0o600)
		link := filepath.Join(dir, "0.0")
		err := os.Symlink(outside, link)
		if st, _ := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
			t.Skip("no symbolic links here:", err)
		}
		if err := readFirst(dir); err == nil {
			t.Fatal("a link out of the folder was followed")
		}
	})
}

// checkHostile wants a typed one-line error that names the file.
func checkHostile(t *testing.T, err error, name string) {
	t.Helper()
	var fe *plane.FormatError
	var ue *plane.UnsupportedError
	var le *plane.LimitError
	if !errors.As(err, &fe) && !errors.As(err, &ue) && !errors.As(err, &le) {
		t.Fatalf("got %v (%T)", err, err)
	}
	if s := err.Error(); !strings.Contains(s, name) || strings.Contains(s, "\n") || len(s) > 500 {
		t.Errorf("message %q", s)
	}
}

// TestPlainChunk: a chunk without compression has the bytes of its samples, neither
// fewer nor more, or its array is another than the file says.
func TestPlainChunk(t *testing.T) {
	for n, fine := range map[int]bool{3: false, 4: true, 5: false} {
		if err := decodeChain(nil, make([]byte, 4), make([]byte, n)); (err == nil) != fine {
			t.Errorf("%d bytes of 4: %v", n, err)
		}
	}
}

// TestLZ4SaysItsSize: before the block stands how many bytes it unpacks to.
func TestLZ4SaysItsSize(t *testing.T) {
	lz4, err := newCodec("lz4")
	if err != nil {
		t.Fatal(err)
	}
	for size, ok := range map[string]bool{"\x05\x00\x00\x00": true, "\x06\x00\x00\x00": false, "\x04\x00\x00\x00": false} {
		out := make([]byte, 5)
		if err := lz4.decode(out, []byte(size+"\x50hello")); (err == nil) != ok {
			t.Errorf("size %q: %v", size, err)
		}
	}
}

func TestUnLZ4(t *testing.T) {
	for src, want := range map[string]string{
		"\x50hello":                               "hello",
		"\x1fa\x01\x00\x00\x50aaaaa":              "aaaaaaaaaaaaaaaaaaaaaaaaa",
		"\x32abc\x03\x00\x10d":                    "abcabcabcd",
		"\xf0\x01" + strings.Repeat("xy", 8):      strings.Repeat("xy", 8),
		"\x4fabcd\x04\x00\xff\x01\x10z":           "abcd" + strings.Repeat("abcd", 69)[:275] + "z",
		"\xf0\xff\x00" + strings.Repeat("q", 270): strings.Repeat("q", 270),
	} {
		out := make([]byte, len(want))
		if err := unlz4(out, []byte(src)); err != nil || string(out) != want {
			t.Errorf("%q: %v, %q", src, err, out)
		}
		for i := range len(src) {
			if err := unlz4(make([]byte, len(want)), []byte(src[:i])); err == nil {
				t.Errorf("%q cut to %d bytes was accepted", src, i)
			}
		}
	}
	for _, src := range []string{"\x10a\x00\x00", "\x10a\x02\x00", "\xff\xff\xff", "\x1fa\x01\x00\xff\xff\xff"} {
		if err := unlz4(make([]byte, 40), []byte(src)); err == nil {
			t.Errorf("%q accepted", src)
		}
	}
}

// readFirst reads the first plane whole.
func readFirst(dir string) error {
	f, err := Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadPlane(0)
	return err
}
