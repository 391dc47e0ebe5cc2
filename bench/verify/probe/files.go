//go:build unix

package main

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"unet/bench/program"
)

// base holds the program and the good files that every row starts from.
type base struct{ unet, path string }

// settings of a training of less than a second.
var settings = program.Settings(2, 2)

// testData has images in all formats, from the root of the repository.
const testData = "unet/imageio/testdata"

// newBase makes the good files: images.zip, set prepared from it, config.yaml,
// model.safetensors trained by it, a.png, b.png, labels.tif of a.png, its regions
// in every other format, and model-made files of every image format as good.EXT.
func newBase(path, unet string) (*base, error) {
	b := &base{unet, path}
	d := &dir{path: path}
	d.check(os.MkdirAll(d.at("tmp"), 0o755))
	d.write("config.yaml", []byte(settings))
	run := func(args string) {
		if d.err != nil {
			return
		}
		if out, err := b.command(context.Background(), path, row{args: args}).CombinedOutput(); err != nil {
			d.check(fmt.Errorf("unet %s: %w: %s", args, err, out))
		}
	}
	run("sample --out images.zip --count 10 --size 64 --quiet")
	run("prepare images.zip --out set --size native --quiet")
	run("train set --config config.yaml --out run --quiet")
	for from, to := range map[string]string{"set/images/pink-purple-0007a.png": "a.png", "set/images/gray-tissue-0004a.png": "b.png",
		"set/labels/pink-purple-0007a.png": "labels.png", "run/model.safetensors": "model.safetensors"} {
		d.write(to, d.read(from))
	}
	for _, name := range []string{"labels.tif", "rois.zip", "x.geojson", "x.json"} {
		run("convert labels.png " + name + " --quiet")
	}
	run("convert labels.png x.csv --quiet")
	for ext, from := range goodImages {
		b, err := os.ReadFile(filepath.Join(testData, from))
		d.check(err)
		d.write("good."+ext, b)
	}
	d.zarr("good.zarr", "[64,64]", "[64,64]")
	d.write("good.zarr/0/0.0", make([]byte, 64*64))
	if d.err == nil {
		d.check(os.RemoveAll(d.at("run")))
		d.check(os.RemoveAll(d.at("tmp")))
	}
	return b, d.err
}

// goodImages are the test data of each format, by extension.
var goodImages = map[string]string{"png": "u16.png", "jpg": "smooth.jpg", "bmp": "rgb8.bmp", "gif": "frames.gif", "webp": "rgb8.webp",
	"tif": "u8-strips.tif", "ome.tif": "ome-rgb.ome.tif", "tiles.tif": "u8-zstd-tiles.tif", "big.tif": "big-u16-tiles.tif",
	"lzw.tif": "u16-lzw-p2.tif", "deflate.tif": "u32-deflate-p2.tif", "packbits.tif": "u8-packbits.tif", "jpeg.tif": "jpeg-ycbcr.tif",
	"imagej.tif": "imagej-one-directory.tif", "float.tif": "f32-deflate-p3.tif"}

// dir is the folder of a row. It keeps the first error.
type dir struct {
	path string
	err  error
}

func (d *dir) check(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *dir) at(name string) string { return filepath.Join(d.path, name) }

func (d *dir) read(name string) []byte {
	b, err := os.ReadFile(d.at(name))
	d.check(err)
	return b
}

func (d *dir) write(name string, b []byte) {
	d.check(os.MkdirAll(filepath.Dir(d.at(name)), 0o755))
	d.check(os.WriteFile(d.at(name), b, 0o644))
}

func (d *dir) text(name, s string) { d.write(name, []byte(s)) }

func (d *dir) copy(from, to string) { d.write(to, d.read(from)) }

func (d *dir) folder(name string) { d.check(os.MkdirAll(d.at(name), 0o755)) }

func (d *dir) pipe(name string) {
	d.check(os.MkdirAll(filepath.Dir(d.at(name)), 0o755))
	d.check(os.RemoveAll(d.at(name)))
	d.check(syscall.Mkfifo(d.at(name), 0o644))
}

// link makes a symbolic link, in place of what may be there.
func (d *dir) link(to, name string) {
	d.check(os.MkdirAll(filepath.Dir(d.at(name)), 0o755))
	d.check(os.RemoveAll(d.at(name)))
	d.check(os.Symlink(to, d.at(name)))
}

func (d *dir) hardLink(to, name string) {
	d.check(os.MkdirAll(filepath.Dir(d.at(name)), 0o755))
	d.check(os.Link(d.at(to), d.at(name)))
}

func (d *dir) mode(name string, m os.FileMode) { d.check(os.Chmod(d.at(name), m)) }

// damage writes over a file what f makes of it.
func (d *dir) damage(name string, f func([]byte) []byte) { d.write(name, f(d.read(name))) }

// hole makes a file of so many bytes that takes no room.
func (d *dir) hole(name string, size int64) {
	d.write(name, nil)
	d.check(os.Truncate(d.at(name), size))
}

// zarr makes an OME-Zarr image of bytes, without chunks.
func (d *dir) zarr(name, shape, chunks string) {
	d.text(name+"/.zgroup", `{"zarr_format":2}`)
	d.text(name+"/.zattrs", `{"multiscales":[{"version":"0.4","axes":[{"name":"y","type":"space"},{"name":"x","type":"space"}],"datasets":[{"path":"0","coordinateTransformations":[{"type":"scale","scale":[1,1]}]}]}]}`)
	d.text(name+"/0/.zarray", `{"zarr_format":2,"shape":`+shape+`,"chunks":`+chunks+`,"dtype":"|u1","compressor":null,"fill_value":0,"order":"C","filters":null}`)
}

// png returns a black image of one byte per pixel, compressed to a thousandth.
func png(width, height int) []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(data))))
		body := append([]byte(kind), data...)
		b.Write(body)
		b.Write(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(width))
	head = binary.BigEndian.AppendUint32(head, uint32(height))
	chunk("IHDR", append(head, 8, 0, 0, 0, 0))
	chunk("IDAT", zeros(int64(height)*int64(width+1)))
	chunk("IEND", nil)
	return b.Bytes()
}

// strip returns a black TIFF of one byte per pixel in one strip of Deflate.
func strip(width, height int) []byte {
	data := zeros(int64(width) * int64(height))
	tags := []struct{ tag, kind, value uint32 }{{256, 4, uint32(width)}, {257, 4, uint32(height)}, {258, 3, 8}, {259, 3, 8}, {262, 3, 1},
		{273, 4, 8}, {277, 3, 1}, {278, 4, uint32(height)}, {279, 4, uint32(len(data))}}
	b := append([]byte("II*\x00"), 0, 0, 0, 0)
	b = append(b, data...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(tags)))
	for _, t := range tags {
		b = binary.LittleEndian.AppendUint16(b, uint16(t.tag))
		b = binary.LittleEndian.AppendUint16(b, uint16(t.kind))
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, t.value)
	}
	return append(b, 0, 0, 0, 0)
}

// zeros returns so many bytes of zero as a zlib stream.
func zeros(n int64) []byte {
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, zlib.BestSpeed)
	io.Copy(z, io.LimitReader(nothing{}, n))
	z.Close()
	return b.Bytes()
}

// nothing is an endless stream of zeros.
type nothing struct{}

func (nothing) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// archive makes a zip of stored files, given as names and contents in turns.
func archive(files ...any) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: files[i].(string)})
		w.Write(files[i+1].([]byte))
	}
	z.Close()
	return b.Bytes()
}

// weight overwrites the last weight of a model of float32.
func weight(bits uint32) func([]byte) []byte {
	return func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[len(b)-4:], bits)
		return b
	}
}

// header replaces a text in the header of a model, whose length stays right.
func header(old, new string) func([]byte) []byte {
	return func(b []byte) []byte {
		n := binary.LittleEndian.Uint64(b)
		h := strings.Replace(string(b[8:8+n]), old, new, 1)
		out := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
		return append(append(out, h...), b[8+n:]...)
	}
}

func half(b []byte) []byte { return b[:len(b)/2] }
