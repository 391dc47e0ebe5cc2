package imageio

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"path/filepath"
	"strings"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/tiff"
)

// ReadLabels reads the first plane of a file as a label image: one whole
// number per pixel, 0 for background. Palette files give their indices. Colour
// files are accepted when their channels are equal, float files when they hold
// whole numbers.
func ReadLabels(path string) (*Labels, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadLabels(0)
}

// DecodeLabels is ReadLabels of a file held in memory; name is used in errors
// only.
func DecodeLabels(name string, data []byte) (*Labels, error) {
	f, err := OpenData(name, data)
	if err != nil {
		return nil, err
	}
	return f.ReadLabels(0)
}

// WriteLabels writes a label image to path, atomically, in the format its
// extension names: .png (8 bits per pixel, 16 when there are more than 255
// labels; an error above 65535) or .tif, .tiff (8, 16 or 32 bits as needed).
// At most one tiff.Options says more about a TIFF file; its zero fields are
// filled in from l.
func WriteLabels(path string, l *Labels, o ...tiff.Options) error {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".png":
		m, err := labelsPNG(path, l)
		if err != nil {
			return err
		}
		return atomicfile.WriteFile(path, func(w io.Writer) error { return (&png.Encoder{}).Encode(w, m) })
	case ".tif", ".tiff":
		var opt tiff.Options
		if len(o) > 0 {
			opt = o[0]
		}
		opt.W, opt.H = l.W, l.H
		if opt.Bits == 0 {
			opt.Bits = LabelBits(l.Max())
		}
		w, err := tiff.Create(path, opt)
		if err != nil {
			return err
		}
		defer w.Abort()
		if err := w.WriteLabels(l.ID); err != nil {
			return err
		}
		return w.Close()
	default:
		return fmt.Errorf("%s: label images are written as .tif or .png, not %q", path, ext)
	}
}

// LabelBits is the least of 8, 16 and 32 bits that holds label numbers up to
// top.
func LabelBits(top uint32) int {
	switch {
	case top <= 0xff:
		return 8
	case top <= 0xffff:
		return 16
	}
	return 32
}

// WriteMaps writes the channels of m, probability maps for example, as the
// pages of a float32 TIFF file, atomically, named by m.Channels. At most one
// tiff.Options says more; its zero fields are filled in from m.
func WriteMaps(path string, m *Image, o ...tiff.Options) error {
	var opt tiff.Options
	if len(o) > 0 {
		opt = o[0]
	}
	opt.W, opt.H, opt.Pages, opt.Bits, opt.Float = m.W, m.H, m.C, 32, true
	if opt.Names == nil {
		opt.Names = m.Channels
	}
	if !opt.PixelSize.Known() {
		opt.PixelSize = m.PixelSize
	}
	w, err := tiff.Create(path, opt)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := w.WriteFloats(m.Pix); err != nil {
		return err
	}
	return w.Close()
}

func labelsPNG(path string, l *Labels) (image.Image, error) {
	if l.W <= 0 || l.H <= 0 {
		return nil, fmt.Errorf("%s: PNG cannot hold an image of %d x %d pixels", path, l.W, l.H)
	}
	switch top := l.Max(); {
	case top <= 0xff:
		m := image.NewGray(image.Rect(0, 0, l.W, l.H))
		for i, v := range l.ID {
			m.Pix[i] = byte(v)
		}
		return m, nil
	case top <= 0xffff:
		m := image.NewGray16(image.Rect(0, 0, l.W, l.H))
		for i, v := range l.ID {
			m.Pix[2*i], m.Pix[2*i+1] = byte(v>>8), byte(v)
		}
		return m, nil
	default:
		return nil, fmt.Errorf("%s: PNG holds label numbers up to 65535, the largest is %d; write .tif instead", path, top)
	}
}
