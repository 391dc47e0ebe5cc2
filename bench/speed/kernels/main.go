// Command kernels checks and times the compute kernels, in the spirit of checkasm: for
// every instruction set, kernel and layer it holds the kernel against package
// ref and prints time, rate and share of the peak, which it measures at the
// start on the same core: multiply-adds, or memory bandwidth (copying, bytes
// read and written) for the kernels that wait for memory.
//
//	go run ./bench/speed/kernels                              # the paper's network
//	go run ./bench/speed/kernels -selftest.Shape unet32 -isa avx512 -kernel conv3x3,wino43
//	go run ./bench/speed/kernels -choose                      # Winograd or direct?
//	go run ./bench/speed/kernels -selftest.Shape 3x16x256x256,64x64x64x64 -count 9 -onednn
//
// Rates count the operations of the direct algorithm whatever the kernel does,
// so Winograd may pass the peak, and the bytes a kernel cannot do without, so
// one whose data stay in the cache may pass the bandwidth. One thread computes,
// and on Linux its CPU time is what counts; a gap between the median and the
// best still tells of other load on the machine. The exit code is 1 if a check
// fails. `go test -bench . ./bench/speed/kernels` times the same kernels in the
// format of benchstat.
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
	"unet/core/selftest"
	"unet/csrc"
)

func main() {
	isas := flag.String("isa", "", "instruction sets, comma-separated; empty: all this CPU has")
	names := flag.String("kernel", "", "kernels, comma-separated; empty: all of "+strings.Join(kernelNames(), ","))
	shapes := flag.String("shape", "unet16", "unet16 (128x128), unet32 (256x256), or a list of ICxOCxHxW")
	batch := flag.Int("n", 1, "images per call")
	count := flag.Int("count", 5, "timings per kernel, of which the median and the best are shown")
	checkOnly := flag.Bool("check", false, "check only, without timing")
	choice := flag.Bool("choose", false, "compare Winograd with direct convolution over sides and channels, which core/algorithm.go decides by")
	compare := flag.Bool("onednn", false, "time oneDNN's kernels, too (needs a C++ compiler and libdnnl)")
	flag.Parse()
	layers, err := parseShapes(*shapes, *batch)
	if err == nil {
		err = validate(*isas, *names, *count)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(2)
	}
	var other *onednn
	if *compare {
		dir, err := os.MkdirTemp("", "kernels")
		if err == nil {
			defer os.RemoveAll(dir)
			other, err = newOneDNN(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "kernels:", err)
		}
	}
	runtime.LockOSThread() // whose CPU time now reads
	fmt.Println(core.CPU())
	var passed bool
	if *choice {
		choose(os.Stdout, *isas, *batch, *count)
		return
	}
	if *checkOnly {
		passed = check(os.Stdout, *isas, *names, layers)
	} else {
		passed = measure(os.Stdout, *isas, *names, layers, *count, other)
	}
	if !passed {
		os.Exit(1)
	}
}

// nativeISAs lists the instruction sets that have C kernels here, and AVX512BF16,
// which differs from AVX512 in the kernels of bfloat16.
func kernelNames() []string {
	var names []string
	for _, k := range selftest.Kernels {
		names = append(names, k.Name)
	}
	return names
}

func chosen(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

func validate(isas, names string, count int) error {
	if count < 1 {
		return fmt.Errorf("-count %d: need at least 1", count)
	}
	var have []string
	for _, i := range selftest.ISAs() {
		have = append(have, i.String())
	}
	if len(have) == 0 {
		return fmt.Errorf("this program was built without cgo and has no C kernels")
	}
	for _, list := range []struct {
		flag, names string
		have        []string
	}{{"-isa", isas, have}, {"-kernel", names, kernelNames()}} {
		for _, name := range strings.Split(list.names, ",") {
			if name != "" && !slices.Contains(list.have, name) {
				return fmt.Errorf("%s %q: choose from %s", list.flag, name, strings.Join(list.have, ", "))
			}
		}
	}
	return nil
}

// each calls f for every kernel that is wanted, there and fit for a layer.
func each(isa csrc.ISA, names string, layers []selftest.Shape, f func(k selftest.Kernel, l selftest.Shape)) {
	for _, l := range layers {
		for _, k := range selftest.Kernels {
			if chosen(names, k.Name) && k.Fits(l) && k.On(isa) {
				f(k, l)
			}
		}
	}
}

// check prints one table per instruction set and says whether all is well.
func check(w io.Writer, isas, names string, layers []selftest.Shape) bool {
	passed := true
	for _, isa := range selftest.ISAs() {
		if !chosen(isas, isa.String()) {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", isa)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "kernel\tshape\terror\tallowed\t")
		each(isa, names, layers, func(k selftest.Kernel, l selftest.Shape) {
			v := k.Check(isa, l)
			passed = passed && v.OK()
			fmt.Fprintf(t, "%s\t%s\t%s\t%.1e\t\n", k.Name, l, v, v.Allowed)
		})
		t.Flush()
	}
	return passed
}

// measure is check with timing; other is nil if there is none to compare with.
func measure(w io.Writer, isas, names string, layers []selftest.Shape, count int, other *onednn) bool {
	passed := true
	bandwidth := selftest.Bandwidth()
	for _, isa := range selftest.ISAs() {
		if !chosen(isas, isa.String()) {
			continue
		}
		peak := selftest.Peak(isa)
		fmt.Fprintf(w, "\n%s: one core does %.1f GFLOP/s of multiply-adds and copies %.1f GB/s\n", isa, peak, bandwidth)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "kernel\tshape\tmedian us\tbest us\trate\t\t% of peak\tbest %\tvs oneDNN\terror\t")
		each(isa, names, layers, func(k selftest.Kernel, l selftest.Shape) {
			v := k.Check(isa, l)
			passed = passed && v.OK()
			median, best := k.Time(isa, l, count)
			roof, unit, ratio := peak, "GFLOP/s", ""
			if k.Memory {
				roof, unit = bandwidth, "GB/s"
			}
			if other != nil {
				if o := other.time(isa, k.OneDNN, l, count); o > 0 {
					ratio = fmt.Sprintf("%.2fx", o.Seconds()/median.Seconds())
				}
			}
			rate := func(d time.Duration) float64 { return k.Work(l) / float64(d.Nanoseconds()) }
			fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.1f\t%s\t%.0f\t%.0f\t%s\t%s\t\n", k.Name, l, median.Seconds()*1e6, best.Seconds()*1e6,
				rate(median), unit, 100*rate(median)/roof, 100*rate(best)/roof, ratio, v)
		})
		t.Flush()
	}
	return passed
}
