package endtoend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWindowsPaths: drive letters, both slashes, and names that mean devices.
func TestWindowsPaths(t *testing.T) {
	dir := t.TempDir()
	draw(t, filepath.Join(dir, "in", "a.png"))
	drive := filepath.VolumeName(dir)
	if len(drive) != 2 || drive[1] != ':' {
		t.Fatalf("%s has no drive letter", dir)
	}
	for i, in := range []string{
		filepath.Join(dir, "in", "a.png"), filepath.ToSlash(filepath.Join(dir, "in", "a.png")), `in\a.png`, "in/a.png", `.\in`, `in\`,
		strings.ToUpper(filepath.Join(dir, "in", "a.png")), `in\*.PNG`, `\\?\` + filepath.Join(dir, "in", "a.png"),
	} {
		out := filepath.Join(dir, "out"+string(rune('0'+i)))
		call{dir: dir, args: []string{"predict", in, "--out", out, "--format", "labels"}}.run(t, 0)
		wantAll(t, out, 1)
	}
	for _, device := range []string{"NUL", "con", "aux.txt"} {
		cmd := call{dir: dir, args: []string{"predict", "in", "--out", device, "--format", "labels"}}.command()
		text, _ := cmd.CombinedOutput()
		if st, err := os.Stat(filepath.Join(dir, device)); cmd.ProcessState.ExitCode() == 0 && (err != nil || !st.IsDir()) {
			t.Errorf("results went to the device %s: %s", device, text)
		}
	}
}
