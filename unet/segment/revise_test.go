package segment

import (
	"bytes"
	"encoding/csv"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/core"
	"unet/unet/imageio"
	"unet/unet/weights"
)

// spots writes a picture of bright discs.
func spots(t *testing.T, name string, discs ...[3]int) {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 96, 96))
	for _, c := range discs {
		for y := range 96 {
			for x := range 96 {
				if dx, dy := x-c[0], y-c[1]; dx*dx+dy*dy < c[2]*c[2] {
					m.SetGray(x, y, color.Gray{uint8(120 + 2*c[0]/3)})
				}
			}
		}
	}
	var b bytes.Buffer
	if err := errors.Join(png.Encode(&b, m), os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// runOf segments the images of a folder with all that Revise writes again.
func runOf(t *testing.T, in, out string, o Observer) *Summary {
	t.Helper()
	e, err := core.NewEngine("", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m, err := weights.Default()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	s, err := New(e, m, Options{Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := Batch{Inputs: Inputs([]string{in}, out), Out: out, Formats: slices.Sorted(slices.Values(Formats)), Markers: []Marker{{Name: "area"}, {"solidity", new(1.0)}}, Version: "test"}
	if b.Condition, err = ParseCondition("folder"); err != nil {
		t.Fatal(err)
	}
	summary, err := s.Run(t.Context(), b, o)
	if err != nil || summary.Failed > 0 {
		t.Fatal(err, summary.Failed)
	}
	return summary
}

// files reads all files of a folder but the manifest, which tells the time.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ManifestFile {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		list[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRevise: where nothing has changed, what is written again are the bytes of the
// run; where a nucleus is gone, every table and page tells so.
func TestRevise(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	spots(t, filepath.Join(in, "ctrl", "B03.png"), [3]int{25, 25, 10}, [3]int{60, 30, 11}, [3]int{40, 70, 12})
	spots(t, filepath.Join(in, "drug", "C03.png"), [3]int{20, 25, 8}, [3]int{62, 34, 13})
	spots(t, filepath.Join(in, "drug", "C04.png"), [3]int{25, 60, 9}, [3]int{62, 30, 12})
	summary := runOf(t, in, out, Quiet{})
	before := files(t, out)
	p := summary.Images[0].Planes[0]
	if none, ok := p.Positive["solidity"]; !ok || none != 0 { // which is at most 1
		t.Errorf("positive nuclei: %v", p.Positive)
	}
	revision := Revision{Image: "ctrl/B03.png", Nuclei: p.Statistics.Summary}
	revision.Nuclei.Coverage = float64(p.Statistics.Coverage)
	for _, v := range p.Statistics.Intensity {
		revision.Nuclei.Intensity = append(revision.Nuclei.Intensity, float64(v))
	}
	if err := Revise(t.Context(), out, []Revision{revision}, Quiet{}); err != nil {
		t.Fatal(err)
	}
	after := files(t, out)
	for name, b := range before {
		if after[name] != b {
			t.Errorf("%s is not what the run wrote", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files, %d before", len(after), len(before))
	}

	// As a person does: one nucleus less, in labels and table.
	labels := filepath.Join(out, "ctrl", "B03.labels.tif")
	l, err := imageio.ReadLabels(labels)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range l.ID {
		if id == 2 {
			l.ID[i] = 0
		}
	}
	table := filepath.Join(out, "ctrl", "B03.nuclei.csv")
	rows := strings.SplitAfter(before["ctrl/B03.nuclei.csv"], "\n")
	if err := errors.Join(imageio.WriteLabels(labels, l), os.WriteFile(table, []byte(strings.Join(slices.Delete(rows, 2, 3), "")), 0o644)); err != nil {
		t.Fatal(err)
	}
	revision.Corrected, revision.Nuclei.Count = true, 2
	if err := Revise(t.Context(), out, []Revision{revision}, Quiet{}); err != nil {
		t.Fatal(err)
	}
	after = files(t, out)
	cell := func(file, column string, row int) string {
		rows, err := csv.NewReader(strings.NewReader(after[file])).ReadAll()
		if err != nil || len(rows) <= row || !slices.Contains(rows[0], column) {
			t.Fatalf("%s has no %s of row %d: %v", file, column, row, err)
		}
		return rows[row][slices.Index(rows[0], column)]
	}
	for _, c := range []struct {
		file, column string
		row          int
		want         string
	}{
		{SummaryFile, "count", 1, "2"}, {SummaryFile, "corrected", 1, "true"}, {SummaryFile, "corrected", 2, ""},
		{NucleiFile, "nucleus", 2, "3"}, {NucleiFile, "corrected", 2, "true"}, {NucleiFile, "corrected", 3, ""},
	} {
		if got := cell(c.file, c.column, c.row); got != c.want {
			t.Errorf("%s, row %d: %s is %q, want %q", c.file, c.row, c.column, got, c.want)
		}
	}
	if n := strings.Count(after[NucleiFile], "\n"); n != 1+6 {
		t.Errorf("%d lines in the table of all nuclei", n)
	}
	for _, text := range []string{"6 nuclei in 3 images", `<span class="tag">corrected</span>`, "Corrected by hand"} {
		if !strings.Contains(after[PageFile], text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	if strings.Contains(after[PageFile], "about –") {
		t.Error("the page tells of a number of doubtful nuclei that is not known")
	}
	if a, b := strings.Count(after[COCOFile], `"image_id"`), strings.Count(before[COCOFile], `"image_id"`); a != b-1 {
		t.Errorf("COCO holds %d nuclei, %d before", a, b)
	}
	var again Summary
	if err := readJSON(filepath.Join(out, ManifestFile), &again); err != nil || again.Conditions[0].Nuclei != 2 || !again.Images[0].Planes[0].Corrected {
		t.Errorf("manifest: %v, %+v", err, again.Conditions)
	}

	var heard notes
	runOf(t, in, out, &heard)
	if text := strings.Join(heard.list, "\n"); !strings.Contains(text, "B03.png was corrected by hand") {
		t.Errorf("a corrected image is segmented again, and the notes are %q", text)
	}
}

// notes keeps what a run notes.
type notes struct {
	Quiet
	list []string
}

func (n *notes) Note(text string) { n.list = append(n.list, text) }

// TestReviseRefuses: a record that leads out of the folder is not followed.
func TestReviseRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := Revise(t.Context(), dir, nil, Quiet{}); !errors.Is(err, ErrNoRun) {
		t.Errorf("a folder without results: %v", err)
	}
	s := Summary{Schema: schema, Model: ModelRecord{SHA256: "x"}, Settings: Settings{Formats: []string{CSV}},
		Images: []*ImageRecord{{Name: "a.png", Status: Done, Planes: []PlaneRecord{{Outputs: []string{"../a.nuclei.csv"}}}}}}
	if err := writeJSON(filepath.Join(dir, ManifestFile), &s); err != nil {
		t.Fatal(err)
	}
	if err := Revise(t.Context(), dir, nil, Quiet{}); err == nil || !strings.Contains(err.Error(), "not in the folder") {
		t.Errorf("a result outside: %v", err)
	}
}
