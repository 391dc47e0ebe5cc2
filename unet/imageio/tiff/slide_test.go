package tiff

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"unet/unet/imageio/plane"
)

// level is a page of n x n samples (RGB when colour is set) in one tile.
func level(n uint64, colour bool, more ...rawTag) []rawTag {
	tags := []rawTag{longTag(tagImageWidth, n), longTag(tagImageLength, n), longTag(tagTileWidth, 16), longTag(tagTileLength, 16),
		longTag(tagStripOffsets, 8), longTag(tagStripByteCounts, 16*16), longTag(tagRowsPerStrip, n)}
	if colour {
		tags = append(tags, shortTag(tagPhotometric, photoRGB), shortTag(tagSamplesPerPixel, 3), longTag(tagStripByteCounts, 3*16*16))
	}
	return page8(append(tags, more...)...)
}

// TestSlides: of a slide scanner's file only the full resolution is an image;
// its levels can be chosen, its pictures of the glass cannot.
func TestSlides(t *testing.T) {
	lens := func(v float32) rawTag { return longTag(tagNDPILens, uint64(math.Float32bits(v))) }
	floats := func(b []byte) []byte { // the lens tag is a float
		for {
			i := strings.Index(string(b), string(binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, tagNDPILens), 4)))
			if i < 0 {
				return b
			}
			b[i+2] = 11
		}
	}
	qpi := func(kind, name string) rawTag {
		return description(`<?xml version="1.0" encoding="utf-16"?><PerkinElmer-QPI-ImageDescription><ImageType>` + kind + `</ImageType><Name>` + name + `</Name></PerkinElmer-QPI-ImageDescription>`)
	}
	scn := `<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection sizeX="20000" sizeY="50000">` +
		`<image><pixels sizeX="8" sizeY="8"><dimension r="0" ifd="3" sizeX="8" sizeY="8"/></pixels><view sizeX="20000" sizeY="50000"/></image>` +
		`<image><pixels sizeX="16" sizeY="16"><dimension r="0" ifd="0"/><dimension r="1" ifd="1"/></pixels><view sizeX="8000" sizeY="8000"/></image></collection></scn>`
	glass := level(12, true, longTag(tagImageLength, 4))
	for _, c := range []struct {
		name   string
		pages  [][]rawTag
		format string
		planes int
		names  string
		levels int
		size   float64 // µm
	}{
		{"Aperio SVS", [][]rawTag{level(16, true, description("Aperio Image Library v12|AppMag = 40|MPP = 0.2520")), page8(longTag(tagImageWidth, 4)), level(4, true), glass, glass},
			"Aperio SVS", 1, "", 2, 0.252},
		{"one page of Aperio", [][]rawTag{level(16, true, description("Aperio Image Library v8|MPP = 0.4970"))}, "Aperio SVS", 1, "", 1, 0.497},
		{"QPTIFF", [][]rawTag{level(16, false, qpi("FullResolution", "DAPI")), level(16, false, qpi("FullResolution", "CD8")), level(8, true, qpi("Thumbnail", "")),
			level(8, false, qpi("ReducedResolution", "DAPI")), level(8, false, qpi("ReducedResolution", "CD8")), glass}, "PerkinElmer QPTIFF", 2, "DAPI CD8", 2, 0},
		{"Philips", [][]rawTag{level(16, true, description(`<DataObject ObjectType="DPUfsImport"><Attribute Name="DICOM_PIXEL_SPACING" PMSVR="IDoubleArray">&quot;0.0005&quot; &quot;0.00025&quot;</Attribute></DataObject>`)),
			level(8, true, description("level=1 mag=20 quality=80")), level(12, true, description("Macro")), level(12, true, description("Label"))}, "Philips TIFF", 1, "", 2, 0.25},
		{"NDPI", [][]rawTag{level(16, true, lens(20)), level(4, true, lens(5)), level(12, true, lens(-1)), level(12, true, lens(-2))}, "Hamamatsu NDPI", 1, "", 2, 0},
		{"Leica SCN", [][]rawTag{level(16, true, description(scn)), level(8, true), glass, level(8, true)}, "Leica SCN", 1, "", 2, 0.5},
		{"marked pyramid", [][]rawTag{level(16, true), level(8, true, longTag(tagNewSubfileType, 1)), level(4, true, longTag(tagNewSubfileType, 1))}, "TIFF", 1, "", 3, 0},
		{"unmarked pyramid", [][]rawTag{level(16, false), level(8, false), level(4, false), level(2, false)}, "TIFF", 1, "", 4, 0},
		{"unmarked pyramid of two", [][]rawTag{level(16, false), level(8, false)}, "TIFF", 1, "", 2, 0},
		{"Ventana", [][]rawTag{page8(description("Label_Image")), page8(description("Probability_Image")), level(16, true, description("level=0 mag=40 quality=95")),
			level(8, true, description("level=1 mag=20 quality=95"))}, "TIFF", 1, "", 2, 0},
		{"two pages, one of them no tiles", [][]rawTag{level(16, false), page8()}, "TIFF", 2, " ", 1, 0},
		{"stack of equal pages", [][]rawTag{level(16, false), level(16, false), level(16, false)}, "TIFF", 3, "  ", 1, 0},
		{"pages of other proportions", [][]rawTag{level(16, false), level(12, false, longTag(tagImageLength, 4)), level(4, false)}, "TIFF", 3, "  ", 1, 0},
	} {
		data := floats(rawTIFF(binary.LittleEndian, make([]byte, 3*256), c.pages...))
		f, err := openData(c.name, data)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var names []string
		for _, p := range f.Planes {
			names = append(names, p.Name)
		}
		size := f.Planes[0].PixelSize
		if len(f.Planes) != c.planes || strings.Join(names, " ") != c.names || f.Levels != c.levels || f.Format != c.format || math.Abs(size.X-c.size) > 1e-9 {
			t.Errorf("%s: format %s, planes %+v, %d levels, notes %q", c.name, f.Format, f.Planes, f.Levels, f.Notes)
			continue
		}
		if c.name == "one page of Aperio" && len(f.Notes) > 0 {
			t.Errorf("%s: notes %q", c.name, f.Notes)
		}
		last := f.Levels - 1
		if n := len(f.LevelSizes); last > 0 && n != f.Levels || last == 0 && n > 0 {
			t.Errorf("%s: sizes of %d levels: %v", c.name, f.Levels, f.LevelSizes)
		}
		before := f.Planes[0]
		if err := f.UseLevel(last); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		p := f.Planes[0]
		if last > 0 && f.LevelSizes[last] != p.PixelSize {
			t.Errorf("%s: level %d has pixels of %v, not %v", c.name, last, p.PixelSize, f.LevelSizes[last])
		}
		if len(f.Planes) != c.planes || last > 0 && p.W >= before.W || math.Abs(p.PixelSize.X*float64(p.W)-size.X*float64(before.W)) > 1e-9 {
			t.Errorf("%s: level %d is %+v, level 0 %+v", c.name, last, p, before)
		}
		if _, err := f.ReadPlane(0); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := f.UseLevel(c.levels); err == nil {
			t.Errorf("%s: there is a level %d", c.name, c.levels)
		}
	}
}

// TestSubIFDLevels: the levels of an OME pyramid, and of other tiled files, hang on
// their pages.
func TestSubIFDLevels(t *testing.T) {
	ome := reference(t, "ome-pyramid.ome.tif")
	for name, data := range map[string][]byte{"a.ome.tif": ome, "other.tif": bytes.ReplaceAll(ome, []byte("<OME"), []byte("<XYZ"))} {
		f, err := openData(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if f.Levels < 2 || len(f.Planes) != 2 {
			t.Fatalf("%s: %d levels of %d planes", name, f.Levels, len(f.Planes))
		}
		w := f.Planes[1].W
		if err := f.UseLevel(1); err != nil {
			t.Fatal(err)
		}
		if p := f.Planes[1]; len(f.Planes) != 2 || p.W >= w {
			t.Errorf("%s: %+v", name, f.Planes)
		}
		if _, err := f.ReadPlane(1); err != nil {
			t.Error(err)
		}
	}
}

// TestChunkBytes: a strip of JPEG is decoded into its samples twice, of a byte, and
// its coefficients, of four; strips of other compressions a row at a time.
func TestChunkBytes(t *testing.T) {
	jpeg := shortTag(tagCompression, compJPEG)
	for _, c := range []struct {
		page []rawTag
		want int64
	}{
		{page8(jpeg), 6 * 4 * 4},
		{level(16, true, jpeg), 6 * 16 * 16 * 3},
		{level(16, true, jpeg, shortTag(tagPlanarConfig, 2)), 6 * 16 * 16},
		{level(16, true), 0},
	} {
		f, err := openData("a.tif", rawTIFF(binary.LittleEndian, make([]byte, 3*16*16), c.page))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.ChunkBytes(0); got != c.want {
			t.Errorf("%d bytes, want %d", got, c.want)
		}
	}
}

// TestImageJSliceLabels: labels that are the same at every slice name channels.
func TestImageJSliceLabels(t *testing.T) {
	file := func(labels ...string) *plane.File {
		var text []byte
		header := []byte("JIJI\x6c\x62\x61\x6c") // IJIJ and labl, little-endian
		header = binary.LittleEndian.AppendUint32(header, uint32(len(labels)))
		counts := []uint64{uint64(len(header))}
		for _, l := range labels {
			n := len(text)
			for _, r := range l {
				text = binary.LittleEndian.AppendUint16(text, uint16(r))
			}
			counts = append(counts, uint64(len(text)-n))
		}
		data := rawTIFF(binary.LittleEndian, make([]byte, 64), page8(description("ImageJ=1.54f\nimages=4\nchannels=2\nslices=2\nhyperstack=true\n"),
			rawTag{tag: tagIJCounts, typ: 4, values: counts}, rawTag{tag: tagIJData, typ: 1, text: string(header) + string(text)}))
		f, err := openData("a.tif", data)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := file("c:1/2 z:1/2 - DAPI", "c:2/2 z:1/2 - GFP", "c:1/2 z:2/2 - DAPI", "c:2/2 z:2/2 - GFP")
	if len(f.Planes) != 4 || f.Planes[0].Name != "DAPI" || f.Planes[3].Name != "GFP" {
		t.Errorf("%+v", f.Planes)
	}
	if f := file("a", "b", "c", "d"); f.Planes[0].Name != "" {
		t.Errorf("labels of slices became names of channels: %+v", f.Planes)
	}
}
