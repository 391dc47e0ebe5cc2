package cli

import (
	"bytes"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/dataset"

	"github.com/google/go-cmp/cmp"
)

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	images, set := filepath.Join(dir, "images.zip"), filepath.Join(dir, "set")
	mustRun(t, exitOK, "sample", "--out", images, "--count", "12", "--size", "80")
	mustRun(t, exitOK, "prepare", images, "--out", set, "--size", "64")
	want := []string{"histograms.png", "histograms.svg", "index.html", "inspection.json"}
	for _, k := range dataset.Kinds {
		want = append(want, "sheet-"+k+".png")
	}
	var stats []*dataset.Stats
	for _, from := range []string{images, set} {
		out := filepath.Join(t.TempDir(), "report")
		stdout, _ := mustRun(t, exitOK, "inspect", from, "--out", out, "--samples", "2")
		for _, line := range strings.Split(stdout, "\n") {
			if n := len([]rune(line)); n > 80 && !strings.HasPrefix(line, "report ") {
				t.Errorf("line of %d characters: %s", n, line)
			}
		}
		if !strings.Contains(stdout, "sizes 80x80 (12)") {
			t.Errorf("output %s", stdout)
		}
		if got := tree(t, out); !cmp.Equal(len(want), len(got)) {
			t.Errorf("files %q, want %q", got, want)
		}
		var r inspectResult
		readJSON(t, filepath.Join(out, "inspection.json"), &r)
		if r.Prepared != (from == set) || r.Counts.Images != 12 || len(r.Entries) != 12 {
			t.Errorf("%s: %+v", from, r.Counts)
		}
		stats = append(stats, r.Stats)
		for _, name := range want {
			b, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, ".png") {
				if _, err := png.Decode(bytes.NewReader(b)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	// A prepared set tells the same of its source as the source itself.
	if d := cmp.Diff(stats[0], stats[1]); d != "" {
		t.Errorf("statistics differ:\n%s", d)
	}
	stdout, _ := mustRun(t, exitOK, "inspect", images, "--json", "-q")
	var r inspectResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(stats[0], r.Stats); d != "" {
		t.Errorf("statistics differ:\n%s", d)
	}
}

// TestInspectSame says that the same input gives the same files.
func TestInspectSame(t *testing.T) {
	src := flawedZip(t)
	a, b := filepath.Join(t.TempDir(), "r"), filepath.Join(t.TempDir(), "r")
	mustRun(t, exitOK, "inspect", src, "--out", a, "--samples", "3")
	stdout, _ := mustRun(t, exitOK, "inspect", src, "--out", b, "--samples", "3", "--threads", "1")
	if d := cmp.Diff(contents(t, a), contents(t, b)); d != "" {
		t.Errorf("files differ:\n%s", d)
	}
	if !strings.Contains(stdout, "1 image left out") {
		t.Errorf("output %s", stdout)
	}
}

func TestInspectErrors(t *testing.T) {
	dir := t.TempDir()
	damaged := filepath.Join(dir, "set")
	if err := os.Mkdir(damaged, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, "metadata.json"), []byte(`{"format":99}`), 0o666); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "argument is missing", nil},
		{exitUsage, "--samples", []string{empty, "--samples", "101"}},
		{exitInput, "absent", []string{filepath.Join(dir, "absent")}},
		{exitInput, "set", []string{damaged}},
		{exitInput, "", []string{empty}},
	} {
		if _, stderr := mustRun(t, c.code, append([]string{"inspect"}, c.args...)...); !strings.Contains(stderr, c.want) || lastError(stderr) == "" {
			t.Errorf("%q: %s", c.args, stderr)
		}
	}
}
