package train

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/core/coretest"
)

// TestMicroBatches: steps in parts have the same bytes on any number of threads, and
// after an interruption.
func TestMicroBatches(t *testing.T) {
	coretest.NeedsKernels(t)
	model := func(micros, threads, stopAfter int) []byte {
		dir := t.TempDir()
		for resume := false; ; resume = true {
			tr := inParts(t, dir, micros)
			tr.Engine, tr.Resume = coretest.Engine(t, "", threads), resume
			r, err := runFor(t, tr, stopAfter)
			if errors.Is(err, errStop) {
				stopAfter = 0
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			r.Model.Params.Free()
			return modelOf(t, dir)
		}
	}
	want := model(4, 1, 0)
	if !bytes.Equal(want, model(4, 3, 0)) {
		t.Error("3 threads: another model than with 1")
	}
	if !bytes.Equal(want, model(4, 2, 3)) {
		t.Error("resumed: another model")
	}
}

// errStop ends a training.
var errStop = errors.New("stop")

// runFor runs a training for so many steps, 0 for all.
func runFor(t testing.TB, tr *Trainer, steps int) (*Result, error) {
	ctx, cancel := context.WithCancelCause(t.Context())
	tr.Observer = &events{progress: func(Progress) {
		if steps--; steps == 0 {
			cancel(errStop)
		}
	}}
	return tr.Run(ctx)
}

// inParts is a training of steps in parts.
func inParts(t testing.TB, dir string, micros int) *Trainer {
	tr := trainer(t, dir)
	tr.Config.Batch, tr.Config.MicroBatches, tr.Config.Epochs, tr.Config.Arch.Dropout = 4, micros, 2, 0.1
	return tr
}

func modelOf(t testing.TB, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMicroBatchesFit(t *testing.T) {
	for micros, problem := range map[int]string{0: "1, 2, 4", 3: "1, 2, 4", -4: "1, 2, 4", 4: "no 4 equal parts"} {
		c := testConfig()
		c.Batch, c.MicroBatches = 6, micros
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("6 patches in %d parts: error %v", micros, err)
		}
	}
	// Checkpoints of older versions know of none.
	if c, err := (&state{Config: []byte(`{"Batch":6}`)}).settings(); err != nil || c.MicroBatches != 1 {
		t.Errorf("%d parts in an older checkpoint (%v)", c.MicroBatches, err)
	}
}
