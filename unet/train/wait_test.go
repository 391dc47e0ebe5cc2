package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A run has ended when its result is there and its process has let go of it.
func TestEnded(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(filepath.Join(dir, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if ended(dir) {
		t.Error("a run without a result has ended")
	}
	if err := os.WriteFile(filepath.Join(dir, ModelFile), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if ended(dir) {
		t.Error("a run that is locked has ended")
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := Wait(ctx, []string{dir}, &events{}); !errors.Is(err, gone) {
		t.Errorf("waiting in vain: %v", err)
	}
	unlock()
	if !ended(dir) {
		t.Error("a run with its result has not ended")
	}
	if err := Wait(ctx, []string{dir, dir}, &events{}); err != nil {
		t.Error(err)
	}
}
