package tiff

import (
	"encoding/binary"
	"strings"
	"testing"
	"unet/unet/imageio/plane"
)

// TestOMEThatIsSlightlyWrong: what one part of a description says wrongly costs
// that part alone.
func TestOMEThatIsSlightlyWrong(t *testing.T) {
	two := func(channels, data string) string {
		return strings.NewReplacer(`<Channel Name="Ph"/><Channel Name="DAPI"/>`, channels, "<TiffData/>", data).Replace(omeText("", `PhysicalSizeX="0.5"`))
	}
	const named = `<Channel Name="Ph"/><Channel Name="DAPI"/>`
	for name, c := range map[string]struct{ xml, first string }{
		"less-than sign in a name":           {two(`<Channel Name="R&D <raw>"/><Channel Name='DAPI'/>`, "<TiffData/>"), "R&D <raw>"},
		"less-than sign between apostrophes": {two(`<Channel Name='R&D <raw>'/><Channel Name="DAPI"/>`, "<TiffData/>"), "R&D <raw>"},
		"a page that is not a number":        {two(named, `<TiffData IFD="x" PlaneCount="?" FirstC="0"/>`), "Ph"},
		"samples that are apart":             {two(`<Channel Name="Ph" SamplesPerPixel="2"/><Channel Name="DAPI"/>`, "<TiffData/>"), "Ph"},
	} {
		f, err := openData(name, rawTIFF(binary.LittleEndian, sixteen, page8(description(c.xml)), page8()))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p := f.Planes; len(p) != 2 || p[0].Name != c.first || p[1].Name != "DAPI" || p[1].PixelSize != plane.SquarePixels(0.5) || len(f.Notes) > 0 {
			t.Errorf("%s: %+v, notes %q", name, p, f.Notes)
		}
	}
	// Values without an end cost the description, not the file.
	f, err := openData("cut", rawTIFF(binary.LittleEndian, sixteen, page8(description(omeText("", `PhysicalSizeX="0.5`))), page8()))
	if err != nil || len(f.Planes) != 2 || len(f.Notes) != 1 {
		t.Errorf("%v %+v", err, f)
	}
}

// TestOMEColourOnPagesOfItsOwn: one channel of three samples per pixel, each on a
// page, is a colour image as the channels red, green and blue are.
func TestOMEColourOnPagesOfItsOwn(t *testing.T) {
	xml := `<OME><Image><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="4" SizeY="4" SizeC="3" SizeZ="1" SizeT="1"><Channel SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>`
	f, err := openData("a.ome.tif", rawTIFF(binary.LittleEndian, sixteen, page8(description(xml)), page8(), page8()))
	if err != nil {
		t.Fatal(err)
	}
	f.JoinNamedColours()
	if len(f.Planes) != 1 || f.Planes[0].C != 3 {
		t.Errorf("%+v, notes %q", f.Planes, f.Notes)
	}
}

// TestSlidesConvertedToOME: converters keep the pictures of the glass as images of
// their own, with names that tell.
func TestSlidesConvertedToOME(t *testing.T) {
	im := func(name string, ifd string) string {
		return `<Image Name="` + name + `"><Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="4" SizeY="4" SizeC="1" SizeZ="1" SizeT="1"><Channel/><TiffData IFD="` + ifd + `"/></Pixels></Image>`
	}
	open := func(images ...string) *plane.File {
		t.Helper()
		f, err := openData("a.ome.tif", rawTIFF(binary.LittleEndian, sixteen, page8(description("<OME>"+strings.Join(images, "")+"</OME>")), page8(), page8()))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open(im("slide.svs", "0"), im("label image", "1"), im("macro image", "2"))
	if len(f.Planes) != 1 || f.Planes[0].Page != 0 || len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "left out: 2 pages that are no level") {
		t.Errorf("%+v, notes %q", f.Planes, f.Notes)
	}
	if f := open(im("raw", "0"), im("label", "1"), im("other", "2")); len(f.Planes) != 3 {
		t.Errorf("a label image was left out: %q", f.Notes)
	}
	if f := open(im("macro image", "0"), im("label image", "1"), im("thumbnail image", "2")); len(f.Planes) != 3 {
		t.Errorf("nothing but pictures: %q", f.Notes)
	}
}

// TestImageJLabelsOfOneChannel: a label that repeats over slices names its channel,
// whatever those of other channels do.
func TestImageJLabelsOfOneChannel(t *testing.T) {
	for _, c := range []struct {
		labels         []string
		channels, each int
		want           string
	}{
		{[]string{"a", "DAPI", "b", "DAPI"}, 2, 2, ",DAPI"},
		{[]string{"c:1/2 z:1/2 - GFP\nfile", "c:2/2 z:1/2 - DAPI", "c:1/2 z:2/2 - GFP", "c:2/2 z:2/2 - DAPI"}, 2, 2, "GFP,DAPI"},
		{[]string{"GFP", "DAPI"}, 2, 1, "GFP,DAPI"},
		{[]string{"GFP"}, 2, 1, ""},
	} {
		if got := strings.Join(channelNames(c.labels, c.channels, c.channels*c.each), ","); got != c.want {
			t.Errorf("%q: %q, want %q", c.labels, got, c.want)
		}
	}
}
