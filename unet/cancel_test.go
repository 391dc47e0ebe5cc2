package unet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"unet/core/coretest"
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
	coretest.NeedsKernels(t)
	m, err := NewModel(Card{Kind: Nuclei, Arch: Arch{Channels: 3, Depth: 4, Width: 16, Norm: "batch", Heads: threeHeads},
		Input: Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.5, Instance: instance.DefaultParams()}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	p := NewPredictor(coretest.Engine(t, "", 1), m)
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

// TestNoLeak predicts images of changing sizes; neither memory nor goroutines
// may grow.
func TestNoLeak(t *testing.T) {
	coretest.NeedsKernels(t)
	if testing.Short() {
		t.Skip("takes a while")
	}
	m, err := NewModel(Card{Kind: Nuclei, Arch: Arch{Channels: 3, Depth: 1, Width: 16, Norm: "batch", Heads: threeHeads},
		Input: Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.5, Instance: instance.DefaultParams()}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	p := NewPredictor(coretest.Engine(t, "", 2), m)
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
