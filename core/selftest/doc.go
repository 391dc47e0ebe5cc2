// Package selftest holds every kernel of package csrc, on every instruction set of
// this machine, against package ref, and times it: the checks behind `unet doctor`
// and bench/speed/kernels.
package selftest

import (
	"fmt"
	"slices"

	"unet/core"
	"unet/csrc"
)

// Shape is a layer: N images of H x W pixels, IC channels in and OC out; H and W are
// of the input of a convolution and of the small side of a transposed one.
type Shape struct {
	N, IC, OC, H, W int
	TConv           bool // a transposed 2x2 convolution
}

func (s Shape) String() string {
	kind := ""
	if s.TConv {
		kind = " up"
	}
	return fmt.Sprintf("%d x %d->%d @%dx%d%s", s.N, s.IC, s.OC, s.H, s.W, kind)
}

// ISAs lists the sets of C kernels that this program has and the CPU can run, best
// first.
func ISAs() []csrc.ISA {
	var list []csrc.ISA
	for _, i := range []csrc.ISA{csrc.AVX512, csrc.AVX2, csrc.NEON, csrc.C} {
		if slices.Contains(core.ISAs(), i.String()) {
			if slices.Contains(core.Variants(i.String()), csrc.AVX512BF16) {
				list = append(list, csrc.AVX512BF16)
			}
			list = append(list, i)
		}
	}
	return list
}

// Peak returns the most that one core does of multiply-adds, in GFLOP/s.
func Peak(isa csrc.ISA) float64 {
	var best float64
	for range 20 {
		start := now()
		flops := csrc.Peak(isa, 200_000)
		best = max(best, flops/float64((now()-start).Nanoseconds()))
	}
	return best
}

// Bandwidth returns the best of some copies of more than a cache holds, in GB/s read
// and written.
func Bandwidth() float64 {
	src, dst := make([]byte, 128<<20), make([]byte, 128<<20)
	copy(dst, src) // touches all memory
	var best float64
	for range 10 {
		start := now()
		copy(dst, src)
		best = max(best, 2*float64(len(src))/float64((now()-start).Nanoseconds()))
	}
	return best
}
