package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet"
)

// FuzzManifest: the manifest of an earlier run, whatever it says, leads no
// further than to results in the folder, and to a manifest and a summary that
// can be read again.
func FuzzManifest(f *testing.F) {
	settings := predictSettings{Formats: []string{formatLabels, formatRLE}}
	record := imageRecord{Input: "a.png", Name: "a.png", Status: statusDone, Planes: []planeRecord{{Plane: "page 0", ID: "a",
		Width: 64, Height: 48, Outputs: []string{"a.labels.tif"}, Columns: []string{"image", "nuclei"}, Values: []string{"a", "3"}}}}
	seed := func(change func(*manifest)) {
		m := manifest{Schema: 1, Model: manifestModel{SHA256: "x"}, Settings: settings}
		r := record
		r.Planes = []planeRecord{record.Planes[0]}
		m.Images = []*imageRecord{&r}
		change(&m)
		b, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(func(*manifest) {})
	seed(func(m *manifest) { m.Images = append(m.Images, nil, m.Images[0]) })
	seed(func(m *manifest) { m.Images[0].Planes[0].Outputs = []string{"a.x/../../a.labels.tif"} })
	seed(func(m *manifest) { m.Images[0].Planes[0].Suffix = "/../a" })
	seed(func(m *manifest) { m.Images[0].Planes[0].Columns = nil })
	seed(func(m *manifest) { m.Images[0].Planes[0].Warnings = []string{"\x1b[2J\r\nunet: fine"} })
	seed(func(m *manifest) { m.Settings.Formats = nil })
	seed(func(m *manifest) { m.Schema = 2 })
	out := filepath.Join(f.TempDir(), "out")
	for _, at := range []string{out, filepath.Dir(out)} {
		writeImage(f, filepath.Join(at, "a.labels.tif"), discs(64, 48, threeDiscs...))
	}
	in := input{path: "a.png", name: "a.png", id: "a", base: "a"}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(out, manifestFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := &predictRun{t: newTerminal(nil, io.Discard, io.Discard), out: out, model: &unet.Model{SHA256: "x"},
			settings: settings, inputs: []input{in}, manifest: manifest{Schema: 1, Model: manifestModel{SHA256: "x"}, Settings: settings}}
		r.earlier = r.readEarlier()
		e := r.earlier[in.path]
		if e == nil {
			return
		}
		if err := r.writeManifest(); err != nil { // cut off: with the earlier record
			t.Fatal(err)
		}
		if r.readEarlier()[in.path] == nil {
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
		if err := withBatchFiles(out, settings, func(b *batchFiles) error { return b.repeat(out, e) }); err != nil {
			t.Errorf("repeated: %v", err)
		}
		r.manifest.Images = []*imageRecord{e}
		summary := filepath.Join(out, summaryFile)
		if err := r.manifest.writeSummary(summary); err != nil {
			t.Fatal(err)
		}
		table, err := os.ReadFile(summary)
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

// FuzzList: a list of files is read or refused, and gives every image outputs
// of its own within the folder.
func FuzzList(f *testing.F) {
	f.Add([]byte("a.png\nb/a.png\r\n\n\ufeffc.tif\n/x/../b/a.PNG\n../a.png"))
	f.Add([]byte("a.ome.tif\na.tif\n.\n..\n/\n.png\n~\n"))
	f.Add([]byte("a\x00b\n\xff\xfe\n" + strings.Repeat("x", 300)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			return
		}
		list, err := readList(newTerminal(strings.NewReader(string(b)), io.Discard, io.Discard), "-")
		if err != nil {
			t.Fatalf("lines of less than a limit: %v", err)
		}
		var inputs []input
		for _, p := range list {
			inputs = append(inputs, input{path: p, name: filepath.ToSlash(filepath.Base(p))})
		}
		nameOutputs(inputs)
		seen := map[string]bool{}
		for _, in := range inputs {
			key := strings.ToLower(in.base)
			if seen[key] {
				t.Errorf("two outputs %q of %q", in.base, list)
			}
			seen[key] = true
			if out := under("out", in.base+".csv"); in.base == "" || !strings.HasPrefix(out, "out"+string(filepath.Separator)) {
				t.Errorf("%q: output %q", in.path, out)
			}
		}
	})
}
