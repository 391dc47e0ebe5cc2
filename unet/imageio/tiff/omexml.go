package tiff

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"unet/unet/imageio/plane"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// OME-XML 2016-06, as far as it says where planes are and how large pixels:
// https://docs.openmicroscopy.org/ome-model/

type omeXML struct {
	UUID string
	// Metadata names the companion file that has the description, when this
	// one has none.
	Metadata string
	Images   []omeImage
}

type omeImage struct {
	Name   string    `xml:"Name,attr"`
	Pixels omePixels `xml:"Pixels"`
}

type omePixels struct {
	Order    string    `xml:"DimensionOrder,attr"`
	Type     string    `xml:"Type,attr"`
	SizeX    omeInt    `xml:"SizeX,attr"`
	SizeY    omeInt    `xml:"SizeY,attr"`
	SizeC    omeInt    `xml:"SizeC,attr"`
	SizeZ    omeInt    `xml:"SizeZ,attr"`
	SizeT    omeInt    `xml:"SizeT,attr"`
	PhysX    omeNumber `xml:"PhysicalSizeX,attr"`
	PhysY    omeNumber `xml:"PhysicalSizeY,attr"`
	PhysZ    omeNumber `xml:"PhysicalSizeZ,attr"`
	UnitX    *string   `xml:"PhysicalSizeXUnit,attr"`
	UnitY    *string   `xml:"PhysicalSizeYUnit,attr"`
	UnitZ    *string   `xml:"PhysicalSizeZUnit,attr"`
	Channels []struct {
		Name    string `xml:"Name,attr"`
		Samples omeInt `xml:"SamplesPerPixel,attr"`
	} `xml:"Channel"`
	TiffData []struct {
		IFD    omeCount `xml:"IFD,attr"`
		FirstC omeInt   `xml:"FirstC,attr"`
		FirstZ omeInt   `xml:"FirstZ,attr"`
		FirstT omeInt   `xml:"FirstT,attr"`
		Count  omeCount `xml:"PlaneCount,attr"`
		UUID   struct {
			File string `xml:"FileName,attr"`
			ID   string `xml:",chardata"`
		} `xml:"UUID"`
	} `xml:"TiffData"`

	perPixel int  // samples per pixel, set when the pages say what the XML does not
	apart    bool // the samples of a colour pixel are on pages of their own
}

// omeInt is a whole number; what is none counts as 0 and never ends the
// reading of the rest.
type omeInt int

// UnmarshalXMLAttr reads the number.
func (n *omeInt) UnmarshalXMLAttr(a xml.Attr) error {
	v, err := strconv.ParseFloat(strings.TrimSpace(a.Value), 64)
	if err == nil && v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		*n = omeInt(v)
	}
	return nil
}

// omeCount is a whole number that may not be there; what is none is not there.
type omeCount struct {
	n     int
	there bool
}

// UnmarshalXMLAttr reads the number.
func (c *omeCount) UnmarshalXMLAttr(a xml.Attr) error {
	n, err := strconv.Atoi(strings.TrimSpace(a.Value))
	*c = omeCount{n, err == nil}
	return nil
}

// omeNumber is a number with a decimal point or comma, and its text.
type omeNumber struct {
	v    float64
	text string
}

// UnmarshalXMLAttr reads the number.
func (n *omeNumber) UnmarshalXMLAttr(a xml.Attr) error {
	n.text = strings.TrimSpace(a.Value)
	n.v, _ = strconv.ParseFloat(strings.Replace(n.text, ",", ".", 1), 64)
	return nil
}

// isOME reports whether a description is OME-XML.
func isOME(text string) bool {
	head := text[:min(len(text), 4096)]
	return strings.Contains(head, "<OME") || strings.Contains(head, ":OME ")
}

// parseOME reads the images that XML describes completely. An error says where
// the XML is damaged; the images before that come with it.
func parseOME(text string) (*omeXML, error) {
	doc, err := parseXML(text)
	if err != nil {
		if other, wrong := parseXML(escapeValues(text)); wrong == nil {
			return other, nil
		}
	}
	return doc, err
}

// escapeValues escapes what must not stand in the values of attributes, as names
// that people gave do ("<empty>").
func escapeValues(text string) string {
	var b strings.Builder
	tag, quote := false, rune(0)
	for _, c := range text {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0 && c == '<':
			b.WriteString("&lt;")
			continue
		case quote != 0:
		case tag && (c == '"' || c == '\''):
			quote = c
		case c == '<':
			tag = true
		case c == '>':
			tag = false
		}
		b.WriteRune(c)
	}
	return b.String()
}

func parseXML(text string) (*omeXML, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict = false // stray & and tags that are not closed are common
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // see decodeText
	doc := &omeXML{}
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return doc, nil
		}
		if err != nil {
			return doc, damagedAt(d, err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			switch e.Name.Local {
			case "OME":
				doc.UUID = attribute(e, "UUID")
			case "BinaryOnly":
				doc.Metadata = attribute(e, "MetadataFile")
			case "Image":
				var im omeImage
				if err := d.DecodeElement(&im, &e); err != nil {
					return doc, damagedAt(d, err)
				}
				doc.Images = append(doc.Images, im)
			default:
				if len(doc.Images) > 0 { // annotations, which can be long
					if err := d.Skip(); err != nil {
						return doc, damagedAt(d, err)
					}
				}
			}
		case xml.EndElement:
			if e.Name.Local == "OME" {
				return doc, nil
			}
		}
	}
}

func damagedAt(d *xml.Decoder, err error) error {
	line, column := d.InputPos()
	return fmt.Errorf("damaged at line %d, column %d", line, column)
}

func attribute(e xml.StartElement, name string) string {
	i := slices.IndexFunc(e.Attr, func(a xml.Attr) bool { return a.Name.Local == name })
	if i < 0 {
		return ""
	}
	return e.Attr[i].Value
}

var declared = regexp.MustCompile(`^[^>]*encoding\s*=\s*["']([A-Za-z0-9_.:-]+)["']`)

// decodeText turns the text of a tag into UTF-8. What is valid UTF-8 is taken
// for that whatever it declares, as programs copy declarations; else the
// declaration counts, or windows-1252, which holds Latin-1. Characters that
// XML forbids become spaces.
func decodeText(b []byte) string {
	var enc encoding.Encoding
	switch {
	case len(b) >= 2 && (b[0] == 0xff && b[1] == 0xfe || b[0] == 0xfe && b[1] == 0xff):
		enc = unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM)
	case len(b) >= 4 && b[0] == '<' && b[1] == 0:
		enc = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case len(b) >= 4 && b[0] == 0 && b[1] == '<':
		enc = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case utf8.Valid(b):
	default: // of one byte each
		enc = charmap.Windows1252
		if m := declared.FindSubmatch(b[:min(len(b), 300)]); m != nil {
			if e, err := htmlindex.Get(string(m[1])); err == nil && e != unicode.UTF8 {
				enc = e
			}
		}
	}
	if enc != nil {
		if u, err := enc.NewDecoder().Bytes(b); err == nil {
			b = u
		}
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, strings.TrimRight(strings.TrimPrefix(string(b), "\ufeff"), "\x00"))
}

// check holds the sizes against sense and limits.
func (px *omePixels) check() error {
	n := omeInt(px.samples())
	if px.SizeC < 1 || px.SizeZ < 1 || px.SizeT < 1 || px.SizeC%n != 0 {
		return fmt.Errorf("sizes C %d, Z %d, T %d with %d samples per pixel", px.SizeC, px.SizeZ, px.SizeT, n)
	}
	if px.SizeX < 1 || px.SizeY < 1 || px.SizeX > plane.MaxSide || px.SizeY > plane.MaxSide {
		return fmt.Errorf("planes of %d x %d pixels", px.SizeX, px.SizeY)
	}
	if max(px.SizeC, px.SizeZ, px.SizeT) > plane.MaxPlanes || px.SizeC*px.SizeZ > plane.MaxPlanes || px.planes() > plane.MaxPlanes {
		return fmt.Errorf("more than %d planes", plane.MaxPlanes)
	}
	if len(px.Order) != 5 || !strings.Contains("XYCZT XYCTZ XYZCT XYZTC XYTCZ XYTZC", px.Order) {
		return fmt.Errorf("dimension order %q", px.Order)
	}
	return nil
}

// samples is how many channels share a page.
func (px *omePixels) samples() int {
	if px.perPixel > 0 {
		return px.perPixel
	}
	if len(px.Channels) > 0 {
		return max(int(px.Channels[0].Samples), 1)
	}
	return 1
}

// fit takes the samples per pixel from the pages where the XML does not say
// them, or says that colour is together which is on pages of its own.
func (px *omePixels) fit(spp int) {
	n := 0
	for _, c := range px.Channels {
		n = max(n, int(c.Samples))
	}
	switch {
	case n < 1 && spp > 1 && int(px.SizeC)%spp == 0:
		px.perPixel = spp
	case n > 1 && spp == 1:
		px.perPixel, px.apart = 1, n == len(plane.Colours) && int(px.SizeC) == n
	}
}

func (px *omePixels) planes() int {
	return int(px.SizeC) / px.samples() * int(px.SizeZ) * int(px.SizeT)
}

// size is the length of axis 'C' (in pages), 'Z' or 'T'.
func (px *omePixels) size(axis byte) int {
	switch axis {
	case 'C':
		return int(px.SizeC) / px.samples()
	case 'Z':
		return int(px.SizeZ)
	}
	return int(px.SizeT)
}

// place is where plane i of the dimension order lies.
func (px *omePixels) place(i int) (c, z, t int) {
	for _, axis := range []byte(px.Order[2:]) {
		n := px.size(axis)
		switch axis {
		case 'C':
			c = i % n
		case 'Z':
			z = i % n
		case 'T':
			t = i % n
		}
		i /= n
	}
	return c, z, t
}

func (px *omePixels) channelName(c int) string {
	if px.apart {
		return plane.Colours[c%len(plane.Colours)]
	}
	if len(px.Channels) > px.size('C') { // an element for every sample
		c *= px.samples()
	}
	if c /= px.samples(); c >= 0 && c < len(px.Channels) {
		return strings.TrimSpace(px.Channels[c].Name)
	}
	return ""
}

// pixelSize is in µm, the model's default unit. Notes tell what is stated and
// not used.
func (px *omePixels) pixelSize(note func(format string, args ...any)) plane.PixelSize {
	axis := func(name string, n omeNumber, unit *string) float64 {
		um := 1.0
		if unit != nil && strings.TrimSpace(*unit) != "" {
			um = plane.Micrometres(*unit)
		}
		size := n.v * um
		switch {
		case n.text == "":
			return 0
		case !(n.v > 0) || math.IsInf(n.v, 0):
			if n.text != "0" && n.text != "0.0" {
				note("PhysicalSize%s %q is not a size and is not used", name, n.text)
			}
			return 0
		case um == 0 && !strings.EqualFold(strings.TrimSpace(*unit), "pixel") && !strings.EqualFold(strings.TrimSpace(*unit), "reference frame"):
			note("PhysicalSize%s is in the unit %q, which is not known and not used", name, *unit)
		}
		return size
	}
	x, y, z := axis("X", px.PhysX, px.UnitX), axis("Y", px.PhysY, px.UnitY), axis("Z", px.PhysZ, px.UnitZ)
	return plane.SizeOf(x, y, z)
}
