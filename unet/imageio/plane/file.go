package plane

import (
	"fmt"
	"image"
	"strings"
)

// Limits on what a file may make this package allocate. They are far above
// microscopes' images and far below what a forged header can claim.
const (
	// MaxSide is the most pixels in a row or column.
	MaxSide = 1 << 24
	// MaxSamples is the most samples (pixels x channels) of an image that is
	// decoded whole: 2 GiB as float32.
	MaxSamples = 1 << 29
	// MaxPlanes is the most planes of a file.
	MaxPlanes = 1 << 19
)

// Info describes one plane of a file: one 2-D image of one or, for
// colour, three channels.
type Info struct {
	// Series counts the images of a file that holds several (OME Image
	// elements), from 0.
	Series int
	// Well and Field name the place on a plate, as "B03" and from 0; Well is ""
	// for other files.
	Well  string
	Field int
	// Page is the plane's page in the file: TIFF directory, GIF frame or
	// position in an ImageJ or Zarr stack, from 0. Channels stored interleaved
	// share a page.
	Page int
	// Channel, Z and T are the plane's place in a hyperstack, from 0.
	Channel, Z, T int
	// W, H and C are the plane's size as ReadPlane returns it.
	W, H, C int
	// FullW and FullH are its size at full resolution, where another level of a
	// pyramid is in use; else 0.
	FullW, FullH int
	// Bits and Float describe the samples, as in Image.
	Bits  int
	Float bool
	// Name is the channel's name; "" when the file does not say.
	Name      string
	PixelSize PixelSize
}

// File is an open image file of any number of planes. Its methods must not be
// called by several goroutines at once.
type File struct {
	Name   string // the path
	Format string // "PNG", "JPEG", "BMP", "GIF", "WebP", "TIFF", "BigTIFF", "OME-TIFF", "ImageJ TIFF" or "OME-Zarr 0.4"
	Planes []Info
	// Levels is how many versions of each plane there are: 1, or more for a
	// pyramid, whose levels are ever smaller. Planes are those of level 0, the
	// full resolution, until UseLevel chooses another.
	Levels int
	// LevelSizes are the sizes of the pixels of the levels, as far as known; nil
	// where there is one level.
	LevelSizes []PixelSize
	// Members are the other files that belong to the data set.
	Members []string
	// Notes are facts about the file that a user should see: pages left out,
	// damaged metadata, transparent pixels met so far.
	Notes []string

	src   Source
	level int
	views []view // how the planes are read, when not one by one
}

// A Source reads the planes of one file, in regions that lie inside them.
type Source interface {
	Image(plane int, r image.Rectangle) (*Image, error)
	Labels(plane int, r image.Rectangle) (*Labels, error)
	Close() error
}

// NewFile returns a file, without planes yet, that src reads.
func NewFile(name, format string, src Source) *File {
	return &File{Name: name, Format: format, Levels: 1, src: src}
}

// Pyramid is a Source of several levels.
type Pyramid interface {
	// UseLevel replaces the planes of the file by those of level k > 0; it is
	// called once.
	UseLevel(k int) error
}

// Chunked is a Source that decodes pieces of its planes whole.
type Chunked interface {
	// ChunkBytes is the memory that one piece of a plane takes.
	ChunkBytes(plane int) int64
}

// ChunkBytes is the memory that reading any part of plane i takes besides the
// part itself: that of the pieces, tiles or chunks, which are decoded whole. It is
// 0 where little is.
func (f *File) ChunkBytes(i int) (most int64) {
	if s, ok := f.src.(Chunked); ok {
		for _, k := range f.viewOf(i).of {
			most = max(most, s.ChunkBytes(k))
		}
	}
	return most
}

// UseLevel makes Planes those of another level of the pyramid. It is to be
// called before anything is read, and once.
func (f *File) UseLevel(k int) error {
	p, ok := f.src.(Pyramid)
	switch {
	case k == 0:
		return nil
	case k < 0 || k >= f.Levels || !ok:
		return fmt.Errorf("%s: there is no level %d, the file has levels 0 to %d", f.Name, k, f.Levels-1)
	}
	f.level = k
	joined, full := f.views != nil, f.Planes
	f.views = nil
	if err := p.UseLevel(k); err != nil {
		return err
	}
	if joined {
		f.JoinNamedColours()
	}
	if len(f.Planes) != len(full) {
		return fmt.Errorf("%s: level %d has %d planes, not %d", f.Name, k, len(f.Planes), len(full))
	}
	for i := range f.Planes {
		f.Planes[i].FullW, f.Planes[i].FullH = full[i].W, full[i].H
	}
	return nil
}

// Level is the level in use.
func (f *File) Level() int { return f.level }

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
	m, err := f.readView(f.viewOf(i), r)
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

// ReadLabels reads plane i as a label image; one whole number per
// pixel, 0 for background. Palette files give their indices. Colour files are
// accepted when their channels are equal, float files when they hold whole
// numbers.
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
	l, err := f.readLabels(f.viewOf(i), r)
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
		return image.Rectangle{}, &LimitError{Name: f.Name, What: fmt.Sprintf("%d x %d pixels of %d channels in one piece (limit %d samples)", w, h, p.C, int64(MaxSamples)), Advice: "read it in regions"}
	}
	return image.Rect(x, y, x+w, y+h), nil
}

// IsPicture reports whether the name of an image is that of a picture which slide
// scanners take of the label or the whole glass.
func IsPicture(name string) bool {
	name, isImage := strings.CutSuffix(strings.ToLower(strings.TrimSpace(name)), "image")
	switch strings.Trim(name, " _-") {
	case "macro", "overview", "thumbnail":
		return true
	case "label": // alone it may be a label image
		return isImage
	}
	return false
}

// Resolution is the pixel size that a resolution stands for which a file states
// per length: pixels of x times y µm. Numbers that programs put into any file, 72
// dots per inch and the like, are none; that is noted.
func (f *File) Resolution(x, y float64) PixelSize {
	size := SizeOf(x, y, 0)
	if dpi := PrintResolution(size.X); dpi > 0 {
		f.Note("its resolution of %g dots per inch is one for print or screen, and is not taken for a pixel size", dpi)
		return PixelSize{}
	}
	if !(size.X > 1e-4 && size.X < 100 && size.Y > 1e-4 && size.Y < 100) {
		if size.Known() && size.X < 1e4 { // 1 per inch or cm is what programs write that know nothing
			f.Note("its resolution, pixels of %v, is not a microscope's and is not used", size)
		}
		return PixelSize{}
	}
	return size
}

// Note adds a fact to Notes, once.
func (f *File) Note(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	for _, n := range f.Notes {
		if n == s {
			return
		}
	}
	f.Notes = append(f.Notes, s)
}

// String names the plane's place for messages: "page 3, channel 1, z 2, t 0".
func (p Info) String() string {
	if p.Well != "" {
		return fmt.Sprintf("well %s, field %d, page %d, channel %d, z %d, t %d", p.Well, p.Field, p.Page, p.Channel, p.Z, p.T)
	}
	return fmt.Sprintf("page %d, channel %d, z %d, t %d", p.Page, p.Channel, p.Z, p.T)
}
