package unet

import (
	"math"
	"slices"
	"sync"
	"testing"

	"unet/core"
	"unet/core/coretest"
)

// TestMicroBatches: a batch computed in parts has the loss, the statistics and the
// gradients of one that is computed at once, but for rounding. Dropout leaves out the
// same activations. Batch-norm's statistics, rounded otherwise, put single activations
// on the other side of ReLU's corner, which is more than rounding.
func TestMicroBatches(t *testing.T) {
	coretest.NeedsKernels(t)
	for _, a := range []Arch{variants[0], variants[6], variants[7]} {
		e := coretest.Engine(t, "", 2)
		a := a.sized(3, 2, 32, threeHeads)
		a.Dropout = 0.1
		whole, net := trainingNet(t, e, a, 8, 32, 40, core.Options{})
		run(t, net, core.Forward, core.Backward)
		for _, micros := range []int{2, 4, 8} {
			m, parts := trainingNet(t, e, a, 8, 32, 40, core.Options{MicroBatches: micros, Recompute: micros == 4})
			run(t, parts, core.Forward, core.Backward)
			if got, want := totalLoss(parts), totalLoss(net); math.Abs(got-want) > 1e-5*want {
				t.Errorf("%v, %d micro-batches: loss %v, at once %v", a, micros, got, want)
			}
			if d := maxDiff(net.maps.Logits(), parts.maps.Logits()); d > 1e-4 {
				t.Errorf("%v, %d micro-batches: logits differ by %g", a, micros, d)
			}
			for i, q := range whole.Params.All() {
				got, want := m.Params.All()[i].Grad, q.Grad
				if q.Grad == nil {
					got, want = m.Params.All()[i].Value, q.Value
				}
				if d := distance(got, want); d > 0.02 || d > 2e-4 && a.Norm != "batch" {
					t.Errorf("%v, %d micro-batches: %s differs by %.2g of its size", a, micros, q.Name, d)
				}
			}
		}
	}
}

// distance is how far a is from b, as a share of the size of b.
func distance(a, b []float32) float64 {
	var norm, diff float64
	for i, v := range b {
		d := float64(v - a[i])
		norm += float64(v) * float64(v)
		diff += d * d
	}
	return math.Sqrt(diff / (norm + 1e-12))
}

// TestPeers: 1, 2, 4 and 8 processes, which goroutines stand for, compute the bits of
// one process with as many micro-batches, on any number of threads.
func TestPeers(t *testing.T) {
	coretest.NeedsKernels(t)
	for _, a := range []Arch{variants[0], variants[6], variants[7]} {
		a := a.sized(3, 2, 16, threeHeads)
		a.Dropout = 0.1
		const micros = 8
		train := func(threads int, peers core.Peers) (results []core.MapResult, bits []float32) {
			e, err := core.NewEngine("", threads)
			if err != nil {
				panic(err)
			}
			defer e.Close()
			m, net := trainingNet(t, e, a, 16, 16, 24, core.Options{MicroBatches: micros, Peers: peers})
			adam := core.NewAdam(1e-2)
			for range 2 {
				run(t, net, core.Forward, core.Backward)
				adam.Update(e, m.Params, adam.GradNorm(e, m.Params))
			}
			for _, q := range m.Params.All() {
				bits = append(append(bits, q.Value...), q.Grad...)
			}
			return slices.Clone(net.maps.Result()), bits
		}
		loss, want := train(1, nil)
		if _, got := train(3, nil); !slices.Equal(got, want) {
			t.Errorf("%v: 3 threads compute other bits than 1", a)
		}
		for _, processes := range []int{1, 2, 4, 8} {
			var group sync.WaitGroup
			for rank, peers := range coretest.Peers(t.Context(), processes) {
				group.Go(func() {
					l, got := train(1+rank%2, peers)
					if !slices.Equal(got, want) || !slices.Equal(l, loss) {
						t.Errorf("%v: process %d of %d computes other bits than one alone", a, rank, processes)
					}
				})
			}
			group.Wait()
		}
	}
}

// TestMicroBatchMemory: parts of a batch take little more memory than all of it, and
// a process takes its share.
func TestMicroBatchMemory(t *testing.T) {
	a := Arch{Norm: "batch"}.sized(3, 3, 32, threeHeads)
	losses := make([]core.Loss, 3)
	memory := func(o core.Options) int {
		o.Batch = 8
		n, err := a.TrainingMemory(coretest.Engine(t, "", 1), 64, o, losses)
		if err != nil {
			t.Fatal(err)
		}
		return n - 5*4*a.parameters()
	}
	one, four := memory(core.Options{}), memory(core.Options{MicroBatches: 4})
	share := memory(core.Options{MicroBatches: 4, Peers: coretest.Peers(t.Context(), 4)[1]})
	if four > one*5/4 || share > four/3 {
		t.Errorf("%d bytes, in parts %d, a quarter %d", one, four, share)
	}
}
