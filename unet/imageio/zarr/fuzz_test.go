package zarr

import (
	"os"
	"path/filepath"
	"testing"
	"unet/unet/imageio/plane/planetest"
)

// FuzzZarr covers the metadata of groups and arrays of both versions; chunk is
// the content of every chunk that is asked for.
func FuzzZarr(f *testing.F) {
	dir := unzipZarr(f)
	read := func(path ...string) []byte {
		b, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	for _, name := range []string{"v2-blosc-lz4", "v2-zlib-be", "v2-blosclz", "v2-blosc-bitshuffle"} {
		f.Add(false, read(name+".zarr", ".zattrs"), read(name+".zarr", "0", ".zarray"), read(name+".zarr", "0", "0", "0", "0", "0"))
	}
	for _, name := range []string{"v3-zstd", "v3-gzip-be", "v3-sharded", "v3-raw"} {
		f.Add(true, read(name+".zarr", "zarr.json"), read(name+".zarr", "0", "zarr.json"), read(name+".zarr", "0", "c", "0", "0", "0", "0"))
	}
	f.Fuzz(func(t *testing.T, v3 bool, group, array, chunk []byte) {
		if len(group)+len(array)+len(chunk) > 1<<13 {
			return
		}
		dir := filepath.Join(t.TempDir(), "fuzz")
		files := map[string][]byte{".zattrs": group, "0/.zarray": array}
		if v3 {
			files = map[string][]byte{"zarr.json": group, "0/zarr.json": array}
		}
		for _, at := range []string{"0.0", "0/0", "c/0/0", "0/0/0", "0.0.0", "0/0/0/0", "0.0.0.0", "c/0/0/0/0", "c.0.0.0.0"} {
			files["0/"+at] = chunk
		}
		for file, data := range files {
			file = filepath.Join(dir, file)
			os.MkdirAll(filepath.Dir(file), 0o700)
			os.WriteFile(file, data, 0o600) // fails where a chunk's path is another's folder
		}
		file, err := Open(dir)
		planetest.Read(t, file, err)
	})
}

// FuzzInflaters covers the decompressors written here.
func FuzzInflaters(f *testing.F) {
	f.Add([]byte("\x32abc\x03\x00\x10d"), uint16(10))
	f.Add([]byte("\x02\x01\x21\x02\x40\x00\x00\x00\x40\x00\x00\x00\x20\x00\x00\x00\x14\x00\x00\x00\x04\x00\x00\x00\x1fa\x01\x00"), uint16(64))
	f.Add([]byte("\x05abcdef\x20\x02\x00z"), uint16(10))
	f.Fuzz(func(t *testing.T, src []byte, n uint16) {
		out := make([]byte, n)
		unblosc(out, src)
		unlz4(out, src)
		unblosclz(out, src)
	})
}

// FuzzPlate covers the metadata of plates, wells and their images.
func FuzzPlate(f *testing.F) {
	seed := testPlate()
	f.Add([]byte(seed[".zattrs"]), []byte(seed["B/03/.zattrs"]), []byte(seed["B/03/0/.zattrs"]), []byte(seed["B/03/0/0/.zarray"]))
	f.Add([]byte(`{"plate": {"wells": [{"path": "B/03"}, {"path": "../x"}, {"path": "B/03"}]}}`), []byte(`{"well": {"images": [{"path": "0"}, {"path": "."}]}}`),
		[]byte(`{"multiscales": []}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, plate, well, image, array []byte) {
		if len(plate)+len(well)+len(image)+len(array) > 1<<13 {
			return
		}
		dir := filepath.Join(t.TempDir(), "fuzz")
		for file, data := range map[string][]byte{".zattrs": plate, "B/03/.zattrs": well, "C/03/.zattrs": well, "B/03/0/.zattrs": image,
			"B/03/0/0/.zarray": array, "B/03/0/1/.zarray": array, "C/03/0/.zattrs": image, "C/03/0/0/.zarray": array} {
			file = filepath.Join(dir, file)
			os.MkdirAll(filepath.Dir(file), 0o700)
			os.WriteFile(file, data, 0o600)
		}
		file, err := Open(dir)
		planetest.OneLine(t, err)
		if err != nil {
			return
		}
		if file.Levels > 1 {
			planetest.OneLine(t, file.UseLevel(1))
		}
		planetest.Read(t, file, nil)
	})
}
