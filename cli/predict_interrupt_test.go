//go:build unix

package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"unet/unet"
	"unet/unet/segment"

	"github.com/google/go-cmp/cmp"
)

// interrupted runs the program and ends it with SIGINT when ready. The program
// may be done by then.
func interrupted(t *testing.T, ready func() bool, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	late := make(chan os.Signal, 1) // a signal that comes when the program has ended does no harm
	signal.Notify(late, os.Interrupt)
	defer signal.Stop(late)
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for !ready() {
			select {
			case <-ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
		syscall.Kill(os.Getpid(), syscall.SIGINT)
	})
	code, stdout, stderr = unetRun("", args...)
	close(ended)
	wg.Wait()
	return code, stdout, stderr
}

// TestPredictInterrupt ends a run with SIGINT and goes on with it: nothing is
// half-written, nothing is done twice, and the result is that of one run.
func TestPredictInterrupt(t *testing.T) {
	model := brightnessModel(t, unet.Nuclei)
	// A machine may do all of a few images before it is interrupted.
	for images := 48; !interruptAndGoOn(t, model, images); images *= 2 {
		if images > 2000 {
			t.Fatalf("%d images are done before a signal comes", images)
		}
	}
}

// interruptAndGoOn says false if all was done before the interruption.
func interruptAndGoOn(t *testing.T, model string, images int) bool {
	dir := t.TempDir()
	in, out, once := filepath.Join(dir, "in"), filepath.Join(dir, "out"), filepath.Join(dir, "once")
	for i := range images {
		writeImage(t, filepath.Join(in, fmt.Sprintf("%04d.png", i)), discs(500, 420, disc{40 + i%48, 30, 9}, disc{60, 70 + i%48, 12}))
	}
	args := []string{"predict", in, "--model", model, "--format", "labels,csv,coco,rle-csv", "--skip-existing", "--out"}
	mustRun(t, 0, "version") // starts the goroutine of signals, which stays
	before := runtime.NumGoroutine()

	code, stdout, stderr := interrupted(t, func() bool { // when something has been done
		_, err := os.Stat(filepath.Join(out, "0009.labels.tif"))
		return err == nil
	}, append(args, out)...)
	if code == 0 {
		return false
	}
	if code != exitInterrupted || !strings.Contains(stderr, "--skip-existing") {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	for _, f := range results(t, out) {
		if strings.Contains(f, "tmp") || f == segment.COCOFile || f == segment.RLEFile {
			t.Errorf("%s was left behind", f)
		}
	}
	var m segment.Summary
	b, _ := os.ReadFile(filepath.Join(out, segment.ManifestFile))
	if err := json.Unmarshal(b, &m); err != nil || !m.Interrupted || m.Done > images {
		t.Fatalf("%v: %d done\n%s", err, m.Done, b)
	}
	// Images are recorded in their order: none is where the first is still at work.
	done := m.Done
	for range 10000 { // goroutines end on their own
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines left over", n-before)
	}
	stdout, _ = mustRun(t, 0, append(args, out, "--json")...)
	if err := json.Unmarshal([]byte(stdout), &m); err != nil || m.Skipped != done || m.Done != images-done || m.Interrupted {
		t.Errorf("%d done at first, then %d kept and %d done", done, m.Skipped, m.Done)
	}
	mustRun(t, 0, append(args, once)...)
	if d := cmp.Diff(contents(t, once), contents(t, out)); d != "" {
		t.Errorf("the result differs from that of one run: %s", d)
	}
	return true
}

// TestPredictInterruptLarge ends a run within an image that is done in bands,
// with more of them waiting.
func TestPredictInterruptLarge(t *testing.T) {
	model := brightnessModel(t, unet.Nuclei)
	// A machine may do all of a few images before it is interrupted.
	for images := 4; !interruptLarge(t, model, images); images *= 2 {
		if images > 100 {
			t.Fatalf("%d images are done before a signal comes", images)
		}
	}
}

// interruptLarge says false if all was done before the interruption.
func interruptLarge(t *testing.T, model string, images int) bool {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for i := range images {
		writeImage(t, filepath.Join(in, fmt.Sprintf("%d.tif", i)), discs(1700, 1500, disc{400, 300 + i, 90}))
	}
	code, stdout, stderr := interrupted(t, func() bool {
		list, _ := filepath.Glob(filepath.Join(out, ".*.labels.tif.*.tmp"))
		return len(list) > 0
	}, "predict", in, "--model", model, "--out", out, "--max-memory", "500MiB", "--format", "labels,csv,coco")
	if code == 0 {
		return false
	}
	if code != exitInterrupted {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	for _, f := range results(t, out) {
		// An image may have been completed before.
		if strings.Contains(f, "tmp") || f == segment.COCOFile {
			t.Errorf("%s was left behind", f)
		}
	}
	return true
}
