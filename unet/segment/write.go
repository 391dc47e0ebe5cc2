package segment

import (
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"strings"

	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
	"unet/unet/imageio/zarr"
	"unet/unet/instance"
)

// write writes the files of a plane and enters them in its record.
func (r *run) write(p *plane, found *Result, rec *PlaneRecord) error {
	if err := os.MkdirAll(filepath.Dir(under(r.batch.Out, p.base())), 0o755); err != nil {
		return err
	}
	src := r.source(p, found.Channels)
	by, err := r.batch.ColourBy.Colouring(src.Sheet(), found.Nuclei)
	if err != nil {
		return &InputError{Name: p.name, Problem: err.Error(), Advice: hint(err), Err: err}
	}
	rec.Warnings = appendText(rec.Warnings, UncolouredText(by))
	c := &Content{src, p.img, found.Labels, found.Nuclei, by, r.description(p, found.Scale)}
	small, err := c.Thumbnail()
	if err != nil {
		return err
	}
	if rec.Thumbnail, err = r.writeThumbnail(p.base(), small); err != nil {
		return err
	}
	if r.keepsNuclei() {
		if err := keepNuclei(keptFile(r.batch.Out, p.base()), sequence(found.Nuclei)); err != nil {
			return err
		}
	}
	for _, format := range r.batch.Formats {
		ext, ok := extensions[format]
		if !ok {
			continue // a file of the batch
		}
		name := p.base() + ext
		if format == Zarr {
			name = r.zarrName(p.base(), p.in.Path)
		} else if err := r.folder.Claim(name); err != nil {
			return err
		}
		if err := r.writeFormat(p, found, c, format, name); err != nil {
			return err
		}
		rec.Outputs = append(rec.Outputs, name)
	}
	return nil
}

func (r *run) writeFormat(p *plane, found *Result, c *Content, format, name string) error {
	file := under(r.batch.Out, name)
	switch format {
	case Zarr:
		w, err := r.createZarr(name, c.Source, c.Description)
		if err != nil {
			return err
		}
		defer w.Abort()
		if err := w.WriteLabels(found.Labels.ID); err != nil {
			return err
		}
		return w.Close()
	case Mask:
		return imageio.WritePNG(file, r.mask(found.Labels, found.Maps))
	case Prob:
		m := found.Maps
		return imageio.WriteMaps(file, &imageio.Image{W: m.W, H: m.H, C: len(m.Names), Pix: m.Pix, Bits: 32, Float: true, Channels: m.Names},
			tiff.Options{PixelSize: c.Source.PixelSize, Description: c.Description})
	}
	return c.WriteFile(file, format)
}

// zarrName is where the OME-Zarr label image of a plane of a file goes, of which the
// base of the results is known: into the image itself where results go beside an
// OME-Zarr image of one plane, else into a store of its own.
func (r *results) zarrName(base, file string) string {
	store := base + ".zarr"
	if a, err := os.Stat(under(r.batch.Out, store)); err == nil && a.IsDir() {
		if b, err := os.Stat(file); err == nil && os.SameFile(a, b) {
			return store + "/labels/nuclei"
		}
	}
	return base + extensions[Zarr]
}

// createZarr starts the OME-Zarr label image of a plane.
func (r *results) createZarr(name string, src formats.Source, description string) (*zarr.LabelWriter, error) {
	o := zarr.LabelOptions{W: src.W, H: src.H, PixelSize: src.PixelSize, Attributes: json.RawMessage(description)}
	if err := r.folder.ClaimFolder(name); err != nil {
		return nil, err
	}
	if image, label, ok := strings.Cut(name, ".zarr/labels/"); ok {
		return zarr.CreateLabelsIn(under(r.batch.Out, image+".zarr"), label, o)
	}
	return zarr.CreateLabels(under(r.batch.Out, name), o)
}

// mask is 255 inside nuclei. A paper model's mask is its map above the
// threshold, as in the paper.
func (r *run) mask(l *imageio.Labels, m instance.Maps) *image.Gray {
	if r.model.Card.Kind != unet.Paper {
		return maskOf(l)
	}
	out := image.NewGray(image.Rect(0, 0, l.W, l.H))
	threshold := float32(r.threshold)
	for i, v := range m.Plane(instance.Foreground) {
		if v > threshold {
			out.Pix[i] = 255
		}
	}
	return out
}

// description is the text of TIFF outputs.
func (r *run) description(p *plane, scale float64) string {
	o := Origin{r.batch.Version, r.summary.Model, r.summary.Settings}
	return o.Describe(&ImageRecord{Name: p.in.Name, SHA256: p.sha256}, &PlaneRecord{Plane: p.info.String(), Scale: scale})
}
