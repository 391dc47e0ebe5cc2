package unet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"unet/unet/instance"
)

// promptly is how soon after its context ended a call must return. The machine
// may be busy: one of three tries counts.
const promptly = 200 * time.Millisecond

// returnsPromptly cancels what run does after a while and measures how long it
// goes on.
func returnsPromptly(t *testing.T, after time.Duration, run func(context.Context) error) {
	t.Helper()
	var took []time.Duration
	for range 3 {
		ctx, cancel := context.WithCancel(context.Background())
		at := make(chan time.Time, 1)
		time.AfterFunc(after, func() { at <- time.Now(); cancel() })
		err := run(ctx)
		end := time.Now()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v: the work was not interrupted", err)
		}
		d := end.Sub(<-at)
		if took = append(took, d); d < promptly {
			t.Logf("returned %v after", d)
			return
		}
	}
	t.Errorf("returned only %v after the context ended", took)
}

func TestPredictorCancelsPromptly(t *testing.T) {
	needsKernels(t)
	m, err := NewModel(Card{Kind: Nuclei, Arch: Arch{Channels: 3, Depth: 4, Width: 16, Norm: "batch", Heads: threeHeads},
		Input: Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.5, Instance: instance.DefaultParams()}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	p := NewPredictor(newEngine(t, "", 1), m)
	defer p.Close()
	img := randomImage(5000, 4000, 1)
	// Normalising an image this large takes some time itself.
	returnsPromptly(t, 600*time.Millisecond, func(ctx context.Context) error {
		_, err := p.Maps(ctx, img)
		return err
	})
}

// largeSteps is a training whose steps take long.
func largeSteps(t *testing.T, dir string) *Trainer {
	tr := trainer(t, dir)
	tr.Config.Augment.Size, tr.Config.Batch, tr.Config.Epochs, tr.Config.Steps = 128, 8, 1, 2
	return tr
}

func TestTrainerCancelsPromptly(t *testing.T) {
	needsKernels(t)
	dir := t.TempDir()
	tr := largeSteps(t, dir)
	tr.Config.Steps = 1 << 20 // more than any machine does in the time
	returnsPromptly(t, 300*time.Millisecond, func(ctx context.Context) error {
		_, err := tr.Run(ctx)
		return err
	})
}

// TestResumeWithinSteps interrupts steps half done; the weights must be those
// of an uninterrupted training.
func TestResumeWithinSteps(t *testing.T) {
	needsKernels(t)
	straight, broken := t.TempDir(), t.TempDir()
	r, err := largeSteps(t, straight).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	resume, interrupted := false, 0
	// Growing times let a slow machine end and a fast one be interrupted.
	for after := 4 * time.Millisecond; ; after = after * 3 / 2 {
		tr := largeSteps(t, broken)
		tr.Resume = resume
		ctx, cancel := context.WithCancel(context.Background())
		tr.Started = func(RunPlan) { time.AfterFunc(after, cancel) }
		r, err := tr.Run(ctx)
		cancel()
		if err == nil {
			r.Model.Params.Free()
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		resume = true
		interrupted++
	}
	t.Logf("interrupted %d times", interrupted)
	a, err := os.ReadFile(filepath.Join(straight, ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(broken, ModelFile)); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the weights differ from those of an uninterrupted training (%v)", err)
	}
	if interrupted == 0 {
		t.Error("never interrupted")
	}
}

// TestNoLeak predicts images of changing sizes; neither memory nor goroutines
// may grow.
func TestNoLeak(t *testing.T) {
	needsKernels(t)
	if testing.Short() {
		t.Skip("takes a while")
	}
	m, err := NewModel(Card{Kind: Nuclei, Arch: Arch{Channels: 3, Depth: 1, Width: 16, Norm: "batch", Heads: threeHeads},
		Input: Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.5, Instance: instance.DefaultParams()}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	p := NewPredictor(newEngine(t, "", 2), m)
	defer p.Close()
	resident := func() int {
		debug.FreeOSMemory()
		b, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Skip("the system does not tell a process' memory")
		}
		var size, pages int
		if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
			t.Fatal(err)
		}
		return pages * os.Getpagesize()
	}
	predict := func(n int) {
		for i := range n {
			if _, err := p.Maps(context.Background(), randomImage(40+i*37%150, 30+i*53%170, 1+i%2*2)); err != nil {
				t.Fatal(err)
			}
		}
	}
	predict(300) // until buffers and heap have their size
	before, goroutines := resident(), runtime.NumGoroutine()
	predict(1000)
	after := resident()
	t.Logf("%d MiB before, %d MiB after 1000 predictions", before>>20, after>>20)
	// An arena of one lost program is 1 to 8 MiB: a leak in one prediction of
	// twenty would show; the heaps of Go and C breathe by less.
	if after-before > 96<<20 {
		t.Errorf("memory grew from %d to %d MiB", before>>20, after>>20)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, before %d", n, goroutines)
	}
}
