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

	"unet/unet/dataset"
	"unet/unet/instance"
)

// returnsPromptly cancels run half way through an amount of work that takes as
// long as whole does, and measures how long it goes on: less than a share of
// the whole, so that machines of any speed can tell. Other work on the machine
// may disturb a try: one of ten counts. run may end before it is cancelled.
func returnsPromptly(t *testing.T, share int, whole func(), run func(context.Context) error) {
	t.Helper()
	start := time.Now()
	whole()
	all := time.Since(start)
	var took []time.Duration
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		at := make(chan time.Time, 1)
		timer := time.AfterFunc(all/2, func() { at <- time.Now(); cancel() })
		start := time.Now()
		err := run(ctx)
		end := time.Now()
		if err == nil {
			timer.Stop()
			cancel()
			all = min(all, end.Sub(start)) // the machine is less busy than it was
			continue
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		d := end.Sub(<-at)
		if took = append(took, d); d < all/time.Duration(share) {
			t.Logf("returned %v after, of %v", d, all)
			return
		}
	}
	t.Errorf("of %v, returned only %v after the context ended", all, took)
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
	img := randomImage(1800, 1600, 1) // several tiles
	run := func(ctx context.Context) error {
		_, err := p.Maps(ctx, img)
		return err
	}
	returnsPromptly(t, 8, func() {
		if err := run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}, run)
}

// largeSteps is a training whose steps take long.
func largeSteps(t *testing.T, dir string) *Trainer {
	tr := trainer(t, dir)
	tr.Config.Augment.Size, tr.Config.Batch, tr.Config.Epochs, tr.Config.Steps = 128, 8, 1, 2
	return tr
}

// TestTrainerCancelsPromptly: within half a step, and without drawing the rest
// of the batches ahead.
func TestTrainerCancelsPromptly(t *testing.T) {
	needsKernels(t)
	dir := t.TempDir()
	long := func(steps int) *Trainer {
		tr := largeSteps(t, dir)
		tr.Config.Batch, tr.Config.Steps = 24, steps
		return tr
	}
	returnsPromptly(t, 4, func() {
		r, err := long(2).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Model.Params.Free()
	}, func(ctx context.Context) error {
		_, err := long(1 << 20).Run(ctx)
		return err
	})
}

// TestEvaluateCancels counts images, not time.
func TestEvaluateCancels(t *testing.T) {
	set := preparedSet(t, 12, 64)
	p := NewPredictor(newEngine(t, "", 1), smallModel(t))
	defer p.Close()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	images := 0
	_, err := Evaluate(ctx, p, set, EvaluateOptions{Splits: []string{dataset.Train, dataset.Val, dataset.Test}, Progress: func(done, total int) {
		if images = done; done == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || images > 3 {
		t.Errorf("error %v after %d images", err, images)
	}
	if _, err := Tune(ctx, p, set, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("tuning: %v", err)
	}
	goroutinesEnd(t, before)
}

// goroutinesEnd waits until no more goroutines are left than before. Those
// that have done their work may take a moment to be gone.
func goroutinesEnd(t *testing.T, before int) {
	t.Helper()
	for range 10000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), before)
}

// countdown is a context that ends when it has been asked so many times
// whether it has: an interruption that does not depend on time.
type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   int
}

func (c *countdown) Err() error {
	if c.left--; c.left == 0 {
		c.cancel()
	}
	return c.Context.Err()
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
	within := 0
	for i := 0; ; i++ {
		tr := largeSteps(t, broken)
		tr.Resume = i > 0
		base, cancel := context.WithCancel(context.Background())
		r, err := tr.Run(&countdown{base, cancel, 3 + 7*i})
		cancel()
		if err == nil {
			r.Model.Params.Free()
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		within++
	}
	t.Logf("interrupted %d times", within)
	a, err := os.ReadFile(filepath.Join(straight, ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(broken, ModelFile)); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the weights differ from those of an uninterrupted training (%v)", err)
	}
	if within < 5 {
		t.Errorf("interrupted %d times only", within)
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
	goroutinesEnd(t, goroutines)
}
