package tiff

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unet/unet/imageio/plane/planetest"
)

// FuzzTIFF covers directories, chunks, ImageJ and OME descriptions.
func FuzzTIFF(f *testing.F) {
	files, err := filepath.Glob("../testdata/*.tif")
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no reference files")
	}
	for _, name := range files {
		f.Add(reference(f, filepath.Base(name)))
	}
	f.Add(rawTIFF(binary.LittleEndian, sixteen, page8(), page8(shortTag(tagBitsPerSample, 12))))
	f.Add(rawTIFF(binary.BigEndian, sixteen, page8(rawTag{tag: tagDescription, typ: 2, text: "ImageJ=1.53\nimages=2\nframes=2\n"})))
	f.Add(rawTIFF(binary.LittleEndian, sixteen, page8(rawTag{tag: tagDescription, typ: 2,
		text: `<OME UUID="u"><Image><Pixels DimensionOrder="XYCZT" SizeX="4" SizeY="4" SizeC="1" SizeZ="2" SizeT="1"><TiffData IFD="0" PlaneCount="2"><UUID FileName="a">u</UUID></TiffData></Pixels></Image></OME>`}), page8()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		file, err := openData("fuzz", data)
		planetest.Read(t, file, err)
	})
}

// FuzzPackBits covers the decompressor written here.
func FuzzPackBits(f *testing.F) {
	f.Add([]byte("\xfda\x02bcd"), uint16(7))
	f.Fuzz(func(t *testing.T, src []byte, n uint16) {
		io.ReadFull(&packBits{r: bytes.NewReader(src)}, make([]byte, n))
	})
}

// FuzzOMESet covers companion files and sets: xml is a companion's and that of
// the file which is opened, other is the content of every member.
func FuzzOMESet(f *testing.F) {
	page := rawTIFF(binary.LittleEndian, samplesFrom(10), page8())
	f.Add([]byte(omeSet("urn:0")), page)
	f.Add([]byte(strings.ReplaceAll(omeSet("urn:0"), `SizeZ="1"`, `SizeZ="7"`)), page)
	f.Add([]byte(`<OME UUID="urn:0"><BinaryOnly MetadataFile="set.companion.ome" UUID="u"/></OME>`), page)
	f.Add([]byte(omeText(`<?xml version="1.0" encoding="UTF-16"?>`, `PhysicalSizeX="0,5" PhysicalSizeXUnit="&#181;m"`)), []byte("II*"))
	f.Fuzz(func(t *testing.T, xml, other []byte) {
		if len(xml) > 1<<13 || len(other) > 1<<13 || bytes.IndexByte(xml, 0) >= 0 {
			return
		}
		dir := filepath.Join(t.TempDir(), "fuzz")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		self := rawTIFF(binary.LittleEndian, samplesFrom(10), page8(description(string(xml))))
		for name, data := range map[string][]byte{"c0.ome.tif": self, "c1.ome.tif": other, "set.companion.ome": xml} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file, err := OpenCompanion(filepath.Join(dir, "set.companion.ome"))
		planetest.Read(t, file, err)
		path := filepath.Join(dir, "c0.ome.tif")
		r, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err = Open(path, r, int64(len(self)))
		planetest.OneLine(t, err)
		if err != nil {
			r.Close()
			return
		}
		if file.Levels > 1 {
			file.UseLevel(1)
		}
		planetest.Read(t, file, nil)
	})
}
