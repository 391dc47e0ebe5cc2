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
		{"early", []string{"--epochs", "9", "--patience", "2", "--min-delta", "100"}, "Stopped early after 3 of 9 epochs: 2 without a better validation loss."},
	} {
		out := filepath.Join(t.TempDir(), "run")
		mustRun(t, exitOK, append([]string{"train", set, "--kind", "paper", "--depth", "1", "--width", "16", "--steps", "1", "--out", out}, c.args...)...)
		page, err := os.ReadFile(filepath.Join(out, "report.html"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{c.says, ">lr<", ">plateau<", ">flips<", "The training loss is binary cross-entropy;",
			"What next", "unet evaluate " + set + " --model "} {
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
	_, stderr = mustRun(t, exitInput, "train", set, "--kind", "paper", "--out", run)
	if !strings.Contains(stderr, `no images in the split "val"`) {
		t.Error(stderr)
	}
	if _, err := os.Stat(run); err == nil {
		t.Error("a folder was made for nothing")
	}
}

// The command that began a run continues it with --resume; other settings are
// refused rather than ignored.
func TestResumeRefusesOtherSettings(t *testing.T) {
	set, run := preparedSet(t, "--size", "32"), filepath.Join(t.TempDir(), "run")
	args := []string{"train", set, "--kind", "paper", "--depth", "1", "--steps", "1", "--epochs", "1", "--augment", "none", "--out", run}
	mustRun(t, exitOK, args...)
	if _, stderr := mustRun(t, exitOK, append(args, "--resume")...); !strings.Contains(stderr, "this training is finished") {
		t.Errorf("a finished training goes on: %s", stderr)
	}
	for _, other := range [][]string{{"--epochs", "2"}, {"--lr", "0.1"}, {"--kind", "nuclei"}, {"--augment", "flips"}} {
		_, stderr := mustRun(t, exitUsage, append([]string{"train", set, "--out", run, "--resume"}, other...)...)
		if !strings.Contains(stderr, "own settings") {
			t.Errorf("%s: %s", other, stderr)
		}
	}
}

func TestUnknownSetting(t *testing.T) {
	set, file := preparedSet(t, "--size", "32"), filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("bacth: 3\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, stderr := mustRun(t, exitUsage, "train", set, "--config", file, "--out", filepath.Join(t.TempDir(), "run"))
	if !strings.Contains(stderr, "line 1: bacth is not a setting") {
		t.Error(stderr)
	}
}
