package segment

import (
	"os"
	"path/filepath"
	"testing"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// TestContentLeavesNothing: where a file cannot take its place, as that of a folder, no
// temporary one stays beside it.
func TestContentLeavesNothing(t *testing.T) {
	l := imageio.NewLabels(4, 4)
	l.ID[5] = 1
	c := Content{Source: formats.Source{Name: "a", W: 4, H: 4}, Labels: l, Nuclei: instance.Measure(l, nil)}
	dir := t.TempDir()
	file := filepath.Join(dir, "a.csv")
	if err := os.MkdirAll(filepath.Join(file, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteFile(file, CSV); err == nil {
		t.Error("no error")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}
