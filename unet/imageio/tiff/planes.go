package tiff

import (
	"fmt"
	"image"
	"io"
	"strconv"
	"strings"

	"unet/unet/imageio/plane"
)

// tiffSource reads the planes of a TIFF file.
type tiffSource struct {
	*tiffFile
	out    *plane.File
	closer io.Closer
	planes []tiffPlane
}

// tiffPlane says where the samples of a plane are.
type tiffPlane struct {
	page    *tiffPage
	samples []int // the channels; one index sample for a palette
	alpha   int   // sample that is the opacity, or -1
	premul  bool  // colours are multiplied by it already
	palette bool  // samples are indices of colours
	invert  bool  // 0 is white
}

func Open(name string, r io.ReaderAt, size int64) (*plane.File, error) {
	t, err := openTIFF(name, r, size)
	if err != nil {
		return nil, err
	}
	s := &tiffSource{tiffFile: t}
	s.closer, _ = r.(io.Closer)
	f := plane.NewFile(name, "TIFF", s)
	if t.big {
		f.Format = "BigTIFF"
	}
	s.out = f
	text, err := s.description(t.pages[0])
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(text, "ImageJ="):
		err = s.imageJ(text)
	case isOME(text):
		err = s.ome(text)
	case strings.HasPrefix(text, "Aperio"):
		// SVS slides: a thumbnail and smaller versions follow, unmarked.
		f.Note("only the first of %d pages of the Aperio slide is read: the others are smaller versions, label and overview", len(t.pages))
		info := plane.Info{}
		if _, mpp, ok := strings.Cut(text, "|MPP = "); ok {
			mpp, _, _ = strings.Cut(mpp, "|")
			if µm, err := strconv.ParseFloat(strings.TrimSpace(mpp), 64); err == nil && µm > 0 && µm < 100 {
				info.PixelSize = µm
			}
		}
		err = s.add(t.pages[0], info, nil)
	default:
		err = s.plain()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (s *tiffSource) Close() error {
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// description reads the text that describes a page.
func (s *tiffSource) description(p *tiffPage) (string, error) {
	e := p.description
	if e.count == 0 || e.typ != 2 && e.typ != 1 && e.typ != 7 {
		return "", nil
	}
	if e.count > maxDescription {
		return "", s.bad("a description of %d bytes", e.count)
	}
	b, err := s.bytes(e.pos, int64(e.count))
	return strings.TrimRight(string(b), "\x00"), err
}

// add appends the planes of a page: one for colour, else one per sample. The
// rest of info comes from the caller; planes of samples count on from its
// channel.
func (s *tiffSource) add(p *tiffPage, info plane.Info, name func(channel int) string) error {
	if len(s.planes)+p.spp > plane.MaxPlanes {
		return &plane.LimitError{Name: s.name, What: fmt.Sprintf("more than %d planes", plane.MaxPlanes), Advice: "split the file"}
	}
	if err := s.readable(p); err != nil {
		return err
	}
	info.W, info.H, info.C, info.Bits, info.Float = p.w, p.h, 1, p.bits, p.t.Kind == 'f'
	if info.Bits > 1 {
		info.Bits = 8 * p.t.Size
	}
	if info.PixelSize == 0 && p.unit == 3 && p.resolution > 0 {
		// Scanners and cameras say 72 or 300 per inch, which means nothing;
		// pixels per cm are written by microscopy programs.
		if µm := 1e4 / p.resolution; µm > 1e-4 && µm < 100 {
			info.PixelSize = µm
		}
	}
	pl := tiffPlane{page: p, alpha: -1, invert: p.photometric == photoWhiteIsZero && p.t.Kind == 'u'}
	colours := 1
	switch p.photometric {
	case photoRGB, photoYCbCr:
		colours = 3
	case photoPalette:
		// ImageJ stores a colour table for display; its samples stay
		// intensities.
		pl.palette = p.colorMap.count > 0 && s.out.Format != "ImageJ TIFF"
	}
	for i, x := range p.extra {
		if at := p.spp - len(p.extra) + i; (x == 1 || x == 2) && at >= colours && pl.alpha < 0 {
			pl.alpha, pl.premul = at, x == 1
		}
	}
	put := func(samples ...int) {
		pl.samples = samples
		info.C = len(samples)
		if pl.palette {
			info.C, info.Bits = 3, 8
		}
		info.Name = ""
		if name != nil && len(samples) == 1 {
			info.Name = name(info.Channel)
		}
		s.planes = append(s.planes, pl)
		info.PixelSize = plane.PlausibleSize(info.PixelSize)
		s.out.Planes = append(s.out.Planes, info)
		info.Channel++
	}
	first := 0
	if colours == 3 {
		put(0, 1, 2)
		first = 3
	}
	for i := first; i < p.spp; i++ {
		if i != pl.alpha {
			put(i)
		}
	}
	return nil
}

// plain lists the pages of a file without microscopy metadata.
func (s *tiffSource) plain() error {
	reduced := 0
	for i, p := range s.pages {
		if p.reduced && i > 0 {
			reduced++
			continue
		}
		if err := s.add(p, plane.Info{Page: i}, nil); err != nil {
			return err
		}
	}
	if reduced > 0 {
		s.out.Note("%d smaller versions of the image (pyramid levels or thumbnails) left out", reduced)
	}
	return nil
}

// imageJ lists the planes of an ImageJ stack. ImageJ describes it by lines of
// key=value in the first page; stacks above 4 GiB, and every stack that
// ImageJ keeps in one piece, have one directory for all planes, which follow
// each other uncompressed.
func (s *tiffSource) imageJ(text string) error {
	s.out.Format = "ImageJ TIFF"
	kv := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			kv[k] = v
		}
	}
	num := func(key string) int {
		n, err := strconv.Atoi(kv[key])
		if err != nil || n < 1 {
			return 1
		}
		return min(n, 1<<30)
	}
	first := s.pages[0]
	images, channels, slices := num("images"), num("channels"), num("slices")
	if frames := num("frames"); int64(channels)*int64(slices)*int64(frames) != int64(images) {
		if images > 1 || len(s.pages) > 1 {
			s.out.Note("ImageJ's description counts %d images but %d channels x %d slices x %d frames; read as a plain stack", images, channels, slices, frames)
		}
		channels, slices = 1, max(images, len(s.pages))
	}
	pages := s.pages
	if images > 1 && len(pages) == 1 {
		var err error
		if pages, err = s.contiguous(first, images); err != nil {
			return err
		}
	}
	if len(pages) > 1 && len(pages) != images {
		s.out.Note("ImageJ's description counts %d images, the file has %d pages", images, len(pages))
	}
	size := 0.0
	if first.resolution > 0 {
		size = plane.Micrometres(unescape(kv["unit"])) / first.resolution
	}
	for i, p := range pages {
		// Order xyczt; colour pages hold all their channels themselves.
		info := plane.Info{Page: i, PixelSize: size, Channel: i % channels, Z: i / channels % slices, T: i / channels / slices}
		if err := s.add(p, info, nil); err != nil {
			return err
		}
	}
	return nil
}

// contiguous makes pages of n planes that follow each other from first on.
func (s *tiffSource) contiguous(first *tiffPage, n int) ([]*tiffPage, error) {
	if err := s.readable(first); err != nil {
		return nil, err
	}
	if !first.direct() || first.tiled || first.planar {
		return nil, s.bad("its ImageJ description counts %d images, the file has one page", n)
	}
	bytes := s.storedBytes(first, first.spp, first.h)
	pos, err := s.ints(first.offsets, maxChunks)
	if err != nil {
		return nil, err
	}
	if len(pos) == 0 || n > plane.MaxPlanes || int64(n) > s.size/bytes || pos[0] > uint64(s.size-int64(n)*bytes) {
		return nil, s.bad("its ImageJ description counts %d images of %d bytes, the file has %d bytes: truncated?", n, bytes, s.size)
	}
	pages := make([]*tiffPage, n)
	for i := range pages {
		p := *first
		p.index, p.shift = i, int64(i)*bytes
		// One strip of all rows; its single offset is the first one's.
		p.ch, p.offsets.count, p.counts = p.h, 1, tiffEntry{}
		pages[i] = &p
	}
	return pages, nil
}

// unescape turns ImageJ's \u00B5 into µ.
func unescape(s string) string {
	if v, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, "") + `"`); err == nil {
		return v
	}
	return s
}

func (s *tiffSource) Labels(i int, r image.Rectangle) (*plane.Labels, error) {
	pl := s.planes[i]
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
	return l, s.read(pl.page, r, pl.samples, plane.LabelSink{Labels: l})
}

func (s *tiffSource) Image(i int, r image.Rectangle) (*plane.Image, error) {
	pl := s.planes[i]
	if err := s.loadChunks(pl.page); err != nil { // before memory is taken
		return nil, err
	}
	w, h := r.Dx(), r.Dy()
	if pl.palette {
		return s.paletted(pl, r)
	}
	samples := pl.samples
	if pl.alpha >= 0 {
		samples = append(samples[:len(samples):len(samples)], pl.alpha)
	}
	m := plane.NewImage(w, h, len(samples))
	if err := s.read(pl.page, r, samples, plane.ImageSink{Image: m}); err != nil {
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
func (s *tiffSource) paletted(pl tiffPlane, r image.Rectangle) (*plane.Image, error) {
	p := pl.page
	n := 1 << p.bits
	table, err := s.ints(p.colorMap, 3<<16)
	if err != nil {
		return nil, err
	}
	if len(table) < 3*n {
		return nil, s.bad("page %d has a palette of %d numbers, %d are due", p.index, len(table), 3*n)
	}
	idx := plane.NewLabels(r.Dx(), r.Dy())
	if err := s.read(p, r, pl.samples, plane.LabelSink{Labels: idx}); err != nil {
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
