package segment

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"unet/unet/imageio/atomicfile"
	"unet/unet/instance"
)

// short formats a number for tables.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// writeRecords writes the manifest and the table of all images.
func (r *run) writeRecords() error {
	return errors.Join(r.writeManifest(), r.writeTable())
}

// writeManifest writes the run's record. While the run goes on, or was cut off,
// it also holds what the earlier run did of the images still to come.
func (r *run) writeManifest() error {
	r.summary.Finished = time.Now().UTC().Format(time.RFC3339)
	s := r.summary
	s.count()
	if len(s.Images) < len(r.batch.Inputs) {
		s.Interrupted = true
		have := map[string]bool{}
		for _, im := range s.Images {
			have[im.Input] = true
		}
		for _, in := range r.batch.Inputs {
			if e := r.earlier[in.Path]; e != nil && !have[in.Path] {
				s.Images = append(slices.Clip(s.Images), e)
			}
		}
	}
	return atomicfile.WriteFile(filepath.Join(r.batch.Out, ManifestFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(s)
	})
}

// writeTable writes the line of every plane.
func (r *run) writeTable() error {
	return atomicfile.WriteFile(filepath.Join(r.batch.Out, SummaryFile), func(w io.Writer) error {
		return csv.NewWriter(w).WriteAll(r.summary.table())
	})
}

// maxManifest bounds, in bytes, the manifest that is read: it has some hundred
// for each image.
const maxManifest = 1 << 30

// readEarlier returns what an earlier run with the same model and settings has
// done, by input.
func (r *run) readEarlier() map[string]*ImageRecord {
	name := filepath.Join(r.batch.Out, ManifestFile)
	st, err := os.Stat(name)
	if err != nil || !st.Mode().IsRegular() && !(st.IsDir() && strings.Contains(name, ".zarr")) {
		return nil // nothing to go on with
	}
	if st.Size() > maxManifest {
		r.observer.Warn(fmt.Sprintf("%s has %d bytes, more than any run writes: everything is done again", name, st.Size()))
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var s Summary
	if err := json.Unmarshal(b, &s); err != nil && (s.Schema == 0 || s.Schema == schema) {
		r.observer.Warn(fmt.Sprintf("%s cannot be read, everything is done again: %v", name, err))
		return nil
	}
	if s.Model.SHA256 != r.model.SHA256 || !reflect.DeepEqual(s.Settings, r.summary.Settings) || s.Schema != schema {
		r.observer.Note(fmt.Sprintf("the results in %s come from another model, other settings or another version: everything is done again", r.batch.Out))
		return nil
	}
	byInput := map[string]*ImageRecord{}
	for _, im := range s.Images {
		if im != nil && im.Status != Failed {
			byInput[im.Input] = im
		}
	}
	return byInput
}

// stands reports whether the results of an earlier run are all there.
func (r *run) stands(in *Input, e *ImageRecord) bool {
	if (r.has(RLE) || r.has(COCO)) && !r.has(Labels) {
		return false // the files of the batch need the nuclei again
	}
	if r.has(COCO) && r.params.Confidence != (instance.Calibration{}) {
		return false // and their confidence, which label images do not hold
	}
	for _, p := range e.Planes {
		for _, name := range p.Outputs {
			if !strings.HasPrefix(name, in.Base+p.Suffix+".") || !filepath.IsLocal(name) {
				return false // other inputs have changed its name
			}
			if st, err := os.Stat(under(r.batch.Out, name)); err != nil || !st.Mode().IsRegular() && !(st.IsDir() && strings.Contains(name, ".zarr")) {
				return false
			}
		}
	}
	return len(e.Planes) > 0
}
