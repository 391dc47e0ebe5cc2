package tiff

import (
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"strings"

	"unet/unet/imageio/plane"
)

// tiffSource reads the planes of a TIFF file.
type tiffSource struct {
	*tiffFile
	out    *plane.File
	closer io.Closer
	planes []tiffPlane

	levels     [][]levelPage // of a pyramid whose levels are pages
	extraPages int           // directories read beside the file's list

	// Of an OME data set of several files:
	folder  string             // of the file; "" when it is in memory
	members map[string]*member // by name, nil for those that are not here
	opened  []*member          // the one opened first leads
}

// tiffPlane says where the samples of a plane are.
type tiffPlane struct {
	page    *tiffPage
	z       int   // slice of a volumetric page
	samples []int // the channels; one index sample for a palette
	alpha   int   // sample that is the opacity, or -1
	premul  bool  // colours are multiplied by it already
	palette bool  // samples are indices of colours
	invert  bool  // 0 is white

	part int // which of the page's planes

	member *member // another file of the data set, in which it lies
	index  int     // the page there
}

// Open opens a TIFF file of size bytes and lists its planes; Close closes r if
// it can be closed. When r is an *os.File, other files of its folder that belong
// to the same OME data set are read, too.
func Open(name string, r io.ReaderAt, size int64) (*plane.File, error) {
	t, err := openTIFF(name, r, size)
	if err != nil {
		return nil, err
	}
	s := &tiffSource{tiffFile: t}
	s.closer, _ = r.(io.Closer)
	if _, ok := r.(*os.File); ok {
		s.folder = filepath.Dir(name)
	}
	f := plane.NewFile(name, "TIFF", s)
	if t.big {
		f.Format = "BigTIFF"
	}
	s.out = f
	text, err := s.description(t.pages[0])
	if err != nil {
		return nil, err
	}
	if err := s.list(text); err != nil {
		return nil, err
	}
	if pl := s.planes[0]; s.levels == nil && pl.page != nil && (f.Format == "OME-TIFF" || pl.page.tiled) {
		if f.Levels += int(min(pl.page.subIFDs.count, maxLevels)); f.Levels > 1 {
			f.LevelSizes = s.subLevelSizes()
		}
	}
	for _, pl := range s.planes {
		if pl.page != nil && pl.page.orientation > 1 {
			f.Note("it is marked as turned or mirrored (orientation %d); its pixels are read as they are stored, as ImageJ shows them", pl.page.orientation)
			break
		}
	}
	return f, nil
}

// list lists the planes by the metadata of whichever program wrote the file,
// text being the first page's description.
func (s *tiffSource) list(text string) error {
	first := s.pages[0]
	switch {
	case strings.HasPrefix(text, "ImageJ="):
		return s.imageJ(text)
	case isOME(text):
		return s.ome(text)
	case first.uic2.count > 0:
		return s.metaMorph()
	case first.lsm.count > 0:
		return s.zeissLSM()
	case isShaped(text) && len(s.pages) == 1:
		return s.shaped(text)
	}
	if ok, err := s.slide(text); ok {
		return err
	}
	return s.plain(s.metaMorphSize(text))
}

// Close closes the file, and the others of its data set that are open.
func (s *tiffSource) Close() error {
	for _, m := range s.opened {
		m.close()
	}
	s.opened = nil
	s.closeStreams()
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// Description reads the text that describes the first page of a TIFF file.
func Description(name string, r io.ReaderAt, size int64) (string, error) {
	t, err := openTIFF(name, r, size)
	if err != nil {
		return "", err
	}
	return t.text(t.pages[0].description)
}

// description reads the text that describes a page.
func (s *tiffSource) description(p *tiffPage) (string, error) {
	return s.text(p.description)
}

// text reads the text of a tag as UTF-8.
func (f *tiffFile) text(e tiffEntry) (string, error) {
	if e.count == 0 || e.typ != 2 && e.typ != 1 && e.typ != 7 {
		return "", nil
	}
	if e.count > maxDescription {
		return "", f.bad("a description of %d bytes", e.count)
	}
	b, err := f.bytes(e.pos, int64(e.count))
	return decodeText(b), err
}

// split lists the planes of a page: one for colour, else one per sample;
// tables says that palettes count.
func split(p *tiffPage, tables bool) []tiffPlane {
	pl := tiffPlane{page: p, alpha: -1, invert: p.photometric == photoWhiteIsZero && p.t.Kind == 'u' && tables}
	colours := 1
	switch p.photometric {
	case photoRGB, photoYCbCr:
		colours = 3
	case photoPalette:
		pl.palette = p.colorMap.count > 0 && tables
	}
	for i, x := range p.extra {
		if at := p.spp - len(p.extra) + i; (x == 1 || x == 2) && at >= colours && pl.alpha < 0 {
			pl.alpha, pl.premul = at, x == 1
		}
	}
	var list []tiffPlane
	put := func(samples ...int) {
		pl.samples, pl.part = samples, len(list)
		list = append(list, pl)
	}
	first := 0
	if colours == 3 {
		put(0, 1, 2)
		first = 3
		if p.spp == 4 && pl.alpha < 0 { // whatever it is, no fourth colour
			return list
		}
	}
	for i := first; i < p.spp; i++ {
		if i != pl.alpha {
			put(i)
		}
	}
	return list
}

// add appends the planes of a page. The rest of info comes from the caller;
// planes of samples count on from its channel.
func (s *tiffSource) add(p *tiffPage, info plane.Info, name func(channel int) string) error {
	if int64(len(s.planes))+int64(p.spp)*int64(p.depth) > plane.MaxPlanes {
		return &plane.LimitError{Name: s.name, What: fmt.Sprintf("more than %d planes", plane.MaxPlanes), Advice: "split the file"}
	}
	if err := s.readable(p); err != nil {
		return err
	}
	info.W, info.H, info.C, info.Bits, info.Float = p.w, p.h, 1, p.bits, p.t.Kind == 'f'
	if info.Bits > 1 {
		info.Bits = 8 * p.t.Size
	}
	if !info.PixelSize.Known() {
		z := info.PixelSize.Z
		info.PixelSize = s.resolution(p)
		info.PixelSize.Z = z
	}
	// ImageJ stores a colour table, inverted or not, for display; its samples
	// stay intensities.
	list := split(p, s.out.Format != "ImageJ TIFF")
	if p.spp == 4 && len(list) == 1 && list[0].alpha < 0 {
		s.out.Note("the fourth sample of its colour pixels is left out: the file does not say what it is")
	}
	channel := info.Channel
	for z := range p.depth {
		info.Channel = channel
		if p.depth > 1 {
			info.Z = z
		}
		for _, pl := range list {
			pl.z = z
			here := info
			here.C = len(pl.samples)
			if pl.palette {
				here.C, here.Bits = 3, 8
			}
			if name != nil && len(pl.samples) == 1 {
				here.Name = name(info.Channel)
			}
			s.planes = append(s.planes, pl)
			s.out.Planes = append(s.out.Planes, here)
			info.Channel += len(pl.samples)
		}
	}
	return nil
}

// resolution is the size of a page's pixels by its resolution tags.
func (s *tiffSource) resolution(p *tiffPage) plane.PixelSize {
	unit := map[uint64]float64{2: plane.Micrometres("inch"), 3: plane.Micrometres("cm")}[p.unit]
	x, y := p.resX, p.resY
	if x <= 0 || unit == 0 {
		return plane.PixelSize{}
	}
	if y <= 0 {
		y = x
	}
	return s.out.Resolution(unit/x, unit/y)
}

// plain lists the pages of a file without microscopy metadata.
func (s *tiffSource) plain(size plane.PixelSize) error {
	reduced := 0
	for i, p := range s.pages {
		if p.reduced && i > 0 {
			reduced++
			continue
		}
		if err := s.add(p, plane.Info{Page: i, PixelSize: size}, nil); err != nil {
			return err
		}
	}
	if reduced > 0 {
		s.out.Note("left out: %s of the image", counted(reduced, "smaller version", "smaller versions"))
	}
	return nil
}

func (s *tiffSource) Labels(i int, r image.Rectangle) (*plane.Labels, error) {
	f, pl, err := s.resolve(i)
	if err != nil {
		return nil, err
	}
	if pl.page.compression == compJPEG {
		return nil, &plane.UnsupportedError{Name: f.name, Format: "label image", Feature: "compression that changes numbers (JPEG)", Advice: "save the labels without it"}
	}
	if len(pl.samples) > 1 {
		m, err := s.Image(i, r)
		if err != nil {
			return nil, err
		}
		return plane.LabelsOf(s.name, m)
	}
	// The stored numbers count, whatever a palette or 0-is-white says about
	// how they look.
	l := plane.NewLabels(r.Dx(), r.Dy())
	return l, f.read(pl, r, pl.samples, plane.LabelSink{Labels: l})
}

func (s *tiffSource) Image(i int, r image.Rectangle) (*plane.Image, error) {
	f, pl, err := s.resolve(i)
	if err != nil {
		return nil, err
	}
	if err := f.loadChunks(pl.page); err != nil { // before memory is taken
		return nil, err
	}
	w, h := r.Dx(), r.Dy()
	if pl.palette {
		return f.paletted(pl, r)
	}
	samples := pl.samples
	if pl.alpha >= 0 {
		samples = append(samples[:len(samples):len(samples)], pl.alpha)
	}
	m := plane.NewImage(w, h, len(samples))
	if err := f.read(pl, r, samples, plane.ImageSink{Image: m}); err != nil {
		return nil, err
	}
	top := float32(uint64(1)<<min(pl.page.bits, 63) - 1)
	if pl.invert {
		for i, v := range m.Plane(0) {
			m.Pix[i] = top - v
		}
	}
	if pl.alpha >= 0 {
		n := w * h
		alpha := m.Plane(m.C - 1)
		m.C--
		m.Pix = m.Pix[:n*m.C]
		if pl.page.t.Kind == 'f' {
			top = 1
		}
		clear := false
		for i, a := range alpha {
			if a == top {
				continue
			}
			clear = true
			if pl.premul {
				break
			}
			for c := range m.C {
				m.Pix[c*n+i] *= a / top
			}
		}
		if clear {
			s.out.Note("transparent pixels were composited over black")
		}
	}
	return m, nil
}

// paletted reads indices and looks up their colours, 16 bits each in the file
// and 8 here.
func (f *tiffFile) paletted(pl tiffPlane, r image.Rectangle) (*plane.Image, error) {
	p := pl.page
	n := 1 << p.bits
	table, err := f.ints(p.colorMap, 3<<16)
	if err != nil {
		return nil, err
	}
	if len(table) < 3*n {
		return nil, f.bad("page %d has a palette of %d numbers, %d are expected", p.index, len(table), 3*n)
	}
	idx := plane.NewLabels(r.Dx(), r.Dy())
	if err := f.read(pl, r, pl.samples, plane.LabelSink{Labels: idx}); err != nil {
		return nil, err
	}
	m := plane.NewImage(idx.W, idx.H, 3)
	for c := range 3 {
		lut := table[c*n : (c+1)*n]
		dst := m.Plane(c)
		for i, v := range idx.ID {
			dst[i] = float32(lut[v] >> 8)
		}
	}
	return m, nil
}
