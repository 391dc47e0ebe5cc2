package imageio

import "unet/unet/imageio/plane"

// What readers and writers of all formats share is in package plane.
type (
	// Image is one 2-D image of several channels.
	Image = plane.Image
	// Labels is a label image.
	Labels = plane.Labels
	// PlaneInfo describes one plane of a file.
	PlaneInfo = plane.Info
	// File is an open image file of any number of planes.
	File = plane.File
	// PixelSize is the size of a pixel in µm.
	PixelSize = plane.PixelSize

	// FormatError says that a file is damaged.
	FormatError = plane.FormatError
	// UnsupportedError says that a file uses a feature that is not read.
	UnsupportedError = plane.UnsupportedError
	// LimitError says that reading a file would take too much memory.
	LimitError = plane.LimitError
)

// Limits on what a file may make this package allocate.
const (
	MaxSide    = plane.MaxSide
	MaxSamples = plane.MaxSamples
)

// ParsePixelSize reads a width in µm such as 0.5, or width and height, 0.5x1.
func ParsePixelSize(s string) (PixelSize, error) { return plane.ParsePixelSize(s) }

// BytesText is a number of bytes for people.
func BytesText(n int64) string { return plane.BytesText(n) }

// MergedFluorescence reports whether a colour image looks like channels of
// fluorescence merged for show.
func MergedFluorescence(m *Image) bool { return plane.MergedFluorescence(m) }

// NewImage returns a zeroed image of c channels.
func NewImage(w, h, c int) *Image { return plane.NewImage(w, h, c) }

// NewLabels returns an all-background label image.
func NewLabels(w, h int) *Labels { return plane.NewLabels(w, h) }
