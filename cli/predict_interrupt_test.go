//go:build unix

package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"unet/unet"

	"github.com/google/go-cmp/cmp"
)

// TestPredictInterrupt ends a run with SIGINT and goes on with it: nothing is
// half-written, nothing is done twice, and the result is that of one run.
func TestPredictInterrupt(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, out, once := filepath.Join(dir, "in"), filepath.Join(dir, "out"), filepath.Join(dir, "once")
	const images = 48
	for i := range images {
		writeImage(t, filepath.Join(in, fmt.Sprintf("%02d.png", i)), discs(500, 420, disc{40 + i, 30, 9}, disc{60, 70 + i, 12}))
	}
	args := []string{"predict", in, "--model", model, "--format", "labels,csv,coco,rle-csv", "--skip-existing", "--out"}
	mustRun(t, 0, append(args, once)...)
	before := runtime.NumGoroutine()

	go func() {
		for range 10000 { // until something has been done
			if _, err := os.Stat(filepath.Join(out, "02.labels.tif")); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		syscall.Kill(os.Getpid(), syscall.SIGINT)
	}()
	code, stdout, stderr := unetRun("", append(args, out)...)
	if code != exitInterrupted || !strings.Contains(stderr, "--skip-existing") {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	for _, f := range tree(t, out) {
		if strings.Contains(f, "tmp") || f == cocoFile || f == rleFile {
			t.Errorf("%s was left behind", f)
		}
	}
	var m manifest
	b, _ := os.ReadFile(filepath.Join(out, manifestFile))
	if err := json.Unmarshal(b, &m); err != nil || !m.Interrupted || m.Done < 1 || m.Done == images {
		t.Fatalf("%v: %d done\n%s", err, m.Done, b)
	}
	done := m.Done
	for range 100 { // goroutines end on their own
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines left over", n-before)
	}
	stdout, _ = mustRun(t, 0, append(args, out, "--json")...)
	if err := json.Unmarshal([]byte(stdout), &m); err != nil || m.Skipped != done || m.Done != images-done || m.Interrupted {
		t.Errorf("%d done at first, then %d kept and %d done", done, m.Skipped, m.Done)
	}
	if d := cmp.Diff(contents(t, once), contents(t, out)); d != "" {
		t.Errorf("the result differs from that of one run: %s", d)
	}
}

// TestPredictInterruptLarge ends a run within an image that is done in bands,
// with more of them waiting.
func TestPredictInterruptLarge(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for i := range 4 {
		writeImage(t, filepath.Join(in, fmt.Sprintf("%d.tif", i)), discs(1700, 1500, disc{400, 300 + i, 90}))
	}
	go func() {
		for range 10000 {
			if list, _ := filepath.Glob(filepath.Join(out, ".*.labels.tif.*.tmp")); len(list) > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		syscall.Kill(os.Getpid(), syscall.SIGINT)
	}()
	code, stdout, stderr := unetRun("", "predict", in, "--model", model, "--out", out, "--max-memory", "500MiB", "--format", "labels,csv,coco")
	if code != exitInterrupted {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	for _, f := range tree(t, out) {
		if f != manifestFile && f != summaryFile {
			t.Errorf("%s was left behind", f)
		}
	}
}
