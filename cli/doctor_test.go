package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctor: the page names every part, and a folder that is not there is a problem.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	out, _ := mustRun(t, 0, "doctor", dir, "--json")
	var page doctorResult
	if err := json.Unmarshal([]byte(out), &page); err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, f := range page.Findings {
		text[f.What] += f.Text
	}
	for _, what := range []string{"unet", "processor", "memory", "kernels", "network", "temporary", "folder"} {
		if text[what] == "" {
			t.Errorf("nothing about %s in %s", what, out)
		}
	}
	if !strings.Contains(text["folder"], dir) || !strings.Contains(text["folder"], "locks") {
		t.Errorf("folder: %s", text["folder"])
	}
	if left := tree(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	out, stderr := mustRun(t, 1, "doctor", filepath.Join(dir, "missing"))
	if !strings.Contains(out, "PROBLEM: ") || !strings.Contains(stderr, "1 problem") {
		t.Errorf("a missing folder: %s%s", out, stderr)
	}
	mustRun(t, 2, "doctor", dir, dir)
}
