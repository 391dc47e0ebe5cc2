package cli

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unet/unet"
	"unet/unet/segment"
)

// TestNoClock: no decision hangs on the clock of the wall, which may jump. Time
// is only measured, which Go does by a clock that does not, or written down: a
// time is never taken from a file, turned into a number, or compared after it
// has lost the steady clock's reading.
func TestNoClock(t *testing.T) {
	found := 0
	for _, dir := range []string{".", "../core", "../unet"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			formatted := map[ast.Node]bool{} // x.UTC in x.UTC().Format(…)
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				s, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if inner, ok := s.X.(*ast.CallExpr); ok && s.Sel.Name == "Format" {
					formatted[inner.Fun] = true
				}
				switch name := s.Sel.Name; {
				case name == "Now":
					found++
				case (name == "ModTime" || name == "UnixNano") && (filepath.Base(filepath.Dir(path)) == "serve" || filepath.Base(path) == "shared.go"):
					// The stamp of a file, compared for equality alone, tells that it was
					// replaced while the page is open, or since another part has read it.
				case name == "ModTime", strings.HasPrefix(name, "Unix"):
					t.Errorf("%s: %s", files.Position(s.Pos()), name)
				case (name == "UTC" || name == "Local") && !formatted[s]:
					t.Errorf("%s: a time is changed by %s, and not to be written", files.Position(s.Pos()), name)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("no use of a clock was found at all")
	}
}

// TestFileTimes: results whose times, and those of their images, are in the
// past or in the future stand like any others.
func TestFileTimes(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, name := range []string{"a.png", "b.png", "c.png"} {
		writeImage(t, filepath.Join(in, name), discs(64, 48, threeDiscs...))
	}
	args := []string{"predict", in, "--model", model, "--out", out, "--format", "labels,csv", "--skip-existing", "--json"}
	mustRun(t, exitOK, args...)
	want := contents(t, out)
	for i, when := range []time.Time{time.Unix(1, 0), time.Now().AddDate(200, 0, 0)} {
		for k, folder := range []string{in, out} {
			if (i+k)%2 == 0 { // the images younger than the results, then older
				when = when.AddDate(1, 0, 0)
			}
			for _, f := range results(t, folder) {
				if err := os.Chtimes(filepath.Join(folder, f), when, when); err != nil {
					t.Fatal(err)
				}
			}
		}
		stdout, _ := mustRun(t, exitOK, args...)
		var m segment.Summary
		if err := json.Unmarshal([]byte(stdout), &m); err != nil || m.Skipped != 3 || m.Done != 0 {
			t.Errorf("with files of %v: %d kept, %d done (%v)", when, m.Skipped, m.Done, err)
		}
		for f, b := range contents(t, out) {
			if want[f] != b {
				t.Errorf("%s changed", f)
			}
		}
	}
}
