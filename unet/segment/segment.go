package segment

import (
	"context"
	"fmt"

	"unet/core"
	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// Options decide what is found. The zero value is what `unet predict` does
// without options.
type Options struct {
	// Diameter is how large nuclei are; the zero value finds out.
	Diameter Diameter
	// PixelSize is that of the images in µm; if not known, what each says. Of a
	// pyramid it chooses the level, see Choice.
	PixelSize imageio.PixelSize
	// TTA averages over mirror images (test-time augmentation).
	TTA bool
	// BFloat16 multiplies bfloat16 numbers instead of float32.
	BFloat16 bool
	// Threshold is the probability above which a pixel is nuclear; 0: the
	// model's.
	Threshold float64
	// MinArea is the smallest nucleus in pixels of the image; nil: the model's,
	// which is in pixels of the scale it was trained at.
	MinArea *int
	// RemoveEdge drops nuclei that the image's edge cuts.
	RemoveEdge bool
	// Memory is how many bytes may be used; 0: half of what is free.
	Memory int64
	Measuring
}

// Segmenter finds nuclei with one model. Its methods may be called by several
// goroutines at once; the network then computes one image after the other, each
// with all threads of the engine.
type Segmenter struct {
	engine    *core.Engine
	model     *unet.Model
	predictor *unet.Predictor
	options   Options
	diameter  Diameter
	threshold float64         // of masks of a paper model
	params    instance.Params // at the model's scale
	memory    int64
}

// New readies a model for segmentation on an engine; both stay the caller's.
// Close releases what it allocates.
func New(e *core.Engine, m *unet.Model, o Options) (*Segmenter, error) {
	card := &m.Card
	s := &Segmenter{engine: e, model: m, options: o, diameter: o.Diameter, threshold: card.Threshold, params: card.Instance, memory: o.Memory}
	switch scales := card.Diameter[1] > 0 && card.Input.Size == 0; {
	case o.Diameter == Diameter{} && !scales:
		s.diameter = Diameter{Native: true}
	case o.Diameter.Native || scales:
	case card.Input.Size > 0:
		return nil, fmt.Errorf("diameter %s: a model that resizes every image to %d pixels has no scale", o.Diameter, card.Input.Size)
	default:
		return nil, fmt.Errorf("diameter %s: the model does not say what size of nuclei it was trained on", o.Diameter)
	}
	if o.Threshold != 0 {
		if !(o.Threshold > 0 && o.Threshold < 1) {
			return nil, fmt.Errorf("threshold %v: above 0 and below 1", o.Threshold)
		}
		s.threshold, s.params.Foreground = o.Threshold, o.Threshold
	}
	if card.Kind == unet.Paper {
		s.params.Foreground = s.threshold
	}
	if o.MinArea != nil {
		if *o.MinArea < 0 {
			return nil, fmt.Errorf("smallest area %d: not below 0", *o.MinArea)
		}
		s.params.MinArea = *o.MinArea
	}
	s.params.RemoveEdge = s.params.RemoveEdge || o.RemoveEdge
	if s.memory <= 0 {
		s.memory = DefaultMemory()
	}
	s.predictor = unet.NewPredictor(e, m)
	s.predictor.TTA, s.predictor.BFloat16 = o.TTA, o.BFloat16
	return s, nil
}

// Close releases the memory of the network.
func (s *Segmenter) Close() { s.predictor.Close() }

// Model returns the model in use.
func (s *Segmenter) Model() *unet.Model { return s.model }

// Result is what is found in one image.
type Result struct {
	// Labels has the number of a nucleus in each of its pixels, 0 elsewhere.
	Labels *imageio.Labels
	Measured
	// Maps are the network's, at the size of the image.
	Maps instance.Maps
	// Scale is how much the image was enlarged for the network.
	Scale float64
	// Estimate is the usual diameter of nuclei in pixels, where it was to be
	// found; 0: not known.
	Estimate float64
	// Notes tell what was decided on the way.
	Notes []string
}

// Image finds the nuclei of one image of 1, 3 or 4 channels, as Run does in a
// file that holds nothing else: the same nuclei, to the pixel, of every image
// that Run does not do in bands. An image that would take more than
// Options.Memory is refused with an *imageio.LimitError.
func (s *Segmenter) Image(ctx context.Context, img *imageio.Image) (*Result, error) {
	img = img.Gray()
	p := &plane{name: "image", info: imageio.PlaneInfo{W: img.W, H: img.H, C: img.C, PixelSize: s.statedSize(img)}, img: img, measured: img, channels: formats.ChannelNames(img)}
	if bytes := s.planeBytes(PlaneRef{Info: p.info}); bytes > s.memory {
		return nil, &imageio.LimitError{Name: p.name, What: fmt.Sprintf("%d x %d pixels take %s of memory, and %s is allowed", img.W, img.H, imageio.BytesText(bytes), imageio.BytesText(s.memory))}
	}
	scale, err := s.givenScale(p)
	if err != nil {
		return nil, err
	}
	return s.compute(ctx, p, scale, func(ctx context.Context, scale float64) (instance.Maps, error) {
		return s.maps(ctx, s.predictor, p, scale)
	})
}

// Source describes an image, and what was found in it, for the writers of package
// formats.
func (s *Segmenter) Source(name string, img *imageio.Image, found *Result) formats.Source {
	size := s.statedSize(img)
	return formats.Source{Name: name, W: img.W, H: img.H, PixelSize: size, Channels: found.Channels, Rings: s.options.Rings()}
}
