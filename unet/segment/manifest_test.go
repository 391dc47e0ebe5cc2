package segment

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"testing"

	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
)

// FuzzManifest: the manifest of an earlier run, whatever it says, leads no
// further than to results in the folder, and to a manifest and a summary that
// can be read again.
func FuzzManifest(f *testing.F) {
	settings := Settings{Formats: []string{Labels, RLE}}
	record := ImageRecord{Input: "a.png", Name: "a.png", Status: Done, Planes: []PlaneRecord{{Plane: "page 0", ID: "a",
		Width: 64, Height: 48, Outputs: []string{"a.labels.tif"}, Nuclei: 3, Channels: []string{"1"}}}}
	seed := func(change func(*Summary)) {
		m := Summary{Schema: schema, Model: ModelRecord{SHA256: "x"}, Settings: settings}
		r := record
		r.Planes = []PlaneRecord{record.Planes[0]}
		m.Images = []*ImageRecord{&r}
		change(&m)
		b, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(func(*Summary) {})
	seed(func(m *Summary) { m.Images = append(m.Images, nil, m.Images[0]) })
	seed(func(m *Summary) { m.Images[0].Planes[0].Outputs = []string{"a.x/../../a.labels.tif"} })
	seed(func(m *Summary) { m.Images[0].Planes[0].Suffix = "/../a" })
	seed(func(m *Summary) { m.Images[0].Planes[0].Channels = nil })
	seed(func(m *Summary) { m.Images[0].Planes[0].Warnings = []string{"\x1b[2J\r\nunet: fine"} })
	seed(func(m *Summary) { m.Settings.Formats = nil })
	seed(func(m *Summary) { m.Schema = 1 })
	labels := imageio.NewLabels(64, 48)
	labels.ID[70], labels.ID[71] = 1, 1
	out := filepath.Join(f.TempDir(), "out")
	for _, at := range []string{out, filepath.Dir(out)} {
		if err := os.MkdirAll(at, 0o755); err != nil {
			f.Fatal(err)
		}
		if err := imageio.WriteLabels(filepath.Join(at, "a.labels.tif"), labels, tiff.Options{}); err != nil {
			f.Fatal(err)
		}
	}
	in := Input{Path: "a.png", Name: "a.png", ID: "a", Base: "a"}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(out, ManifestFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := &results{observer: Quiet{}, batch: Batch{Out: out, Formats: settings.Formats, Inputs: []Input{in}},
			summary: Summary{Schema: schema, Model: ModelRecord{SHA256: "x"}, Settings: settings}}
		r.batch.SkipExisting = true
		r.goOn(r.readManifest())
		e := r.earlier[in.Path]
		if e == nil {
			return
		}
		if err := r.writeManifest(); err != nil { // cut off: with the earlier record
			t.Fatal(err)
		}
		r.earlier = nil
		r.goOn(r.readManifest())
		if r.earlier[in.Path] == nil {
			t.Error("the record is lost when it is written again")
		}
		if !r.stands(&in, e) {
			return
		}
		for _, p := range e.Planes {
			for _, name := range p.Outputs {
				if path.Clean(name) != "a.labels.tif" {
					t.Errorf("output %q stands", name)
				}
			}
		}
		files, err := createBatch(r.batch)
		if err != nil {
			t.Fatal(err)
		}
		defer files.abort()
		if err := files.repeat(out, e); err != nil {
			t.Errorf("repeated: %v", err)
		}
		if err := files.commit(); err != nil {
			t.Error(err)
		}
		r.summary.Images, r.others = []*ImageRecord{e}, nil
		if err := r.writeTable(); err != nil {
			t.Fatal(err)
		}
		table, err := os.ReadFile(filepath.Join(out, SummaryFile))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
		// A row of one empty cell is an empty line, which is read as no row.
		if err != nil || len(rows) != 1+len(e.Planes) && len(rows[0]) > 1 {
			t.Errorf("summary of %d rows for %d planes: %v\n%s", len(rows), len(e.Planes), err, table)
		}
	})
}
