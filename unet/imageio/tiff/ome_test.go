package tiff

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"unet/unet/imageio/plane"
)

// omeText is OME-XML of two channels and as many slices as planes say.
func omeText(declaration, attributes string) string {
	return declaration + `<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="4" SizeY="4" SizeC="2" SizeZ="1" SizeT="1" ` +
		attributes + `><Channel Name="Ph"/><Channel Name="DAPI"/><TiffData/></Pixels></Image></OME>`
}

// TestOMEEncodings: XML is read whatever it declares and is, and a bad attribute
// costs only itself.
func TestOMEEncodings(t *testing.T) {
	const micron = `PhysicalSizeX="0.5" PhysicalSizeXUnit="µm"`
	latin1, err := charmap.ISO8859_1.NewEncoder().String(omeText(`<?xml version="1.0" encoding="ISO-8859-1"?>`, micron))
	if err != nil {
		t.Fatal(err)
	}
	undeclared, _ := charmap.Windows1252.NewEncoder().String(omeText(`<?xml version="1.0"?>`, micron))
	declared1252, _ := charmap.Windows1252.NewEncoder().String(omeText(`<?xml version='1.0' encoding='windows-1252'?>`, micron))
	utf16le, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(omeText(`<?xml version="1.0" encoding="UTF-16"?>`, micron))
	utf16be, _ := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().String(omeText(`<?xml version="1.0" encoding="UTF-16"?>`, micron))
	sjis, err := japanese.ShiftJIS.NewEncoder().String(strings.Replace(omeText(`<?xml version="1.0" encoding="Shift_JIS"?>`, `PhysicalSizeX="0.5"`), `"Ph"`, `"核"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		xml  string
		note string
	}{
		"UTF-8":                         {omeText(`<?xml version="1.0" encoding="UTF-8"?>`, micron), ""},
		"UTF-8 with a mark":             {"\ufeff" + omeText(`<?xml version="1.0" encoding="UTF-8"?>`, micron), ""},
		"Latin-1":                       {latin1, ""},
		"Latin-1, undeclared":           {undeclared, ""},
		"windows-1252":                  {declared1252, ""},
		"US-ASCII with a reference":     {omeText(`<?xml version="1.0" encoding="US-ASCII"?>`, `PhysicalSizeX="0.5" PhysicalSizeXUnit="&#181;m"`), ""},
		"UTF-8 that says UTF-16":        {omeText(`<?xml version="1.0" encoding="UTF-16"?>`, micron), ""},
		"UTF-8 that says Latin-1":       {omeText(`<?xml version="1.0" encoding="ISO-8859-1"?>`, micron), ""},
		"an unknown encoding":           {omeText(`<?xml version="1.0" encoding="x-lab-7"?>`, micron), ""},
		"UTF-16, little-endian":         {utf16le, ""},
		"UTF-16, big-endian":            {utf16be, ""},
		"Shift JIS":                     {sjis, ""},
		"decimal comma":                 {omeText("", `PhysicalSizeX="0,5"`), ""},
		"no number":                     {omeText("", `PhysicalSizeX="0.5" PhysicalSizeY="?"`), `PhysicalSizeY "?"`},
		"attributes of another program": {omeText("", `PhysicalSizeX="0.5" BigEndian="maybe" SignificantBits="12.0"`), ""},
		"a control character":           {omeText("", "PhysicalSizeX=\"0.5\" Comment=\"a\x01b\""), ""},
		"a stray ampersand":             {strings.Replace(omeText("", `PhysicalSizeX="0.5"`), `Name="Ph"`, `Name="A & B"`, 1), ""},
		"annotations that are cut":      {strings.Replace(omeText("", `PhysicalSizeX="0.5"`), "</OME>", "<StructuredAnnotations><a", 1), "damaged at line 1"},
	} {
		data := rawTIFF(binary.LittleEndian, sixteen, page8(description(c.xml)), page8())
		f, err := openData("a.ome.tif", data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(f.Planes) != 2 || f.Planes[1].Name != "DAPI" || f.Planes[0].PixelSize != plane.SquarePixels(0.5) {
			t.Errorf("%s: %+v, notes %q", name, f.Planes, f.Notes)
		}
		if all := strings.Join(f.Notes, "; "); !strings.Contains(all, c.note) || c.note == "" && all != "" {
			t.Errorf("%s: notes %q, want %q", name, all, c.note)
		}
		if name == "Shift JIS" && f.Planes[0].Name != "核" {
			t.Errorf("%s: %q", name, f.Planes[0].Name)
		}
	}
}

// TestOMEWithoutSamplesPerPixel: the pages say what the XML does not.
func TestOMEWithoutSamplesPerPixel(t *testing.T) {
	xml := strings.Replace(omeText("", ""), `SizeC="2"`, `SizeC="3"`, 1)
	rgb := page8(description(xml), shortTag(tagPhotometric, photoRGB), shortTag(tagSamplesPerPixel, 3), longTag(tagStripByteCounts, 48))
	f, err := openData("a.ome.tif", rawTIFF(binary.LittleEndian, make([]byte, 48), rgb))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Planes) != 1 || f.Planes[0].C != 3 || len(f.Notes) != 0 {
		t.Errorf("%+v, notes %q", f.Planes, f.Notes)
	}
}

// writeFiles writes files into a new folder.
func writeFiles(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// samplesFrom are 16 samples that count from first.
func samplesFrom(first byte) []byte {
	b := make([]byte, 16)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// omeSet is the XML of two channels in two files.
func omeSet(uuid string) string {
	return strings.NewReplacer("<OME ", `<OME UUID="`+uuid+`" `, "<TiffData/>",
		`<TiffData IFD="0" FirstC="0" PlaneCount="1"><UUID FileName="c0.ome.tif">urn:0</UUID></TiffData>`+
			`<TiffData IFD="0" FirstC="1" PlaneCount="1"><UUID FileName="c1.ome.tif">urn:1</UUID></TiffData>`).Replace(omeText("", `PhysicalSizeX="0.5"`))
}

// checkSet opens a file of a data set and wants both of its channels.
func checkSet(t *testing.T, f *plane.File, members int) {
	t.Helper()
	if len(f.Planes) != 2 || f.Planes[1].Name != "DAPI" || f.Planes[1].Channel != 1 || len(f.Members) != members || len(f.Notes) != 0 {
		t.Fatalf("%s: %+v, members %q, notes %q", f.Name, f.Planes, f.Members, f.Notes)
	}
	for i, first := range []float32{10, 20} {
		m, err := f.ReadPlane(i)
		if err != nil || m.Pix[0] != first || m.Pix[15] != first+15 {
			t.Errorf("%s, plane %d: %v %v", f.Name, i, m, err)
		}
		if l, err := f.ReadLabels(i); err != nil || l.ID[3] != uint32(first)+3 {
			t.Errorf("%s, labels %d: %v %v", f.Name, i, l, err)
		}
	}
}

// TestOMESetOfFiles: any file of a set, and the companion, stands for all.
func TestOMESetOfFiles(t *testing.T) {
	binaryOnly := func(id string) rawTag {
		return description(`<OME UUID="` + id + `"><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:set"/></OME>`)
	}
	companion := writeFiles(t, map[string][]byte{
		"set.companion.ome": []byte(omeSet("urn:set")),
		"c0.ome.tif":        rawTIFF(binary.LittleEndian, samplesFrom(10), page8(binaryOnly("urn:0"))),
		"c1.ome.tif":        rawTIFF(binary.BigEndian, samplesFrom(20), page8(binaryOnly("urn:1"))),
	})
	for _, name := range []string{"c0.ome.tif", "c1.ome.tif"} {
		checkSet(t, openFile(t, filepath.Join(companion, name)), 2)
	}
	f, err := OpenCompanion(filepath.Join(companion, "set.companion.ome"))
	if err != nil {
		t.Fatal(err)
	}
	checkSet(t, f, 2)
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	each := writeFiles(t, map[string][]byte{
		"c0.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(10), page8(description(omeSet("urn:0")))),
		"c1.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(20), page8(description(omeSet("urn:1")))),
	})
	for _, name := range []string{"c0.ome.tif", "c1.ome.tif"} {
		checkSet(t, openFile(t, filepath.Join(each, name)), 1)
	}
	below := writeFiles(t, map[string][]byte{
		"c0.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(10), page8(description(strings.Replace(omeSet("urn:0"), "c1.ome.tif", "planes/c1.ome.tif", 1)))),
	})
	if err := os.Mkdir(filepath.Join(below, "planes"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(below, "planes", "c1.ome.tif"), rawTIFF(binary.LittleEndian, samplesFrom(20), page8()), 0o600); err != nil {
		t.Fatal(err)
	}
	checkSet(t, openFile(t, filepath.Join(below, "c0.ome.tif")), 1)
	// In memory there is no folder to look into.
	data, err := os.ReadFile(filepath.Join(each, "c0.ome.tif"))
	if err != nil {
		t.Fatal(err)
	}
	if f, err := openData("c0.ome.tif", data); err != nil || len(f.Planes) != 1 || !strings.Contains(f.Notes[0], "c1.ome.tif") {
		t.Errorf("in memory: %+v %v", f, err)
	}
}

// TestOMESetsThatLie: members that are missing, other images, outside the
// folder or the set itself.
func TestOMESetsThatLie(t *testing.T) {
	outside := writeFiles(t, map[string][]byte{"c1.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(20), page8())})
	escape := strings.ReplaceAll(omeSet("urn:0"), "c1.ome.tif", "../"+filepath.Base(outside)+"/c1.ome.tif")
	for name, c := range map[string]struct {
		files  map[string][]byte
		planes int
		note   string
		fails  string // reading plane 1
	}{
		"missing member": {map[string][]byte{"c0.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(10), page8(description(omeSet("urn:0"))))}, 1, "c1.ome.tif", ""},
		"member outside": {map[string][]byte{"c0.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(10), page8(description(escape)))}, 1, "not here", ""},
		"missing companion": {map[string][]byte{"c0.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(10),
			page8(description(`<OME UUID="urn:0"><BinaryOnly MetadataFile="gone.companion.ome" UUID="urn:set"/></OME>`)))}, 1, "gone.companion.ome", ""},
		"companion of a companion": {map[string][]byte{"c0.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(10),
			page8(description(`<OME UUID="urn:0"><BinaryOnly MetadataFile="a.companion.ome"/></OME>`))),
			"a.companion.ome": []byte(`<OME><BinaryOnly MetadataFile="a.companion.ome"/></OME>`)}, 1, "cannot be used", ""},
		"member of another size": {map[string][]byte{"c0.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(10), page8(description(omeSet("urn:0")))),
			"c1.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(20), page8(longTag(tagImageWidth, 2)))}, 2, "", "is not the plane"},
		"member that is no TIFF": {map[string][]byte{"c0.ome.tif": rawTIFF(binary.LittleEndian, samplesFrom(10), page8(description(omeSet("urn:0")))),
			"c1.ome.tif": []byte("nothing")}, 2, "", "c1.ome.tif"},
	} {
		f := openFile(t, filepath.Join(writeFiles(t, c.files), "c0.ome.tif"))
		if all := strings.Join(f.Notes, "; "); len(f.Planes) != c.planes || !strings.Contains(all, c.note) || c.note == "" && all != "" {
			t.Errorf("%s: %d planes, notes %q", name, len(f.Planes), all)
			continue
		}
		if c.fails != "" {
			if _, err := f.ReadPlane(1); err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, text := range map[string]string{
		"absurd":   strings.Replace(omeSet("u"), `SizeZ="1"`, `SizeZ="99999999"`, 1),
		"no files": omeSet("u"),
		"empty":    "",
		"no XML":   "\x00\x01",
	} {
		path := filepath.Join(t.TempDir(), "x.companion.ome")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenCompanion(path)
		if err == nil {
			t.Errorf("%s was opened", name)
			continue
		}
		checkHostile(t, err, path)
	}
}

// TestManyMembers: the files of a set are not all open at once.
func TestManyMembers(t *testing.T) {
	const n = 3 * openMembers
	files := map[string][]byte{}
	var data strings.Builder
	for i := range n {
		fmt.Fprintf(&data, `<TiffData IFD="0" FirstZ="%d"><UUID FileName="z%02d.ome.tif">urn:%d</UUID></TiffData>`, i, i, i)
	}
	xml := strings.NewReplacer(`SizeC="2"`, `SizeC="1"`, `SizeZ="1"`, fmt.Sprintf(`SizeZ="%d"`, n), "<TiffData/>", data.String()).Replace(omeText("", ""))
	for i := range n {
		files[fmt.Sprintf("z%02d.ome.tif", i)] = rawTIFF(binary.LittleEndian, samplesFrom(byte(i)), page8(description(xml)))
	}
	dir := writeFiles(t, files)
	r, err := os.Open(filepath.Join(dir, "z00.ome.tif"))
	if err != nil {
		t.Fatal(err)
	}
	st, _ := r.Stat()
	f, err := Open(r.Name(), r, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Planes) != n {
		t.Fatalf("%d planes, notes %q", len(f.Planes), f.Notes)
	}
	for range 2 {
		for i := range n {
			if m, err := f.ReadPlane(i); err != nil || m.Pix[0] != float32(i) {
				t.Fatalf("plane %d: %v %v", i, m, err)
			}
		}
	}
}

// TestOMELimits: a file has at most so many planes, pages of some sides, and its axes in
// an order that the OME schema knows.
func TestOMELimits(t *testing.T) {
	const most = plane.MaxPlanes
	for _, c := range []struct {
		px   omePixels
		fine bool
	}{
		{omePixels{SizeC: most, SizeZ: 1, SizeT: 1}, true},
		{omePixels{SizeC: 1, SizeZ: most, SizeT: 1}, true},
		{omePixels{SizeC: 1, SizeZ: 1, SizeT: most}, true},
		{omePixels{SizeC: 2, SizeZ: most / 4, SizeT: 2}, true},
		{omePixels{SizeC: most + 1, SizeZ: 1, SizeT: 1}, false},
		{omePixels{SizeC: 1, SizeZ: 1, SizeT: most + 1}, false},
		{omePixels{SizeC: 2, SizeZ: most/2 + 1, SizeT: 1}, false},
		{omePixels{SizeC: 2, SizeZ: most / 4, SizeT: 3}, false},
		{omePixels{SizeC: 0, SizeZ: 1, SizeT: 1}, false},
		{omePixels{SizeC: 1, SizeZ: 1, SizeT: 1, SizeX: plane.MaxSide, SizeY: plane.MaxSide}, true},
		{omePixels{SizeC: 1, SizeZ: 1, SizeT: 1, SizeX: plane.MaxSide + 1, SizeY: 1}, false},
		{omePixels{SizeC: 1, SizeZ: 1, SizeT: 1, SizeX: 1, SizeY: plane.MaxSide + 1}, false},
		{omePixels{SizeC: 1, SizeZ: 1, SizeT: 1, Order: "XYCZ"}, false},
		{omePixels{SizeC: 1, SizeZ: 1, SizeT: 1, Order: "YXCZT"}, false},
	} {
		px := c.px
		px.SizeX, px.SizeY, px.Order = cmp.Or(px.SizeX, 4), cmp.Or(px.SizeY, 4), cmp.Or(px.Order, "XYZTC")
		if err := px.check(); (err == nil) != c.fine {
			t.Errorf("%+v: %v", px, err)
		}
	}
}
