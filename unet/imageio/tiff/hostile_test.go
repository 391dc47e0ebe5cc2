package tiff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unet/unet/imageio/plane"
)

// rawTag is a tag of a TIFF file made by hand.
type rawTag struct {
	tag, typ uint16
	values   []uint64
	text     string
}

func shortTag(tag uint16, v ...uint64) rawTag { return rawTag{tag: tag, typ: 3, values: v} }
func longTag(tag uint16, v ...uint64) rawTag  { return rawTag{tag: tag, typ: 4, values: v} }

// rawTIFF makes a classic TIFF file: the header, data at offset 8, then one
// directory per page.
func rawTIFF(order binary.ByteOrder, data []byte, pages ...[]rawTag) []byte {
	b := []byte("II*\x00\x00\x00\x00\x00")
	if order == binary.BigEndian {
		b = []byte("MM\x00*\x00\x00\x00\x00")
	}
	b = append(b, data...)
	pointer := 4
	for _, tags := range pages {
		if len(b)%2 != 0 {
			b = append(b, 0)
		}
		order.PutUint32(b[pointer:], uint32(len(b)))
		n := 2 + 12*len(tags)
		pointer = len(b) + n
		dir := make([]byte, n+4)
		order.PutUint16(dir, uint16(len(tags)))
		more := len(b) + len(dir)
		var after []byte
		for i, t := range tags {
			var v []byte
			for _, x := range t.values {
				if t.typ == 3 {
					v = append(v, 0, 0)
					order.PutUint16(v[len(v)-2:], uint16(x))
				} else {
					v = append(v, 0, 0, 0, 0)
					order.PutUint32(v[len(v)-4:], uint32(x))
				}
			}
			count := len(t.values)
			if t.typ == 2 {
				v = []byte(t.text + "\x00")
				count = len(v)
			}
			if t.typ == 5 {
				count /= 2
			}
			if t.typ == 1 {
				v = []byte(t.text)
				count = len(v)
			}
			e := dir[2+12*i:]
			order.PutUint16(e, t.tag)
			order.PutUint16(e[2:], t.typ)
			order.PutUint32(e[4:], uint32(count))
			if len(v) <= 4 {
				copy(e[8:12], v)
			} else {
				order.PutUint32(e[8:], uint32(more+len(after)))
				after = append(after, v...)
			}
		}
		b = append(append(b, dir...), after...)
	}
	return b
}

// page8 is a page of 4 x 4 8-bit samples in one strip at offset 8, with tags
// changed or added.
func page8(change ...rawTag) []rawTag {
	tags := []rawTag{
		longTag(tagImageWidth, 4), longTag(tagImageLength, 4), shortTag(tagBitsPerSample, 8), shortTag(tagCompression, 1),
		shortTag(tagPhotometric, 1), longTag(tagStripOffsets, 8), longTag(tagRowsPerStrip, 4), longTag(tagStripByteCounts, 16),
	}
	for _, c := range change {
		done := false
		for i := range tags {
			if tags[i].tag == c.tag {
				tags[i], done = c, true
			}
		}
		if !done {
			tags = append(tags, c)
		}
	}
	return tags
}

var sixteen = []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f")

func TestHandMadeTIFF(t *testing.T) {
	for name, c := range map[string]struct {
		tags []rawTag
		data []byte
		want []float32
	}{
		"plain":          {page8(), sixteen, []float32{0, 1, 2, 3, 4}},
		"no byte counts": {page8()[:7], sixteen, []float32{0, 1, 2, 3, 4}},
		"count too long": {page8(longTag(tagStripByteCounts, 1<<20)), sixteen, []float32{0, 1, 2, 3, 4}},
		"sparse":         {page8(longTag(tagStripOffsets, 0), longTag(tagStripByteCounts, 0)), sixteen, []float32{0, 0, 0, 0, 0}},
		"12 bits":        {page8(shortTag(tagBitsPerSample, 12), longTag(tagStripByteCounts, 24)), []byte("\x12\x34\x56\x78\x9a\xbc\xff\xf0\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), []float32{0x123, 0x456, 0x789, 0xabc, 0xfff}},
		"4 bits":         {page8(shortTag(tagBitsPerSample, 4), longTag(tagStripByteCounts, 8)), sixteen[:8], []float32{0, 0, 0, 1, 0, 2}},
		"bits reversed":  {page8(shortTag(tagBitsPerSample, 1), shortTag(tagFillOrder, 2)), []byte{0x05, 0, 0, 0}, []float32{1, 0, 1, 0, 0}},
	} {
		m, err := decode(name, rawTIFF(binary.LittleEndian, c.data, c.tags))
		if err != nil {
			t.Error(err)
			continue
		}
		for i, v := range c.want {
			if m.Pix[i] != v {
				t.Errorf("%s: %v, want %v…", name, m.Pix[:8], c.want)
				break
			}
		}
	}
}

// TestPlanarChunks: a chunk of a planar file holds one sample of each pixel. A third of
// what all samples take would be taken for a file that was cut.
func TestPlanarChunks(t *testing.T) {
	const n = 64
	var data []byte
	for c := range 3 {
		data = append(data, bytes.Repeat([]byte{byte(10 * c)}, n*n)...)
	}
	m, err := decode("planar.tif", rawTIFF(binary.LittleEndian, data, page8(longTag(tagImageWidth, n), longTag(tagImageLength, n),
		longTag(tagRowsPerStrip, n), shortTag(tagBitsPerSample, 8, 8, 8), shortTag(tagSamplesPerPixel, 3), shortTag(tagPhotometric, 2),
		shortTag(tagPlanarConfig, 2), longTag(tagStripOffsets, 8, 8+n*n, 8+2*n*n), longTag(tagStripByteCounts, n*n, n*n, n*n))))
	if err != nil {
		t.Fatal(err)
	}
	for c := range 3 {
		if p := m.Plane(c); p[0] != float32(10*c) || p[n*n-1] != float32(10*c) {
			t.Errorf("channel %d: %v to %v", c, p[0], p[n*n-1])
		}
	}
}

// TestZstdWindow: the highest levels of zstd look back over 128 MiB, which the header
// of a frame says (RFC 8878) even where the frame is short. More is refused. Strips that
// are large are decoded by another reader.
func TestZstdWindow(t *testing.T) {
	check := func(t *testing.T) {
		for log, fine := range map[int]bool{20: true, 27: true, 28: false} {
			const raw, last = 0, 1
			frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(log-10) << 3, byte(len(sixteen)<<3 | raw<<1 | last), 0, 0}
			frame = append(frame, sixteen...)
			m, err := decode("zstd.tif", rawTIFF(binary.LittleEndian, frame,
				page8(shortTag(tagCompression, compZstd), longTag(tagStripByteCounts, uint64(len(frame))))))
			if (err == nil) != fine {
				t.Errorf("a window of 2^%d: %v", log, err)
			} else if fine && m.Pix[15] != 15 {
				t.Errorf("a window of 2^%d: %v", log, m.Pix)
			}
		}
	}
	t.Run("at once", check)
	t.Run("row by row", func(t *testing.T) {
		streamAll(t)
		check(t)
	})
}

// Every lie gets a typed one-line error that names the file, in little memory.
func TestHostileTIFF(t *testing.T) {
	tiles := func(w, h uint64) []rawTag {
		return page8(longTag(tagTileWidth, w), longTag(tagTileLength, h))
	}
	circle := rawTIFF(binary.LittleEndian, sixteen, page8(), page8())
	second := binary.LittleEndian.Uint32(circle[4:])
	copy(circle[len(circle)-4:], circle[4:8])
	self := rawTIFF(binary.LittleEndian, sixteen, page8())
	copy(self[len(self)-4:], binary.LittleEndian.AppendUint32(nil, second))
	for name, data := range map[string][]byte{
		"header only":       []byte("II*\x00"),
		"no pages":          []byte("II*\x00\x00\x00\x00\x00"),
		"directory beyond":  []byte("II*\x00\xff\xff\x00\x00"),
		"directory cut":     []byte("II*\x00\x08\x00\x00\x00\xff\x00"),
		"bigtiff header":    []byte("II+\x00\x04\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"),
		"bigtiff directory": []byte("II+\x00\x08\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"),
		"circle":            circle,
		"points to itself":  self,
		"no size":           rawTIFF(binary.BigEndian, sixteen, page8()[2:]),
		"zero width":        rawTIFF(binary.LittleEndian, sixteen, page8(longTag(tagImageWidth, 0))),
		"absurd width":      rawTIFF(binary.LittleEndian, sixteen, page8(longTag(tagImageWidth, 1<<31))),
		"absurd size":       rawTIFF(binary.BigEndian, sixteen, page8(longTag(tagImageWidth, 1<<24), longTag(tagImageLength, 1<<24), longTag(tagRowsPerStrip, 1<<24))),
		"large, no data":    rawTIFF(binary.LittleEndian, sixteen, page8(longTag(tagImageWidth, 20000), longTag(tagImageLength, 20000), longTag(tagRowsPerStrip, 20000))),
		"bomb":              rawTIFF(binary.LittleEndian, sixteen, page8(longTag(tagImageWidth, 20000), longTag(tagImageLength, 20000), longTag(tagRowsPerStrip, 20000), shortTag(tagCompression, compDeflate))),
		"samples":           rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagSamplesPerPixel, 65535))),
		"no samples":        rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagSamplesPerPixel, 0))),
		"bits":              rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagBitsPerSample, 7777))),
		"mixed bits":        rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagBitsPerSample, 8, 16, 8), shortTag(tagSamplesPerPixel, 3))),
		"complex":           rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagBitsPerSample, 64), shortTag(tagSampleFormat, 6))),
		"fax":               rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagCompression, 4))),
		"JPEG 2000":         rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagCompression, 34712))),
		"CMYK":              rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagPhotometric, 5))),
		"predictor":         rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagPredictor, 3))),
		"rgb of one":        rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagPhotometric, 2))),
		"strip beyond":      rawTIFF(binary.LittleEndian, sixteen, page8(longTag(tagStripOffsets, 1<<30))),
		"strip too short":   rawTIFF(binary.LittleEndian, sixteen, page8(longTag(tagStripByteCounts, 15))),
		"no strips":         rawTIFF(binary.LittleEndian, sixteen, page8()[:5]),
		"too few strips":    rawTIFF(binary.LittleEndian, sixteen, page8(longTag(tagRowsPerStrip, 1))),
		"zero rows":         rawTIFF(binary.LittleEndian, sixteen, page8(longTag(tagRowsPerStrip, 0))),
		"zero tile":         rawTIFF(binary.LittleEndian, sixteen, tiles(0, 16)),
		"huge tile":         rawTIFF(binary.LittleEndian, sixteen, tiles(1<<24, 1<<24)),
		"too many tiles":    rawTIFF(binary.LittleEndian, sixteen, append(tiles(1, 1)[2:], longTag(tagImageWidth, 1<<20), longTag(tagImageLength, 1<<20))),
		"float offsets":     rawTIFF(binary.LittleEndian, sixteen, page8(rawTag{tag: tagStripOffsets, typ: 11, values: []uint64{8}})),
		"deflate garbage":   rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagCompression, compDeflate))),
		"lzw garbage":       rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagCompression, compLZW))),
		"packbits garbage":  rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagCompression, compPackBits))),
		"zstd garbage":      rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagCompression, compZstd))),
		"jpeg garbage":      rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagCompression, compJPEG))),
		"no palette":        rawTIFF(binary.LittleEndian, sixteen, page8(shortTag(tagPhotometric, 3), shortTag(tagColorMap, 1, 2, 3))),
		"imagej stack":      rawTIFF(binary.LittleEndian, sixteen, page8(rawTag{tag: tagDescription, typ: 2, text: "ImageJ=1.53\nimages=99999999\nslices=99999999\n"})),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := decode("hostile.tif", data)
			runtime.ReadMemStats(&after)
			checkHostile(t, err, "hostile.tif")
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
				t.Errorf("%d MiB were allocated for %d bytes: %v", used>>20, len(data), err)
			}
		})
	}
}

// TestHostileRows: pages whose rows alone are out of all proportion are refused
// when a part of them is read, too.
func TestHostileRows(t *testing.T) {
	wide := func(height uint64, more ...rawTag) []rawTag {
		return page8(append(more, longTag(tagImageWidth, 1<<24), longTag(tagImageLength, height), longTag(tagRowsPerStrip, height),
			shortTag(tagBitsPerSample, 64), shortTag(tagSamplesPerPixel, 4096))...)
	}
	for name, tags := range map[string][]rawTag{
		"strip whose size overflows": wide(1<<24, shortTag(tagCompression, compLZW)),
		"not stored":                 wide(1, longTag(tagStripByteCounts, 0)),
		"one row":                    wide(1),
		"JPEG tile, page of one row": page8(longTag(tagImageWidth, 65535), longTag(tagImageLength, 1), shortTag(tagCompression, compJPEG),
			longTag(tagTileWidth, 65535), longTag(tagTileLength, 65535)),
	} {
		t.Run(name, func(t *testing.T) {
			data := rawTIFF(binary.LittleEndian, sixteen, tags)
			f, err := openData("hostile.tif", data)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.ReadRegion(0, 0, 0, 16, 1)
			checkHostile(t, err, "hostile.tif")
		})
	}
}

// TestPixelSizes: what is no size of a pixel counts as unknown.
func TestPixelSizes(t *testing.T) {
	for size, want := range map[string]float64{"0.5": 0.5, "NaN": 0, "INF": 0, "-0.5": 0, "0": 0, "1e300": 0} {
		file := filepath.Join(t.TempDir(), "a.ome.tif")
		xml := `<?xml version="1.0"?><OME><Image><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="4" SizeY="4" SizeC="1" SizeZ="1" SizeT="1" PhysicalSizeX="` + size + `"><TiffData/></Pixels></Image></OME>`
		if err := os.WriteFile(file, rawTIFF(binary.LittleEndian, sixteen, page8(rawTag{tag: tagDescription, typ: 2, text: xml})), 0o600); err != nil {
			t.Fatal(err)
		}
		f := openFile(t, file)
		if got := f.Planes[0].PixelSize.X; got != want {
			t.Errorf("%s: %v µm, want %v", size, got, want)
		}
		f.Close()
	}
}

// Pages that are not asked for need not be readable.
func TestUnreadableSidePages(t *testing.T) {
	fax := shortTag(tagCompression, 4)
	for name, data := range map[string][]byte{
		"thumbnail": rawTIFF(binary.LittleEndian, sixteen, page8(), page8(fax, longTag(tagNewSubfileType, 1))),
		"slide":     rawTIFF(binary.LittleEndian, sixteen, page8(rawTag{tag: tagDescription, typ: 2, text: "Aperio Image Library|AppMag = 20|MPP = 0.499"}), page8(fax)),
	} {
		f, err := openData(name, data)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(f.Planes) != 1 || len(f.Notes) != 1 {
			t.Errorf("%s: %d planes, notes %q", name, len(f.Planes), f.Notes)
		}
		if name == "slide" && f.Planes[0].PixelSize.X != 0.499 {
			t.Errorf("pixel size %v", f.Planes[0].PixelSize)
		}
		if m, err := f.ReadPlane(0); err != nil || m.Pix[15] != 15 {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := decode("pages.tif", rawTIFF(binary.LittleEndian, sixteen, page8(), page8(fax)))
	checkHostile(t, err, "pages.tif")
}

// OME-XML that is damaged, lies or speaks of other files.
func TestOMELies(t *testing.T) {
	pixels := `<Pixels DimensionOrder="XYCZT" SizeX="4" SizeY="4" SizeC="1" SizeZ="%d" SizeT="1">%s</Pixels>`
	file := func(xml string) *plane.File {
		t.Helper()
		data := rawTIFF(binary.LittleEndian, sixteen, page8(rawTag{tag: tagDescription, typ: 2, text: xml}), page8())
		f, err := Open("a.ome.tif", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	wrap := func(z int, data string) string {
		return `<?xml version="1.0"?><OME UUID="urn:uuid:1"><Image>` + fmt.Sprintf(pixels, z, data) + `</Image></OME>`
	}
	other := `<TiffData IFD="0" FirstZ="%d"><UUID FileName="%s">%s</UUID></TiffData>`
	for _, c := range []struct {
		name, xml string
		planes    int
		note      string
	}{
		{"sound", wrap(2, ""), 2, ""},
		{"sound with TiffData", wrap(2, "<TiffData/>"), 2, ""},
		{"reordered", wrap(2, `<TiffData IFD="1" FirstZ="0"/><TiffData IFD="0" FirstZ="1"/>`), 2, ""},
		{"one in another file", wrap(2, fmt.Sprintf(other, 0, "a.ome.tif", "urn:uuid:1")+fmt.Sprintf(other, 1, "b.ome.tif", "urn:uuid:2")), 1, "1 plane of the image is in files that are not here: b.ome.tif"},
		{"renamed", wrap(1, fmt.Sprintf(other, 0, "before.ome.tif", "")), 1, "not mention"},
		{"pages left over", wrap(1, ""), 1, "1 page that the OME description does not mention"},
		{"cut", wrap(2, "")[:90], 2, "cannot be used"},
		{"too many planes", wrap(7, ""), 2, "5 planes that the OME description lists are not in the file"},
		{"a plane too many", wrap(3, ""), 2, "1 plane that the OME description lists is not in the file"},
		{"absurd", wrap(2147483647, ""), 2, "cannot be used"},
		{"overflow", strings.NewReplacer(`SizeC="1"`, `SizeC="2147483648"`, `SizeT="1"`, `SizeT="4294967296"`).Replace(wrap(2147483647, "")), 2, "cannot be used"},
		{"page beyond", wrap(2, `<TiffData IFD="99"/>`), 2, "cannot be used"},
		{"negative page", wrap(2, `<TiffData IFD="-1"/>`), 2, "cannot be used"},
		{"plane beyond", wrap(2, `<TiffData IFD="0" FirstZ="5"/>`), 2, "cannot be used"},
		{"order", strings.Replace(wrap(2, ""), "XYCZT", "XYCCT", 1), 2, "cannot be used"},
		{"size", strings.Replace(wrap(2, ""), `SizeX="4"`, `SizeX="5"`, 1), 2, "cannot be used"},
	} {
		f := file(c.xml)
		if len(f.Planes) != c.planes {
			t.Errorf("%s: %d planes, want %d; notes %q", c.name, len(f.Planes), c.planes, f.Notes)
		}
		if all := strings.Join(f.Notes, "; "); !strings.Contains(all, c.note) || c.note == "" && all != "" {
			t.Errorf("%s: notes %q, want %q", c.name, all, c.note)
		}
		for i := range f.Planes {
			if _, err := f.ReadPlane(i); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
	var pages [][]rawTag // against the order of planes, which is Z, T, C
	xml := ""
	for at := range 8 {
		xml += fmt.Sprintf(`<TiffData IFD="%d" FirstZ="%d" FirstT="%d" FirstC="%d"/>`, 7-at, at%2, at/2%2, at/4)
		pages = append(pages, page8())
	}
	xml = strings.NewReplacer("XYCZT", "XYZTC", `SizeC="1"`, `SizeC="2"`, `SizeT="1"`, `SizeT="2"`).Replace(wrap(2, xml))
	pages[0] = page8(description(xml))
	data := rawTIFF(binary.LittleEndian, sixteen, pages...)
	f, err := Open("a.ome.tif", bytes.NewReader(data), int64(len(data)))
	if err != nil || len(f.Planes) != 8 || len(f.Notes) > 0 {
		t.Fatal(f, err)
	}
	for _, p := range f.Planes {
		if want := 7 - (p.Z + 2*p.T + 4*p.Channel); p.Page != want {
			t.Errorf("channel %d, z %d, t %d is page %d, want %d", p.Channel, p.Z, p.T, p.Page, want)
		}
	}
	if f := file(wrap(2, `<TiffData IFD="1" FirstZ="0"/><TiffData IFD="0" FirstZ="1"/>`)); f.Planes[0].Page != 1 || f.Planes[1].Page != 0 {
		t.Errorf("reordered: %+v", f.Planes)
	}
}
