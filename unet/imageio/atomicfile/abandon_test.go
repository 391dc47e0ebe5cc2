package atomicfile

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// abandonIn names, for a process of this test, the folder to write into.
const abandonIn = "UNET_TEST_ABANDON"

// TestAbandon: processes that end at any moment of their writing leave nothing half
// written.
func TestAbandon(t *testing.T) {
	if dir := os.Getenv(abandonIn); dir != "" {
		writeUntilAbandoned(dir)
	}
	for i := range 40 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^TestAbandon$")
		cmd.Env = append(os.Environ(), abandonIn+"="+dir, fmt.Sprintf("UNET_TEST_AFTER=%dus", 5000+i*131))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, name := range entries(t, dir) {
			if b, err := os.ReadFile(filepath.Join(dir, name)); IsTemporary(name) || err == nil && string(b) != "whole" {
				t.Fatalf("process %d left %s: %q, %v", i, name, b, err)
			}
		}
	}
}

// writeUntilAbandoned writes files and folders in several goroutines, and ends the
// process among them.
func writeUntilAbandoned(dir string) {
	for g := range 4 {
		go func() {
			for i := 0; ; i++ {
				path := filepath.Join(dir, fmt.Sprintf("%d-%d", g, i))
				if g > 0 {
					WriteFile(path, func(w io.Writer) error { //nolint:errcheck // fails once abandoned
						_, err := io.WriteString(w, "whole")
						return err
					})
				} else if f, err := TemporaryFolder(path); err == nil {
					f.Release()
				}
			}
		}()
	}
	after, err := time.ParseDuration(os.Getenv("UNET_TEST_AFTER"))
	if err != nil {
		panic(err)
	}
	time.Sleep(after)
	Abandon()
	os.Exit(0)
}
