package segment

import (
	"bufio"
	"io"
	"path/filepath"

	"unet/unet/formats"
	"unet/unet/imageio/atomicfile"
)

// Formats of results.
const (
	Labels  = "labels"
	Mask    = "mask"
	Prob    = "prob"
	Overlay = "overlay"
	ROI     = "roi"
	GeoJSON = "geojson"
	COCO    = "coco"
	RLE     = "rle-csv"
	CSV     = "csv"
	Zarr    = "zarr"
	Density = "density"
)

// Formats lists the formats of results.
var Formats = []string{Labels, Mask, Prob, Overlay, ROI, GeoJSON, COCO, RLE, CSV, Zarr, Density}

// extensions of the outputs of one plane.
var extensions = map[string]string{
	Labels: ".labels.tif", Mask: ".mask.png", Prob: ".prob.tif", Overlay: ".overlay.png",
	ROI: ".rois.zip", GeoJSON: ".geojson", CSV: ".nuclei.csv", Zarr: ".labels.zarr", Density: ".density.png",
}

// bandMaskExt ends the name of the mask of a plane that is segmented in bands.
const bandMaskExt = ".mask.tif"

// Extension ends the name of a plane's result of a format, "" of a format that has
// none for each plane. The mask of a plane that was segmented in bands is a TIFF.
func Extension(format string, banded bool) string {
	if format == Mask && banded {
		return bandMaskExt
	}
	return extensions[format]
}

// Files of a batch.
const (
	SummaryFile  = "summary.csv"
	ManifestFile = "manifest.json"
	COCOFile     = "coco.json"
	RLEFile      = "submission.csv"
)

// NewWriter returns the writer of a format of nuclei.
func NewWriter(format string, w io.Writer) formats.Writer {
	switch format {
	case ROI:
		return formats.NewROI(w)
	case GeoJSON:
		return formats.NewGeoJSON(w)
	case COCO:
		return formats.NewCOCO(w)
	case RLE:
		return formats.NewRLE(w)
	}
	return formats.NewTable(w)
}

// nucleiFile is a file of nuclei that is being written; it appears when it is
// committed.
type nucleiFile struct {
	formats.Writer
	format string
	name   string // below the output folder, with slashes
	b      *bufio.Writer
	f      *atomicfile.File
}

func createNuclei(out, name, format string) (*nucleiFile, error) {
	f, err := atomicfile.Create(filepath.Join(out, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	b := bufio.NewWriterSize(f, 1<<16)
	return &nucleiFile{NewWriter(format, b), format, name, b, f}, nil
}

// commit completes the file.
func (n *nucleiFile) commit() error {
	if err := n.Close(); err != nil {
		return err
	}
	return n.finish()
}

// finish is commit of a file whose writer is closed.
func (n *nucleiFile) finish() error {
	if err := n.b.Flush(); err != nil {
		return err
	}
	return n.f.Commit()
}

// abort removes the file if it is not committed.
func (n *nucleiFile) abort() { n.f.Abort() }
