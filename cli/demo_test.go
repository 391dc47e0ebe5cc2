package cli

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"unet/unet/imageio/owned"
)

// TestRemoveDemo: a demonstration is removed with what it made, and stays as it is if
// there is a single file that it did not make.
func TestRemoveDemo(t *testing.T) {
	out := filepath.Join(t.TempDir(), "demo")
	put := func(name string) string {
		t.Helper()
		file := filepath.Join(out, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	made := put("run/report.html")
	if err := markDemo(out); err != nil {
		t.Fatal(err)
	}
	mine := put("run/notes.txt")
	var refused *owned.RefusedError
	if err := removeDemo(out); !errors.As(err, &refused) || refused.Name != mine {
		t.Errorf("with a file of the user: %v", err)
	}
	for _, file := range []string{made, mine} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(os.Remove(mine), removeDemo(out)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("the demonstration is still there: %v", err)
	}
}
