package segment

import (
	"encoding/json"
	"fmt"
	"image"
	"path/filepath"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
	"unet/unet/imageio/zarr"
	"unet/unet/instance"
	"unet/unet/report"
)

// Content is what the files of a plane are written from: its nuclei, whether the
// model has found them or a person has corrected them.
type Content struct {
	Source formats.Source
	// Image is what nuclei are sought in.
	Image  *imageio.Image
	Labels *imageio.Labels
	Nuclei []instance.Nucleus
	// By colours the nuclei in pictures; nil: so that neighbours differ.
	By *report.Colouring
	// Description says where TIFF and OME-Zarr come from, see Describe.
	Description string
}

// WriteFile writes the file of a format, other than probability maps, which the
// network alone gives.
func (c *Content) WriteFile(file, format string) error {
	switch format {
	case Labels:
		return imageio.WriteLabels(file, c.Labels, tiff.Options{PixelSize: c.Source.PixelSize, Description: c.Description, Bits: max(16, imageio.LabelBits(c.Labels.Max()))})
	case Zarr:
		w, err := zarr.CreateLabels(file, zarr.LabelOptions{W: c.Source.W, H: c.Source.H, PixelSize: c.Source.PixelSize, Attributes: json.RawMessage(c.Description)})
		if err != nil {
			return err
		}
		defer w.Abort() // nothing after Close
		if err := w.WriteLabels(c.Labels.ID); err != nil {
			return err
		}
		return w.Close()
	case Mask:
		return imageio.WritePNG(file, maskOf(c.Labels))
	case Overlay:
		overlay, err := Picture(c.Image, c.Labels, c.Source.PixelSize.X, report.OverlayOptions{By: c.By})
		if err != nil {
			return err
		}
		return imageio.WritePNG(file, overlay)
	case Density:
		diameter := instance.Summarise(c.Nuclei, c.Source.W, c.Source.H, nil).DiameterMedian
		return imageio.WritePNG(file, DensityPicture(centroidsOf(c.Nuclei), diameter, c.Source.W, c.Source.H, c.Source.PixelSize))
	case CSV, GeoJSON, ROI:
		f, err := createNuclei(filepath.Dir(file), filepath.Base(file), format)
		if err != nil {
			return err
		}
		defer f.abort() // nothing after finish
		if err := formats.WriteAll(f, c.Source, c.Nuclei); err != nil {
			return err
		}
		return f.finish()
	}
	return fmt.Errorf("%s is no format of the nuclei of one image", format)
}

// Thumbnail is a small picture of the plane with its nuclei outlined.
func (c *Content) Thumbnail() (*image.RGBA, error) {
	return report.Overlay(c.Image, c.Labels, report.OverlayOptions{Scale: thumbnailScale(c.Source.W, c.Source.H), By: c.By})
}

// maskOf is 255 inside nuclei.
func maskOf(l *imageio.Labels) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, l.W, l.H))
	for i, id := range l.ID {
		if id != 0 {
			m.Pix[i] = 255
		}
	}
	return m
}

// Origin is what a result comes from.
type Origin struct {
	Version  string      `json:"version"`
	Model    ModelRecord `json:"model"`
	Settings Settings    `json:"settings"`
}

// Describe is the text of TIFF outputs of a plane: where they come from. It holds no
// time, so that the same work gives the same bytes.
func (o *Origin) Describe(im *ImageRecord, p *PlaneRecord) string {
	b, err := json.Marshal(struct {
		Program   string   `json:"program"`
		Model     string   `json:"model"`
		Hash      string   `json:"model_sha256"`
		Source    string   `json:"source"`
		SHA256    string   `json:"source_sha256"`
		Plane     string   `json:"plane"`
		Scale     float64  `json:"scale"`
		Corrected bool     `json:"corrected,omitempty"`
		Settings  Settings `json:"settings"`
	}{"unet " + o.Version, o.Model.Name, o.Model.SHA256, im.Name, im.SHA256, p.Plane, p.Scale, p.Corrected, o.Settings})
	if err != nil {
		return ""
	}
	return string(b)
}
