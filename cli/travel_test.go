package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet"
)

// TestExportImport: the built-in model leaves as ONNX and comes back.
func TestExportImport(t *testing.T) {
	dir := t.TempDir()
	onnx, model := filepath.Join(dir, "m.onnx"), filepath.Join(dir, "m.safetensors")
	mustRun(t, exitOK, "export", "embedded", "--onnx", onnx)
	out, _ := mustRun(t, exitOK, "import", onnx, "--out", model, "--force")
	if !strings.Contains(out, "maps foreground, border, distance") {
		t.Errorf("output %q", out)
	}
	out, _ = mustRun(t, exitOK, "info", model)
	if !strings.Contains(out, "CC0-1.0") {
		t.Errorf("the card is lost: %s", out)
	}
	pack := filepath.Join(dir, "m.zip")
	mustRun(t, exitOK, "export", "embedded", "--bioimageio", pack, "--author", "A")
	mustRun(t, exitOK, "import", pack, "--out", model, "--force")
	mustRun(t, exitOK, "export", "embedded", "--bioimageio", pack, "--author", "A", "--licence", "cc-by-4.0", "--watershed", "--force")
	mustRun(t, exitOK, "import", pack, "--out", model, "--force")
	bad := filepath.Join(dir, "bad.onnx")
	if err := os.WriteFile(bad, []byte("not a model"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "--onnx FILE", []string{"export", "embedded"}},
		{exitUsage, "--author NAME", []string{"export", "embedded", "--bioimageio", pack, "--force"}},
		{exitUsage, "--onnx FILE", []string{"export", "embedded", "--bioimageio", pack, "--onnx", onnx}},
		{exitUsage, "\"foo\" is none that SPDX lists\nhint: ", []string{"export", "embedded", "--bioimageio", pack, "--author", "A", "--licence", "foo", "--force"}},
		{exitUsage, "--author goes with --bioimageio", []string{"export", "embedded", "--onnx", onnx, "--author", "A", "--force"}},
		{exitUsage, "--licence goes with --bioimageio", []string{"export", "embedded", "--onnx", onnx, "--licence", "MIT", "--force"}},
		{exitUsage, "--watershed", []string{"export", "embedded", "--onnx", onnx, "--watershed", "--force"}},
		{exitFailure, "cannot be a package", []string{"export", "embedded:paper", "--bioimageio", pack, "--author", "A", "--force"}},
		{exitUsage, "--out is missing", []string{"import", onnx}},
		{exitUsage, "would be overwritten", []string{"import", onnx, "--out", onnx}},
		{exitUsage, "would be overwritten", []string{"export", model, "--onnx", model}},
		{exitUsage, "range or percentile", []string{"import", onnx, "--out", model, "--force", "--normalise", "mean"}},
		{exitUsage, "--scale", []string{"import", onnx, "--out", model, "--force", "--scale", "0"}},
		{exitUsage, "--concat skip,up", []string{"import", "--like", "nuclei", onnx, "--out", model, "--force"}},
		{exitUsage, "--scale is for ONNX", []string{"import", "--like", "nuclei", "--concat", "up,skip", "--scale", "2", onnx, "--out", model, "--force"}},
		{exitFormat, "not a safetensors file", []string{"import", "--like", "nuclei", "--concat", "up,skip", onnx, "--out", model, "--force"}},
		{exitFormat, "bad.onnx", []string{"import", bad, "--out", model, "--force"}},
		{exitUsage, "--heads: ", []string{"import", onnx, "--out", model, "--force", "--heads", "foreground"}},
		{exitUsage, "m.onnx has a model card of unet, which says it\nhint: leave", []string{"import", onnx, "--out", model, "--force", "--scale", "255"}},
		{exitUsage, "--normalise: ", []string{"import", pack, "--out", model, "--force", "--normalise", "range"}},
		{exitUsage, "--size: ", []string{"import", onnx, "--out", model, "--force", "--size", "128"}},
		{exitUsage, "--logits: ", []string{"import", onnx, "--out", model, "--force", "--logits"}},
		{exitUsage, "--name: ", []string{"import", onnx, "--out", model, "--force", "--name", "other"}},
		{exitUsage, "--size goes with --normalise", []string{"import", pack, "--out", model, "--force", "--size", "128"}},
		{exitUsage, "--low goes with --normalise percentile", []string{"import", onnx, "--out", model, "--force", "--low", "2"}},
		{exitUsage, "--concat goes with --like", []string{"import", onnx, "--out", model, "--force", "--concat", "up,skip"}},
		{exitInput, "nothing.onnx", []string{"import", filepath.Join(dir, "nothing.onnx"), "--out", model, "--force"}},
	} {
		if _, stderr := mustRun(t, c.code, c.args...); !strings.Contains(stderr, c.want) {
			t.Errorf("%q: %q, want %q", c.args, stderr, c.want)
		}
	}
}

// TestInfoBare: what a model's card does not say is not printed as nothing.
func TestInfoBare(t *testing.T) {
	m, err := unet.LoadModel(brightnessModel(t, unet.Nuclei))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	m.Card.Name, m.Card.Training = "", unet.Training{}
	file := filepath.Join(t.TempDir(), "bare.safetensors")
	if err := m.Save(file, false); err != nil {
		t.Fatal(err)
	}
	out, _ := mustRun(t, exitOK, "info", file)
	for _, line := range []string{"model      without a name (nuclei)\n", "trained    not recorded\n", "licence    not recorded\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is missing: %s", line, out)
		}
	}
}

// TestTrainImported: networks of PyTorch and Keras are trained further here, as they
// are: one map, their own width, their normalisation.
func TestTrainImported(t *testing.T) {
	set := preparedSet(t, "--size", "native")
	for _, name := range []string{"bn.train", "keras_bn.tf2onnx"} {
		dir := t.TempDir()
		model, run := filepath.Join(dir, "m.safetensors"), filepath.Join(dir, "run")
		mustRun(t, exitOK, "import", filepath.Join("..", "unet", "onnx", "testdata", "exported", name+".onnx"), "--out", model)
		train := []string{"train", set, "--from", model, "--out", run, "--epochs", "1", "--steps", "2", "--batch", "1"}
		if _, stderr := mustRun(t, exitUsage, append(train, "--kind", "paper")...); !strings.Contains(stderr, "of kind nuclei") {
			t.Errorf("%s as a paper model: %q", name, stderr)
		}
		if _, stderr := mustRun(t, exitUsage, append(train, "--width", "32")...); !strings.Contains(stderr, "another network (depth ") {
			t.Errorf("%s of another width: %q", name, stderr)
		}
		mustRun(t, exitOK, train...)
		out, _ := mustRun(t, exitOK, "info", filepath.Join(run, "model.safetensors"), "--json")
		var card unet.Card
		if err := json.Unmarshal([]byte(out), &card); err != nil {
			t.Fatal(err)
		}
		if card.Arch.Depth != 1 || card.Arch.Width != 16 || !slices.Equal(card.Arch.Heads, []string{"foreground"}) || card.Input.Normalise != "range" {
			t.Errorf("%s: %+v, %+v", name, card.Arch, card.Input)
		}
	}
}
