//go:build unix

// Command mutate tells whether the tests notice faults. It puts them into the
// program one at a time, each a line of a list (mutations.txt) changed, builds the tests
// that ought to notice, makes sure that they pass without it, runs them, and prints
// which faults survived.
//
//	go run ./bench/verify/mutate                       # the whole list
//	go run ./bench/verify/mutate -run 'unet/metrics|csrc'
//	go run ./bench/verify/mutate -list bench/verify/mutate/drawn.txt   # 60 lines drawn at random
//	go run ./bench/verify/mutate -list bench/verify/mutate/drawn2.txt  # 74 more, drawn later
//	go run ./bench/verify/mutate -sample 2m -seed "$(git rev-parse HEAD)"
//
// Files are never changed: the compiler reads the fault from elsewhere (go help
// build, -overlay). Verdicts are kept in build/mutate.json as long as the faulty
// file and the packages of its tests stay as they are, so that a run that was
// cut off goes on where it was, and a new test is tried on the survivors alone.
// With -sample faults are drawn by the seed until the time is over. It ends with
// status 1 if a fault survived that is not marked equivalent, or does not compile
// (BROKEN). It does not begin if lines of the list are no longer to be found.
//
// Faults at random rather than of meaning are those of gremlins, on so many lines of a
// package:
//
//	bench/verify/mutate/random.sh unet/metrics 100
package main

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	list := flag.String("list", "bench/verify/mutate/mutations.txt", "`FILE` of the mutations")
	only := flag.String("run", "", "only those whose file or reason matches this regular `EXPRESSION`")
	sample := flag.Duration("sample", 0, "draw mutations for this long, and run each afresh")
	seed := flag.String("seed", "", "`TEXT` by which -sample draws")
	flag.Parse()
	survivors, err := run(*list, *only, *sample, *seed)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

func run(list, only string, sample time.Duration, seed string) (survivors int, err error) {
	text, err := os.ReadFile(list)
	if err != nil {
		return 0, err
	}
	all, err := parse(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", list, err)
	}
	if err := check(".", all); err != nil {
		return 0, fmt.Errorf("%s: %w", list, err)
	}
	pattern, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	all = slices.DeleteFunc(all, func(m *mutation) bool { return !pattern.MatchString(m.file + ": " + m.reason) })
	b, err := newBench()
	if err != nil {
		return 0, err
	}
	defer b.close()
	if sample > 0 {
		h := fnv.New64a()
		h.Write([]byte(seed))
		rand.New(rand.NewPCG(h.Sum64(), 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		b.known = map[string]verdict{}
	}
	// Others of the machine come first.
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 5); err != nil {
		fmt.Fprintln(os.Stderr, "mutate: priority:", err)
	}
	begun := time.Now()
	table := tally{}
	for _, m := range all {
		if sample > 0 && time.Since(begun) > sample {
			break
		}
		v, err := b.judge(m)
		if err != nil {
			return 0, fmt.Errorf("%s: %s: %w", m.file, m.reason, err)
		}
		table.add(m, v)
		fmt.Printf("%-10s %s: %s\n", v, m.file, m.reason)
		if v == equivalent {
			fmt.Printf("%-10s because %s\n", "", m.equivalent)
		}
	}
	return table.print(), nil
}

// tally counts verdicts by package.
type tally map[string]map[verdict]int

func (t tally) add(m *mutation, v verdict) {
	if t[m.pkg()] == nil {
		t[m.pkg()] = map[verdict]int{}
	}
	t[m.pkg()][v]++
	if t["all"] == nil {
		t["all"] = map[verdict]int{}
	}
	t["all"][v]++
}

// print prints a line per package, the sum last, and returns how many faults
// survived or do not compile.
func (t tally) print() int {
	var packages []string
	for p := range t {
		if p != "all" {
			packages = append(packages, p)
		}
	}
	slices.Sort(packages)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\npackage\tkilled\tsurvived\tequivalent\tbroken\tshare killed\t")
	for _, p := range append(packages, "all") {
		c := t[p]
		share := "-"
		if n := c[killed] + c[survived]; n > 0 {
			share = fmt.Sprintf("%.0f %%", 100*float64(c[killed])/float64(n))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t\n", p, c[killed], c[survived], c[equivalent], c[broken], share)
	}
	w.Flush()
	return t["all"][survived] + t["all"][broken]
}
