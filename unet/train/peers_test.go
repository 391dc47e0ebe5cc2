package train

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"unet/core"
	"unet/core/coretest"
)

// together runs a training in as many processes as there are peers, which goroutines
// stand for, after a change of each, and returns how each ended.
func together(t *testing.T, peers []core.Peers, dir string, change func(rank int, tr *Trainer)) []error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := make([]error, len(peers))
	var group sync.WaitGroup
	for rank, p := range peers {
		tr := inParts(t, dir, 4)
		tr.Peers, tr.Engine = p, coretest.Engine(t, "", 1+rank%2)
		if rank > 0 {
			tr.Dir = filepath.Join(dir, "another")
		}
		change(rank, tr)
		group.Go(func() {
			r, err := tr.Run(ctx)
			if err == nil && r.Model != nil {
				r.Model.Params.Free()
			}
			errs[rank] = err
		})
	}
	group.Wait()
	if _, err := os.Stat(filepath.Join(dir, "another")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a process other than the first has made a folder (%v)", err)
	}
	return errs
}

// alone is the model that one process trains.
func alone(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	r, err := inParts(t, dir, 4).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	return modelOf(t, dir)
}

// TestPeers: 1, 2 and 4 processes train the model of one alone, byte for byte. Killed
// after some steps, another number of processes goes on to the same.
func TestPeers(t *testing.T) {
	coretest.NeedsKernels(t)
	want := alone(t)
	for _, n := range []int{1, 2, 4} {
		dir := t.TempDir()
		for rank, err := range together(t, coretest.Peers(t.Context(), n), dir, func(int, *Trainer) {}) {
			if err != nil {
				t.Fatalf("process %d of %d: %v", rank, n, err)
			}
		}
		if !bytes.Equal(modelOf(t, dir), want) {
			t.Errorf("%d processes: another model than that of one alone", n)
		}
	}
	dir := t.TempDir()
	for i, n := range []int{4, 2, 1} {
		ctx, kill := context.WithCancelCause(t.Context())
		errs := together(t, coretest.Peers(ctx, n), dir, func(rank int, tr *Trainer) {
			tr.Resume = i > 0
			steps := 0
			if rank == n-1 && i < 2 { // the last process dies in its fourth step
				tr.Observer = &events{progress: func(Progress) {
					if steps++; steps == 3 {
						kill(errStop)
						tr.model.Params.Get("bottom.conv1.weight").Value[0] = float32(math.NaN())
					}
				}}
			}
		})
		for rank, err := range errs {
			if i < 2 && !errors.Is(err, errStop) || i == 2 && err != nil {
				t.Fatalf("process %d of %d: %v", rank, n, err)
			}
		}
		kill(nil)
	}
	if !bytes.Equal(modelOf(t, dir), want) {
		t.Error("resumed by other numbers of processes: another model")
	}
}

// TestPeersMeet: processes that would not do the same do not begin, and one of them
// tells why.
func TestPeersMeet(t *testing.T) {
	for problem, change := range map[string]func(rank int, tr *Trainer){
		"settings":        func(rank int, tr *Trainer) { tr.Config.Seed += uint64(rank / 2) },
		"training images": func(rank int, tr *Trainer) { tr.DataHash += strings.Repeat("x", rank/2) },
		"kernels": func(rank int, tr *Trainer) {
			if rank == 2 {
				tr.Engine = coretest.Engine(t, "go", 1)
			}
		},
		"0 validation images": func(rank int, tr *Trainer) {
			if rank >= 2 {
				tr.Val = &Images{}
			}
		},
	} {
		if problem == "kernels" && core.ISAs()[0] == "go" {
			continue
		}
		for rank, err := range together(t, coretest.Peers(t.Context(), 4), t.TempDir(), change) {
			switch {
			case rank == 2 && (err == nil || !strings.Contains(err.Error(), problem)):
				t.Errorf("%s: process 2 says %v", problem, err)
			case rank != 2 && !errors.Is(err, core.ErrElsewhere):
				t.Errorf("%s: process %d says %v", problem, rank, err)
			}
		}
	}
	errs := together(t, coretest.Peers(t.Context(), 8), t.TempDir(), func(int, *Trainer) {})
	if errs[0] == nil || !strings.Contains(errs[0].Error(), "8 processes cannot share the 4") || !errors.Is(errs[7], core.ErrElsewhere) {
		t.Errorf("8 processes for 4 parts: %v and %v", errs[0], errs[7])
	}
}

// TestPeersRollBack: a loss that is not finite in one process takes all back to the
// checkpoint, once.
func TestPeersRollBack(t *testing.T) {
	coretest.NeedsKernels(t)
	warned := 0
	errs := together(t, coretest.Peers(t.Context(), 2), t.TempDir(), func(rank int, tr *Trainer) {
		steps := 0
		tr.Observer = &events{
			warn: func() { warned++ },
			progress: func(Progress) {
				if steps++; rank == 1 && steps == 7 {
					tr.model.Params.Get("bottom.conv1.weight").Value[0] = float32(math.NaN())
				}
			},
		}
	})
	if errs[0] != nil || errs[1] != nil || warned != 1 {
		t.Errorf("%v after %d warnings", errs, warned)
	}
}
