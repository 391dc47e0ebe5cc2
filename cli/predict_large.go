package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/report"
)

// large segments a plane that is too large for memory, in bands of rows. What
// differs from the others: labels have 32 bits, masks are TIFF files, every
// probability map has its own file, and the overlay is a smaller picture.
func (r *predictRun) large(ctx context.Context, t *task) (rec planeRecord, err error) {
	start := time.Now()
	rec = r.planeRecord(t)
	rec.Banded = true
	if rec.Scale, err = r.scaleOf(t); err != nil {
		return rec, err
	}
	read := t.rows(false)
	levels, err := r.model.Card.Input.Levels(ctx, read)
	if err != nil {
		return rec, err
	}
	if len(t.job.measured) < 2 && (levels.Gray || t.job.info.C == 1) {
		t.job.channels = []string{channelName(t.job.info)}
	}
	if r.diameter.auto {
		if rec.Scale, err = r.estimateLarge(ctx, t, levels, &rec); err != nil {
			return rec, err
		}
	}
	w, h := scaled(t.job.info, rec.Scale)
	rows, network, err := r.predictor.MaxRows(t.job.info.W, w, len(t.job.channels), r.budget-t.decoded)
	if err != nil && r.diameter.auto && rec.Scale > 1 { // nobody asked for this size
		rec.Warnings = append(rec.Warnings, err.Error()+": native scale")
		rec.Scale, w, h = 1, t.job.info.W, t.job.info.H
		rows, network, err = r.predictor.MaxRows(w, w, len(t.job.channels), r.budget-t.decoded)
	}
	if err != nil {
		return rec, err
	}
	// What was used before must not count against this image.
	r.predictor.Close()
	r.lanes.forget()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(r.budget-network-(32<<20), 256<<20)))
	debug.FreeOSMemory()

	if err := os.MkdirAll(filepath.Dir(under(r.out, t.base())), 0o755); err != nil {
		return rec, err
	}
	o := &largeOutput{r: r, t: t, rec: &rec, src: r.source(t)}
	err = o.open(func() error {
		params := r.paramsAt(rec.Scale)
		stream := instance.NewStream(t.job.info.W, params, o.block)
		stream.MaxRows, stream.PixelSize = rows, r.pixelSize(t.job.info)
		all := t.rows(true)
		p := r.t.progress(t.in.name, "rows", t.job.info.H, 0)
		err := r.predictor.BandsAt(ctx, read, levels, w, h, func(y int, m instance.Maps, img *imageio.Image) error {
			measured := img
			if len(t.job.measured) > 1 {
				var err error
				if measured, err = all.Read(y, m.H); err != nil {
					return err
				}
			}
			if err := o.band(y, m, img); err != nil {
				return err
			}
			if err := stream.Add(m, measured); err != nil {
				return err
			}
			p.update(y+m.H, fmt.Sprintf("%d nuclei", rec.Nuclei))
			return nil
		})
		if err != nil {
			return err
		}
		if err := stream.Close(); err != nil {
			return err
		}
		if n := stream.Cuts(); n > 0 {
			rec.Warnings = append(rec.Warnings, fmt.Sprintf("%d times a clump of nuclei was taller than %d rows and was cut; more --max-memory avoids it", n, rows))
		}
		return nil
	})
	if err != nil {
		return rec, err
	}
	if err := rec.summary(o.summary.Bytes()); err != nil {
		return rec, err
	}
	if i := slices.Index(rec.Columns, "diameter_median"); i >= 0 {
		fmt.Sscan(rec.Values[i], &rec.Diameter)
	}
	if w := r.sizeWarning(&rec); w != "" {
		rec.Warnings = append(rec.Warnings, w)
	}
	slices.Sort(rec.Outputs)
	rec.Seconds = time.Since(start).Seconds()
	return rec, nil
}

// rows reads the plane by rows, with all measured channels or by itself.
func (t *task) rows(measured bool) unet.Rows {
	planes := []int{t.job.index}
	if measured {
		planes = t.job.measured
	}
	p := t.job.info
	return unet.Rows{W: p.W, H: p.H, Read: func(y, h int) (*imageio.Image, error) {
		var out *imageio.Image
		for _, i := range planes {
			m, err := t.file.ReadRegion(i, 0, y, p.W, h)
			if err != nil {
				return nil, err
			}
			if out == nil {
				out = m
				continue
			}
			out.Pix = append(out.Pix, m.Plane(0)...)
			out.C++
		}
		return out, nil
	}}
}

// largeOutput writes the files of a large plane as its rows come.
type largeOutput struct {
	r   *predictRun
	t   *task
	rec *planeRecord
	src formats.Source

	labels, mask *imageio.TIFFWriter
	maps         map[string]*imageio.TIFFWriter
	writers      []formats.Writer // of this image
	batch        *spool           // for the files of all images
	summary      bytes.Buffer

	// The overlay shows every step-th row and column.
	step   int
	small  *imageio.Image
	shown  *imageio.Labels
	opened []*imageio.TIFFWriter
}

// overlaySide is the largest side of the overlay of a large image.
const overlaySide = 2048

// open opens all files, calls do and completes them; after an error none
// appears.
func (o *largeOutput) open(do func() error) (err error) {
	r, t := o.r, o.t
	w, h := o.src.W, o.src.H
	defer func() {
		for _, f := range o.opened {
			f.Abort() // nothing after Close
		}
	}()
	create := func(ext string, opt imageio.TIFFOptions) (*imageio.TIFFWriter, error) {
		opt.W, opt.H, opt.PixelSize, opt.Description = w, h, o.src.PixelSize, r.description(t, o.rec.Scale)
		f, err := imageio.CreateTIFF(under(r.out, t.base()+ext), opt)
		if err == nil {
			o.opened = append(o.opened, f)
			o.rec.Outputs = append(o.rec.Outputs, t.base()+ext)
		}
		return f, err
	}
	if r.settings.has(formatLabels) {
		if o.labels, err = create(extensions[formatLabels], imageio.TIFFOptions{Bits: 32}); err != nil {
			return err
		}
	}
	if r.settings.has(formatMask) {
		if o.mask, err = create(".mask.tif", imageio.TIFFOptions{Bits: 8}); err != nil {
			return err
		}
	}
	if r.settings.has(formatProb) {
		o.maps = map[string]*imageio.TIFFWriter{}
		for _, head := range r.model.Card.Arch.Heads {
			if o.maps[head], err = create(".prob-"+head+".tif", imageio.TIFFOptions{Bits: 32, Float: true}); err != nil {
				return err
			}
		}
	}
	if r.settings.has(formatOverlay) {
		o.step = (max(w, h) + overlaySide - 1) / overlaySide
		sw, sh := (w+o.step-1)/o.step, (h+o.step-1)/o.step
		o.shown = imageio.NewLabels(sw, sh)
	}
	if len(r.batch.writers) > 0 {
		if o.batch, err = newSpool(r.out); err != nil {
			return err
		}
		defer o.batch.remove()
	}
	table := formats.NewSummaryTable(&o.summary)
	if err := table.Begin(o.src); err != nil {
		return err
	}
	o.writers = append(o.writers, table)

	var each func(left []string) error
	each = func(left []string) error {
		if len(left) == 0 {
			if err := do(); err != nil {
				return err
			}
			for _, w := range o.writers {
				if err := w.Close(); err != nil {
					return err
				}
			}
			if err := o.close(); err != nil {
				return err
			}
			return o.toBatch()
		}
		format := left[0]
		if !r.settings.has(format) {
			return each(left[1:])
		}
		name := t.base() + extensions[format]
		return imageio.WriteFile(under(r.out, name), func(f io.Writer) error {
			nw := newWriter(format, f)
			if err := nw.Begin(o.src); err != nil {
				return err
			}
			o.writers = append(o.writers, nw)
			o.rec.Outputs = append(o.rec.Outputs, name)
			return each(left[1:])
		})
	}
	return each([]string{formatCSV, formatGeoJSON, formatROI})
}

// band takes rows of maps and image.
func (o *largeOutput) band(y int, m instance.Maps, img *imageio.Image) error {
	for _, name := range m.Names {
		if f := o.maps[name]; f != nil {
			if err := f.WriteFloats(m.Plane(name)); err != nil {
				return err
			}
		}
	}
	if o.step == 0 {
		return nil
	}
	if o.small == nil {
		o.small = imageio.NewImage(o.shown.W, o.shown.H, img.C)
		o.small.Bits, o.small.Float = img.Bits, img.Float
	}
	for row := range m.H {
		if (y+row)%o.step != 0 {
			continue
		}
		for c := range img.C {
			dst := o.small.Plane(c)[(y+row)/o.step*o.small.W:][:o.small.W]
			src := img.Plane(c)[row*img.W:]
			for i := range dst {
				dst[i] = src[i*o.step]
			}
		}
	}
	return nil
}

// block takes finished rows of labels and the nuclei that begin in them.
func (o *largeOutput) block(b instance.Block) error {
	if o.labels != nil {
		if err := o.labels.WriteLabels(b.Labels.ID); err != nil {
			return err
		}
	}
	if o.step > 0 {
		for row := range b.Labels.H {
			if y := b.Y + row; y%o.step == 0 {
				dst := o.shown.ID[y/o.step*o.shown.W:][:o.shown.W]
				src := b.Labels.ID[row*b.Labels.W:]
				for i := range dst {
					dst[i] = src[i*o.step]
				}
			}
		}
	}
	o.rec.Nuclei += len(b.Nuclei)
	for i := range b.Nuclei {
		for _, w := range o.writers {
			if err := w.Write(&b.Nuclei[i]); err != nil {
				return err
			}
		}
		if o.batch != nil {
			if err := o.batch.add(&b.Nuclei[i]); err != nil {
				return err
			}
		}
	}
	if o.mask != nil {
		for i, id := range b.Labels.ID { // not needed any more
			if id != 0 {
				b.Labels.ID[i] = 255
			}
		}
		return o.mask.WriteLabels(b.Labels.ID)
	}
	return nil
}

// toBatch adds the nuclei to the files of all images, now that all of the
// image's own files are complete.
func (o *largeOutput) toBatch() error {
	if o.batch == nil {
		return nil
	}
	writers, warnings := o.r.batch.begin(o.src, o.rec.ID)
	o.rec.Warnings = append(o.rec.Warnings, warnings...)
	return o.batch.each(func(n *instance.Nucleus) error {
		for _, w := range writers {
			if err := w.Write(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// spool keeps the nuclei of a large image in a temporary file until the image
// is done: an image that fails leaves nothing in the files of all images.
type spool struct {
	f *os.File
	w *bufio.Writer
	e *gob.Encoder
	n int
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp("", "unet-nuclei-*")
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriter(f)
	return &spool{f: f, w: w, e: gob.NewEncoder(w)}, nil
}

func (s *spool) add(n *instance.Nucleus) error {
	s.n++
	return s.e.Encode(n)
}

// each reads the nuclei back.
func (s *spool) each(do func(*instance.Nucleus) error) error {
	if err := s.w.Flush(); err != nil {
		return err
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	d := gob.NewDecoder(bufio.NewReader(s.f))
	for range s.n {
		var n instance.Nucleus
		if err := d.Decode(&n); err != nil {
			return fmt.Errorf("%s: %w", s.f.Name(), err)
		}
		if err := do(&n); err != nil {
			return err
		}
	}
	return nil
}

func (s *spool) remove() {
	s.f.Close()
	os.Remove(s.f.Name())
}

// close completes the pictures.
func (o *largeOutput) close() error {
	for _, f := range o.opened {
		if err := f.Close(); err != nil {
			return err
		}
	}
	if o.step == 0 {
		return nil
	}
	var m *image.RGBA
	m, err := report.Overlay(o.small, o.shown, report.OverlayOptions{})
	if err != nil {
		return err
	}
	name := o.t.base() + extensions[formatOverlay]
	o.rec.Outputs = append(o.rec.Outputs, name)
	return imageio.WritePNG(under(o.r.out, name), m)
}
