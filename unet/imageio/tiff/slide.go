package tiff

import (
	"encoding/xml"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"unet/unet/imageio/plane"
)

// Slide scanners store the slide at full resolution, smaller versions of it
// (levels of a pyramid), and pictures of the whole glass and its label. Only
// levels are images of cells; File.UseLevel chooses one.

// levelPage is a page that belongs to a level.
type levelPage struct {
	page *tiffPage
	info plane.Info
	name string // of its channel
}

var (
	aperioMPP     = regexp.MustCompile(`MPP\s*=\s*([0-9.,]+)`)
	philipsSize   = regexp.MustCompile(`Name="DICOM_PIXEL_SPACING"[^>]*>[^"&<]*(?:"|&quot;)([0-9.]+)(?:"|&quot;)\s*(?:"|&quot;)([0-9.]+)`)
	qpiType       = regexp.MustCompile(`<ImageType>\s*([^<]*?)\s*</ImageType>`)
	qpiName       = regexp.MustCompile(`<Name>\s*([^<]*?)\s*</Name>`)
	levelText     = regexp.MustCompile(`^level=(\d+)`)
	isPhilips     = regexp.MustCompile(`ObjectType="DPUfsImport"`)
	isPerkinElmer = regexp.MustCompile(`<PerkinElmer-QPI-ImageDescription`)
)

// slide lists the planes of a whole-slide file. It reports false when the file
// is none; text is the first page's description.
func (s *tiffSource) slide(text string) (bool, error) {
	software, err := s.text(s.pages[0].software)
	if err != nil {
		return false, nil
	}
	var levels [][]levelPage
	switch {
	case strings.HasPrefix(text, "Aperio"):
		s.out.Format = "Aperio SVS"
		var size plane.PixelSize
		if m := aperioMPP.FindStringSubmatch(text); m != nil {
			if um, err := strconv.ParseFloat(strings.Replace(m[1], ",", ".", 1), 64); err == nil && um < 100 {
				size = plane.SquarePixels(um)
			}
		}
		levels = s.bySize(size, func(p *tiffPage) bool { return p.tiled && p.compression != 0 })
	case isPerkinElmer.MatchString(text) || strings.HasPrefix(software, "PerkinElmer-QPI"):
		s.out.Format = "PerkinElmer QPTIFF"
		levels, err = s.qptiff()
	case isPhilips.MatchString(text) || strings.HasPrefix(software, "Philips"):
		s.out.Format = "Philips TIFF"
		levels, err = s.named(philipsPixels(text))
	case levelText.MatchString(text) || s.levelsFollow(text): // Ventana and others
		levels, err = s.named(plane.PixelSize{})
	case s.pages[0].lens != 0:
		s.out.Format = "Hamamatsu NDPI"
		levels = s.byLens()
	case strings.Contains(text, "leica-microsystems.com/scn"):
		s.out.Format = "Leica SCN"
		levels, err = s.leica(text)
	case s.unmarkedPyramid():
		levels = s.bySize(plane.PixelSize{}, func(*tiffPage) bool { return true })
	case slices.ContainsFunc(s.pages[1:], func(p *tiffPage) bool { return p.reduced }):
		levels = s.reduced()
	}
	if err != nil || len(levels) == 0 || len(levels[0]) == 0 {
		return false, err
	}
	return true, s.pyramid(levels)
}

const leftOut = "left out: %s no level of the image (thumbnail, label, overview)"

// pyramid lists the planes of the first level and keeps the others.
func (s *tiffSource) pyramid(levels [][]levelPage) error {
	s.levels = levels
	s.out.Levels = len(levels)
	if len(levels) > 1 {
		for k := range levels {
			s.out.LevelSizes = append(s.out.LevelSizes, s.levelSize(k, 0))
		}
	}
	if err := s.addLevel(0); err != nil {
		return err
	}
	used := 0
	for _, l := range levels {
		used += len(l)
	}
	if n := len(s.pages) - used; n > 0 {
		s.out.Note(leftOut, counted(n, "page that is", "pages that are"))
	}
	if n := len(levels); n > 1 {
		s.out.Note("of %d levels the full resolution is read", n)
	}
	return nil
}

// addLevel lists the planes of a level. Its pixels are larger by what its
// planes are smaller.
func (s *tiffSource) addLevel(k int) error {
	for i, l := range s.levels[k] {
		info := l.info
		if k > 0 {
			info.PixelSize = s.levelSize(k, i)
		}
		if err := s.add(l.page, info, func(int) string { return l.name }); err != nil {
			return err
		}
	}
	return nil
}

// levelSize is the size of the pixels of plane i of a level.
func (s *tiffSource) levelSize(k, i int) plane.PixelSize {
	l, base := s.levels[k][i], s.levels[0][min(i, len(s.levels[0])-1)]
	size := l.info.PixelSize
	if !size.Known() {
		size = s.resolution(base.page)
	}
	return scaledSize(size, base.page, l.page)
}

func scaledSize(size plane.PixelSize, full, small *tiffPage) plane.PixelSize {
	size.X *= float64(full.w) / float64(small.w)
	size.Y *= float64(full.h) / float64(small.h)
	return size
}

// UseLevel makes the planes of a level those of the file.
func (s *tiffSource) UseLevel(k int) error {
	if s.levels != nil {
		s.planes, s.out.Planes = nil, nil
		return s.addLevel(k)
	}
	base, infos := s.planes, s.out.Planes
	s.planes, s.out.Planes = nil, nil
	for i, pl := range base {
		if pl.page == nil || k > int(min(pl.page.subIFDs.count, maxLevels)) {
			return s.bad("plane %d has no level %d", i, k)
		}
		p, err := s.subPage(pl.page, k-1)
		if err != nil {
			return err
		}
		parts := split(p, s.out.Format != "ImageJ TIFF")
		if pl.part >= len(parts) || len(parts[pl.part].samples) != len(pl.samples) {
			return s.bad("level %d of plane %d has other channels", k, i)
		}
		info := infos[i]
		info.W, info.H, info.PixelSize = p.w, p.h, scaledSize(info.PixelSize, pl.page, p)
		s.planes = append(s.planes, parts[pl.part])
		s.out.Planes = append(s.out.Planes, info)
	}
	return nil
}

// subLevelSizes are the sizes of the pixels of the levels that hang on the page of
// the first plane; those of damaged levels are not known.
func (s *tiffSource) subLevelSizes() []plane.PixelSize {
	page, size := s.planes[0].page, s.out.Planes[0].PixelSize
	list := []plane.PixelSize{size}
	for k := 1; k < s.out.Levels; k++ {
		of := plane.PixelSize{}
		if p, err := s.subPage(page, k-1); err == nil && size.Known() {
			of = scaledSize(size, page, p)
		}
		list = append(list, of)
	}
	return list
}

// maxLevels bounds the levels of a pyramid.
const maxLevels = 64

// subPage reads the k-th directory that hangs on a page.
func (s *tiffSource) subPage(of *tiffPage, k int) (*tiffPage, error) {
	at, err := s.ints(of.subIFDs, maxLevels)
	if err != nil {
		return nil, err
	}
	if at[k] > uint64(s.size) {
		return nil, s.bad("level %d lies beyond the end", k+1)
	}
	entries, _, err := s.directory(int64(at[k]))
	if err != nil {
		return nil, err
	}
	s.extraPages++
	p, err := s.page(len(s.pages)+s.extraPages, entries)
	if err != nil {
		return nil, err
	}
	return p, s.readable(p)
}

// similar reports whether b can be a smaller version of a: of the same kind and
// nearly the same proportions.
func similar(a, b *tiffPage) bool {
	if a.spp != b.spp || a.photometric != b.photometric && !(isColour(a) && isColour(b)) || b.w > a.w || b.h > a.h {
		return false
	}
	// Sizes are rounded, and some are padded to whole tiles.
	scale := float64(a.w) / float64(b.w)
	return math.Abs(float64(a.h)/scale-float64(b.h)) <= 2+0.02*float64(b.h)
}

func isColour(p *tiffPage) bool { return p.photometric == photoRGB || p.photometric == photoYCbCr }

// bySize takes the first page and those that are smaller versions of it.
func (s *tiffSource) bySize(size plane.PixelSize, can func(*tiffPage) bool) [][]levelPage {
	levels := [][]levelPage{{{page: s.pages[0], info: plane.Info{PixelSize: size}}}}
	last := s.pages[0]
	for i, p := range s.pages[1:] {
		if can(p) && similar(s.pages[0], p) && p.w < last.w {
			levels = append(levels, []levelPage{{page: p, info: plane.Info{Page: i + 1, PixelSize: size}}})
			last = p
		}
	}
	return levels
}

// unmarkedPyramid reports whether the pages are a tiled image and smaller
// versions of it, each half as large or less, without a word about it.
func (s *tiffSource) unmarkedPyramid() bool {
	if len(s.pages) < 2 || !s.pages[0].tiled {
		return false
	}
	for i, p := range s.pages[1:] {
		if before := s.pages[i]; p.reduced || !p.tiled && len(s.pages) < 3 || !similar(s.pages[0], p) || 2*p.w > before.w+1 {
			return false
		}
	}
	return true
}

// reduced takes all pages but those marked as smaller versions, which make
// levels where each size has as many pages.
func (s *tiffSource) reduced() [][]levelPage {
	levels := [][]levelPage{nil}
	for i, p := range s.pages {
		if !p.reduced || i == 0 {
			levels[0] = append(levels[0], levelPage{page: p, info: plane.Info{Page: i}})
		}
	}
	return append(levels, s.smaller(levels[0], func(p *tiffPage, _ int) bool { return p.reduced })...)
}

// smaller groups pages by size into levels that have as many pages as full.
func (s *tiffSource) smaller(full []levelPage, can func(p *tiffPage, i int) bool) (levels [][]levelPage) {
	type size struct{ w, h int }
	groups := map[size][]levelPage{}
	var order []size
	for i, p := range s.pages[1:] {
		if !can(p, i+1) || !similar(full[0].page, p) {
			continue
		}
		k := size{p.w, p.h}
		if groups[k] == nil {
			order = append(order, k)
		}
		n := len(groups[k])
		if n < len(full) {
			l := full[n]
			l.page, l.info.Page = p, i+1
			groups[k] = append(groups[k], l)
		}
	}
	slices.SortStableFunc(order, func(a, b size) int { return b.w - a.w })
	for _, k := range order {
		if len(groups[k]) == len(full) && len(levels) < maxLevels {
			levels = append(levels, groups[k])
		}
	}
	return levels
}

// qptiff takes what each page's description says it is.
func (s *tiffSource) qptiff() ([][]levelPage, error) {
	levels := [][]levelPage{nil}
	isReduced := map[int]bool{}
	for i, p := range s.pages {
		text, err := s.description(p)
		if err != nil {
			return nil, err
		}
		kind := ""
		if m := qpiType.FindStringSubmatch(text); m != nil {
			kind = m[1]
		}
		switch kind {
		case "FullResolution":
			l := levelPage{page: p, info: plane.Info{Page: i, Channel: len(levels[0])}}
			if m := qpiName.FindStringSubmatch(text); m != nil {
				l.name = m[1]
			}
			levels[0] = append(levels[0], l)
		case "ReducedResolution":
			isReduced[i] = true
		}
	}
	if len(levels[0]) == 0 {
		return nil, nil
	}
	return append(levels, s.smaller(levels[0], func(_ *tiffPage, i int) bool { return isReduced[i] })...), nil
}

// philipsPixels is the pixel size in the XML of a Philips file: millimetres,
// rows first.
func philipsPixels(text string) plane.PixelSize {
	m := philipsSize.FindStringSubmatch(text)
	if m == nil {
		return plane.PixelSize{}
	}
	y, _ := strconv.ParseFloat(m[1], 64)
	x, _ := strconv.ParseFloat(m[2], 64)
	return plane.SizeOf(1e3*x, 1e3*y, 0)
}

// named takes the first page that is no label or macro, and those whose
// descriptions say level=1 and so on.
func (s *tiffSource) named(size plane.PixelSize) ([][]levelPage, error) {
	var levels [][]levelPage
	for i, p := range s.pages {
		text, err := s.description(p)
		if err != nil {
			return nil, err
		}
		m := levelText.FindStringSubmatch(text)
		lower := strings.ToLower(text)
		picture := strings.HasPrefix(lower, "macro") || strings.HasPrefix(lower, "label") || strings.HasPrefix(lower, "thumbnail") ||
			strings.HasPrefix(lower, "probability")
		if picture || len(levels) > 0 && (m == nil || p.w >= levels[len(levels)-1][0].page.w) || len(levels) == maxLevels {
			continue
		}
		levels = append(levels, []levelPage{{page: p, info: plane.Info{Page: i, PixelSize: size}}})
	}
	return levels, nil
}

// levelsFollow reports whether the first page is a picture and a level comes
// after it.
func (s *tiffSource) levelsFollow(text string) bool {
	if !plane.IsPicture(text) {
		return false
	}
	for _, p := range s.pages[1:min(len(s.pages), 8)] {
		if text, err := s.description(p); err == nil && levelText.MatchString(text) {
			return true
		}
	}
	return false
}

// byLens takes the pages of an NDPI file by the magnification that they state;
// negative ones are the glass. Pages of one magnification and size are slices
// of a stack.
func (s *tiffSource) byLens() [][]levelPage {
	top := 0.0
	for _, p := range s.pages {
		top = max(top, p.lens)
	}
	if top <= 0 {
		return nil
	}
	levels := [][]levelPage{nil}
	for i, p := range s.pages {
		if p.lens == top {
			levels[0] = append(levels[0], levelPage{page: p, info: plane.Info{Page: i, Z: len(levels[0])}})
		}
	}
	return append(levels, s.smaller(levels[0], func(p *tiffPage, _ int) bool { return p.lens > 0 && p.lens < top })...)
}

// leica takes the images of a Leica SCN file but the overview, which covers
// the whole collection: their XML says which pages hold which level.
func (s *tiffSource) leica(text string) ([][]levelPage, error) {
	type view struct {
		SizeX float64 `xml:"sizeX,attr"` // nm
		SizeY float64 `xml:"sizeY,attr"`
	}
	var doc struct {
		Collection struct {
			view
			Images []struct {
				View   view `xml:"view"`
				Pixels struct {
					SizeX      int `xml:"sizeX,attr"`
					SizeY      int `xml:"sizeY,attr"`
					Dimensions []struct {
						R   int `xml:"r,attr"`
						Z   int `xml:"z,attr"`
						C   int `xml:"c,attr"`
						IFD int `xml:"ifd,attr"`
					} `xml:"dimension"`
				} `xml:"pixels"`
			} `xml:"image"`
		} `xml:"collection"`
	}
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		s.out.Note("the description of the slide is damaged; %s read without it", counted(len(s.pages), "page is", "pages are"))
		return nil, nil
	}
	levels := make([][]levelPage, 1)
	series := 0
	for _, im := range doc.Collection.Images {
		overview := im.View.SizeX == doc.Collection.SizeX && im.View.SizeY == doc.Collection.SizeY
		if overview && len(doc.Collection.Images) > 1 || im.Pixels.SizeX < 1 || im.Pixels.SizeY < 1 {
			continue
		}
		size := plane.SizeOf(im.View.SizeX/1e3/float64(im.Pixels.SizeX), im.View.SizeY/1e3/float64(im.Pixels.SizeY), 0)
		for _, d := range im.Pixels.Dimensions {
			if d.IFD < 0 || d.IFD >= len(s.pages) || d.R < 0 || d.R >= maxLevels || d.C < 0 || d.Z < 0 || max(d.C, d.Z) > plane.MaxPlanes {
				return nil, s.bad("its description names page %d, level %d", d.IFD, d.R)
			}
			for len(levels) <= d.R {
				levels = append(levels, nil)
			}
			levels[d.R] = append(levels[d.R], levelPage{page: s.pages[d.IFD],
				info: plane.Info{Series: series, Page: d.IFD, Channel: d.C, Z: d.Z, PixelSize: size}})
		}
		series++
	}
	full := len(levels[0])
	levels = slices.DeleteFunc(levels, func(l []levelPage) bool { return len(l) != full })
	return levels, nil
}
