package cli

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/segment"
)

// TestPredictStacks predicts real multi-plane files: no plane is left out in
// silence, and all channels are measured.
func TestPredictStacks(t *testing.T) {
	model := brightnessModel(t, unet.Nuclei)
	for _, k := range []struct {
		file     string
		planes   int
		channels int
	}{
		{"pages-u8.tif", 0, 1}, {"ome-ctzyx.ome.tif", 0, 2}, {"gray8-4channels-planar.tif", 4, 4}, {"imagej-directories.tif", 0, 0}, {"rgb8-planar.tif", 1, 3},
	} {
		file := filepath.Join("../unet/imageio/testdata", k.file)
		f, err := imageio.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if k.planes == 0 {
			k.planes = len(f.Planes)
		}
		f.Close()
		stdout, stderr := mustRun(t, 0, "predict", file, "--model", model, "--out", t.TempDir(), "--json", "--channel", "all")
		var m segment.Summary
		if err := json.Unmarshal([]byte(stdout), &m); err != nil {
			t.Fatal(err)
		}
		planes := m.Images[0].Planes
		if len(planes) != k.planes {
			t.Errorf("%s: %d results for %d planes\n%s", k.file, len(planes), k.planes, stderr)
		}
		var outputs []string
		for _, p := range planes {
			outputs = append(outputs, p.Outputs...)
		}
		slices.Sort(outputs)
		if len(slices.Compact(outputs)) != 3*k.planes {
			t.Errorf("%s: outputs %q", k.file, outputs)
		}
		n := len(planes[0].Channels)
		if k.channels > 0 && n != k.channels {
			t.Errorf("%s: %d channels measured, want %d: %q", k.file, n, k.channels, planes[0].Channels)
		}
	}
}
