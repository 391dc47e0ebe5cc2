package imageio

import (
	"bytes"
	"fmt"
	"image"
	"os"

	"unet/unet/imageio/input"
)

// MaxFileBytes is the largest file that is read whole (PNG, JPEG, BMP, GIF,
// WebP).
const MaxFileBytes = 1 << 31

// Read decodes the first plane of an image file or OME-Zarr folder; see Decode.
func Read(path string) (*Image, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadPlane(0)
}

// Decode decodes the first plane of an image file held in memory; name is used
// in errors only.
//
// Gray files give one channel, colour files three (R, G, B); use Gray to
// collapse colour files whose channels are equal. Palettes are expanded. An
// alpha channel is dropped where it is opaque; pixels that are not opaque are
// composited over black, the background of fluorescence images, and
// File.Notes says so. In TIFF files whose 0 is white samples are inverted.
func Decode(name string, data []byte) (*Image, error) {
	f, err := OpenData(name, data)
	if err != nil {
		return nil, err
	}
	return f.ReadPlane(0)
}

// Size is the width and height that the header of an image file held in memory
// gives its first plane, 0 x 0 where it cannot be read. Nothing is decoded.
func Size(name string, data []byte) (w, h int) {
	format := sniff(data)
	if format == "TIFF" {
		f, err := OpenData(name, data)
		if err != nil || len(f.Planes) == 0 {
			return 0, 0
		}
		return f.Planes[0].W, f.Planes[0].H
	}
	c, err := rasterConfig(bytes.NewReader(data), format)
	if err != nil {
		return 0, 0
	}
	return c.Width, c.Height
}

// pngDepth puts right what image/png's types do not tell: gray with alpha
// comes back as colour, and 1-bit gray as 0 and 255.
func pngDepth(m *Image, data []byte) {
	depth, kind := data[24], data[25]
	if kind == 4 && m.C == 3 {
		m.C, m.Pix = 1, m.Plane(0)
	}
	if kind == 0 && depth == 1 {
		m.Bits = 1
		for i, v := range m.Pix {
			m.Pix[i] = v / 255
		}
	}
}

// strangers are formats that people may try, by what their files hold at some
// offset.
var strangers = []struct {
	at          int
	magic, what string
	hint        string
}{
	{0, "ZISRAWFILE", "CZI (Zeiss)", hintConvert},
	{0, "\xda\xce\xbe\x0a", "ND2 (Nikon)", hintConvert},
	{0, "\x70\x00\x00\x00\x2a", "LIF (Leica)", hintConvert},
	{0, "\xd0\xcf\x11\xe0", "OIB or ZVI (Olympus, Zeiss)", hintConvert},
	{0, "\x89HDF", "HDF5", "export the image as TIFF or OME-Zarr"},
	{128, "DICM", "DICOM", hintConvert},
	{4, "jP  ", "JPEG 2000", hintJPEG2000},
	{0, "\xff\x4f\xff\x51", "JPEG 2000", hintJPEG2000},
	{0, "\xff\x0a", "JPEG XL", "convert it to TIFF or PNG"},
	{4, "JXL ", "JPEG XL", "convert it to TIFF or PNG"},
	{4, "ftyp", "HEIC, AVIF or video", "convert it to TIFF or PNG"},
	{0, "RIFF", "video or sound", "convert it to TIFF or PNG"},
	{0, "\x93NUMPY", "NumPy array", "save the array as TIFF, with tifffile.imwrite for example"},
	{0, "MATLAB", "MATLAB data", "save the image as TIFF, with imwrite"},
	{0, "8BPS", "Photoshop image", "export it as TIFF or PNG"},
	{0, "SIMPLE  =", "FITS", "convert it to TIFF with Fiji"},
	{0, "NRRD", "NRRD", "convert it to TIFF with Fiji"},
	{0, "v/1\x01", "OpenEXR", "convert it to TIFF"},
	{0, "P5", "portable graymap", "convert it to TIFF or PNG"},
	{0, "P6", "portable pixmap", "convert it to TIFF or PNG"},
	{0, "<svg", "SVG drawing", "export it as PNG"},
	{0, "Iout", "ImageJ region", "give the image itself; unet convert reads regions"},
	{208, "MAP ", "MRC", hintConvert},
	{344, "n+1\x00", "NIfTI", "convert it to TIFF with Fiji"},
	{344, "ni1\x00", "NIfTI", "convert it to TIFF with Fiji"},
	{96, "\xa0\xc0", "DeltaVision", hintConvert},
	{96, "\xc0\xa0", "DeltaVision", hintConvert},
	{0, "%!PS", "PostScript", "export its images as TIFF or PNG"},
	{0, "<!DOCTYPE html", "web page", "it is not an image: was the download refused?"},
	{0, "<html", "web page", "it is not an image: was the download refused?"},
	{0, "version https://git-lfs", "pointer of Git LFS", "fetch the file itself with git lfs pull"},
	{0, "SQLite format 3", "SQLite database", "give the images themselves"},
	{0, "%PDF", "PDF", "export its images as TIFF or PNG"},
	{0, "PK\x03\x04", "zip archive", "unpack it and give the folder; `unet prepare` and `unet inspect` read zip archives of annotated images"},
	{0, "\x1f\x8b", "gzip archive", "unpack it, with gunzip or tar -xzf, and give what was in it"},
}

const (
	hintConvert  = "convert it to OME-TIFF with Fiji or bfconvert"
	hintJPEG2000 = "convert it with OpenJPEG: opj_decompress -i IN.jp2 -o OUT.tif"
)

func unknown(name string, data []byte) error {
	if len(data) == 0 {
		return &FormatError{Name: name, Reason: "the file is empty"}
	}
	for _, s := range strangers {
		if len(data) >= s.at+len(s.magic) && string(data[s.at:s.at+len(s.magic)]) == s.magic {
			return &UnsupportedError{Name: name, Format: s.what, Advice: s.hint}
		}
	}
	return &FormatError{Name: name, Reason: fmt.Sprintf("it starts with %q", data[:min(8, len(data))])}
}

// readFile reads a regular file of sane size.
func readFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > MaxFileBytes {
		return nil, tooLong(path, st.Size())
	}
	return input.ReadFile(path, MaxFileBytes)
}

func tooLong(path string, size int64) error {
	return &LimitError{Name: path, What: fmt.Sprintf("a file of %d bytes (limit %d)", size, int64(MaxFileBytes)), Advice: "store it as a tiled TIFF, which is read in pieces"}
}

// grayIndex is the label number of each pixel of a decoded image, for images
// that hold one number per pixel.
func grayIndex(m image.Image) (get func(x, y int) uint32, ok bool) {
	b := m.Bounds().Min
	switch m := m.(type) {
	case *image.Gray:
		return func(x, y int) uint32 { return uint32(m.GrayAt(b.X+x, b.Y+y).Y) }, true
	case *image.Gray16:
		return func(x, y int) uint32 { return uint32(m.Gray16At(b.X+x, b.Y+y).Y) }, true
	case *image.Paletted:
		return func(x, y int) uint32 { return uint32(m.ColorIndexAt(b.X+x, b.Y+y)) }, true
	}
	return nil, false
}
