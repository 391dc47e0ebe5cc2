package imageio

import "unet/unet/imageio/plane"

// The types that readers and writers of all formats share; see package plane.
type (
	Image     = plane.Image
	Labels    = plane.Labels
	PlaneInfo = plane.Info
	File      = plane.File
	PixelSize = plane.PixelSize

	FormatError      = plane.FormatError
	UnsupportedError = plane.UnsupportedError
	LimitError       = plane.LimitError
)

// Limits on what a file may make this package allocate.
const (
	MaxSide    = plane.MaxSide
	MaxSamples = plane.MaxSamples
)

// ParsePixelSize reads a width in µm such as 0.5, or width and height, 0.5x1.
func ParsePixelSize(s string) (PixelSize, error) { return plane.ParsePixelSize(s) }

// MergedFluorescence reports whether a colour image looks like channels of
// fluorescence merged for show.
func MergedFluorescence(m *Image) bool { return plane.MergedFluorescence(m) }

// NewImage returns a zeroed image of c channels.
func NewImage(w, h, c int) *Image { return plane.NewImage(w, h, c) }

// NewLabels returns an all-background label image.
func NewLabels(w, h int) *Labels { return plane.NewLabels(w, h) }
