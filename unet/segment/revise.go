package segment

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
)

// Revision is what the nuclei of a plane have become under a person's hands. Its
// files are written already.
type Revision struct {
	// Image is the name of the image, Suffix that of the plane.
	Image, Suffix string
	// Corrected says that they are not the model's own.
	Corrected bool
	Nuclei    instance.Summary
}

// ErrNoRun says that a folder holds no results.
var ErrNoRun = errors.New("there is no record of a run here")

// Revise enters revisions in the record of a run and writes anew what tells of all
// of its images: the tables, the pages and the files of the batch, as the run would
// have written them. Planes that the record does not hold are left out.
func Revise(ctx context.Context, dir string, list []Revision, o Observer) error {
	r := &results{observer: o, batch: Batch{Out: dir}}
	old := r.readManifest()
	if old == nil {
		return fmt.Errorf("%s: %w", dir, ErrNoRun)
	}
	r.summary, r.batch.Formats = *old, old.Settings.Formats
	for _, m := range old.Markers {
		again := Marker{Name: m.Name}
		if !m.Otsu {
			threshold := float64(m.Threshold)
			again.Threshold = &threshold
		}
		r.batch.Markers = append(r.batch.Markers, again)
	}
	for _, name := range old.made() {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return &InputError{Name: filepath.Join(dir, ManifestFile), Problem: fmt.Sprintf("it names a result %q that is not in the folder", name), Advice: "segment the images again"}
		}
	}
	for _, v := range list {
		for _, im := range r.summary.Images {
			v.Enter(im)
		}
	}
	var err error
	if r.folder, err = owned.Open(dir, owned.Options{Made: old.made()}); err != nil {
		return err
	}
	defer r.folder.Close()
	if err := r.folder.Claim(ManifestFile, SummaryFile, PageFile); err != nil {
		return err
	}
	return r.again(ctx)
}

// Enter changes the record of the plane, if it is in that of this image, and reports
// whether it is.
func (v Revision) Enter(im *ImageRecord) (found bool) {
	for i := range im.Planes {
		if p := &im.Planes[i]; im.Name == v.Image && p.Suffix == v.Suffix {
			v.Nuclei.LeftOut = p.Statistics.LeftOut // by the run
			p.Corrected, p.Statistics = v.Corrected, Statistics{}
			p.count(v.Nuclei)
			found = true
		}
	}
	return found
}

// again writes what belongs to all images, whose records say the condition.
func (r *results) again(ctx context.Context) (err error) {
	r.summary.Markers, r.summary.Conditions = nil, nil
	r.summary.count()
	r.shown = r.summary
	if r.has(CSV) && !r.summary.Interrupted {
		if err := r.writeNuclei(); err != nil {
			return err
		}
	}
	r.compare()
	if err := r.rewriteBatch(ctx); err != nil {
		return err
	}
	return errors.Join(r.writeRecords(), r.folder.Close())
}

// rewriteBatch writes the files that hold the nuclei of all images.
func (r *results) rewriteBatch(ctx context.Context) (err error) {
	if r.summary.Interrupted || !slices.ContainsFunc(wholeFormats, func(k struct{ format, name string }) bool { return r.has(k.format) }) {
		return nil
	}
	if r.files, err = createBatch(r.batch); err != nil {
		return err
	}
	defer r.files.abort()
	for _, im := range r.summary.Images {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := r.files.repeat(r.batch.Out, im); err != nil {
			return err
		}
	}
	return r.files.commit()
}

// readConfidence reads the confidence of nuclei from their table, if there is one.
func readConfidence(file string, ok bool) (map[uint32]float64, error) {
	if !ok {
		return nil, nil
	}
	f, err := input.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := csv.NewReader(f)
	c.ReuseRecord = true
	row, err := c.Read()
	if err != nil {
		return nil, err
	}
	nucleus, confidence := slices.Index(row, "nucleus"), slices.Index(row, "confidence")
	if nucleus < 0 || confidence < 0 {
		return nil, errors.New("it is not a table of nuclei")
	}
	list := map[uint32]float64{}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		id, err := strconv.ParseUint(row[nucleus], 10, 32)
		if v, cerr := strconv.ParseFloat(row[confidence], 64); err == nil && cerr == nil && !math.IsNaN(v) {
			list[uint32(id)] = v
		}
	}
}
