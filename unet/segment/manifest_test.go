package segment

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
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

// A run that is killed before it has written its record leaves none that takes its
// files for those of the run before.
func TestDisown(t *testing.T) {
	record := func(path, name string) *ImageRecord {
		return &ImageRecord{Input: path, Name: name, Status: Done, Planes: []PlaneRecord{{Outputs: []string{name + ".labels.tif"}}}}
	}
	old := Summary{Schema: schema, Model: ModelRecord{SHA256: "x"}, Settings: Settings{Diameter: "auto"},
		Images: []*ImageRecord{record("a/one.png", "one"), record("a/two.png", "two"), record("a/dot.two.png", "dot.two")}}
	for name, c := range map[string]struct {
		inputs []Input
		change func(*Summary)
		stay   []string // images whose record stays
	}{
		"as before":       {[]Input{{Path: "a/one.png", Base: "one"}}, func(*Summary) {}, []string{"a/one.png", "a/two.png", "a/dot.two.png"}},
		"other settings":  {[]Input{{Path: "a/one.png", Base: "one"}}, func(s *Summary) { s.Settings.Diameter = "30" }, nil},
		"another model":   {[]Input{{Path: "a/one.png", Base: "one"}}, func(s *Summary) { s.Model.SHA256 = "y" }, nil},
		"of another name": {[]Input{{Path: "b/Two.png", Base: "Two"}}, func(*Summary) {}, []string{"a/one.png", "a/dot.two.png"}},
	} {
		out := t.TempDir()
		if err := writeJSON(filepath.Join(out, ManifestFile), old); err != nil {
			t.Fatal(err)
		}
		r := &results{observer: Quiet{}, batch: Batch{Out: out, Formats: []string{CSV, Labels}, Inputs: c.inputs}, all: c.inputs,
			summary: Summary{Schema: schema, Model: old.Model, Settings: old.Settings}}
		c.change(&r.summary)
		if err := r.takeFolder(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(out, NucleiFile), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		var stay []string
		if now := r.readManifest(); now != nil {
			for _, im := range now.Images {
				stay = append(stay, im.Input)
			}
		}
		if err := r.complete(context.Canceled); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(out, NucleiFile)); (err == nil) != (c.stay != nil) {
			t.Errorf("%s: the table of all nuclei after an early end: %v", name, err)
		}
		if !slices.Equal(stay, c.stay) {
			t.Errorf("%s: the records of %q stay, not of %q", name, stay, c.stay)
		}
	}
}
