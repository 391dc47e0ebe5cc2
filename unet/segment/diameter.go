package segment

import (
	"fmt"
	"math"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// Diameter is how large nuclei are, in pixels or micrometres. Native leaves
// images as they are, the zero value finds the size in each.
type Diameter struct {
	Pixels, Micrometres float64
	Native              bool
}

const (
	diameterAuto   = "auto"
	diameterNative = "native"
)

// ParseDiameter reads auto, native, or a size such as 25, 25px or 12um.
func ParseDiameter(text string) (d Diameter, err error) {
	switch text {
	case diameterNative:
		return Diameter{Native: true}, nil
	case diameterAuto:
		return Diameter{}, nil
	}
	l, ok := readLength(text)
	if !ok {
		return d, fmt.Errorf("give pixels such as 25, micrometres such as 12um, auto or native")
	}
	return Diameter{Pixels: l.Pixels, Micrometres: l.Micrometres}, nil
}

// String is the text that ParseDiameter reads.
func (d Diameter) String() string {
	switch {
	case d.Native:
		return diameterNative
	case d.auto():
		return diameterAuto
	}
	return Length{d.Pixels, d.Micrometres}.String()
}

func (d Diameter) auto() bool { return d == Diameter{} }

// minScale and maxScale bound how much an image is shrunk or enlarged.
const minScale, maxScale = 1.0 / 16, 16

// givenScale is how much to enlarge a plane so that nuclei of the diameter that
// was given are as large as in training; 1 if none was.
func (s *Segmenter) givenScale(p *plane) (float64, error) {
	d := s.diameter.Pixels
	if µm := s.diameter.Micrometres; µm > 0 {
		size := s.pixelSize(p.info)
		if !size.Known() {
			return 0, &InputError{Name: p.name, Problem: "the diameter is in µm, but the file does not say how large its pixels are", Advice: "say how large its pixels are", Option: "pixel-size"}
		}
		d = µm / size.Length()
	}
	if d == 0 {
		return 1, nil
	}
	scale := s.model.Card.Diameter[1] / d
	if scale < minScale || scale > maxScale {
		return 0, &InputError{Name: p.name, Problem: fmt.Sprintf("nuclei of %.4g pixels would need scaling by %.3g; %.4g to %.4g is possible", d, scale, minScale, float64(maxScale)),
			Advice: "check the diameter and the size of pixels"}
	}
	return scale, nil
}

// pixelSize is that of a plane in µm, as far as known; of a file's plane Choice has
// put in what the options say.
func (s *Segmenter) pixelSize(p imageio.PlaneInfo) imageio.PixelSize {
	if p.PixelSize.Known() {
		return p.PixelSize
	}
	return s.options.PixelSize
}

// statedSize is the size of the pixels of an image in memory: the options' first.
func (s *Segmenter) statedSize(img *imageio.Image) imageio.PixelSize {
	if s.options.PixelSize.Known() {
		return s.options.PixelSize
	}
	return img.PixelSize
}

// paramsAt are the parameters for maps of an image that was scaled for the
// network and back: areas are those of the image.
func (s *Segmenter) paramsAt(scale float64) instance.Params {
	p := s.params
	if s.options.MinArea == nil {
		p.MinArea = int(math.Round(float64(p.MinArea) / scale / scale))
	}
	return p
}

// scaled is the size of a plane that the network sees. Where the diameter is
// given in µm, pixels that are not square are made so.
func (s *Segmenter) scaled(p imageio.PlaneInfo, scale float64) (w, h int) {
	x, y := scale, scale
	if size := s.pixelSize(p); s.diameter.Micrometres > 0 && size.Known() && !size.Square() {
		x, y = scale*size.X/size.Length(), scale*size.Y/size.Length()
	}
	return max(1, int(math.Round(float64(p.W)*x))), max(1, int(math.Round(float64(p.H)*y)))
}
