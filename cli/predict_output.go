package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/report"
)

// extensions of the outputs of one plane.
var extensions = map[string]string{
	formatLabels: ".labels.tif", formatMask: ".mask.png", formatProb: ".prob.tif", formatOverlay: ".overlay.png",
	formatROI: ".rois.zip", formatGeoJSON: ".geojson", formatCSV: ".nuclei.csv",
}

// Files of the run as a whole.
const (
	summaryFile  = "summary.csv"
	manifestFile = "manifest.json"
	cocoFile     = "coco.json"
	rleFile      = "submission.csv"
)

// finish turns the maps of a plane into nuclei and writes its files.
func (r *predictRun) finish(ctx context.Context, t *task, c computed) (planeRecord, []instance.Nucleus, formats.Source, error) {
	start := time.Now()
	src := r.source(t)
	rec := r.planeRecord(t)
	labels, err := r.segment(ctx, t, &c, &rec)
	if err != nil {
		return rec, nil, src, err
	}
	rec.Scale = c.scale
	measured := *t.measured
	measured.PixelSize = src.PixelSize
	nuclei := instance.Measure(labels, &measured)
	if err := rec.summarise(src, nuclei); err != nil {
		return rec, nil, src, err
	}
	if w := r.sizeWarning(&rec); w != "" {
		rec.Warnings = append(rec.Warnings, w)
	}
	if err := os.MkdirAll(filepath.Dir(under(r.out, t.base())), 0o755); err != nil {
		return rec, nil, src, err
	}
	options := imageio.TIFFOptions{PixelSize: src.PixelSize, Description: r.description(t, c.scale)}
	for _, format := range r.settings.Formats {
		ext, ok := extensions[format]
		if !ok {
			continue
		}
		name := t.base() + ext
		file := under(r.out, name)
		var err error
		switch format {
		case formatLabels:
			options := options
			options.Bits = max(16, imageio.LabelBits(labels.Max()))
			err = imageio.WriteLabels(file, labels, options)
		case formatMask:
			err = imageio.WritePNG(file, r.mask(labels, c.maps))
		case formatProb:
			err = imageio.WriteMaps(file, mapsImage(c.maps), options)
		case formatOverlay:
			var m *image.RGBA
			if m, err = report.Overlay(t.img, labels, report.OverlayOptions{}); err == nil {
				err = imageio.WritePNG(file, m)
			}
		default:
			err = imageio.WriteFile(file, func(w io.Writer) error {
				return formats.WriteAll(newWriter(format, w), src, nuclei)
			})
		}
		if err != nil {
			return rec, nil, src, err
		}
		rec.Outputs = append(rec.Outputs, name)
	}
	rec.Seconds = c.seconds + time.Since(start).Seconds()
	return rec, nuclei, src, nil
}

// base is the path of the plane's outputs without extension.
func (t *task) base() string { return t.in.base + t.job.suffix }

// source describes the plane for tables.
func (r *predictRun) source(t *task) formats.Source {
	return formats.Source{Name: t.in.name + t.job.suffix, W: t.job.info.W, H: t.job.info.H,
		PixelSize: r.pixelSize(t.job.info), Channels: t.job.channels}
}

// newWriter returns the writer of a format of nuclei.
func newWriter(format string, w io.Writer) formats.Writer {
	switch format {
	case formatROI:
		return formats.NewROI(w)
	case formatGeoJSON:
		return formats.NewGeoJSON(w)
	case formatCOCO:
		return formats.NewCOCO(w)
	case formatRLE:
		return formats.NewRLE(w)
	}
	return formats.NewTable(w)
}

// mask is 255 inside nuclei. A paper model's mask is its map above the
// threshold, as in the paper.
func (r *predictRun) mask(l *imageio.Labels, m instance.Maps) *image.Gray {
	out := image.NewGray(image.Rect(0, 0, l.W, l.H))
	threshold, foreground := float32(r.settings.Threshold), m.Plane(instance.Foreground)
	for i, id := range l.ID {
		if r.model.Card.Kind == unet.Paper {
			if foreground[i] > threshold {
				out.Pix[i] = 255
			}
		} else if id != 0 {
			out.Pix[i] = 255
		}
	}
	return out
}

// mapsImage puts the maps into one image, a channel each.
func mapsImage(m instance.Maps) *imageio.Image {
	return &imageio.Image{W: m.W, H: m.H, C: len(m.Names), Pix: m.Pix, Bits: 32, Float: true, Channels: m.Names}
}

// description is the text of TIFF outputs: where they come from. It holds no
// time, so that the same work gives the same bytes.
func (r *predictRun) description(t *task, scale float64) string {
	b, err := json.Marshal(struct {
		Program  string          `json:"program"`
		Model    string          `json:"model"`
		Hash     string          `json:"model_sha256"`
		Source   string          `json:"source"`
		SHA256   string          `json:"source_sha256"`
		Plane    string          `json:"plane"`
		Scale    float64         `json:"scale"`
		Settings predictSettings `json:"settings"`
	}{"unet " + version(), modelName(r.model), r.model.SHA256, t.in.name, t.sha256, t.job.info.String(), scale, r.settings})
	if err != nil {
		return ""
	}
	return string(b)
}

func modelName(m *unet.Model) string {
	if m.Card.Name != "" {
		return m.Card.Name
	}
	return m.Card.Kind
}

// batchFiles are the files that hold all images' nuclei.
type batchFiles struct {
	formats []string
	writers []formats.Writer
}

// withBatchFiles calls do with the batch's files, which appear when it ends
// well.
func withBatchFiles(out string, s predictSettings, do func(*batchFiles) error) error {
	b := &batchFiles{}
	var open func(left []string) error
	open = func(left []string) error {
		if len(left) == 0 {
			if err := do(b); err != nil {
				return err
			}
			for _, w := range b.writers {
				if err := w.Close(); err != nil {
					return err
				}
			}
			return nil
		}
		format := left[0]
		name := map[string]string{formatCOCO: cocoFile, formatRLE: rleFile}[format]
		if name == "" || !s.has(format) {
			return open(left[1:])
		}
		return imageio.WriteFile(filepath.Join(out, name), func(w io.Writer) error {
			b.formats = append(b.formats, format)
			b.writers = append(b.writers, newWriter(format, w))
			return open(left[1:])
		})
	}
	return open([]string{formatCOCO, formatRLE})
}

// begin starts an image in the files that can hold it, which it returns; the
// others are named in warnings.
func (b *batchFiles) begin(src formats.Source, id string) (writers []formats.Writer, warnings []string) {
	for i, w := range b.writers {
		s := src
		if b.formats[i] == formatRLE {
			s.Name = id
		}
		if err := w.Begin(s); err != nil {
			warnings = append(warnings, oneLine(err.Error()))
			continue
		}
		writers = append(writers, w)
	}
	return writers, warnings
}

// write adds an image. A source without size was added before.
func (b *batchFiles) write(f *finished) error {
	if len(b.writers) == 0 || f.source.W == 0 {
		return nil
	}
	writers, warnings := b.begin(f.source, f.plane.ID)
	f.plane.Warnings = append(f.plane.Warnings, warnings...)
	for _, w := range writers {
		for i := range f.nuclei {
			if err := w.Write(&f.nuclei[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// repeat adds the planes of an image that an earlier run has done, from their
// label images.
func (b *batchFiles) repeat(out string, rec *imageRecord) error {
	if len(b.writers) == 0 {
		return nil
	}
	for i := range rec.Planes {
		p := &rec.Planes[i]
		for _, name := range p.Outputs {
			if path.Ext(name) != ".tif" || !bytes.HasSuffix([]byte(name), []byte(extensions[formatLabels])) {
				continue
			}
			if err := b.repeatPlane(under(out, name), p, rec.Name+p.Suffix); err != nil {
				return withHint(fmt.Errorf("%s, written by an earlier run: %w", name, err), "remove it, and its image is done again")
			}
		}
	}
	return nil
}

// repeatRows is how many rows of a label image are read at once.
const repeatRows = 256

// repeatPlane adds the nuclei of a label image, a large one by rows.
func (b *batchFiles) repeatPlane(file string, p *planeRecord, name string) error {
	f, err := imageio.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	src := formats.Source{Name: name, W: f.Planes[0].W, H: f.Planes[0].H}
	if !p.Banded {
		l, err := f.ReadLabels(0)
		if err != nil {
			return err
		}
		return b.write(&finished{plane: *p, nuclei: instance.Measure(l, &imageio.Image{PixelSize: src.PixelSize}), source: src})
	}
	writers, warnings := b.begin(src, p.ID)
	p.Warnings = append(p.Warnings, warnings...)
	return instance.MeasureRows(src.W, src.H, src.PixelSize, func(y int) (*imageio.Labels, error) {
		return f.ReadLabelsRegion(0, 0, y, src.W, min(repeatRows, src.H-y))
	}, func(n *instance.Nucleus) error {
		for _, w := range writers {
			if err := w.Write(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// summarise fills in what is known of the nuclei.
func (p *planeRecord) summarise(src formats.Source, nuclei []instance.Nucleus) error {
	var b bytes.Buffer
	w := formats.NewSummaryTable(&b)
	if err := formats.WriteAll(w, src, nuclei); err != nil {
		return err
	}
	if err := p.summary(b.Bytes()); err != nil {
		return err
	}
	s := instance.Summarise(nuclei, src.W, src.H)
	p.Nuclei, p.Diameter = s.Count, s.DiameterMedian
	return nil
}

// summary takes the table of one image.
func (p *planeRecord) summary(table []byte) error {
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil {
		return err
	}
	if len(rows) != 2 {
		return errors.New("the summary of an image is not one row")
	}
	num := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	estimate := ""
	if p.Estimate > 0 {
		estimate = num(p.Estimate)
	}
	p.Columns = append(rows[0], "diameter_estimate", "scale")
	p.Values = append(rows[1], estimate, num(p.Scale))
	return nil
}

// planeRecord is what is known of a plane before it is computed.
func (r *predictRun) planeRecord(t *task) planeRecord {
	id := t.in.id + t.job.suffix
	return planeRecord{Suffix: t.job.suffix, ID: id, Plane: t.job.info.String(),
		Width: t.job.info.W, Height: t.job.info.H, PixelSize: r.pixelSize(t.job.info), Scale: 1}
}
