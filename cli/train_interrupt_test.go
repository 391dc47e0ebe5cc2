package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/train"
)

// A run that is interrupted while it reads its images has nothing to resume, and
// the hint does not say that it has.
func TestHintOfInterruptedTraining(t *testing.T) {
	dir := t.TempDir()
	if hint := interruptedHint(dir); strings.Contains(hint, "--resume") {
		t.Errorf("without a checkpoint: %s", hint)
	}
	if err := os.WriteFile(filepath.Join(dir, train.CheckpointFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if hint := interruptedHint(dir); !strings.Contains(hint, "--out "+dir+" --resume") {
		t.Errorf("with a checkpoint: %s", hint)
	}
}
