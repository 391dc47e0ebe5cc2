package imageio

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/imageio/plane"
	"unet/unet/imageio/tiff"
)

// colourFile writes three gray pages, named in an OME description, whose samples
// are 10, 20 and 30.
func colourFile(t *testing.T, names ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.ome.tif")
	xml := `<OME><Image><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="4" SizeY="2" SizeC="3" SizeZ="1" SizeT="1"><Channel Name="` +
		strings.Join(names, `"/><Channel Name="`) + `"/><TiffData/></Pixels></Image></OME>`
	w, err := tiff.Create(path, tiff.Options{W: 4, H: 2, Bits: 8, Pages: 3, Description: xml})
	if err != nil {
		t.Fatal(err)
	}
	for c := range 3 {
		row := make([]uint32, 8)
		for i := range row {
			row[i] = uint32(10 * (c + 1))
		}
		if err := w.WriteLabels(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNamedColoursAreOneImage: channels named red, green and blue are colours,
// of which each can be chosen; others are joined only when asked.
func TestNamedColoursAreOneImage(t *testing.T) {
	open := func(names ...string) *File {
		f, err := Open(colourFile(t, names...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	check := func(f *File, i int, want ...float32) {
		t.Helper()
		m, err := f.ReadPlane(i)
		if err != nil || m.C != len(want) || f.Planes[i].C != len(want) {
			t.Fatalf("%+v %v", m, err)
		}
		for c, v := range want {
			if m.Plane(c)[7] != v {
				t.Errorf("sample %d is %v, want %v", c, m.Plane(c)[7], v)
			}
		}
	}
	f := open("Red", "Green", "Blue")
	if len(f.Planes) != 1 || len(f.Notes) != 1 {
		t.Fatalf("%+v, notes %q", f.Planes, f.Notes)
	}
	check(f, 0, 10, 20, 30)
	f.ChooseSamples(func(channel int, name string) bool { return name == "blue" })
	if len(f.Planes) != 1 || f.Planes[0].Name != "blue" || f.Planes[0].Channel != 2 {
		t.Fatalf("%+v", f.Planes)
	}
	check(f, 0, 30)
	if l, err := f.ReadLabels(0); err != nil || l.ID[0] != 30 {
		t.Errorf("%v %v", l, err)
	}
	if f := open("R", "G", "B"); len(f.Planes) != 1 {
		t.Errorf("letters: %+v", f.Planes)
	}
	if f := open("Channel Red", "Channel Green", "Channel Blue"); len(f.Planes) != 1 {
		t.Errorf("with a word more: %+v", f.Planes)
	}
	reversed := open("blue", "green", "red")
	if len(reversed.Planes) != 1 || reversed.Planes[0].Channel != 0 {
		t.Fatalf("%+v", reversed.Planes)
	}
	check(reversed, 0, 30, 20, 10) // the names decide, not the order
	for _, names := range [][]string{{"red", "red", "blue"}, {"red", "green", ""}, {"red", "green", "DAPI"}} {
		if f := open(names...); len(f.Planes) != 3 {
			t.Errorf("%q: %+v", names, f.Planes)
		}
	}
	other := open("DAPI", "GFP", "TRITC")
	if len(other.Planes) != 3 || len(other.Notes) != 0 {
		t.Fatalf("%+v, notes %q", other.Planes, other.Notes)
	}
	if !other.JoinColours() || len(other.Planes) != 1 {
		t.Fatalf("%+v", other.Planes)
	}
	check(other, 0, 10, 20, 30)
}

// TestChooseSamples: one sample of a colour file, by name or number.
func TestChooseSamples(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 3, 2))
	for y := range 2 {
		for x := range 3 {
			m.SetRGBA(x, y, color.RGBA{1, 2, byte(100 + 3*y + x), 255})
		}
	}
	for name, has := range map[string]func(int, string) bool{
		"by name":   func(_ int, name string) bool { return name == "blue" },
		"by number": func(channel int, _ string) bool { return channel == 2 },
	} {
		f, err := OpenData("a.png", encodePNG(t, m))
		if err != nil {
			t.Fatal(err)
		}
		f.ChooseSamples(has)
		got, err := f.ReadRegion(0, 1, 1, 2, 1)
		if err != nil || len(f.Planes) != 1 || got.C != 1 || got.Pix[0] != 104 || got.Pix[1] != 105 || got.Channels[0] != "blue" {
			t.Errorf("%s: %+v %+v %v", name, f.Planes, got, err)
		}
	}
	f, err := OpenData("a.png", encodePNG(t, m))
	if err != nil {
		t.Fatal(err)
	}
	f.ChooseSamples(func(int, string) bool { return true })
	if len(f.Planes) != 1 || f.Planes[0].C != 3 {
		t.Errorf("all: %+v", f.Planes)
	}
	f.ChooseSamples(func(channel int, _ string) bool { return channel < 2 })
	if len(f.Planes) != 2 || f.Planes[1].Name != "green" {
		t.Errorf("two: %+v", f.Planes)
	}
}

// TestMergedFluorescence tells saturated colours on black from stained tissue,
// gray images and photographs of pale things.
func TestMergedFluorescence(t *testing.T) {
	fill := func(f func(i int) (r, g, b float32)) *Image {
		m := NewImage(40, 40, 3)
		for i := range 1600 {
			m.Plane(0)[i], m.Plane(1)[i], m.Plane(2)[i] = f(i)
		}
		return m
	}
	for name, c := range map[string]struct {
		m    *Image
		want bool
	}{
		"blue nuclei, green cells": {fill(func(i int) (r, g, b float32) {
			if i%5 == 0 {
				return 0, 30, 220
			} else if i%5 == 1 {
				return 10, 180, 20
			}
			return 5, 6, 8
		}), true},
		"stained tissue": {fill(func(i int) (r, g, b float32) {
			if i%3 == 0 {
				return 120, 60, 150
			}
			return 240, 230, 245
		}), false},
		"gray on black": {fill(func(i int) (r, g, b float32) { v := float32(i % 4 * 60); return v, v, v }), false},
		"black":         {fill(func(int) (r, g, b float32) { return 0, 0, 0 }), false},
	} {
		if got := plane.MergedFluorescence(c.m); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestColourKey: the value that a PNG would show transparent is a value.
func TestColourKey(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 2, 1))
	m.Pix = []byte{7, 200}
	data := encodePNG(t, m)
	chunk := []byte("tRNS\x00\xc8")
	key := binary.BigEndian.AppendUint32(nil, 2)
	key = binary.BigEndian.AppendUint32(append(key, chunk...), crc32.ChecksumIEEE(chunk))
	data = append(data[:33:33], append(key, data[33:]...)...)
	if o, err := png.Decode(bytes.NewReader(data)); err != nil || o.ColorModel() == color.GrayModel {
		t.Fatal("the test's file has no transparent value", err)
	}
	f, err := OpenData("a.png", data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.ReadPlane(0)
	if err != nil || got.C != 1 || got.Pix[1] != 200 || len(f.Notes) != 0 {
		t.Errorf("%+v %v, notes %q", got, err, f.Notes)
	}
	if l, err := f.ReadLabels(0); err != nil || l.ID[1] != 200 {
		t.Errorf("%v %v", l, err)
	}
}

// TestOrientation: an image marked as turned is read as it is stored, and that
// is said.
func TestOrientation(t *testing.T) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	exif := "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00"
	app := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(exif)+2))
	turned := append([]byte{0xff, 0xd8}, append(append(app, exif...), b.Bytes()[2:]...)...)
	for name, c := range map[string]struct {
		data []byte
		want int
	}{"turned": {turned, 1}, "not": {b.Bytes(), 0}, "cut": {append([]byte{0xff, 0xd8}, append(append(app, exif[:18]...), b.Bytes()[2:]...)...), 0}} {
		f, err := OpenData("a.jpg", c.data)
		if err != nil {
			if name != "cut" {
				t.Error(err)
			}
			continue
		}
		if len(f.Notes) != c.want || c.want > 0 && !strings.Contains(f.Notes[0], "orientation 3") {
			t.Errorf("%s: notes %q", name, f.Notes)
		}
	}
}

// TestFilesThatHoldNoLabels are refused: numbers that compression changes, and
// palettes whose background is not 0.
func TestFilesThatHoldNoLabels(t *testing.T) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	webp, err := os.ReadFile(testdata("rgb8.webp"))
	if err != nil {
		t.Fatal(err)
	}
	p := image.NewPaletted(image.Rect(0, 0, 9, 9), color.Palette{color.White, color.Black, color.Gray{9}, color.Gray{99}, color.Gray{5}})
	for i := range p.Pix {
		p.Pix[i] = 4
	}
	p.Pix[40] = 3
	normal := image.NewPaletted(p.Rect, p.Palette)
	normal.Pix[40] = 3
	for name, data := range map[string][]byte{"a.jpg": b.Bytes(), "palette.png": encodePNG(t, p)} {
		_, err := DecodeLabels(name, data)
		checkHostile(t, err, name)
	}
	if l, err := DecodeLabels("normal.png", encodePNG(t, normal)); err != nil || l.ID[40] != 3 || l.ID[0] != 0 {
		t.Errorf("%v", err)
	}
	animated := bytes.Clone(webp)
	copy(animated[12:], "VP8X")
	animated[20] = 2
	if _, err := Decode("a.webp", animated); err == nil || !strings.Contains(err.Error(), "animated WebP") {
		t.Errorf("%v", err)
	}
	if _, err := Decode("a.npy", []byte("\x93NUMPY\x01\x00v\x00{'descr'")); err == nil || !strings.Contains(err.Error(), "NumPy") {
		t.Errorf("%v", err)
	}
}

// TestDoubts: what is hardly a label image is said in words.
func TestDoubts(t *testing.T) {
	make64 := func(f func(x, y int) uint32) *Labels {
		l := NewLabels(64, 64)
		for i := range l.ID {
			l.ID[i] = f(i%64, i/64)
		}
		return l
	}
	square := func(x, y int) bool { return x%32 > 8 && x%32 < 20 && y%32 > 8 && y%32 < 20 }
	for name, c := range map[string]struct {
		l    *Labels
		want string
	}{
		"labels": {make64(func(x, y int) uint32 {
			if square(x, y) {
				return uint32(1 + x/32 + y/32*2)
			}
			return 0
		}), ""},
		"mask": {make64(func(x, y int) uint32 {
			if square(x, y) {
				return 255
			}
			return 0
		}), "its only number is 255, as in a mask: its 4 separate pieces"},
		"one nucleus": {make64(func(x, y int) uint32 {
			if square(x, y) && x < 32 && y < 32 {
				return 1
			}
			return 0
		}), ""},
		"background": {make64(func(x, y int) uint32 {
			if square(x, y) {
				return uint32(x / 32)
			}
			return 4
		}), "the number 4 covers"},
		"intensities": {make64(func(x, y int) uint32 { return uint32((x*7 + y*13) % 50) }), "image of intensities"},
		"one large":   {make64(func(x, y int) uint32 { return 1 }), "the number 1 covers 100 %"},
	} {
		got := strings.Join(c.l.Doubts(), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestPNGPixelSize: a PNG file may say how many pixels a metre has; what it says
// for print is no pixel size.
func TestPNGPixelSize(t *testing.T) {
	plain := encodePNG(t, image.NewGray(image.Rect(0, 0, 2, 2)))
	for _, c := range []struct {
		x, y  uint32
		unit  byte
		want  plane.PixelSize
		notes int
	}{
		{2e6, 1e6, 1, plane.PixelSize{X: 0.5, Y: 1}, 0},
		{2835, 2835, 1, plane.PixelSize{}, 1},   // 72 dots per inch
		{11811, 11811, 1, plane.PixelSize{}, 1}, // 300
		{2e6, 1e6, 0, plane.PixelSize{}, 0},     // a proportion
		{0, 1, 1, plane.PixelSize{}, 0},
		{1<<32 - 1, 1<<32 - 1, 1, plane.PixelSize{X: 1e6 / (1<<32 - 1), Y: 1e6 / (1<<32 - 1)}, 0},
	} {
		chunk := binary.BigEndian.AppendUint32([]byte("pHYs"), c.x)
		chunk = append(binary.BigEndian.AppendUint32(chunk, c.y), c.unit)
		data := append([]byte{}, plain[:33]...)
		data = append(binary.BigEndian.AppendUint32(data, 9), chunk...)
		data = append(binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(chunk)), plain[33:]...)
		f, err := OpenData("a.png", data)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Planes[0].PixelSize; got != c.want || len(f.Notes) != c.notes {
			t.Errorf("%d x %d in unit %d: %v, notes %q", c.x, c.y, c.unit, got, f.Notes)
		}
	}
}
