package imageio

import (
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
)

// PlaneInfo describes one plane of a file: one 2-D image of one or, for
// colour, three channels.
type PlaneInfo struct {
	// Series counts the images of a file that holds several (OME Image
	// elements), from 0.
	Series int
	// Page is the plane's page in the file: TIFF directory, GIF frame or
	// position in an ImageJ or Zarr stack, from 0. Channels stored interleaved
	// share a page.
	Page int
	// Channel, Z and T are the plane's place in a hyperstack, from 0.
	Channel, Z, T int
	// W, H and C are the plane's size as ReadPlane returns it.
	W, H, C int
	// Bits and Float describe the samples, as in Image.
	Bits  int
	Float bool
	// Name is the channel's name; "" when the file does not say.
	Name string
	// PixelSize is the width of a pixel in µm; 0 when the file does not say.
	PixelSize float64
}

// File is an open image file of any number of planes. Its methods must not be
// called by several goroutines at once.
type File struct {
	Name   string // the path
	Format string // "PNG", "JPEG", "BMP", "GIF", "WebP", "TIFF", "BigTIFF", "OME-TIFF", "ImageJ TIFF" or "OME-Zarr 0.4"
	Planes []PlaneInfo
	// Notes are facts about the file that a user should see: pages left out,
	// damaged metadata, transparent pixels met so far.
	Notes []string

	src source
}

// A source reads planes of one format.
type source interface {
	image(plane int, r image.Rectangle) (*Image, error)
	labels(plane int, r image.Rectangle) (*Labels, error)
	Close() error
}

// Open opens an image file, or the folder of an OME-Zarr image, and reads what
// it says about its planes. PNG, JPEG, BMP, GIF and WebP files are decoded
// whole on the first read; TIFF and Zarr are read by strips, tiles or chunks,
// so that a region costs memory in proportion to itself.
func Open(path string) (*File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return openZarr(path)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 16)
	n, _ := r.ReadAt(head, 0)
	if sniff(head[:n]) == "TIFF" {
		f, err := openTIFFSource(path, r, st.Size())
		if err != nil {
			r.Close()
		}
		return f, err
	}
	r.Close()
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return openRaster(path, data)
}

// plausibleSize is a pixel's size in µm as a file states it, or 0, unknown, where
// it is none: negative, infinite, not a number or larger than any image.
func plausibleSize(um float64) float64 {
	if um > 0 && um < 1e9 {
		return um
	}
	return 0
}

// Close releases the file.
func (f *File) Close() error { return f.src.Close() }

// ReadPlane reads plane i whole.
func (f *File) ReadPlane(i int) (*Image, error) {
	if err := f.checkPlane(i); err != nil {
		return nil, err
	}
	return f.ReadRegion(i, 0, 0, f.Planes[i].W, f.Planes[i].H)
}

// ReadRegion reads w x h pixels of plane i from column x and row y on. The
// region must lie inside the plane.
func (f *File) ReadRegion(i, x, y, w, h int) (*Image, error) {
	r, err := f.region(i, x, y, w, h)
	if err != nil {
		return nil, err
	}
	m, err := f.src.image(i, r)
	if err != nil {
		return nil, err
	}
	p := f.Planes[i]
	m.Bits, m.Float, m.PixelSize = p.Bits, p.Float, p.PixelSize
	if p.Name != "" && m.C == 1 {
		m.Channels = []string{p.Name}
	}
	return m, nil
}

// ReadLabels reads plane i as a label image; see the function ReadLabels.
func (f *File) ReadLabels(i int) (*Labels, error) {
	if err := f.checkPlane(i); err != nil {
		return nil, err
	}
	return f.ReadLabelsRegion(i, 0, 0, f.Planes[i].W, f.Planes[i].H)
}

// ReadLabelsRegion reads a region of plane i as a label image.
func (f *File) ReadLabelsRegion(i, x, y, w, h int) (*Labels, error) {
	r, err := f.region(i, x, y, w, h)
	if err != nil {
		return nil, err
	}
	l, err := f.src.labels(i, r)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (f *File) checkPlane(i int) error {
	if i < 0 || i >= len(f.Planes) {
		return fmt.Errorf("%s: there is no plane %d, the file has %d", f.Name, i, len(f.Planes))
	}
	return nil
}

func (f *File) region(i, x, y, w, h int) (image.Rectangle, error) {
	if err := f.checkPlane(i); err != nil {
		return image.Rectangle{}, err
	}
	p := f.Planes[i]
	if x < 0 || y < 0 || w <= 0 || h <= 0 || w > p.W || h > p.H || x > p.W-w || y > p.H-h {
		return image.Rectangle{}, fmt.Errorf("%s: region %d x %d at (%d, %d) does not lie inside the plane of %d x %d pixels", f.Name, w, h, x, y, p.W, p.H)
	}
	if int64(w)*int64(h)*int64(p.C) > MaxSamples {
		return image.Rectangle{}, &LimitError{f.Name, fmt.Sprintf("%d x %d pixels of %d channels in one piece (limit %d samples)", w, h, p.C, int64(MaxSamples)), "read it in regions"}
	}
	return image.Rect(x, y, x+w, y+h), nil
}

// note adds a fact to Notes, once.
func (f *File) note(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	for _, n := range f.Notes {
		if n == s {
			return
		}
	}
	f.Notes = append(f.Notes, s)
}

// isMissing says that a file or folder does not exist.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
