// Package imageio decodes microscopy images and reads and writes label images.
//
// Everything the rest of the program sees is one of two types: Image, planar
// float32 samples in the units of the file, and Labels, one instance number
// per pixel. Files hold planes, 2-D images told apart by page, channel, z and
// t. Read and ReadLabels take a file's first plane; Open lists them all and
// reads any of them whole or by regions. WriteLabels, WriteMaps and TIFFWriter
// write; every file appears whole or not at all (WriteFile).
//
// PNG, JPEG, BMP, GIF and WebP are decoded by the standard library and
// golang.org/x/image, TIFF and OME-Zarr by this package, since no Go library
// reads what microscopes write. Files are not trusted: sizes are checked
// before memory is taken for them, against the limits named Max… and against
// what the file could hold, and errors are a FormatError, UnsupportedError or
// LimitError of one line that names the file.
package imageio

// Image is one 2-D image of C channels.
type Image struct {
	W, H, C int
	// Pix holds C planes of H rows of W samples, raw units of the file
	// (0..255 for 8-bit, 0..65535 for 16-bit, as stored for float).
	Pix []float32
	// Bits is the sample size of the source: 1, 8, 16, 32 or 64.
	Bits int
	// Float says that the source held floating-point samples.
	Float bool
	// Channels names the channels where the file does; else nil.
	Channels []string
	// PixelSize is the width of a pixel in µm; 0 when the file does not say.
	PixelSize float64
}

// NewImage returns a zeroed image of c channels.
func NewImage(w, h, c int) *Image {
	return &Image{W: w, H: h, C: c, Pix: make([]float32, w*h*c), Bits: 8}
}

// Plane returns channel c as H*W samples, row by row; it shares memory.
func (m *Image) Plane(c int) []float32 { return m.Pix[c*m.W*m.H : (c+1)*m.W*m.H] }

// Labels is a label image: ID holds H rows of W instance numbers, 0 is
// background. Numbers need not be consecutive.
type Labels struct {
	W, H int
	ID   []uint32
}

// NewLabels returns an all-background label image.
func NewLabels(w, h int) *Labels { return &Labels{W: w, H: h, ID: make([]uint32, w*h)} }

// Max returns the largest instance number, 0 for an empty image.
func (l *Labels) Max() uint32 {
	var m uint32
	for _, v := range l.ID {
		m = max(m, v)
	}
	return m
}
