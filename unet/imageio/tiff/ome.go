package tiff

import (
	"encoding/xml"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"unet/unet/imageio/plane"
)

// OME-XML 2016-06, as far as it says where planes are:
// https://docs.openmicroscopy.org/ome-model/

type omeXML struct {
	UUID   string `xml:"UUID,attr"`
	Images []struct {
		Name   string    `xml:"Name,attr"`
		Pixels omePixels `xml:"Pixels"`
	} `xml:"Image"`
}

type omePixels struct {
	Order    string  `xml:"DimensionOrder,attr"`
	SizeX    int     `xml:"SizeX,attr"`
	SizeY    int     `xml:"SizeY,attr"`
	SizeC    int     `xml:"SizeC,attr"`
	SizeZ    int     `xml:"SizeZ,attr"`
	SizeT    int     `xml:"SizeT,attr"`
	PhysX    float64 `xml:"PhysicalSizeX,attr"`
	UnitX    string  `xml:"PhysicalSizeXUnit,attr"`
	Channels []struct {
		Name    string `xml:"Name,attr"`
		Samples int    `xml:"SamplesPerPixel,attr"`
	} `xml:"Channel"`
	TiffData []struct {
		IFD    *int `xml:"IFD,attr"`
		FirstC int  `xml:"FirstC,attr"`
		FirstZ int  `xml:"FirstZ,attr"`
		FirstT int  `xml:"FirstT,attr"`
		Count  *int `xml:"PlaneCount,attr"`
		UUID   struct {
			File string `xml:"FileName,attr"`
			ID   string `xml:",chardata"`
		} `xml:"UUID"`
	} `xml:"TiffData"`
}

func isOME(text string) bool {
	head := text[:min(len(text), 4096)]
	return strings.Contains(head, "<OME") || strings.Contains(head, ":OME ")
}

// ome lists the planes of an OME-TIFF file as its XML lays them out. Damaged
// XML is noted and the pages are listed plainly; planes that the XML places in
// other files are noted and left to those.
func (s *tiffSource) ome(text string) error {
	s.out.Format = "OME-TIFF"
	var doc omeXML
	err := xml.Unmarshal([]byte(text), &doc)
	if err == nil {
		err = s.omePlanes(&doc)
	}
	if err == nil && len(s.planes) == 0 {
		err = errors.New("it places no plane in this file")
	}
	if err != nil {
		s.out.Note("the OME-XML is of no use (%s); pages are listed in file order", strings.ReplaceAll(err.Error(), "\n", " "))
		s.planes, s.out.Planes = nil, nil
		return s.plain()
	}
	return nil
}

// placer returns a function that tells whether the file that a TiffData
// element names is the one in hand. UUIDs decide where given: files get
// renamed. Names decide only when the XML speaks of several files.
func (doc *omeXML) placer(self string) func(file, id string) bool {
	names := map[string]bool{}
	for _, im := range doc.Images {
		for _, td := range im.Pixels.TiffData {
			names[td.UUID.File] = true
		}
	}
	return func(file, id string) bool {
		if id = strings.TrimSpace(id); id != "" && doc.UUID != "" {
			return strings.EqualFold(id, doc.UUID)
		}
		return file == "" || len(names) == 1 || filepath.Base(strings.ReplaceAll(file, "\\", "/")) == self
	}
}

// omePlanes lists the planes of all images of the XML that lie in this file.
func (s *tiffSource) omePlanes(doc *omeXML) error {
	inThisFile := doc.placer(filepath.Base(s.name))
	used := make([]bool, len(s.pages))
	next, listed, missing, elsewhere := 0, 0, 0, 0
	for series, im := range doc.Images {
		px := &im.Pixels
		if err := px.check(); err != nil {
			return err
		}
		if listed += px.planes(); listed > plane.MaxPlanes {
			return fmt.Errorf("more than %d planes", plane.MaxPlanes)
		}
		pages, out, err := px.layout(next, inThisFile)
		if err != nil {
			return err
		}
		elsewhere += out
		for i, page := range pages {
			if page < 0 {
				continue
			}
			if page >= len(s.pages) {
				missing++
				continue
			}
			p := s.pages[page]
			if p.w != px.SizeX || p.h != px.SizeY {
				return fmt.Errorf("planes of %d x %d pixels, page %d has %d x %d", px.SizeX, px.SizeY, page, p.w, p.h)
			}
			info := plane.Info{Series: series, Page: page, PixelSize: px.pixelSize()}
			info.Channel, info.Z, info.T = px.place(i)
			if p.spp > 1 && p.photometric != photoRGB && p.photometric != photoYCbCr {
				info.Channel *= px.samples()
			}
			if err := s.add(p, info, px.channelName); err != nil {
				return err
			}
			used[page] = true
			next = max(next, page+1)
		}
	}
	left := 0
	for i, p := range s.pages {
		if !used[i] && !p.reduced {
			left++
		}
	}
	for _, n := range []struct {
		count int
		text  string
	}{
		{elsewhere, "%d planes of the image are in other files"},
		{missing, "%d planes that the OME-XML lists are not in the file: was recording stopped early?"},
		{left, "%d pages that the OME-XML does not mention were left out"},
	} {
		if n.count > 0 {
			s.out.Note(n.text, n.count)
		}
	}
	return nil
}

// check holds the sizes against sense and limits.
func (px *omePixels) check() error {
	n := px.samples()
	if px.SizeC < 1 || px.SizeZ < 1 || px.SizeT < 1 || px.SizeC%n != 0 {
		return fmt.Errorf("sizes C %d, Z %d, T %d with %d samples per pixel", px.SizeC, px.SizeZ, px.SizeT, n)
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
	if len(px.Channels) > 0 {
		return max(px.Channels[0].Samples, 1)
	}
	return 1
}

func (px *omePixels) planes() int { return px.SizeC / px.samples() * px.SizeZ * px.SizeT }

// size is the length of axis 'C' (in pages), 'Z' or 'T'.
func (px *omePixels) size(axis byte) int {
	switch axis {
	case 'C':
		return px.SizeC / px.samples()
	case 'Z':
		return px.SizeZ
	}
	return px.SizeT
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

// layout returns the page of every plane in dimension order, -1 for planes
// that no TiffData element places in this file, and counts those that one
// places in another file. Pages count on from next where the XML says nothing.
func (px *omePixels) layout(next int, inThisFile func(file, id string) bool) (pages []int, elsewhere int, err error) {
	pages = make([]int, px.planes())
	for i := range pages {
		pages[i] = -1
		if len(px.TiffData) == 0 {
			pages[i] = next + i
		}
	}
	work := 0 // planes placed, some of them again and again in forged XML
	for _, td := range px.TiffData {
		first := map[byte]int{'C': td.FirstC / px.samples(), 'Z': td.FirstZ, 'T': td.FirstT}
		at, step := 0, 1
		for _, axis := range []byte(px.Order[2:]) {
			f, n := first[axis], px.size(axis)
			if f < 0 || f >= n {
				return nil, 0, fmt.Errorf("TiffData starts at %c %d of %d", axis, f, n)
			}
			at, step = at+f*step, step*n
		}
		page, n := next, len(pages)
		if td.IFD != nil {
			page, n = *td.IFD, 1
		}
		if td.Count != nil {
			n = *td.Count
		}
		n = min(max(n, 0), len(pages)-at)
		if work += n; work > 4*plane.MaxPlanes {
			return nil, 0, errors.New("too many TiffData elements")
		}
		if page < 0 || page > maxPages {
			return nil, 0, fmt.Errorf("TiffData at directory %d", page)
		}
		if !inThisFile(td.UUID.File, td.UUID.ID) {
			elsewhere += n
			continue
		}
		for i := range n {
			pages[at+i] = page + i
		}
	}
	return pages, elsewhere, nil
}

func (px *omePixels) channelName(c int) string {
	if c /= px.samples(); c < len(px.Channels) {
		return px.Channels[c].Name
	}
	return ""
}

// pixelSize is in µm, the model's default unit.
func (px *omePixels) pixelSize() float64 {
	if px.UnitX == "" {
		return px.PhysX
	}
	return px.PhysX * plane.Micrometres(px.UnitX)
}
