package serve

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	stdimage "image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/tiff"
	"unet/unet/imageio/zarr"
	"unet/unet/instance"
	"unet/unet/report"
	"unet/unet/segment"
)

// exported are the formats of one image.
var exported = []string{segment.Labels, segment.CSV, segment.GeoJSON, segment.ROI, segment.Overlay, segment.Mask, segment.Density}

// write writes a result of a plane: the file of the run or, of a corrected one,
// the nuclei as they are now.
func (s *Server) write(ctx context.Context, w io.Writer, im *image, suffix, format string) error {
	n, edited := s.corrections(im, suffix)
	if file := s.output(im, suffix, format); file != "" && !(edited && n.Corrected) {
		from := file
		if own := s.own(im, suffix, format); edited && exists(own) {
			from = own // until the results have followed
		}
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	}
	d, _, err := s.copyOf(ctx, im, suffix)
	if err != nil {
		return err
	}
	defer d.history.close()
	dir, err := os.MkdirTemp("", "unet-") // TIFF is not written from front to end
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "result"+im.extension(suffix, format))
	if err := d.writeFile(file, format); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// heldPixels is the size of images whose files are written from all of their pixels
// at once, as long as the memory allows. Tests make it less.
var heldPixels = int64(1 << 26)

// held reports whether all of the image may be in memory, where the command has had
// it, too.
func (d *document) held() bool {
	pixels := int64(d.w) * int64(d.h)
	return !d.rec.Banded && pixels <= heldPixels && pixels*int64(4*len(d.source.Channels)+16) <= d.s.o.Memory/4
}

// content is what the files of the plane are written from.
func (d *document) content() (*segment.Content, error) {
	whole := stdimage.Rect(0, 0, d.w, d.h)
	c := &segment.Content{Source: d.source, Description: d.im.origin.Describe(d.im.record, d.rec)}
	var err error
	if c.Labels, err = d.history.region(whole); err != nil {
		return nil, err
	}
	img, err := d.picture.levels[0].read(d.picture.refs[d.plane].Index, whole)
	if err != nil {
		return nil, err
	}
	c.Image = img.Gray()
	if err := d.each(func(n *instance.Nucleus) error { c.Nuclei = append(c.Nuclei, *n); return nil }); err != nil {
		return nil, err
	}
	by, err := segment.ParseColourBy(d.im.origin.Settings.ColourBy)
	if err != nil {
		return nil, err
	}
	c.By, err = by.Colouring(c.Source.Sheet(), c.Nuclei)
	return c, err
}

// writeFile writes the nuclei as they are in a format of package segment.
func (d *document) writeFile(file, format string) error {
	if d.held() {
		if d.whole == nil {
			c, err := d.content()
			if err != nil {
				return err
			}
			d.whole = c
		}
		return d.whole.WriteFile(file, format)
	}
	o := tiff.Options{PixelSize: d.source.PixelSize, Bits: 32, Description: d.im.origin.Describe(d.im.record, d.rec)}
	switch format {
	case segment.Labels:
		return d.writeLabels(file, o, func([]uint32) {})
	case segment.Mask:
		if !d.rec.Banded { // as its file is named
			return d.writeMask(file)
		}
		o.Bits = 8
		return d.writeLabels(file, o, whiten)
	case segment.Overlay:
		img, l, step, err := d.thin()
		if err != nil {
			return err
		}
		m, err := segment.Picture(img, l, d.source.PixelSize.X*float64(step), report.OverlayOptions{})
		if err != nil {
			return err
		}
		return imageio.WritePNG(file, m)
	case segment.Zarr, segment.Density:
		return d.writeStream(file, format)
	}
	return atomicfile.WriteFile(file, func(w io.Writer) error {
		out := segment.NewWriter(format, w)
		if err := out.Begin(d.source); err != nil {
			return err
		}
		if err := d.each(func(n *instance.Nucleus) error { return out.Write(n) }); err != nil {
			return err
		}
		return out.Close()
	})
}

func whiten(ids []uint32) {
	for i, id := range ids {
		if id != 0 {
			ids[i] = 255
		}
	}
}

// strip is some rows of the labels, from y on.
func (d *document) strip(y int) (*imageio.Labels, error) {
	if err := context.Cause(d.ctx); err != nil {
		return nil, err
	}
	rows := max(1, largePixels/d.w/tileSide) * tileSide
	return d.history.region(stdimage.Rect(0, y, d.w, min(y+rows, d.h)))
}

// rows calls f for all labels, some rows at a time.
func (d *document) rows(f func(ids []uint32) error) error {
	for y := 0; y < d.h; {
		l, err := d.strip(y)
		if err != nil {
			return err
		}
		if err := f(l.ID); err != nil {
			return err
		}
		y += l.H
	}
	return nil
}

// maskRows is the mask of a plane of which some rows are in memory: the encoder of PNG
// asks for the pixels in their order.
type maskRows struct {
	d   *document
	l   *imageio.Labels
	y   int // the first row of l
	err error
}

// ColorModel implements image.Image.
func (m *maskRows) ColorModel() color.Model { return color.GrayModel }

// Bounds implements image.Image.
func (m *maskRows) Bounds() stdimage.Rectangle { return stdimage.Rect(0, 0, m.d.w, m.d.h) }

// At implements image.Image.
func (m *maskRows) At(x, y int) color.Color {
	if m.err == nil && (m.l == nil || y < m.y || y >= m.y+m.l.H) {
		m.y = y
		m.l, m.err = m.d.strip(y)
	}
	if m.err != nil || m.l.ID[(y-m.y)*m.l.W+x] == 0 {
		return outside
	}
	return inNucleus
}

// outside and inNucleus are the colours of a mask.
var outside, inNucleus color.Color = color.Gray{0}, color.Gray{255}

// writeMask writes the mask as PNG.
func (d *document) writeMask(file string) error {
	m := &maskRows{d: d}
	return atomicfile.WriteFile(file, func(w io.Writer) error {
		err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, m)
		return errors.Join(m.err, err)
	})
}

// writeLabels writes the labels, changed by change, to a TIFF file.
func (d *document) writeLabels(name string, o tiff.Options, change func(ids []uint32)) error {
	o.W, o.H = d.w, d.h
	f, err := tiff.Create(name, o)
	if err != nil {
		return err
	}
	defer f.Abort() // nothing after Close
	if err := d.rows(func(ids []uint32) error { change(ids); return f.WriteLabels(ids) }); err != nil {
		return err
	}
	return f.Close()
}

// writeStream writes what is neither a table nor a TIFF.
func (d *document) writeStream(file, format string) error {
	if format == segment.Density {
		var centroids [][2]float64
		if err := d.each(func(n *instance.Nucleus) error { centroids = append(centroids, [2]float64{n.X, n.Y}); return nil }); err != nil {
			return err
		}
		_, diameter := d.nuclei.numbers()
		return imageio.WritePNG(file, segment.DensityPicture(centroids, diameter, d.w, d.h, d.source.PixelSize))
	}
	w, err := zarr.CreateLabels(file, zarr.LabelOptions{W: d.w, H: d.h, PixelSize: d.source.PixelSize, Attributes: json.RawMessage(d.im.origin.Describe(d.im.record, d.rec))})
	if err != nil {
		return err
	}
	defer w.Abort() // nothing after Close
	if err := d.rows(w.WriteLabels); err != nil {
		return err
	}
	return w.Close()
}

// overlaySide is the largest side of the overlay of a large image.
const overlaySide = 2048

// thin is every step-th row and column of image and labels, as the command shows an
// image that it segments in bands.
func (d *document) thin() (img *imageio.Image, l *imageio.Labels, step int, err error) {
	step = (max(d.w, d.h) + overlaySide - 1) / overlaySide
	l = imageio.NewLabels((d.w+step-1)/step, (d.h+step-1)/step)
	for y := range l.H {
		line := stdimage.Rect(0, y*step, d.w, y*step+1)
		ids, err := d.history.region(line)
		if err != nil {
			return nil, nil, 0, err
		}
		row, err := d.picture.levels[0].read(d.picture.refs[d.plane].Index, line)
		if err != nil {
			return nil, nil, 0, err
		}
		if img == nil {
			img = imageio.NewImage(l.W, l.H, row.C)
			img.Bits, img.Float = row.Bits, row.Float
		}
		for x := range l.W {
			l.ID[y*l.W+x] = ids.ID[x*step]
			for c := range row.C {
				img.Plane(c)[y*l.W+x] = row.Plane(c)[x*step]
			}
		}
	}
	return img, l, step, nil
}

// thumbnail is a small picture of the nuclei, as the command draws it.
func (d *document) thumbnail() (*stdimage.RGBA, error) {
	if d.held() {
		c, err := d.content()
		if err != nil {
			return nil, err
		}
		return c.Thumbnail()
	}
	img, l, _, err := d.thin()
	if err != nil {
		return nil, err
	}
	return report.Overlay(img, l, report.OverlayOptions{Scale: min(1, thumbnailSide/float64(max(l.W, l.H)))})
}

// thumbnailSide is the largest side of a thumbnail.
const thumbnailSide = 320

// thumbnailOf is a small picture of the first plane of an image, with the outlines
// of what was found.
func (s *Server) thumbnailOf(ctx context.Context, im *image) ([]byte, error) {
	rec := firstPlane(im)
	if rec != nil && rec.Thumbnail != nil && !im.Corrected && !rec.Corrected && filepath.IsLocal(rec.Thumbnail.File) {
		if b, err := os.ReadFile(filepath.Join(s.out, filepath.FromSlash(rec.Thumbnail.File))); err == nil {
			return b, nil
		}
	}
	p, err := s.pictureOf(im)
	if err != nil {
		return nil, err
	}
	i := 0
	if rec != nil {
		i = max(0, slices.IndexFunc(p.refs, func(r segment.PlaneRef) bool { return r.Suffix == rec.Suffix }))
	}
	ref, err := p.ref(i)
	if err != nil {
		return nil, err
	}
	var m stdimage.Image
	if w, h := ref.Info.W, ref.Info.H; rec != nil && im.Status == segment.Done && int64(w)*int64(h) <= int64(largePixels) {
		d, _, derr := s.copyOf(ctx, im, rec.Suffix)
		if derr != nil {
			return nil, derr
		}
		defer d.history.close()
		m, err = d.thumbnail()
	} else {
		scale := math.Exp2(math.Ceil(math.Log2(max(1, float64(max(w, h))/thumbnailSide))))
		m, _, err = p.paint(i, scale, stdimage.Rect(0, 0, int(math.Ceil(float64(w)/scale)), int(math.Ceil(float64(h)/scale))), nil)
	}
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = jpeg.Encode(&b, m, &jpeg.Options{Quality: 85})
	return b.Bytes(), err
}

func firstPlane(im *image) *segment.PlaneRecord {
	if im.record == nil || len(im.record.Planes) == 0 {
		return nil
	}
	return &im.record.Planes[0]
}

// exportAll sends all files that the command writes of the images: those of each,
// the tables and the page.
func (s *Server) exportAll(w http.ResponseWriter, r *http.Request) error {
	if st := s.state(); st.Running && st.Kind == "segment" {
		return &apiError{http.StatusServiceUnavailable, "images are being segmented: the zip is there when that is done"}
	}
	if err := s.settle(r.Context()); err != nil {
		return err
	}
	names := []string{segment.SummaryFile, segment.NucleiFile, segment.ManifestFile, segment.COCOFile, segment.RLEFile, segment.PageFile, segment.PagesFolder}
	list := s.images()
	for i := range list {
		if list[i].record == nil {
			continue
		}
		for _, p := range list[i].record.Planes {
			names = append(names, p.Outputs...)
			if p.Thumbnail != nil {
				names = append(names, p.Thumbnail.File)
			}
		}
	}
	z := zip.NewWriter(w)
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="unet-results.zip"`)
	for _, name := range names {
		if err := s.addTo(z, name); err != nil {
			return err
		}
	}
	return z.Close()
}

// addTo adds a result to a zip, with all that is in it where it is a folder; nothing
// where it is not there.
func (s *Server) addTo(z *zip.Writer, name string) error {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil
	}
	return fs.WalkDir(s.root.FS(), path.Join(ResultsFolder, name), func(at string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		f, err := s.root.Open(at)
		if err != nil {
			return err
		}
		defer f.Close()
		to, err := z.Create(strings.TrimPrefix(at, ResultsFolder+"/"))
		if err == nil {
			_, err = io.Copy(to, f)
		}
		return err
	})
}
