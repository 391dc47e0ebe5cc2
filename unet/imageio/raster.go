package imageio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"unet/unet/imageio/input"
	"unet/unet/imageio/plane"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"
)

// The raster formats (PNG, JPEG, BMP, GIF, WebP) are decoded by the standard
// library and x/image, which allocate what the header claims. So the claim is
// first held against the size of the file.

// sniff names the format of a file by its first bytes, "" when unknown.
func sniff(b []byte) string {
	has := func(s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }
	switch {
	case has("\x89PNG\r\n\x1a\n"):
		return "PNG"
	case has("\xff\xd8\xff"):
		return "JPEG"
	case has("BM"):
		return "BMP"
	case has("GIF87a"), has("GIF89a"):
		return "GIF"
	case len(b) >= 12 && has("RIFF") && string(b[8:12]) == "WEBP":
		return "WebP"
	case has("II*\x00"), has("MM\x00*"), has("II+\x00"), has("MM\x00+"):
		return "TIFF"
	}
	return ""
}

// decodeRaster decodes the first frame of a PNG, JPEG, BMP, GIF or WebP file.
func decodeRaster(name, format string, data []byte) (image.Image, error) {
	r := bytes.NewReader(data)
	cfg, err := rasterConfig(r, format)
	if err != nil {
		return nil, rasterErr(name, format, err)
	}
	if err := checkRaster(name, format, cfg, data); err != nil {
		return nil, err
	}
	r.Seek(0, 0)
	var m image.Image
	switch format {
	case "PNG":
		m, err = png.Decode(r)
	case "JPEG":
		m, err = jpeg.Decode(r)
	case "BMP":
		m, err = bmp.Decode(r)
	case "GIF":
		m, err = gif.Decode(r)
	case "WebP":
		m, err = webp.Decode(r)
	}
	if err != nil {
		return nil, rasterErr(name, format, err)
	}
	return m, nil
}

// rasterConfig reads the header of a file of a raster format.
func rasterConfig(r io.Reader, format string) (image.Config, error) {
	switch format {
	case "PNG":
		return png.DecodeConfig(r)
	case "JPEG":
		return jpeg.DecodeConfig(r)
	case "BMP":
		return bmp.DecodeConfig(r)
	case "GIF":
		return gif.DecodeConfig(r)
	case "WebP":
		return webp.DecodeConfig(r)
	}
	return image.Config{}, image.ErrFormat
}

// RasterBytes is the memory Open takes for a file of a format that is decoded
// whole (PNG, JPEG, BMP, WebP and GIF with all its frames): the file and its
// pixels. It is 0 for files that are read in pieces, and for those that Open
// refuses.
func RasterBytes(path string) int64 {
	f, err := input.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return 0
	}
	head := make([]byte, 16)
	n, _ := f.ReadAt(head, 0)
	format := sniff(head[:n])
	cfg, err := rasterConfig(f, format)
	if err != nil {
		return 0
	}
	if format == "GIF" {
		data, err := readFile(path)
		if err != nil {
			return 0
		}
		if frames, pixels := gifFrames(data); frames > 1 { // decoded, and drawn on the screen
			return st.Size() + pixels + int64(frames)*int64(cfg.Width)*int64(cfg.Height)*4
		}
	}
	pixel := int64(4)
	switch cfg.ColorModel {
	case color.GrayModel:
		pixel = 1
	case color.Gray16Model:
		pixel = 2
	case color.YCbCrModel:
		pixel = 3
	case color.RGBA64Model, color.NRGBA64Model:
		pixel = 8
	}
	if _, ok := cfg.ColorModel.(color.Palette); ok {
		pixel = 1
	}
	return st.Size() + int64(cfg.Width)*int64(cfg.Height)*pixel
}

func rasterErr(name, format string, err error) error {
	if strings.Contains(err.Error(), "dimension overflow") {
		return &FormatError{Name: name, Format: format, Reason: "it claims more pixels than can be counted"}
	}
	var pu png.UnsupportedError
	var ju jpeg.UnsupportedError
	if errors.As(err, &pu) || errors.As(err, &ju) || errors.Is(err, bmp.ErrUnsupported) {
		return &UnsupportedError{Name: name, Format: format, Feature: err.Error(), Advice: "convert the file to PNG or TIFF"}
	}
	return plane.Wrap(name, format, err)
}

// checkRaster refuses sizes that the file cannot hold or memory should not.
func checkRaster(name, format string, cfg image.Config, data []byte) error {
	w, h := int64(cfg.Width), int64(cfg.Height)
	if w <= 0 || h <= 0 {
		return &FormatError{Name: name, Format: format, Reason: fmt.Sprintf("it is %d x %d pixels", w, h)}
	}
	// The most pixels one byte of the file can stand for: Deflate packs 1032
	// bytes into one, at eight 1-bit pixels each; a GIF code of 12 bits up to
	// 4096 pixels; a JPEG block of 64 pixels takes a bit; WebP's lossless
	// coding can spend nothing at all per pixel.
	perByte := map[string]int64{"PNG": 1032 * 8, "GIF": 2731, "JPEG": 512, "BMP": 8}[format]
	if format == "PNG" && len(data) > 25 && data[24] >= 8 {
		samples := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[data[25]]
		perByte = 1032 / max(1, samples*int64(data[24])/8)
	}
	limit := int64(MaxSamples / 4)
	switch {
	case cfg.ColorModel == color.GrayModel || cfg.ColorModel == color.Gray16Model:
		limit = MaxSamples
	case format == "WebP":
		limit /= 4
	}
	if w > MaxSide || h > MaxSide || w*h > limit {
		return &LimitError{Name: name, What: fmt.Sprintf("%d x %d pixels (limit %d pixels for %s)", w, h, limit, format), Advice: "store it as a tiled TIFF, which is read in pieces"}
	}
	if perByte > 0 && w*h/perByte > int64(len(data)) {
		return &FormatError{Name: name, Format: format, Reason: fmt.Sprintf("it claims %d x %d pixels but has only %d bytes", w, h, len(data))}
	}
	return nil
}

// fromGo converts a decoded image to planar samples. Gray images get one
// channel, others three. Pixels that are not opaque are composited over black;
// the second result says that there were any.
func fromGo(m image.Image) (*Image, bool) {
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	n := w * h
	switch m := m.(type) {
	case *image.Gray:
		out := NewImage(w, h, 1)
		for y := range h {
			plane.Widen(out.Pix[y*w:(y+1)*w], m.Pix[y*m.Stride:])
		}
		return out, false
	case *image.Gray16:
		out := NewImage(w, h, 1)
		out.Bits = 16
		for y := range h {
			src, dst := m.Pix[y*m.Stride:][:2*w], out.Pix[y*w:][:w]
			for x := range dst {
				dst[x] = float32(binary.BigEndian.Uint16(src[2*x:]))
			}
		}
		return out, false
	case *image.RGBA: // premultiplied: already over black
		out := NewImage(w, h, 3)
		alpha := split4(out, m.Pix, m.Stride)
		return out, alpha
	case *image.NRGBA:
		out := NewImage(w, h, 3)
		alpha := split4(out, m.Pix, m.Stride)
		if alpha {
			for y := range h {
				row := m.Pix[y*m.Stride:][:4*w]
				for x := range w {
					if a := row[4*x+3]; a != 255 {
						i, f := y*w+x, float32(a)/255
						out.Pix[i] *= f
						out.Pix[n+i] *= f
						out.Pix[2*n+i] *= f
					}
				}
			}
		}
		return out, alpha
	case *image.RGBA64:
		return from64(m.Pix, m.Stride, w, h, true)
	case *image.NRGBA64:
		return from64(m.Pix, m.Stride, w, h, false)
	case *image.YCbCr:
		out := NewImage(w, h, 3)
		for y := range h {
			for x := range w {
				r, g, bl := ycbcr(m, b.Min.X+x, b.Min.Y+y)
				i := y*w + x
				out.Pix[i], out.Pix[n+i], out.Pix[2*n+i] = float32(r), float32(g), float32(bl)
			}
		}
		return out, false
	case *image.Paletted:
		return fromPaletted(m)
	}
	// What is left (CMYK, NYCbCrA) is rare enough for the slow way. RGBA
	// returns premultiplied values.
	out := NewImage(w, h, 3)
	alpha := false
	for y := range h {
		for x := range w {
			r, g, bl, a := m.At(b.Min.X+x, b.Min.Y+y).RGBA()
			i := y*w + x
			out.Pix[i], out.Pix[n+i], out.Pix[2*n+i] = float32(r>>8), float32(g>>8), float32(bl>>8)
			alpha = alpha || a != 0xffff
		}
	}
	return out, alpha
}

func ycbcr(m *image.YCbCr, x, y int) (r, g, b byte) {
	i, j := m.YOffset(x, y), m.COffset(x, y)
	return color.YCbCrToRGB(m.Y[i], m.Cb[j], m.Cr[j])
}

// split4 spreads 8-bit RGBA pixels over three planes and says whether any
// alpha is below 255.
func split4(out *Image, pix []byte, stride int) bool {
	w, h := out.W, out.H
	and := byte(255)
	for y := range h {
		row := pix[y*stride:][:4*w]
		r, g, b := out.Plane(0)[y*w:][:w], out.Plane(1)[y*w:][:w], out.Plane(2)[y*w:][:w]
		for x := range r {
			p := row[4*x : 4*x+4 : 4*x+4]
			r[x], g[x], b[x] = float32(p[0]), float32(p[1]), float32(p[2])
			and &= p[3]
		}
	}
	return and != 255
}

func from64(pix []byte, stride, w, h int, premultiplied bool) (*Image, bool) {
	out := NewImage(w, h, 3)
	out.Bits = 16
	alpha := false
	r, g, b := out.Plane(0), out.Plane(1), out.Plane(2)
	for y := range h {
		row := pix[y*stride:][:8*w]
		for x := range w {
			p := row[8*x : 8*x+8]
			i, f := y*w+x, float32(1)
			if a := binary.BigEndian.Uint16(p[6:]); a != 0xffff {
				alpha = true
				if !premultiplied {
					f = float32(a) / 0xffff
				}
			}
			r[i] = f * float32(binary.BigEndian.Uint16(p))
			g[i] = f * float32(binary.BigEndian.Uint16(p[2:]))
			b[i] = f * float32(binary.BigEndian.Uint16(p[4:]))
		}
	}
	return out, alpha
}

// fromPaletted expands indices to colours; to one channel when the palette
// holds grays only.
func fromPaletted(m *image.Paletted) (*Image, bool) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	var lut [3][256]float32
	var clear [256]bool
	gray := true
	for i, c := range m.Palette {
		r, g, b, a := c.RGBA() // premultiplied: over black
		lut[0][i], lut[1][i], lut[2][i] = float32(r>>8), float32(g>>8), float32(b>>8)
		clear[i] = a != 0xffff
		gray = gray && r>>8 == g>>8 && g>>8 == b>>8
	}
	c := 3
	if gray {
		c = 1
	}
	out := NewImage(w, h, c)
	for k := range c {
		dst, t := out.Plane(k), &lut[k]
		for y := range h {
			row := m.Pix[y*m.Stride:][:w]
			for x, v := range row {
				dst[y*w+x] = t[v]
			}
		}
	}
	alpha := false
	for y := range h {
		for _, v := range m.Pix[y*m.Stride:][:w] {
			alpha = alpha || clear[v]
		}
	}
	return out, alpha
}
