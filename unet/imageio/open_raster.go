package imageio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"

	"unet/unet/imageio/plane"
)

// rasterSource holds a decoded PNG, JPEG, BMP, GIF or WebP file.
type rasterSource struct {
	out    *File
	frames []image.Image
	header []byte // of a PNG file
	lossy  bool   // numbers are not what was saved
}

// openRaster decodes a file held in memory. Only GIF files have several
// planes: the frames of an animation, as T.
func openRaster(name string, data []byte) (*File, error) {
	format := sniff(data)
	switch {
	case format == "":
		return nil, unknown(name, data)
	case format == "WebP" && len(data) > 20 && string(data[12:16]) == "VP8X" && data[20]&2 != 0:
		return nil, &UnsupportedError{Name: name, Format: "animated WebP", Advice: "export its frames as PNG or as pages of a TIFF"}
	case format == "PNG":
		data = withoutColourKey(data)
	}
	s := &rasterSource{lossy: format == "JPEG" || format == "WebP" && !losslessWebP(data)}
	f := plane.NewFile(name, format, s)
	s.out = f
	if n, _ := gifFrames(data); format == "GIF" && n > 1 {
		var err error
		if s.frames, err = decodeGIF(name, data); err != nil {
			return nil, err
		}
	} else {
		m, err := decodeRaster(name, format, data)
		if err != nil {
			return nil, err
		}
		s.frames = []image.Image{m}
	}
	var size PixelSize
	if format == "PNG" {
		size = pngPixelSize(f, data)
		s.header = data[:33]
		if i := bytes.Index(data, []byte("IDAT")); i > 0 && bytes.Contains(data[:i], []byte("acTL")) {
			f.Note("only the first frame of the animated PNG is read")
		}
	}
	if o := orientation(format, data); o > 1 {
		f.Note("it is marked as turned or mirrored (orientation %d); its pixels are read as they are stored, as ImageJ shows them", o)
	}
	for i, m := range s.frames {
		p := PlaneInfo{PixelSize: size, Page: i, T: i, W: m.Bounds().Dx(), H: m.Bounds().Dy()}
		// One pixel tells what all will be: channels and depth go by type.
		one, _ := s.convert(subImage(m, image.Rectangle{m.Bounds().Min, m.Bounds().Min.Add(image.Pt(1, 1))}))
		p.C, p.Bits = one.C, one.Bits
		f.Planes = append(f.Planes, p)
	}
	return f, nil
}

func (s *rasterSource) convert(m image.Image) (*Image, bool) {
	out, alpha := fromGo(m)
	if s.header != nil {
		pngDepth(out, s.header)
	}
	return out, alpha
}

func (s *rasterSource) Image(i int, r image.Rectangle) (*Image, error) {
	m := s.frames[i]
	out, alpha := s.convert(subImage(m, r.Add(m.Bounds().Min)))
	if alpha {
		s.out.Note("transparent pixels were composited over black")
	}
	return out, nil
}

func (s *rasterSource) Labels(i int, r image.Rectangle) (*Labels, error) {
	m := s.frames[i]
	if s.lossy {
		return nil, &UnsupportedError{Name: s.out.Name, Format: "label image", Feature: "compression that changes numbers (" + s.out.Format + ")", Advice: "save the labels as PNG or TIFF"}
	}
	if p, ok := m.(*image.Paletted); ok {
		if index := paletteBackground(p); index != 0 {
			return nil, &UnsupportedError{Name: s.out.Name, Format: "label image", Feature: fmt.Sprintf("a palette whose background is index %d, not 0", index), Advice: "save the labels as gray, 0 for background"}
		}
	}
	m = subImage(m, r.Add(m.Bounds().Min))
	if get, ok := grayIndex(m); ok {
		l := NewLabels(r.Dx(), r.Dy())
		for y := range l.H {
			for x := range l.W {
				l.ID[y*l.W+x] = get(x, y)
			}
		}
		return l, nil
	}
	im, _ := s.convert(m)
	return plane.LabelsOf(s.out.Name, im)
}

func (s *rasterSource) Close() error { return nil }

// losslessWebP reports whether the pixels of a WebP file are in a chunk of
// lossless coding.
func losslessWebP(data []byte) bool {
	for b := data[min(12, len(data)):]; len(b) >= 8; {
		if string(b[:4]) == "VP8L" {
			return true
		}
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		b = b[min(8+n+n%2, int64(len(b))):]
	}
	return false
}

// paletteBackground is the index of the background of a label image: 0, unless
// another covers most of the frame and more of the image than 0 does.
func paletteBackground(m *image.Paletted) int {
	var all, frame [256]int
	b := m.Rect
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			v := m.ColorIndexAt(x, y)
			all[v]++
			if x == b.Min.X || y == b.Min.Y || x == b.Max.X-1 || y == b.Max.Y-1 {
				frame[v]++
			}
		}
	}
	total := 0
	for _, n := range frame {
		total += n
	}
	for v := 1; v < 256; v++ {
		if 2*frame[v] > total && all[v] > all[0] {
			return v
		}
	}
	return 0
}

// subImage is a view of part of m; all decoders' types have one.
func subImage(m image.Image, r image.Rectangle) image.Image {
	return m.(interface {
		SubImage(r image.Rectangle) image.Image
	}).SubImage(r)
}
