package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A report tells how its run ended, and what is the result.
func TestTrainReportTellsTheEnd(t *testing.T) {
	set := preparedSet(t, "--size", "32")
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"done", []string{"--epochs", "2"}, "All 2 epochs done."},
		// Only the first epoch is ever better.
		{"early", []string{"--epochs", "9", "--patience", "2", "--min-delta", "100"}, "Stopped early after 3 of 9 epochs: 2 without a better val_loss."},
	} {
		out := filepath.Join(t.TempDir(), "run")
		mustRun(t, exitOK, append([]string{"train", set, "--arch", "paper", "--depth", "1", "--width", "16", "--steps", "1", "--out", out}, c.args...)...)
		page, err := os.ReadFile(filepath.Join(out, "report.html"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{c.says, "Adam, learning rate 0.001, plateau", ">flips<", "The training loss is binary cross-entropy;"} {
			if !strings.Contains(string(page), s) {
				t.Errorf("%s: the report lacks %q", c.name, s)
			}
		}
	}
}

// A set without images for validation is known as such before training is
// suggested or begun.
func TestSetWithoutValidation(t *testing.T) {
	dir := t.TempDir()
	zip, set, run := filepath.Join(dir, "images.zip"), filepath.Join(dir, "set"), filepath.Join(dir, "run")
	mustRun(t, exitOK, "sample", "--out", zip, "--count", "1", "--size", "64")
	stdout, stderr := mustRun(t, exitOK, "prepare", zip, "--out", set, "--size", "32")
	if strings.Contains(stderr, "next:") || !strings.Contains(stderr, "no image is left for validation") || !strings.Contains(stdout, "1 image at") {
		t.Errorf("%s%s", stdout, stderr)
	}
	_, stderr = mustRun(t, exitInput, "train", set, "--arch", "paper", "--out", run)
	if !strings.Contains(stderr, `no images in the split "val"`) {
		t.Error(stderr)
	}
	if _, err := os.Stat(run); err == nil {
		t.Error("a folder was made for nothing")
	}
}
