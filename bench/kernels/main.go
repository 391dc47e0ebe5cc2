// Kernels checks and times the compute kernels, in the spirit of checkasm: for
// every instruction set, operation and layer it holds the kernel against
// package ref and prints time, rate and share of the multiply-add peak, which
// it measures at the start on the same core.
//
//	go run ./bench/kernels                              # the paper's network
//	go run ./bench/kernels -shapes unet32 -isa avx512 -op conv3x3,wino43
//	go run ./bench/kernels -shapes 3x16x256x256,64x64x64x64 -count 9
//
// Rates count the operations of the direct algorithm whatever the kernel does,
// so Winograd may pass the peak. One thread computes, and on Linux its CPU time
// is what counts; a gap between the median and the best still tells of other
// load on the machine. The exit code is 1 if a check fails. `go test -bench . ./bench/kernels` times the same
// kernels in the format of benchstat.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"unet/core"
	"unet/csrc"
)

func main() {
	isas := flag.String("isa", "", "instruction sets, comma-separated; empty: all this CPU has")
	ops := flag.String("op", "", "operations, comma-separated; empty: all of "+strings.Join(opNames(), ","))
	shapes := flag.String("shapes", "unet16", "unet16 (128x128), unet32 (256x256), or a list of ICxOCxHxW")
	batch := flag.Int("n", 1, "images per call")
	count := flag.Int("count", 5, "timings per kernel, of which the median and the best are shown")
	checkOnly := flag.Bool("check", false, "check only, without timing")
	flag.Parse()
	layers, err := parseShapes(*shapes, *batch)
	if err == nil {
		err = validate(*isas, *ops, *count)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(2)
	}
	runtime.LockOSThread() // whose CPU time now reads
	fmt.Println(core.CPU())
	if !run(os.Stdout, *isas, *ops, layers, *count, *checkOnly) {
		os.Exit(1)
	}
}

// nativeISAs lists the instruction sets that have C kernels here.
func nativeISAs() []csrc.ISA {
	var list []csrc.ISA
	for _, i := range []csrc.ISA{csrc.AVX512, csrc.AVX2, csrc.NEON, csrc.C} {
		if slices.Contains(core.ISAs(), i.String()) {
			list = append(list, i)
		}
	}
	return list
}

func chosen(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

func validate(isas, ops string, count int) error {
	if count < 1 {
		return fmt.Errorf("-count %d: need at least 1", count)
	}
	var have []string
	for _, i := range nativeISAs() {
		have = append(have, i.String())
	}
	if len(have) == 0 {
		return fmt.Errorf("this program was built without cgo and has no C kernels")
	}
	for _, list := range []struct {
		flag, names string
		have        []string
	}{{"-isa", isas, have}, {"-op", ops, opNames()}} {
		for _, name := range strings.Split(list.names, ",") {
			if name != "" && !slices.Contains(list.have, name) {
				return fmt.Errorf("%s %q: choose from %s", list.flag, name, strings.Join(list.have, ", "))
			}
		}
	}
	return nil
}

// run prints one table per instruction set and says whether all checks passed.
func run(w io.Writer, isas, ops string, layers []shape, count int, checkOnly bool) bool {
	passed := true
	for _, isa := range nativeISAs() {
		if !chosen(isas, isa.String()) {
			continue
		}
		peak := measurePeak(isa)
		fmt.Fprintf(w, "\n%s: multiply-add peak of one core %.1f GFLOP/s\n", isa, peak)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "kernel\tshape\tmedian us\tbest us\tGFLOP/s\t% of peak\tbest %\terror\tallowed\t")
		for _, l := range layers {
			for _, k := range kernels {
				if !chosen(ops, k.name) || !k.fits(l) || !csrc.Has(isa, k.op) {
					continue
				}
				verdict := k.check(isa, l)
				if !verdict.ok() {
					passed = false
				}
				if checkOnly {
					fmt.Fprintf(t, "%s\t%s\t\t\t\t\t\t%s\t%.1e\t\n", k.name, l, verdict, verdict.allowed)
					continue
				}
				median, best := k.time(isa, l, count)
				rate := func(d time.Duration) float64 { return k.flops(l) / float64(d.Nanoseconds()) }
				fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%s\t%.1e\t\n", k.name, l,
					median.Seconds()*1e6, best.Seconds()*1e6, rate(median), 100*rate(median)/peak,
					100*rate(best)/peak, verdict, verdict.allowed)
			}
			t.Flush()
		}
	}
	return passed
}

// measurePeak returns the best of some measurements in GFLOP/s.
func measurePeak(isa csrc.ISA) float64 {
	var best float64
	for range 20 {
		start := now()
		flops := csrc.Peak(isa, 200_000)
		best = max(best, flops/float64((now()-start).Nanoseconds()))
	}
	return best
}
