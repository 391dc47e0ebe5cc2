package tiff

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"unet/unet/imageio/plane"
)

// fraction is a tag of one fraction.
func fraction(tag uint16, num, den uint64) rawTag {
	return rawTag{tag: tag, typ: 5, values: []uint64{num, den}}
}

func description(s string) rawTag { return rawTag{tag: tagDescription, typ: 2, text: s} }

// sized is a file of one page with resolution tags.
func sized(unit uint64, xn, xd, yn, yd uint64, more ...rawTag) []byte {
	return rawTIFF(binary.LittleEndian, sixteen, page8(append(more,
		fraction(tagXResolution, xn, xd), fraction(tagYResolution, yn, yd), shortTag(tagResolutionUnit, unit))...))
}

// TestPixelSizeTags: pixels have a width and a height, in the words of many
// programs, and what is no size of a pixel is none and is told.
func TestPixelSizeTags(t *testing.T) {
	ome := func(attr string) []byte {
		return rawTIFF(binary.LittleEndian, sixteen, page8(description(`<?xml version="1.0"?><OME><Image><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="4" SizeY="4" SizeC="1" SizeZ="1" SizeT="1" `+attr+`><TiffData/></Pixels></Image></OME>`)))
	}
	imageJ := func(unit string, xn, yn uint64) []byte {
		return sized(1, xn, 1000, yn, 1000, description("ImageJ=1.54f\n"+unit+"\n"))
	}
	metaMorph := `<MetaData><prop id="spatial-calibration-state" type="bool" value="%s"/><prop id="spatial-calibration-x" type="float" value="0.65"/><prop id="spatial-calibration-y" type="float" value="1.3"/><prop id="spatial-calibration-units" type="string" value="um"/></MetaData>`
	for _, c := range []struct {
		name string
		data []byte
		want plane.PixelSize
		note string
	}{
		{"per cm, not square", sized(3, 20000, 1, 10000, 1), plane.PixelSize{X: 0.5, Y: 1}, ""},
		{"per inch", sized(2, 50800, 1, 50800, 1), plane.SquarePixels(0.5), ""},
		{"72 per inch", sized(2, 72, 1, 72, 1), plane.PixelSize{}, "72 dots per inch"},
		{"300 per inch, said per cm", sized(3, 1181102, 10000, 1181102, 10000), plane.PixelSize{}, "300 dots per inch"},
		{"96 per inch, said per cm", sized(3, 37795, 1000, 37795, 1000), plane.PixelSize{}, "96 dots per inch"},
		{"1 per cm", sized(3, 1, 1, 1, 1), plane.PixelSize{}, ""},
		{"no unit", sized(1, 2, 1, 2, 1), plane.PixelSize{}, ""},
		{"infinite", sized(3, 1, 0, 1, 0), plane.PixelSize{}, ""},
		{"ImageJ", imageJ("unit=micron", 2000, 1000), plane.PixelSize{X: 0.5, Y: 1}, ""},
		{"ImageJ, micrometers", imageJ("unit=micrometers", 2000, 2000), plane.SquarePixels(0.5), ""},
		{"ImageJ, escaped", imageJ("unit=\\u00B5m", 2000, 2000), plane.SquarePixels(0.5), ""},
		{"ImageJ, Latin-1", imageJ("unit=\xb5m", 2000, 2000), plane.SquarePixels(0.5), ""},
		{"ImageJ, y in another unit", imageJ("unit=um\nyunit=nm", 2000, 1), plane.PixelSize{X: 0.5, Y: 1}, ""},
		{"ImageJ, slices", imageJ("unit=um\nspacing=3.5", 2000, 2000), plane.PixelSize{X: 0.5, Y: 0.5, Z: 3.5}, ""},
		{"ImageJ, inch of print", imageJ("unit=inch", 72000, 72000), plane.PixelSize{}, "72 dots per inch"},
		{"ImageJ, pixels", imageJ("unit=pixel", 1000, 1000), plane.PixelSize{}, ""},
		{"ImageJ, strange", imageJ("unit=furlong", 1000, 1000), plane.PixelSize{}, `"furlong"`},
		{"OME", ome(`PhysicalSizeX="0.5" PhysicalSizeY="1.0"`), plane.PixelSize{X: 0.5, Y: 1}, ""},
		{"OME, units", ome(`PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="0.001" PhysicalSizeYUnit="mm" PhysicalSizeZ="2"`), plane.PixelSize{X: 0.5, Y: 1, Z: 2}, ""},
		{"OME, comma", ome(`PhysicalSizeX="0,5"`), plane.SquarePixels(0.5), ""},
		{"OME, y only", ome(`PhysicalSizeY="0.5"`), plane.SquarePixels(0.5), ""},
		{"OME, pixel", ome(`PhysicalSizeX="1" PhysicalSizeXUnit="pixel"`), plane.PixelSize{}, ""},
		{"OME, nonsense", ome(`PhysicalSizeX="wide" PhysicalSizeY="0.5"`), plane.SquarePixels(0.5), `"wide"`},
		{"OME, strange unit", ome(`PhysicalSizeX="0.5" PhysicalSizeXUnit="cubit"`), plane.PixelSize{}, `"cubit"`},
		{"MetaMorph", rawTIFF(binary.LittleEndian, sixteen, page8(description(fmt.Sprintf(metaMorph, "on")))), plane.PixelSize{X: 0.65, Y: 1.3}, ""},
		{"MetaMorph, not calibrated", rawTIFF(binary.LittleEndian, sixteen, page8(description(fmt.Sprintf(metaMorph, "off")))), plane.PixelSize{}, ""},
		{"Zeiss LSM", rawTIFF(binary.LittleEndian, sixteen, page8(rawTag{tag: tagLSM, typ: 1, text: lsmInfo(0.2e-6, 0.4e-6, 1e-6)})), plane.PixelSize{X: 0.2, Y: 0.4, Z: 1}, ""},
	} {
		f, err := openData("a.tif", c.data)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := f.Planes[0].PixelSize
		near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }
		if !near(got.X, c.want.X) || !near(got.Y, c.want.Y) || !near(got.Z, c.want.Z) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if all := strings.Join(f.Notes, "; "); !strings.Contains(all, c.note) || c.note == "" && all != "" {
			t.Errorf("%s: notes %q, want %q", c.name, all, c.note)
		}
	}
}

// lsmInfo is the start of Zeiss's tag with the size of a voxel in metres.
func lsmInfo(x, y, z float64) string {
	b := make([]byte, 40, 112)
	for _, v := range []float64{x, y, z} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return string(b[:cap(b)])
}

// TestStacksOfOneDirectory: planes that follow each other are all read, or the
// file is refused.
func TestStacksOfOneDirectory(t *testing.T) {
	three := []byte{}
	for i := range 3 * 16 {
		three = append(three, byte(i))
	}
	uic2 := make([]uint64, 18)
	uic2[0], uic2[1] = 7, 2
	stk := func(data []byte, planes uint32) []byte {
		b := rawTIFF(binary.LittleEndian, data, page8(rawTag{tag: tagUIC2, typ: 4, values: uic2}))
		// Tag UIC2 counts planes, of six numbers each.
		at := strings.Index(string(b), string(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, tagUIC2), 4)))
		binary.LittleEndian.PutUint32(b[at+4:], planes)
		return b
	}
	shaped := func(data []byte, text string) []byte {
		return rawTIFF(binary.LittleEndian, data, page8(description(text)))
	}
	volume := func(compression uint64) []byte {
		tile := make([]byte, 0, 512)
		for z := range 2 {
			for i := range 256 {
				tile = append(tile, byte(z*100+i%16+i/16))
			}
		}
		return rawTIFF(binary.LittleEndian, tile, page8(longTag(tagImageDepth, 2), longTag(tagTileDepth, 2), longTag(tagTileWidth, 16),
			longTag(tagTileLength, 16), longTag(tagStripByteCounts, 512), shortTag(tagCompression, compression)))
	}
	for _, c := range []struct {
		name   string
		data   []byte
		planes int
		last   float32 // first sample of the last plane
		axis   string
	}{
		{"MetaMorph", stk(three, 3), 3, 32, "z"},
		{"truncated array", shaped(three, `{"shape": [3, 4, 4], "truncated": true}`), 3, 32, ""},
		{"array with axes", shaped(three, `{"shape": [3, 4, 4], "truncated": true, "axes": "ZYX"}`), 3, 32, "z"},
		{"array of channels", shaped(three, `{"shape": [3, 4, 4], "axes": "CYX"}`), 3, 32, "c"},
		{"one plane", shaped(sixteen, `{"shape": [4, 4]}`), 1, 0, ""},
		{"absurd array", shaped(sixteen, `{"shape": [4294967296, 4294967296, 4, 4]}`), 1, 0, ""},
		{"volume", volume(compNone), 2, 100, "z"},
	} {
		f, err := openData("a.stk", c.data)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if len(f.Planes) != c.planes {
			t.Errorf("%s: %d planes, want %d", c.name, len(f.Planes), c.planes)
			continue
		}
		last := f.Planes[c.planes-1]
		if at := map[string]int{"z": last.Z, "c": last.Channel, "": c.planes - 1}[c.axis]; at != c.planes-1 {
			t.Errorf("%s: last plane %+v", c.name, last)
		}
		m, err := f.ReadPlane(c.planes - 1)
		if err != nil || m.Pix[0] != c.last || m.Pix[5] != c.last+map[bool]float32{true: 2, false: 5}[c.name == "volume"] {
			t.Errorf("%s: %v %v", c.name, m, err)
		}
	}
	for name, data := range map[string][]byte{
		"MetaMorph":                stk(three, 100),
		"truncated array":          shaped(three[:20], `{"shape": [30, 4, 4], "truncated": true}`),
		"truncated and compressed": rawTIFF(binary.LittleEndian, three, page8(shortTag(tagCompression, compDeflate), description(`{"shape": [3, 4, 4], "truncated": true}`))),
	} {
		_, err := openData(name, data)
		checkHostile(t, err, name)
	}
}

// TestInvertingTableOfImageJ: an inverting table is for show, the stored values
// count; other programs mean what they say.
func TestInvertingTableOfImageJ(t *testing.T) {
	for text, want := range map[string]float32{"ImageJ=1.54f\n": 15, "made by another": 240} {
		m, err := decode("a.tif", rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagPhotometric, photoWhiteIsZero), description(text))))
		if err != nil || m.Pix[15] != want {
			t.Errorf("%q: %v %v", text, m, err)
		}
	}
}

// TestFourthSample: what follows red, green and blue without a word is left out,
// and that is said.
func TestFourthSample(t *testing.T) {
	page := func(extra uint64) []byte {
		return rawTIFF(binary.LittleEndian, make([]byte, 64), page8(shortTag(tagPhotometric, photoRGB), shortTag(tagSamplesPerPixel, 4),
			longTag(tagStripByteCounts, 64), shortTag(tagExtraSamples, extra)))
	}
	for extra, note := range map[uint64]bool{0: true, 2: false} {
		f, err := openData("a.tif", page(extra))
		if err != nil || len(f.Planes) != 1 || f.Planes[0].C != 3 || (len(f.Notes) > 0) != note {
			t.Errorf("extra sample %d: %+v %v", extra, f, err)
		}
	}
}
