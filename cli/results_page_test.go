package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/segment"
)

// TestPredictPage: the page names every image, links to files that are there,
// and compares the conditions; the table of all nuclei is those of the images,
// also of images that an earlier run has done.
func TestPredictPage(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for name, img := range map[string][]disc{"ctrl/A01.png": {{20, 20, 6}}, "ctrl/A02.png": {{10, 10, 5}, {28, 28, 5}}, "drug/B01.png": {{20, 20, 7}}} {
		writeImage(t, filepath.Join(in, name), discs(40, 40, img...))
	}
	args := []string{"predict", in, "--out", out, "--model", model, "--condition", "folder", "--skip-existing"}
	for range 2 {
		if _, stderr := mustRun(t, 0, args...); strings.Contains(stderr, "gives no condition") {
			t.Errorf("all images have one: %s", stderr)
		}
		page, err := os.ReadFile(filepath.Join(out, segment.PageFile))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"4 nuclei in 3 images", "ctrl/A01.png", `href="./ctrl/A02.overlay.png"`, `src="./thumbnails/drug/B01.thumb.jpg"`, "Conditions", "1.50 [", "Plate", "Area"} {
			if !strings.Contains(string(page), s) {
				t.Errorf("the page lacks %q", s)
			}
		}
		if _, err := os.Stat(filepath.Join(out, "thumbnails/drug/B01.thumb.jpg")); err != nil {
			t.Error(err)
		}
		rows := readRows(t, filepath.Join(out, segment.NucleiFile))
		if len(rows) != 5 || rows[1][0] != "ctrl/A01.png" || rows[4][0] != "drug/B01.png" {
			t.Errorf("nuclei.csv: %v", rows)
		}
		var m segment.Summary
		b, _ := os.ReadFile(filepath.Join(out, "manifest.json"))
		if err := json.Unmarshal(b, &m); err != nil || len(m.Conditions) != 2 || m.Conditions[0].Means["count"].Mean != 1.5 || m.Images[2].Planes[0].WellName != "B01" {
			t.Errorf("conditions %v (%v)", m.Conditions, err)
		}
	}
	if _, stderr := mustRun(t, 0, "predict", in, "--out", filepath.Join(dir, "other"), "--model", model, "--condition", "(drug|wash)"); !strings.Contains(stderr, "gives no condition for 2 of 3 images, such as ctrl/A01.png") {
		t.Errorf("images without a condition: %s", stderr)
	}
	mustRun(t, 2, "predict", in, "--out", out, "--condition", "nogroup")
}
