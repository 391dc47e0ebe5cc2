//go:build unix

// Command probe gives the program hostile inputs and command lines, one after the other
// as its tables list them, and checks of each run: exit status, one line of error
// with what it must say, peak memory, that it ended, that no file that was there
// before has changed, and that nothing half written is left.
//
//	go run ./bench/verify/probe [-unet PROGRAM] [-run REGEXP]
//
// It prints the rows that failed and a count, and ends with status 1 if there
// were any. Rows that need root, such as those of a full disk, are skipped for
// others, and counted. Run it in the repository: images come from its test data.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"time"

	"unet/bench/program"
)

func main() {
	unet := flag.String("unet", "", "the program to probe; empty: built from the sources")
	run := flag.String("run", "", "probe only the rows whose name matches this regular expression")
	list := flag.Bool("list", false, "print the rows and end")
	flag.Parse()
	match, err := regexp.Compile(*run)
	if err != nil {
		fail(err)
	}
	var rows []row
	seen := map[string]bool{}
	for _, r := range allRows() {
		if seen[r.name] {
			fail(fmt.Errorf("two rows are named %q", r.name))
		}
		seen[r.name] = true
		if match.MatchString(r.name) {
			rows = append(rows, r)
		}
	}
	if *list {
		for _, r := range rows {
			fmt.Printf("%s: %s\n\tunet %s\n", r.line, r.name, r.args)
		}
		return
	}
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		fail(err)
	}
	failed, err := probe(dir, *unet, rows)
	os.RemoveAll(dir)
	if err != nil {
		fail(err)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "probe:", err)
	os.Exit(2)
}

// probe runs the rows, two at a time, in folders below dir, and returns how many
// failed.
func probe(dir, unet string, rows []row) (failed int, err error) {
	start := time.Now()
	if err := os.Chmod(dir, 0o755); err != nil { // for rows of another user
		return 0, err
	}
	if unet == "" {
		if unet, err = program.Build(dir); err != nil {
			return 0, err
		}
	} else if unet, err = program.Bring(unet, dir); err != nil {
		return 0, err
	}
	b, err := newBase(filepath.Join(dir, "base"), unet)
	if err != nil {
		return 0, err
	}
	var (
		mu      sync.Mutex
		wg      sync.WaitGroup
		skipped int
		next    = make(chan row)
	)
	for range 2 {
		wg.Go(func() {
			for r := range next {
				folder, err := os.MkdirTemp(dir, "row")
				if err != nil {
					fail(err)
				}
				faults, skip := b.try(folder, r)
				remove(folder)
				mu.Lock()
				if skip {
					skipped++
				}
				if len(faults) > 0 {
					failed++
					fmt.Printf("FAILED %s: %s\n  unet %q\n", r.line, r.name, r.args)
					for _, f := range faults {
						fmt.Printf("  %s\n", f)
					}
				}
				mu.Unlock()
			}
		})
	}
	for _, r := range rows {
		next <- r
	}
	close(next)
	wg.Wait()
	fmt.Printf("%d probes on %s: %d as promised, %d not, %d skipped, in %.0f s\n", len(rows), runtime.GOOS,
		len(rows)-failed-skipped, failed, skipped, time.Since(start).Seconds())
	return failed, nil
}
