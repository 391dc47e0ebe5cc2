package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"unet/core"
	"unet/core/coretest"
)

// inEach calls f for each of n peers at the same time.
func inEach(t *testing.T, n int, f func(p core.Peers)) {
	var group sync.WaitGroup
	for _, p := range coretest.Peers(t.Context(), n) {
		group.Go(func() { f(p) })
	}
	group.Wait()
}

// TestSumOver: the sum over processes is that of a binary tree over their numbers, bit
// for bit, and the same in all, for any number of floats.
func TestSumOver(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 4, 8} {
		for _, size := range []int{0, 1, 2, 3, 7, 64, 1001} {
			parts := make([][]float32, n)
			for i := range parts {
				for range size {
					parts[i] = append(parts[i], float32(rng.NormFloat64()*1e3))
				}
			}
			tree := func(i int) float32 {
				var sum func(from, to int) float32
				sum = func(from, to int) float32 {
					if to-from == 1 {
						return parts[from][i]
					}
					return sum(from, (from+to)/2) + sum((from+to)/2, to)
				}
				return sum(0, n)
			}
			var want []float32
			for i := range size {
				want = append(want, tree(i))
			}
			inEach(t, n, func(p core.Peers) {
				got := slices.Clone(parts[p.Rank()])
				if err := core.SumOver(p, got, make([]float32, size)); err != nil {
					t.Error(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%d floats, process %d of %d: not the sum of the tree", size, p.Rank(), n)
				}
			})
		}
	}
}

// TestExchange: sums are added in the order of the processes, in all of them. What is
// added here shows in what order.
func TestExchange(t *testing.T) {
	const want = ((1*10+2)*100+3*10+4)*1e4 + (5*10+6)*100 + 7*10 + 8
	inEach(t, 8, func(p core.Peers) {
		sums := []float64{float64(p.Rank() + 1), 1} // digits, and how many
		err := core.Exchange(p, sums, make([]float64, 2), func(to, from []float64) {
			to[0], to[1] = to[0]*math.Pow(10, from[1])+from[0], to[1]+from[1]
		})
		if err != nil || sums[0] != want {
			t.Errorf("process %d has %v, not %v (%v)", p.Rank(), sums[0], float64(want), err)
		}
	})
}

func TestBroadcast(t *testing.T) {
	for _, n := range []int{1, 2, 8} {
		inEach(t, n, func(p core.Peers) {
			b, err := core.Broadcast(p, []byte(fmt.Sprint("of process ", p.Rank(), "!"[:p.Rank()%2])))
			if want := []byte("of process 0"); err != nil || !bytes.Equal(b, want) {
				t.Errorf("process %d of %d has %q, not %q (%v)", p.Rank(), n, b, want, err)
			}
		})
	}
}

// TestAgree: where processes fail, the first of them tells and the others know.
func TestAgree(t *testing.T) {
	for _, failing := range [][]int{{}, {2}, {3, 1}, {0, 1, 2, 3}} {
		inEach(t, 4, func(p core.Peers) {
			var own error
			if slices.Contains(failing, p.Rank()) {
				own = fmt.Errorf("process %d", p.Rank())
			}
			var want error
			if len(failing) > 0 {
				want = core.ErrElsewhere
				if p.Rank() == slices.Min(failing) {
					want = own
				}
			}
			if got := core.Agree(p, own); !errors.Is(got, want) {
				t.Errorf("%v fail: process %d says %v, not %v", failing, p.Rank(), got, want)
			}
		})
	}
}
