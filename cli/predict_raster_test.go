package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"unet/unet"
)

// TestPredictRaster: the formats other than TIFF and PNG go all the way.
func TestPredictRaster(t *testing.T) {
	model, data := brightnessModel(t, unet.Nuclei), filepath.Join("..", "unet", "imageio", "testdata")
	for _, name := range []string{"smooth.jpg", "rgb8.bmp", "rgb8.webp", "frames.gif"} {
		out := t.TempDir()
		mustRun(t, 0, "predict", filepath.Join(data, name), "--model", model, "--out", out, "--format", "labels,csv,overlay")
		stem := strings.TrimSuffix(name, filepath.Ext(name))
		for _, ext := range []string{"labels.tif", "nuclei.csv", "overlay.png"} {
			if list, _ := filepath.Glob(filepath.Join(out, stem+"*."+ext)); len(list) == 0 {
				t.Errorf("%s: no %s among %q", name, ext, results(t, out))
			}
		}
	}
}

// TestPredictRasterMemory: what a format decodes as a whole counts as memory.
func TestPredictRasterMemory(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	file := filepath.Join(dir, "big.png")
	writeImage(t, file, discs(6000, 6000))
	_, stderr := mustRun(t, 6, "predict", file, "--model", model, "--out", filepath.Join(dir, "out"), "--max-memory", "64MiB")
	if !strings.Contains(stderr, "decoded as a whole") || !strings.Contains(stderr, "--max-memory") {
		t.Errorf("%s", stderr)
	}
}
