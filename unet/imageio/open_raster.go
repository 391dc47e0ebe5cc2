package imageio

import (
	"bytes"
	"image"

	"unet/unet/imageio/plane"
)

// rasterSource holds a decoded PNG, JPEG, BMP, GIF or WebP file.
type rasterSource struct {
	out    *File
	frames []image.Image
	header []byte // of a PNG file
}

// openRaster decodes a file held in memory. Only GIF files have several
// planes: the frames of an animation, as T.
func openRaster(name string, data []byte) (*File, error) {
	format := sniff(data)
	if format == "" {
		return nil, unknown(name, data)
	}
	s := &rasterSource{}
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
	if format == "PNG" {
		s.header = data[:33]
		if i := bytes.Index(data, []byte("IDAT")); i > 0 && bytes.Contains(data[:i], []byte("acTL")) {
			f.Note("only the first frame of the animated PNG is read")
		}
	}
	for i, m := range s.frames {
		p := PlaneInfo{Page: i, T: i, W: m.Bounds().Dx(), H: m.Bounds().Dy()}
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

// subImage is a view of part of m; all decoders' types have one.
func subImage(m image.Image, r image.Rectangle) image.Image {
	return m.(interface {
		SubImage(r image.Rectangle) image.Image
	}).SubImage(r)
}
