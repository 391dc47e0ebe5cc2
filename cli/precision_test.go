package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/segment"
)

// --precision bfloat16 finds the nuclei float32 finds, by other probabilities,
// and the manifest says which it was.
func TestPredictPrecision(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "a.png")
	writeImage(t, image, discs(80, 70, threeDiscs...))
	model := brightnessModel(t, unet.Nuclei)
	probs := map[string][]float32{}
	for option, used := range map[string]string{"auto": "float32", "float32": "float32", "bfloat16": "bfloat16"} {
		out := filepath.Join(dir, option)
		mustRun(t, exitOK, "predict", image, "--out", out, "--model", model, "--format", "prob", "--precision", option)
		var m segment.Summary
		readJSON(t, filepath.Join(out, "manifest.json"), &m)
		if m.Settings.Precision != used || m.Nuclei != 3 {
			t.Errorf("--precision %s: manifest says %q, %d nuclei", option, m.Settings.Precision, m.Nuclei)
		}
		p, err := imageio.Read(filepath.Join(out, "a.prob.tif"))
		if err != nil {
			t.Fatal(err)
		}
		probs[option] = p.Pix
	}
	difference := func(a, b string) (most float32) {
		for i, v := range probs[a] {
			most = max(most, v-probs[b][i], probs[b][i]-v)
		}
		return most
	}
	if d := difference("auto", "float32"); d != 0 {
		t.Errorf("auto and float32 differ by %g", d)
	}
	if d := difference("bfloat16", "float32"); d == 0 || d > 0.1 {
		t.Errorf("bfloat16 and float32 differ by %g", d)
	}
}

// A quantised model multiplies what it was quantised to.
func TestPrecisionOfQuantisedModel(t *testing.T) {
	m, err := unet.NewModel(unet.Card{Kind: unet.Paper, Threshold: 0.5, Precision: unet.Int8,
		Arch:  unet.Arch{Channels: 1, Depth: 1, Width: 16, Norm: "none", Heads: []string{unet.HeadForeground}},
		Input: unet.Input{Normalise: "range", Size: 32}}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	dir := t.TempDir()
	image, model := filepath.Join(dir, "a.png"), filepath.Join(dir, "int8.safetensors")
	writeImage(t, image, discs(32, 32))
	if err := m.Save(model, true); err != nil {
		t.Fatal(err)
	}
	for option, code := range map[string]int{"auto": exitOK, "int8": exitOK, "float32": exitUsage, "bfloat16": exitUsage} {
		_, stderr := mustRun(t, code, "predict", image, "--out", filepath.Join(dir, option), "--model", model, "--precision", option)
		if code != exitOK && !strings.Contains(stderr, "quantised to int8") {
			t.Errorf("--precision %s: %s", option, stderr)
		}
	}
}
