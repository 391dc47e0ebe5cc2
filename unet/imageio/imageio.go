package imageio

import "unet/unet/imageio/plane"

// The types that readers and writers of all formats share; see package plane.
type (
	Image     = plane.Image
	Labels    = plane.Labels
	PlaneInfo = plane.Info
	File      = plane.File

	FormatError      = plane.FormatError
	UnsupportedError = plane.UnsupportedError
	LimitError       = plane.LimitError
)

// Limits on what a file may make this package allocate.
const (
	MaxSide    = plane.MaxSide
	MaxSamples = plane.MaxSamples
)

// NewImage returns a zeroed image of c channels.
func NewImage(w, h, c int) *Image { return plane.NewImage(w, h, c) }

// NewLabels returns an all-background label image.
func NewLabels(w, h int) *Labels { return plane.NewLabels(w, h) }
