package serve

import (
	"archive/zip"
	"bytes"
	stdimage "image"
	"image/jpeg"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
	"unet/unet/instance"
	"unet/unet/report"
	"unet/unet/segment"
)

// exported are the formats of one image, with the ends of their names.
var exported = []string{segment.Labels, segment.CSV, segment.GeoJSON, segment.ROI, segment.Overlay, segment.Mask}

var extensions = map[string]string{segment.Labels: ".labels.tif", segment.CSV: ".nuclei.csv", segment.GeoJSON: ".geojson",
	segment.ROI: ".rois.zip", segment.Overlay: ".overlay.png", segment.Mask: ".mask.png"}

// write writes a result of a plane: the file of the run or, of a corrected one,
// the nuclei as they are now.
func (s *Server) write(w io.Writer, im *image, suffix, format string) error {
	n, edited := s.corrections(im, suffix)
	if file := s.output(im, suffix, extensions[format]); file != "" && !(edited && n.Corrected) {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	}
	p, err := s.pictureOf(im)
	if err != nil {
		return err
	}
	d, err := s.open(im, slices.IndexFunc(p.refs, func(r segment.PlaneRef) bool { return r.Suffix == suffix }))
	if err != nil {
		return err
	}
	return d.export(w, format)
}

// export writes the nuclei as they are now in a format of package segment.
func (d *document) export(w io.Writer, format string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready(); err != nil {
		return err
	}
	switch format {
	case segment.Labels:
		return d.throughFile(w, func(name string) error {
			return d.writeLabels(name, tiff.Options{PixelSize: d.source.PixelSize, Bits: d.labelBits()}, func(ids []uint32) {})
		})
	case segment.Mask:
		if int64(d.w)*int64(d.h) > int64(largePixels) { // as the command does
			return d.throughFile(w, func(name string) error {
				return d.writeLabels(name, tiff.Options{PixelSize: d.source.PixelSize, Bits: 8}, whiten)
			})
		}
		l, err := d.history.region(stdimage.Rect(0, 0, d.w, d.h))
		if err != nil {
			return err
		}
		m := stdimage.NewGray(stdimage.Rect(0, 0, l.W, l.H))
		for i, id := range l.ID {
			if id != 0 {
				m.Pix[i] = 255
			}
		}
		return report.EncodePNG(w, m)
	case segment.Overlay:
		m, err := d.overlay(report.OverlayOptions{})
		if err == nil {
			report.ScaleBar(m, d.source.PixelSize.X*float64(d.w)/float64(m.Rect.Dx()))
		}
		if err != nil {
			return err
		}
		return report.EncodePNG(w, m)
	}
	out := segment.NewWriter(format, w)
	if err := out.Begin(d.source); err != nil {
		return err
	}
	if err := d.each(func(n *instance.Nucleus) error { return out.Write(n) }); err != nil {
		return err
	}
	return out.Close()
}

func whiten(ids []uint32) {
	for i, id := range ids {
		if id != 0 {
			ids[i] = 255
		}
	}
}

func (d *document) labelBits() int {
	top := uint32(0)
	for id := range d.nuclei.at {
		top = max(top, id)
	}
	if int64(d.w)*int64(d.h) > int64(largePixels) {
		return 32
	}
	return max(16, imageio.LabelBits(top))
}

// throughFile writes a file and sends it: TIFF is not written from front to end.
func (d *document) throughFile(w io.Writer, write func(name string) error) error {
	dir, err := os.MkdirTemp("", "unet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "export.tif")
	if err := write(name); err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// writeLabels writes the labels, changed by change, to a TIFF file.
func (d *document) writeLabels(name string, o tiff.Options, change func(ids []uint32)) error {
	o.W, o.H = d.w, d.h
	f, err := tiff.Create(name, o)
	if err != nil {
		return err
	}
	defer f.Abort() // nothing after Close
	rows := max(1, largePixels/d.w/tileSide) * tileSide
	for y := 0; y < d.h; y += rows {
		l, err := d.history.region(stdimage.Rect(0, y, d.w, min(y+rows, d.h)))
		if err != nil {
			return err
		}
		change(l.ID)
		if err := f.WriteLabels(l.ID); err != nil {
			return err
		}
	}
	return f.Close()
}

// overlaySide is the largest side of the overlay of a large image.
const overlaySide = 2048

// overlay draws the nuclei over the image, of a large one over a smaller picture.
func (d *document) overlay(o report.OverlayOptions) (*stdimage.RGBA, error) {
	whole := stdimage.Rect(0, 0, d.w, d.h)
	if int64(d.w)*int64(d.h) <= int64(largePixels) {
		img, err := d.picture.region(d.plane, whole)
		if err != nil {
			return nil, err
		}
		l, err := d.history.region(whole)
		if err != nil {
			return nil, err
		}
		if n := own(d.picture.refs[d.plane]); img.C > 1 && d.picture.refs[d.plane].Info.C == 1 {
			img = &imageio.Image{W: img.W, H: img.H, C: 1, Pix: img.Plane(n), Bits: img.Bits, Float: img.Float}
		}
		return report.Overlay(img.Gray(), l, o)
	}
	step := (max(d.w, d.h) + overlaySide - 1) / overlaySide
	small := stdimage.Rect(0, 0, (d.w+step-1)/step, (d.h+step-1)/step)
	img, _, err := d.picture.reduced(d.plane, own(d.picture.refs[d.plane]), float64(step), small)
	if err != nil {
		return nil, err
	}
	l := imageio.NewLabels(small.Dx(), small.Dy())
	for y := range l.H {
		row, err := d.history.region(stdimage.Rect(0, y*step, d.w, y*step+1))
		if err != nil {
			return nil, err
		}
		for x := range l.W {
			l.ID[y*l.W+x] = row.ID[x*step]
		}
	}
	return report.Overlay(img, l, o)
}

// thumbnailSide is the largest side of a thumbnail.
const thumbnailSide = 320

// thumbnail is a small picture of the first plane of an image, with the outlines
// of what was found.
func (s *Server) thumbnailOf(im *image) ([]byte, error) {
	if rec := firstPlane(im); rec != nil && rec.Thumbnail != nil && !im.Corrected && filepath.IsLocal(rec.Thumbnail.File) {
		if b, err := os.ReadFile(filepath.Join(s.out, filepath.FromSlash(rec.Thumbnail.File))); err == nil {
			return b, nil
		}
	}
	p, err := s.pictureOf(im)
	if err != nil {
		return nil, err
	}
	i := 0
	if rec := firstPlane(im); rec != nil {
		i = max(0, slices.IndexFunc(p.refs, func(r segment.PlaneRef) bool { return r.Suffix == rec.Suffix }))
	}
	d, err := s.open(im, i)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return nil, errClosed
	}
	var m stdimage.Image
	if small := int64(d.w)*int64(d.h) <= int64(largePixels); small && d.history != nil {
		m, err = d.overlay(report.OverlayOptions{Scale: min(1, thumbnailSide/float64(max(d.w, d.h)))})
	} else {
		scale := math.Exp2(math.Ceil(math.Log2(max(1, float64(max(d.w, d.h))/thumbnailSide))))
		m, _, err = p.paint(i, scale, stdimage.Rect(0, 0, int(math.Ceil(float64(d.w)/scale)), int(math.Ceil(float64(d.h)/scale))), nil)
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

// exportAll sends the files of all images and the tables of the batch.
func (s *Server) exportAll(w http.ResponseWriter, _ *http.Request) error {
	list := s.images()
	z := zip.NewWriter(w)
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="unet-results.zip"`)
	put := func(name string, write func(w io.Writer) error) {
		f, err := z.Create(name)
		if err == nil {
			err = write(f)
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the zip is cut off, and seen to be
		}
	}
	corrected := false
	for i := range list {
		im := &list[i]
		corrected = corrected || im.Corrected
		if im.record == nil {
			continue
		}
		for k := range im.record.Planes {
			for _, name := range im.record.Planes[k].Outputs {
				format := formatOf(name)
				if format == "" || !filepath.IsLocal(filepath.FromSlash(name)) {
					continue
				}
				put(name, func(w io.Writer) error { return s.write(w, im, im.record.Planes[k].Suffix, format) })
			}
		}
	}
	if !corrected { // else these would tell of what the model found
		for _, name := range []string{segment.SummaryFile, segment.NucleiFile, segment.ManifestFile} {
			if b, err := os.ReadFile(filepath.Join(s.out, name)); err == nil {
				put(name, func(w io.Writer) error { _, err := w.Write(b); return err })
			}
		}
	}
	return z.Close()
}

// formatOf is the format of a file by its name.
func formatOf(name string) string {
	for format, ext := range extensions {
		if strings.HasSuffix(name, ext) {
			return format
		}
	}
	return ""
}
