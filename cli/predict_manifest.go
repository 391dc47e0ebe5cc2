package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"unet/unet"
	"unet/unet/imageio"
)

// manifest records a run: what was done to which images with what.
type manifest struct {
	Schema   int    `json:"schema"`
	Program  string `json:"program"`
	Version  string `json:"version"`
	Started  string `json:"started"`
	Finished string `json:"finished"`
	// Seconds is how long the run took.
	Seconds     float64         `json:"seconds"`
	Interrupted bool            `json:"interrupted"`
	Model       manifestModel   `json:"model"`
	Settings    predictSettings `json:"settings"`
	Done        int             `json:"done"`
	Skipped     int             `json:"skipped"`
	Failed      int             `json:"failed"`
	Planes      int             `json:"planes"`
	Nuclei      int             `json:"nuclei"`
	Images      []*imageRecord  `json:"images"`
}

type manifestModel struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	SHA256  string `json:"sha256"`
	License string `json:"license,omitempty"`
}

// Status of an image.
const (
	statusDone    = "done"
	statusSkipped = "skipped" // the results of an earlier run stand
	statusFailed  = "failed"
)

type imageRecord struct {
	Input  string        `json:"input"`
	Name   string        `json:"name"`
	Format string        `json:"format,omitempty"`
	SHA256 string        `json:"sha256,omitempty"`
	Status string        `json:"status"`
	Error  string        `json:"error,omitempty"`
	Hint   string        `json:"hint,omitempty"`
	Notes  []string      `json:"notes,omitempty"`
	Planes []planeRecord `json:"planes,omitempty"`

	err error
}

type planeRecord struct {
	Plane     string            `json:"plane"`
	Suffix    string            `json:"suffix,omitempty"`
	ID        string            `json:"id"` // in Kaggle's tables
	Width     int               `json:"width"`
	Height    int               `json:"height"`
	PixelSize imageio.PixelSize `json:"pixel_size_um,omitzero"`
	// Scale is how much the plane was enlarged for the network, Estimate the
	// usual diameter found before, in pixels of the plane; 0: not estimated.
	Scale    float64 `json:"scale"`
	Estimate float64 `json:"diameter_estimate,omitempty"`
	// Banded says that the plane was too large for memory.
	Banded   bool     `json:"banded,omitempty"`
	Nuclei   int      `json:"nuclei"`
	Diameter float64  `json:"diameter_median"`
	Seconds  float64  `json:"seconds"`
	Outputs  []string `json:"outputs"`
	Warnings []string `json:"warnings,omitempty"`
	Notes    []string `json:"notes,omitempty"`
	// Columns and Values are its line of the summary.
	Columns []string `json:"summary_columns"`
	Values  []string `json:"summary"`
}

func newManifest(m *unet.Model, s predictSettings, start time.Time) manifest {
	return manifest{Schema: 1, Program: "unet", Version: version(), Started: start.UTC().Format(time.RFC3339),
		Model: manifestModel{modelName(m), m.Card.Kind, m.SHA256, m.Card.Training.License}, Settings: s, Images: []*imageRecord{}}
}

// fail records the first error of an image.
func (r *imageRecord) fail(err error) {
	if r.err == nil {
		r.Status, r.err, r.Error = statusFailed, err, oneLine(err.Error())
		_, r.Hint = explain(err)
	}
}

// count sums up the images.
func (m *manifest) count() {
	m.Done, m.Skipped, m.Failed, m.Planes, m.Nuclei = 0, 0, 0, 0, 0
	for _, im := range m.Images {
		switch im.Status {
		case statusDone:
			m.Done++
		case statusSkipped:
			m.Skipped++
		case statusFailed:
			m.Failed++
		}
		m.Planes += len(im.Planes)
		for _, p := range im.Planes {
			m.Nuclei += p.Nuclei
		}
	}
}

// totals says how a run went, for people.
func (m *manifest) totals(out string) []string {
	list := []string{plural(m.Nuclei, "nucleus", "nuclei") + " in " + plural(m.Planes, "image", "images")}
	if m.Skipped > 0 {
		list = append(list, fmt.Sprintf("%d kept from before", m.Skipped))
	}
	if m.Failed > 0 {
		list = append(list, fmt.Sprintf("%d failed", m.Failed))
	}
	return append(list, fmt.Sprintf("%.1f s", m.Seconds), "results in "+out)
}

// writeManifest writes the run's manifest. While the run goes on, or was cut
// off, it also holds what the earlier run did of the images still to come.
func (r *predictRun) writeManifest() error {
	r.manifest.Finished = time.Now().UTC().Format(time.RFC3339)
	m := r.manifest
	m.count()
	if len(m.Images) < len(r.inputs) {
		m.Interrupted = true
		have := map[string]bool{}
		for _, im := range m.Images {
			have[im.Input] = true
		}
		for _, in := range r.inputs {
			if e := r.earlier[in.path]; e != nil && !have[in.path] {
				m.Images = append(slices.Clip(m.Images), e)
			}
		}
	}
	return imageio.WriteFile(filepath.Join(r.out, manifestFile), func(w io.Writer) error { return encodeJSON(w, m) })
}

// maxManifest bounds, in bytes, the manifest that is read: it has some hundred
// for each image.
const maxManifest = 1 << 30

// readEarlier returns what an earlier run with the same model and settings has
// done, by input.
func (r *predictRun) readEarlier() map[string]*imageRecord {
	name := filepath.Join(r.out, manifestFile)
	st, err := os.Stat(name)
	if err != nil || !st.Mode().IsRegular() {
		return nil // nothing to go on with
	}
	if st.Size() > maxManifest {
		r.t.warnf("%s has %d bytes, more than any run writes: everything is done again", name, st.Size())
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		r.t.warnf("%s cannot be read, everything is done again: %v", name, err)
		return nil
	}
	if m.Model.SHA256 != r.model.SHA256 || !reflect.DeepEqual(m.Settings, r.settings) || m.Schema != 1 {
		r.t.notef("the results in %s come from another model or other settings: everything is done again", r.out)
		return nil
	}
	byInput := map[string]*imageRecord{}
	for _, im := range m.Images {
		if im != nil && im.Status != statusFailed {
			byInput[im.Input] = im
		}
	}
	return byInput
}

// stands says that the results of an earlier run are all there.
func (r *predictRun) stands(in *input, e *imageRecord) bool {
	batch := r.settings.has(formatRLE) || r.settings.has(formatCOCO)
	if batch && !r.settings.has(formatLabels) {
		return false // the files of the batch need the nuclei again
	}
	for _, p := range e.Planes {
		if len(p.Columns) == 0 || len(p.Columns) != len(p.Values) {
			return false
		}
		for _, name := range p.Outputs {
			if !strings.HasPrefix(name, in.base+p.Suffix+".") || !filepath.IsLocal(name) {
				return false // other inputs have changed its name
			}
			if st, err := os.Stat(under(r.out, name)); err != nil || !st.Mode().IsRegular() {
				return false
			}
		}
	}
	return len(e.Planes) > 0
}

// writeSummary writes the line of every image. Images may have different
// channels: the table has a column for each.
func (m *manifest) writeSummary(path string) error {
	var columns []string
	for _, im := range m.Images {
		for _, p := range im.Planes {
			for _, c := range p.Columns {
				if !slices.Contains(columns, c) {
					columns = append(columns, c)
				}
			}
		}
	}
	if columns == nil {
		columns = []string{"image"}
	}
	return imageio.WriteFile(path, func(w io.Writer) error {
		t := csv.NewWriter(w)
		t.Write(columns)
		for _, im := range m.Images {
			for _, p := range im.Planes {
				row := make([]string, len(columns))
				for i, c := range p.Columns {
					if i < len(p.Values) {
						row[slices.Index(columns, c)] = p.Values[i]
					}
				}
				t.Write(row)
			}
		}
		t.Flush()
		return t.Error()
	})
}
