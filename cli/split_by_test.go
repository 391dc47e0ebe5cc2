package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet/dataset"
)

// A model trained without some sources says so, and is scored on them alone.
func TestSplitBySource(t *testing.T) {
	dir, run := preparedSet(t, "--size", "native"), filepath.Join(t.TempDir(), "run")
	set, err := dataset.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	folds, err := set.Folds(2)
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, exitOK, "train", dir, "--split-by", "source", "--fold", "2/2", "--depth", "1", "--width", "16",
		"--batch", "1", "--steps", "1", "--epochs", "1", "--augment", "none", "--out", run)
	model := filepath.Join(run, "model.safetensors")
	r := evaluateJSON(t, dir, "--model", model, "--split-by", "source")
	if len(r.Results.Splits) != 1 || r.Results.Splits[0].Name != dataset.Test {
		t.Fatalf("splits: %+v", r.Results.Splits)
	}
	test := r.Results.Splits[0]
	var names []string
	images := 0
	for _, s := range test.Sources {
		names = append(names, s.Name)
		images += s.Images
	}
	want := slices.Sorted(slices.Values(folds[1]))
	if !slices.Equal(names, want) || images != test.All.Images {
		t.Errorf("scored on %q (%d of %d images), want %q", names, images, test.All.Images, want)
	}
	mustRun(t, exitOK, "train", dir, "--out", run, "--resume")                                              // the run knows what it leaves out
	mustRun(t, exitFormat, "train", dir, "--split-by", "source", "--fold", "1/2", "--out", run, "--resume") // another fold
	_, stderr := mustRun(t, exitUsage, "train", dir, "--fold", "1/2", "--out", run+"2")
	if !strings.Contains(stderr, "--split-by source") {
		t.Errorf("--fold alone: %s", stderr)
	}
	for _, args := range [][]string{
		{"train", dir, "--split-by", "camera", "--out", run + "2"},
		{"train", dir, "--split-by", "source", "--fold", "3/2", "--out", run + "2"},
		{"train", dir, "--split-by", "source", "--fold", "1/2x", "--out", run + "2"},
		{"evaluate", dir, "--split-by", "source"}, // the built-in model left none out
	} {
		mustRun(t, exitUsage, args...)
	}
	mustRun(t, exitInput, "train", dir, "--split-by", "source", "--fold", "1/90", "--out", run+"2")
}
