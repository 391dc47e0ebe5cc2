package segment

import (
	"os"
	"path/filepath"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
	"unet/unet/imageio/zarr"
	"unet/unet/instance"
	"unet/unet/report"
)

// banded describes a large plane to those who write its files.
type banded struct {
	Base, File  string // of the results; the image's
	Source      formats.Source
	Description string   // of the files that hold one
	Heads       []string // the maps
	Sizes       sizes
	Tiles       string // what tileWarning says
}

// bandFiles writes the files of a large plane as its rows come. After an error
// none appears.
type bandFiles struct {
	r *results
	banded
	rec *PlaneRecord

	labels, mask *tiff.Writer
	zarr         *zarr.LabelWriter
	maps         map[string]*tiff.Writer
	pictures     []*tiff.Writer // all of these
	tables       []*nucleiFile
	spool        *spool // for the files of the batch
	tally        instance.Tally
	centroids    [][2]float64 // for the map of densities

	// The overlay shows every step-th row and column.
	step  int
	small *imageio.Image
	shown *imageio.Labels
}

// overlaySide is the largest side of the overlay of a large image.
const overlaySide = 2048

// overlayStep is how far apart the rows and columns are that an overlay shows.
func overlayStep(src formats.Source) int {
	return (max(src.W, src.H) + overlaySide - 1) / overlaySide
}

// create starts all files.
func (o *bandFiles) create() (err error) {
	r := o.r
	if err := os.MkdirAll(filepath.Dir(under(r.batch.Out, o.Base)), 0o755); err != nil {
		return err
	}
	if r.has(Labels) {
		if o.labels, err = o.picture(extensions[Labels], tiff.Options{Bits: 32}); err != nil {
			return err
		}
	}
	if r.has(Zarr) {
		name := r.zarrName(o.Base, o.File)
		if o.zarr, err = r.createZarr(name, o.Source, o.Description); err != nil {
			return err
		}
		o.rec.Outputs = append(o.rec.Outputs, name)
	}
	if r.has(Mask) {
		if o.mask, err = o.picture(bandMaskExt, tiff.Options{Bits: 8}); err != nil {
			return err
		}
	}
	if r.has(Prob) {
		o.maps = map[string]*tiff.Writer{}
		for _, head := range o.Heads {
			if o.maps[head], err = o.picture(".prob-"+head+".tif", tiff.Options{Bits: 32, Float: true}); err != nil {
				return err
			}
		}
	}
	o.step = overlayStep(o.Source)
	o.shown = imageio.NewLabels((o.Source.W+o.step-1)/o.step, (o.Source.H+o.step-1)/o.step)
	if len(r.files.files) > 0 || r.keepsNuclei() {
		if o.spool, err = newSpool(r.batch.Out); err != nil {
			return err
		}
	}
	for _, format := range []string{CSV, GeoJSON, ROI} {
		if r.has(format) {
			if err := o.table(format); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *bandFiles) picture(ext string, options tiff.Options) (*tiff.Writer, error) {
	options.W, options.H, options.PixelSize, options.Description = o.Source.W, o.Source.H, o.Source.PixelSize, o.Description
	if err := o.r.folder.Claim(o.Base + ext); err != nil {
		return nil, err
	}
	f, err := tiff.Create(under(o.r.batch.Out, o.Base+ext), options)
	if err != nil {
		return nil, err
	}
	o.pictures = append(o.pictures, f)
	o.rec.Outputs = append(o.rec.Outputs, o.Base+ext)
	return f, nil
}

func (o *bandFiles) table(format string) error {
	if err := o.r.folder.Claim(o.Base + extensions[format]); err != nil {
		return err
	}
	f, err := createNuclei(o.r.batch.Out, o.Base+extensions[format], format)
	if err != nil {
		return err
	}
	o.tables = append(o.tables, f)
	o.rec.Outputs = append(o.rec.Outputs, f.name)
	return f.Begin(o.Source)
}

// band takes rows of maps and image.
func (o *bandFiles) band(y int, m instance.Maps, img *imageio.Image) error {
	for _, name := range m.Names {
		if f := o.maps[name]; f != nil {
			if err := f.WriteFloats(m.Plane(name)); err != nil {
				return err
			}
		}
	}
	if o.small == nil {
		o.small = imageio.NewImage(o.shown.W, o.shown.H, img.C)
		o.small.Bits, o.small.Float = img.Bits, img.Float
	}
	for c := range img.C {
		thin(o.small.Plane(c), img.Plane(c), img.W, y, o.step)
	}
	return nil
}

// thin copies every step-th row and column of rows of w values, from row y of
// the image on, to their places in a smaller one.
func thin[T float32 | uint32](to, rows []T, w, y, step int) {
	small := (w + step - 1) / step
	for row := range len(rows) / w {
		if (y+row)%step != 0 {
			continue
		}
		dst, src := to[(y+row)/step*small:][:small], rows[row*w:]
		for i := range dst {
			dst[i] = src[i*step]
		}
	}
}

// block takes finished rows of labels and the nuclei that begin in them.
func (o *bandFiles) block(b instance.Block) error {
	if o.labels != nil {
		if err := o.labels.WriteLabels(b.Labels.ID); err != nil {
			return err
		}
	}
	if o.zarr != nil {
		if err := o.zarr.WriteLabels(b.Labels.ID); err != nil {
			return err
		}
	}
	thin(o.shown.ID, b.Labels.ID, b.Labels.W, b.Y, o.step)
	o.rec.Nuclei += len(b.Nuclei)
	for i := range b.Nuclei {
		if err := o.nucleus(&b.Nuclei[i]); err != nil {
			return err
		}
	}
	if o.mask == nil {
		return nil
	}
	for i, id := range b.Labels.ID { // not needed any more
		if id != 0 {
			b.Labels.ID[i] = 255
		}
	}
	return o.mask.WriteLabels(b.Labels.ID)
}

func (o *bandFiles) nucleus(n *instance.Nucleus) error {
	o.tally.Add(n)
	if o.r.has(Density) {
		o.centroids = append(o.centroids, [2]float64{n.X, n.Y})
	}
	for _, t := range o.tables {
		if err := t.Write(n); err != nil {
			return err
		}
	}
	if o.spool == nil {
		return nil
	}
	return o.spool.add(n)
}

// commit completes all files.
func (o *bandFiles) commit() error {
	for _, f := range o.pictures {
		if err := f.Close(); err != nil {
			return err
		}
	}
	if o.zarr != nil {
		if err := o.zarr.Close(); err != nil {
			return err
		}
	}
	m, err := Picture(o.small, o.shown, o.Source.PixelSize.X*float64(o.step), report.OverlayOptions{})
	if err != nil {
		return err
	}
	small, err := report.Overlay(o.small, o.shown, report.OverlayOptions{Scale: thumbnailScale(o.shown.W, o.shown.H)})
	if err != nil {
		return err
	}
	if o.rec.Thumbnail, err = o.r.writeThumbnail(o.Base, small); err != nil {
		return err
	}
	if o.r.has(Overlay) {
		name := o.Base + extensions[Overlay]
		o.rec.Outputs = append(o.rec.Outputs, name)
		if err := o.r.folder.Claim(name); err != nil {
			return err
		}
		if err := imageio.WritePNG(under(o.r.batch.Out, name), m); err != nil {
			return err
		}
	}
	if o.r.has(Density) {
		name := o.Base + extensions[Density]
		o.rec.Outputs = append(o.rec.Outputs, name)
		if err := o.r.folder.Claim(name); err != nil {
			return err
		}
		diameter := o.tally.Summary(o.Source.W, o.Source.H).DiameterMedian
		if err := imageio.WritePNG(under(o.r.batch.Out, name), DensityPicture(o.centroids, diameter, o.Source.W, o.Source.H, o.Source.PixelSize)); err != nil {
			return err
		}
	}
	for _, t := range o.tables {
		if err := t.commit(); err != nil {
			return err
		}
	}
	if o.r.keepsNuclei() {
		return keepNuclei(keptFile(o.r.batch.Out, o.Base), o.spool.all())
	}
	return nil
}

// count enters what was found in the record.
func (o *bandFiles) count(dropped []instance.Dropped) {
	sum := o.tally.Summary(o.Source.W, o.Source.H)
	sum.LeftOut = dropped
	o.rec.count(sum)
	for _, w := range []string{o.Sizes.warning(sum, o.rec.Scale), o.Tiles, doubt(sum)} {
		o.rec.Warnings = appendText(o.rec.Warnings, w)
	}
}

// abort removes the files that are not complete.
func (o *bandFiles) abort() {
	for _, f := range o.pictures {
		f.Abort()
	}
	if o.zarr != nil {
		o.zarr.Abort()
	}
	for _, t := range o.tables {
		t.abort()
	}
}
