package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/imageio"
)

// TestOddLabels gives measure, view and convert label images as other programs
// write them, and images that are none: a result, or one line that says why not
// and one that says what to do.
func TestOddLabels(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	labels := func(name string, w, h int, ids ...uint32) {
		l := imageio.NewLabels(w, h)
		copy(l.ID, ids)
		if err := imageio.WriteLabels(file(name), l); err != nil {
			t.Fatal(err)
		}
	}
	floats := func(name string, w, h, pages int, v ...float32) {
		m := imageio.NewImage(w, h, pages)
		copy(m.Pix, v)
		if err := imageio.WriteMaps(file(name), m); err != nil {
			t.Fatal(err)
		}
	}
	labels("many.tif", 3, 2, 70000, 70000, 0, 4000000000)
	labels("empty.tif", 3, 2)
	labels("pixel.tif", 1, 1, 1)
	floats("whole.tif", 3, 2, 1, 0, 3, 3, 16777216)
	floats("prob.tif", 3, 2, 1, 0, 0.5)
	floats("minus.tif", 3, 2, 1, -1)
	floats("stack.tif", 3, 2, 2, 1)
	for _, k := range []struct {
		name   string
		code   int
		nuclei []string // their numbers
		says   string
	}{
		{"many.tif", 0, []string{"70000", "4000000000"}, ""},
		{"empty.tif", 0, nil, ""},
		{"pixel.tif", 0, []string{"1"}, ""},
		{"whole.tif", 0, []string{"3", "16777216"}, ""},
		{"prob.tif", exitFormat, nil, "probability map"},
		{"minus.tif", exitFormat, nil, "(0, 0) is -1"},
		{"stack.tif", exitUsage, nil, "--page"},
	} {
		for _, command := range [][]string{
			{"measure", file(k.name)},
			{"view", file(k.name), "--fill", "--ids", "-o", file("view.png"), "--force"},
			{"convert", file(k.name), file("out.geojson"), "--force"},
			{"convert", file(k.name), file("out.zip"), "--force"},
		} {
			stdout, stderr := mustRun(t, k.code, command...)
			if k.code != 0 && (strings.Count(stderr, "\n") != 2 || !strings.Contains(stderr, k.says) || strings.Contains(stderr, "writing")) {
				t.Errorf("%s %s: %q", command[0], k.name, stderr)
			}
			if command[0] != "measure" || k.code != 0 {
				continue
			}
			rows := strings.Split(strings.TrimSpace(stdout), "\n")[1:]
			if len(rows) != len(k.nuclei) {
				t.Errorf("%s: %q", k.name, rows)
				continue
			}
			for i, n := range k.nuclei {
				if strings.Split(rows[i], ",")[1] != n {
					t.Errorf("%s: nucleus %s is in %q", k.name, n, rows[i])
				}
			}
		}
	}
}
