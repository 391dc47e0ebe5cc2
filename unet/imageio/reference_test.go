package imageio

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/imageio/plane"
)

// The files of testdata come from bench/verify/testfiles/make_tiff.py, written by
// tifffile, libtiff (through Pillow) and zarr-python. Their samples follow a
// formula, repeated here, so that every sample of every file is checked.

const refW, refH = 21, 19

// refValue is the script's value.
func refValue(typ string, plane, channel, x, y int) float64 {
	v := float64((x*7 + y*13 + channel*31 + plane*57) % 251)
	switch typ {
	case "u8":
		return v
	case "i8":
		return v - 125
	case "u16":
		return v*257 + float64(x)
	case "i16":
		return (v-125)*250 + float64(x)
	case "u32", "u64":
		return v*70001 + float64(x)
	case "i32", "i64":
		return (v - 125) * 70001
	case "f16":
		return (v - 125) / 8
	case "f32", "f64":
		return (v-125)/8 + float64(x)/1024
	case "smooth": // what JPEG keeps nearly; RGB
		return []float64{float64(x*4 + y*2 + 20), float64(230 - x*3 - y), float64(60 + y*5)}[channel]
	}
	panic(typ)
}

// want describes one plane of a reference file.
type want struct {
	typ      string
	plane    int   // the formula's plane
	channels []int // the formula's channels, in the plane's order
	info     PlaneInfo
}

func one(typ string, plane int) want { return want{typ: typ, plane: plane, channels: []int{0}} }

func rgbOf(typ string, plane int) want {
	return want{typ: typ, plane: plane, channels: []int{0, 1, 2}}
}

// hyperstack lists planes in file order: dims counts from the fastest axis,
// such as "C2 Z3 T2".
func hyperstack(typ string, size float64, names []string, dims ...string) []want {
	n := 1
	for _, d := range dims {
		n *= int(d[1] - '0')
	}
	var all []want
	for i := range n {
		w := one(typ, i)
		w.info = PlaneInfo{Page: i, PixelSize: plane.SquarePixels(size)}
		rest := i
		for _, d := range dims {
			k := int(d[1] - '0')
			switch d[0] {
			case 'C':
				w.info.Channel = rest % k
			case 'Z':
				w.info.Z = rest % k
			case 'T':
				w.info.T = rest % k
			}
			rest /= k
		}
		if names != nil {
			w.info.Name = names[w.info.Channel]
		}
		all = append(all, w)
	}
	return all
}

func repeatPages(typ string, n int) []want { return hyperstack(typ, 0, nil, "P"+string(rune('0'+n))) }

func channelsOf(typ string, n int) []want {
	var all []want
	for c := range n {
		all = append(all, want{typ: typ, channels: []int{c}, info: PlaneInfo{Channel: c}})
	}
	return all
}

var dyes = []string{"DAPI", "GFP"}

var referenceFiles = map[string][]want{
	"u8-strips.tif":                     {one("u8", 0)},
	"u8-packbits.tif":                   {one("u8", 0)},
	"u8-zstd-tiles.tif":                 {one("u8", 0)},
	"i8-lzw.tif":                        {one("i8", 0)},
	"u16-be.tif":                        {one("u16", 0)},
	"u16-lzw-p2.tif":                    {one("u16", 0)},
	"u16-be-deflate-p2-tiles.tif":       {one("u16", 0)},
	"i16-deflate-tiles.tif":             {one("i16", 0)},
	"u32-be-packbits-tiles.tif":         {one("u32", 0)},
	"u32-deflate-p2.tif":                {one("u32", 0)},
	"i32-be-lzw-p2.tif":                 {one("i32", 0)},
	"u64-deflate.tif":                   {one("u64", 0)},
	"f16.tif":                           {one("f16", 0)},
	"f32-deflate-p3.tif":                {one("f32", 0)},
	"f32-be-lzw-p3-tiles.tif":           {one("f32", 0)},
	"f64-be.tif":                        {one("f64", 0)},
	"f64-deflate-p3-tiles.tif":          {one("f64", 0)},
	"rgb8-lzw-p2-tiles.tif":             {rgbOf("u8", 0)},
	"rgb16-be-deflate-p2.tif":           {rgbOf("u16", 0)},
	"rgb8-planar.tif":                   {rgbOf("u8", 0)},
	"rgb16-planar-deflate-p2-tiles.tif": {rgbOf("u16", 0)},
	"rgba8-opaque.tif":                  {rgbOf("u8", 0)},
	"gray16-5channels-tiles.tif":        channelsOf("u16", 5),
	"gray8-4channels-planar.tif":        channelsOf("u8", 4),
	"jpeg-gray.tif":                     {one("smooth", 0)},
	"jpeg-ycbcr.tif":                    {rgbOf("smooth", 0)},
	"jpeg-libtiff.tif":                  {rgbOf("smooth", 0)},
	"u16-libtiff-lzw.tif":               {one("u16", 0)},
	"rgb8-libtiff-deflate.tif":          {rgbOf("u8", 0)},
	"big-u16-tiles.tif":                 {one("u16", 0)},
	"big-be-f32-pages.tif":              repeatPages("f32", 3),
	"pages-u8.tif":                      repeatPages("u8", 5),
	"pyramid-pages.tif":                 {one("u8", 0)},
	"imagej-one-directory.tif":          hyperstack("u16", 0.25, nil, "C2", "Z3", "T2"),
	"imagej-directories.tif":            hyperstack("u16", 0.25, nil, "C2", "Z3", "T2"),
	"imagej-deflate.tif":                hyperstack("u16", 0.25, nil, "C2", "Z3", "T2"),
	"ome-tzcyx.ome.tif":                 hyperstack("u16", 0.325, dyes, "C2", "Z3", "T2"),
	"ome-ctzyx.ome.tif":                 hyperstack("u8", 0.325, dyes, "Z3", "T2", "C2"),
	"ome-pyramid.ome.tif":               hyperstack("u16", 0, []string{"", ""}, "C2"),
	"ome-rgb.ome.tif": {
		{typ: "u8", channels: []int{0, 1, 2}},
		{typ: "u8", channels: []int{0, 1, 2}, info: PlaneInfo{Page: 1, Z: 1}},
	},
	"rgb8.bmp":       {rgbOf("u8", 0)},
	"rgb8.webp":      {rgbOf("u8", 0)},
	"smooth.jpg":     {rgbOf("smooth", 0)},
	"u16.png":        {one("u16", 0)},
	"gray-alpha.png": {one("u8", 0)},
}

func testdata(name string) string { return filepath.Join("testdata", name) }

func TestReferenceFiles(t *testing.T) {
	for name, planes := range referenceFiles {
		t.Run(name, func(t *testing.T) {
			f, err := Open(testdata(name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			checkPlanes(t, f, planes)
			if len(f.Notes) > 0 != strings.HasPrefix(name, "pyramid") {
				t.Errorf("notes: %q", f.Notes)
			}
			m, err := Read(testdata(name))
			if err != nil {
				t.Fatal(err)
			}
			checkSamples(t, m, planes[0], 0, 0)
		})
	}
}

func checkPlanes(t *testing.T, f *File, planes []want) {
	t.Helper()
	if len(f.Planes) != len(planes) {
		t.Fatalf("%d planes, want %d: %+v", len(f.Planes), len(planes), f.Planes)
	}
	for i, p := range planes {
		info := p.info
		info.W, info.H, info.C = refW, refH, len(p.channels)
		info.Bits, info.Float = map[string]int{"u8": 8, "i8": 8, "smooth": 8, "u16": 16, "i16": 16, "f16": 16, "u64": 64, "i64": 64, "f64": 64}[p.typ], p.typ[0] == 'f'
		if info.Bits == 0 {
			info.Bits = 32
		}
		got := f.Planes[i]
		if math.Abs(got.PixelSize.X-info.PixelSize.X) < 1e-6 && math.Abs(got.PixelSize.Y-info.PixelSize.Y) < 1e-6 {
			got.PixelSize = info.PixelSize
		}
		if got != info {
			t.Errorf("plane %d is %+v, want %+v", i, got, info)
		}
		m, err := f.ReadPlane(i)
		if err != nil {
			t.Fatal(err)
		}
		checkSamples(t, m, p, 0, 0)
		// Every edge of strips and tiles falls into one of these regions.
		for _, r := range [][4]int{{0, 0, 1, 1}, {15, 15, 2, 2}, {3, 1, 17, 16}, {20, 18, 1, 1}, {0, 7, 21, 3}, {16, 0, 5, 19}} {
			m, err := f.ReadRegion(i, r[0], r[1], r[2], r[3])
			if err != nil {
				t.Fatal(err)
			}
			checkSamples(t, m, p, r[0], r[1])
		}
	}
}

// checkSamples compares an image whose corner is pixel (x0, y0) of the plane.
func checkSamples(t *testing.T, m *Image, p want, x0, y0 int) {
	t.Helper()
	if m.C != len(p.channels) {
		t.Fatalf("%d channels, want %d", m.C, len(p.channels))
	}
	tolerance := 0.0
	if p.typ == "smooth" {
		tolerance = 9 // chroma is stored at half resolution
	}
	for c, channel := range p.channels {
		for y := range m.H {
			for x := range m.W {
				got := m.Plane(c)[y*m.W+x]
				v := float32(refValue(p.typ, p.plane, channel, x0+x, y0+y))
				if math.Abs(float64(got-v)) > tolerance {
					t.Fatalf("plane %d, channel %d, pixel (%d, %d) is %v, want %v", p.plane, channel, x0+x, y0+y, got, v)
				}
			}
		}
	}
}

func openRef(t *testing.T, name string) *File {
	t.Helper()
	f, err := Open(testdata(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestPagesOfDifferentSizes(t *testing.T) {
	f := openRef(t, "pages-mixed.tif")
	if len(f.Planes) != 3 {
		t.Fatalf("%d planes", len(f.Planes))
	}
	if p := f.Planes[1]; p.W != 20 || p.H != 10 || p.Bits != 16 || p.C != 1 {
		t.Errorf("%+v", p)
	}
	m, err := f.ReadPlane(1)
	if err != nil {
		t.Fatal(err)
	}
	checkSamples(t, m, one("u16", 1), 0, 0)
	if m, err = f.ReadPlane(2); err != nil {
		t.Fatal(err)
	}
	checkSamples(t, m, rgbOf("u8", 0), 0, 0)
}

func TestOMETwoImages(t *testing.T) {
	f := openRef(t, "ome-two-images.ome.tif")
	if len(f.Planes) != 3 || f.Planes[2].Series != 1 || f.Planes[2].W != 20 || f.Planes[1].Name != "b" || f.Planes[1].Series != 0 {
		t.Fatalf("%+v", f.Planes)
	}
	for i, typ := range []string{"u8", "u8", "u16"} {
		m, err := f.ReadPlane(i)
		if err != nil {
			t.Fatal(err)
		}
		checkSamples(t, m, one(typ, i), 0, 0)
	}
}

// An OME-TIFF file that lost its companion or got a new name still gives the
// planes that it holds.
func TestOMEFormatName(t *testing.T) {
	if f := openRef(t, "ome-tzcyx.ome.tif"); f.Format != "OME-TIFF" {
		t.Error(f.Format)
	}
	if f := openRef(t, "imagej-deflate.tif"); f.Format != "ImageJ TIFF" {
		t.Error(f.Format)
	}
	if f := openRef(t, "big-u16-tiles.tif"); f.Format != "BigTIFF" {
		t.Error(f.Format)
	}
}

func TestTransparentTIFF(t *testing.T) {
	f := openRef(t, "rgba8-clear.tif")
	m, err := f.ReadPlane(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "transparent") {
		t.Errorf("notes: %q", f.Notes)
	}
	for c := range 3 {
		if got, v := m.Plane(c)[3*refW+5], refValue("u8", 0, c, 5, 3)/5; math.Abs(float64(got)-v) > 1e-4 {
			t.Errorf("channel %d is %v, want %v", c, got, v)
		}
		if got, v := m.Plane(c)[3*refW+6], refValue("u8", 0, c, 6, 3); float64(got) != v {
			t.Errorf("opaque channel %d is %v, want %v", c, got, v)
		}
	}
}

func TestColourSpacesTIFF(t *testing.T) {
	white := openRef(t, "u8-whiteiszero.tif")
	m, err := white.ReadPlane(0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := white.ReadLabels(0)
	if err != nil {
		t.Fatal(err)
	}
	palette := openRef(t, "palette8.tif")
	p, err := palette.ReadPlane(0)
	if err != nil {
		t.Fatal(err)
	}
	pl, err := palette.ReadLabels(0)
	if err != nil {
		t.Fatal(err)
	}
	if p.C != 3 || p.Bits != 8 {
		t.Fatalf("palette: %d channels of %d bits", p.C, p.Bits)
	}
	bits := openRef(t, "bilevel.tif")
	b, err := bits.ReadPlane(0)
	if err != nil {
		t.Fatal(err)
	}
	if b.Bits != 1 {
		t.Errorf("bilevel: %d bits", b.Bits)
	}
	for i := range m.Pix {
		v := refValue("u8", 0, 0, i%refW, i/refW)
		if m.Pix[i] != float32(255-v) || l.ID[i] != uint32(v) {
			t.Fatalf("0 is white: sample %v, label %d for %v", m.Pix[i], l.ID[i], v)
		}
		if p.Plane(0)[i] != float32(v) || p.Plane(1)[i] != float32(255-v) || p.Plane(2)[i] != float32(math.Floor(v/2)) || pl.ID[i] != uint32(v) {
			t.Fatalf("palette: %v %v %v, index %d for %v", p.Plane(0)[i], p.Plane(1)[i], p.Plane(2)[i], pl.ID[i], v)
		}
		if (b.Pix[i] == 1) != (v > 100) || b.Pix[i] != 0 && b.Pix[i] != 1 {
			t.Fatalf("bilevel: %v for %v", b.Pix[i], v)
		}
	}
}

func TestReadLabelsTIFF(t *testing.T) {
	for name, typ := range map[string]string{"u8-strips.tif": "u8", "u16-lzw-p2.tif": "u16", "u32-be-packbits-tiles.tif": "u32", "u64-deflate.tif": "u64"} {
		l, err := ReadLabels(testdata(name))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range l.ID {
			if float64(v) != refValue(typ, 0, 0, i%refW, i/refW) {
				t.Fatalf("%s: label %d at %d", name, v, i)
			}
		}
	}
	for _, name := range []string{"i16-deflate-tiles.tif", "f32-deflate-p3.tif", "rgb8-planar.tif"} {
		if _, err := ReadLabels(testdata(name)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGIFFrames(t *testing.T) {
	f := openRef(t, "frames.gif")
	if len(f.Planes) != 3 || f.Planes[2].T != 2 {
		t.Fatalf("%+v", f.Planes)
	}
	for i := range 3 {
		m, err := f.ReadPlane(i)
		if err != nil {
			t.Fatal(err)
		}
		checkSamples(t, m.Gray(), one("u8", i), 0, 0)
	}
}
