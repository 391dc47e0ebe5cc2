package cli

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// hostileFiles are the rows of TestMisuse for files that are cut short, lie
// about their sizes, go in circles, or lead out of their folder. They run in
// the folder that badFiles fills.
var hostileFiles = []misuse{
	// Cut short, every format.
	{args: "predict cut.jpg --out OUT", code: exitInput, says: "cut.jpg"},
	{args: "predict cut.bmp --out OUT", code: exitInput, says: "cut.bmp"},
	{args: "predict cut.gif --out OUT", code: exitInput, says: "cut.gif"},
	{args: "predict cut.webp --out OUT", code: exitInput, says: "cut.webp"},
	{args: "predict cut-strips.tif --out OUT", code: exitInput, says: "cut-strips.tif"},
	{args: "predict cut-tiles.tif --out OUT", code: exitInput, says: "cut-tiles.tif"},
	{args: "predict cut-big.tif --out OUT", code: exitInput, says: "cut-big.tif"},
	{args: "predict cut-ome.tif --out OUT", code: exitInput, says: "cut-ome.tif"},
	{args: "predict cut-imagej.tif --out OUT", code: exitInput, says: "cut-imagej.tif"},
	{args: "predict cut.zarr --out OUT", code: exitInput, says: "cut.zarr"},
	{args: "predict chunk.zarr --out OUT", code: exitInput, says: "chunk.zarr"},
	{args: "predict chunk.zarr good.png --out chunk.zarr", code: exitUsage, says: "chunk.zarr lies in an image"},
	{args: "predict good.png chunk.zarr --out chunk.zarr/0 --shard 1/2", code: exitUsage, says: "lies in an image"},
	{args: "convert cut.geojson OUT.tif --size 64x48", code: exitInput, says: "cut.geojson"},
	{args: "convert cut.json OUT.tif", code: exitInput, says: "cut.json"},
	{args: "convert cut-rois.zip OUT.tif --size 64x48", code: exitInput, says: "cut-rois.zip"},
	{args: "train cut-set --out OUT", code: exitInput, says: "metadata.json"},
	{args: "evaluate cut-set", code: exitInput, says: "metadata.json"},
	// Sizes that are not true.
	{args: "predict lies.bmp --out OUT", code: exitResource, says: "lies.bmp"},
	{args: "predict lies.jpg --out OUT", code: exitResource, says: "lies.jpg"},
	{args: "predict lies.gif --out OUT", code: exitResource, says: "lies.gif"},
	{args: "predict lies.tif --out OUT", code: exitResource, says: "lies.tif"},
	{args: "measure lies.tif", code: exitResource, says: "lies.tif"},
	{args: "predict lies.zarr --out OUT", code: exitResource, says: "lies.zarr"},
	{args: "evaluate --solution lies.csv lies.csv", code: exitInput, says: "4294967296"},
	{args: "evaluate --solution outside.csv outside.csv", code: exitInput, says: "ends beyond"},
	{args: "evaluate --solution bad.csv bad.csv", code: exitInput, says: "bad.csv"},
	{args: "predict --from-file long.yaml --out OUT", code: exitInput, says: "long.yaml"},
	// Zip bombs.
	{args: "prepare overlap.zip --out OUT", code: exitInput, says: "zip bombs"},
	{args: "prepare more.zip --out OUT", code: exitInput, says: "more.zip", prints: "error unreadable"},
	{args: "prepare inner.zip --out OUT", code: exitInput, says: "claims"},
	{args: "prepare twice.zip --out OUT", code: exitInput, says: "twice"},
	{args: "prepare huge.zip --out OUT", code: exitInput, says: "huge.zip", prints: "1048576x1048576 pixels"},
	{args: "convert more.zip OUT.tif --size 64x48", code: exitInput, says: "more.zip"},
	// Circles.
	{args: "predict loop.tif --out OUT", code: exitInput, says: "loop.tif"},
	{args: "convert loop.tif OUT.zip", code: exitInput, says: "loop.tif"},
	// Ways out of a folder.
	{args: "prepare linked --out OUT", code: exitInput, says: "symbolic link"},
	{args: "inspect linked", code: exitInput, says: "symbolic link"},
	{args: "train out-set --out OUT", code: exitInput, says: "../../escaped"},
}

// writeHostileFiles adds those files to the folder of badFiles.
func writeHostileFiles(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	reference := func(name string) []byte {
		return read(filepath.Join("..", "unet", "imageio", "testdata", name))
	}
	cut := func(b []byte) []byte { return b[:len(b)*2/3] }

	for name, from := range map[string]string{"cut.jpg": "smooth.jpg", "cut.bmp": "rgb8.bmp", "cut.gif": "frames.gif", "cut.webp": "rgb8.webp",
		"cut-strips.tif": "u8-strips.tif", "cut-tiles.tif": "u32-be-packbits-tiles.tif", "cut-big.tif": "big-u16-tiles.tif",
		"cut-ome.tif": "ome-rgb.ome.tif", "cut-imagej.tif": "imagej-one-directory.tif"} {
		write(name, cut(reference(from)))
	}
	for name, to := range map[string]string{"cut.geojson": "whole.geojson", "cut.json": "whole.json", "cut-rois.zip": "whole.zip"} {
		mustRun(t, exitOK, "convert", at("labels.tif"), at(to), "--quiet")
		write(name, cut(read(at(to))))
	}
	meta := read(at("set/metadata.json"))
	write("cut-set/metadata.json", cut(meta))
	entry := []byte(`"id": "`)
	if !bytes.Contains(meta, entry) {
		t.Fatal("the metadata names no image")
	}
	write("out-set/metadata.json", bytes.Replace(meta, entry, []byte(`"id": "../../escaped`), 1))

	bmp := bytes.Clone(reference("rgb8.bmp"))
	binary.LittleEndian.PutUint32(bmp[18:], 1<<20)
	binary.LittleEndian.PutUint32(bmp[22:], 1<<20)
	write("lies.bmp", bmp)
	gif := bytes.Clone(reference("frames.gif"))
	binary.LittleEndian.PutUint32(gif[6:], 0xffffffff)
	write("lies.gif", gif)
	jpg := bytes.Clone(reference("smooth.jpg"))
	frame := bytes.Index(jpg, []byte{0xff, 0xc0})
	if frame < 0 {
		t.Fatal("no frame in the JPEG file")
	}
	binary.BigEndian.PutUint32(jpg[frame+5:], 0xffffffff)
	write("lies.jpg", jpg)
	// One strip of 100 bytes for 2^24 x 2^24 pixels.
	const short, long = 3, 4
	size24 := []tag{{256, long, 1 << 24}, {257, long, 1 << 24}, {258, short, 8}, {262, short, 1}, {273, long, 8}, {278, long, 1 << 24}, {279, long, 100}}
	header := []byte{'I', 'I', 42, 0, 8, 0, 0, 0}
	write("lies.tif", append(header, directory(0, size24...)...))
	// Two directories, each the other's successor.
	small := []tag{{256, long, 2}, {257, long, 2}, {258, short, 8}, {262, short, 1}, {273, long, 0}, {278, long, 2}, {279, long, 4}}
	first := directory(uint32(len(header)+len(directory(0, small...))), small...)
	write("loop.tif", append(append(header, first...), directory(uint32(len(header)), small...)...))

	const group = `{"multiscales":[{"version":"0.4","axes":[{"name":"y","type":"space"},{"name":"x","type":"space"}],"datasets":[{"path":"0","coordinateTransformations":[{"type":"scale","scale":[1,1]}]}]}]}`
	array := func(shape, compressor string) []byte {
		return []byte(`{"zarr_format":2,"shape":` + shape + `,"chunks":[64,64],"dtype":"|u1","compressor":` + compressor + `,"fill_value":0,"order":"C","filters":null}`)
	}
	write("cut.zarr/.zattrs", cut([]byte(group)))
	write("chunk.zarr/.zattrs", []byte(group))
	write("chunk.zarr/0/.zarray", array("[64,64]", `{"id":"zlib","level":1}`))
	write("chunk.zarr/0/0.0", []byte{0x78, 0x9c, 1, 2, 3})
	write("lies.zarr/.zattrs", []byte(group))
	write("lies.zarr/0/.zarray", array("[9000000000000000000,9000000000000000000]", "null"))

	write("lies.csv", []byte("ImageId,EncodedPixels,Height,Width\na,1 3,4294967296,4294967296\n"))
	write("outside.csv", []byte("ImageId,EncodedPixels,Height,Width\na,20 9,5,5\n"))

	archive := func(name string, entries ...zipEntry) { write(name, rawZip(t, entries...)) }
	zeros := deflated(t, make([]byte, 8<<20))
	archive("overlap.zip", zipEntry{zip.FileHeader{Name: "a/images/a.png", CompressedSize64: 1 << 30, UncompressedSize64: 9}, zeros})
	archive("more.zip", zipEntry{zip.FileHeader{Name: "a/images/a.png", Method: zip.Deflate, CompressedSize64: uint64(len(zeros)), UncompressedSize64: 9}, zeros},
		zipEntry{zip.FileHeader{Name: "a/masks/a.png", Method: zip.Deflate, CompressedSize64: uint64(len(zeros)), UncompressedSize64: 9}, zeros},
		zipEntry{zip.FileHeader{Name: "a.roi", Method: zip.Deflate, CompressedSize64: uint64(len(zeros)), UncompressedSize64: 9}, zeros})
	archive("inner.zip", zipEntry{zip.FileHeader{Name: "stage1_train.zip", Method: zip.Deflate, CompressedSize64: uint64(len(zeros)), UncompressedSize64: 1 << 50}, zeros})
	archive("twice.zip", zipEntry{zip.FileHeader{Name: "a/images/a.png"}, nil}, zipEntry{zip.FileHeader{Name: "a/images/a.png"}, nil})
	huge := read(at("huge.png"))
	size := uint64(len(huge))
	archive("huge.zip", zipEntry{zip.FileHeader{Name: "a/images/a.png", CompressedSize64: size, UncompressedSize64: size}, huge},
		zipEntry{zip.FileHeader{Name: "a/masks/a.png", CompressedSize64: size, UncompressedSize64: size}, huge})

	if err := os.MkdirAll(at("linked/a/images"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("good.png"), at("linked/a/images/a.png")); err != nil {
		t.Fatal(err)
	}
}

// zipEntry is an entry of an archive whose header need not be true.
type zipEntry struct {
	head zip.FileHeader
	data []byte
}

func rawZip(t *testing.T, entries ...zipEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.CreateRaw(&e.head)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(e.data)
	}
	z.Close()
	return b.Bytes()
}

func deflated(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// tag is an entry of a TIFF directory with a value in place.
type tag struct {
	id, kind uint16
	value    uint32
}

// directory is one of a little-endian TIFF, with the offset of the next.
func directory(next uint32, tags ...tag) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(len(tags)))
	for _, e := range tags {
		b = binary.LittleEndian.AppendUint16(b, e.id)
		b = binary.LittleEndian.AppendUint16(b, e.kind)
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, e.value)
	}
	return binary.LittleEndian.AppendUint32(b, next)
}
