//go:build unix

// Command sets measures what a training, or `unet prepare` and `unet inspect`, takes of
// memory and time by the number of images: on sets of generated images, one after the
// other.
//
//	go run ./bench/speed/sets [-unet PROGRAM] [-images 100,20000] [-side 128] [-steps 40]
//	go run ./bench/speed/sets -prepare [-images 100,20000] [-side 64]
//
// What differs between the sets should be their index and what of their images is
// kept in memory, some tens of MiB, and the time that reading takes. To write few
// files, the images of the larger training sets are the same ones under many names: a
// training reads each as one of its own. Those that are prepared are all different,
// as groups of related images are searched for.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"unet/bench/program"
)

func main() {
	name := flag.String("unet", "", "the program; built if empty")
	images := flag.String("images", "100,20000", "numbers of training images")
	side := flag.Int("side", 128, "of the images, in pixels")
	steps := flag.Int("steps", 40, "of training")
	prepare := flag.Bool("prepare", false, "measure unet prepare and unet inspect, not a training")
	flag.Parse()
	if err := run(*name, strings.Split(*images, ","), *side, *steps, *prepare); err != nil {
		fmt.Fprintln(os.Stderr, "sets:", err)
		os.Exit(1)
	}
}

func run(name string, counts []string, side, steps int, prepare bool) error {
	dir, err := os.MkdirTemp("", "sets")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if name == "" {
		if name, err = program.Build(dir); err != nil {
			return err
		}
	}
	numbers := make([]int, len(counts))
	for i, text := range counts {
		if numbers[i], err = strconv.Atoi(text); err != nil {
			return err
		}
	}
	if prepare {
		return prepared(name, dir, numbers, side)
	}
	return trained(name, dir, numbers, side, steps)
}

// prepared measures unet prepare and unet inspect: of an archive, and of the set.
func prepared(name, dir string, counts []int, side int) error {
	fmt.Println("images          prepare          inspect     inspect SET")
	for _, n := range counts {
		archive, set := filepath.Join(dir, fmt.Sprint(n, ".zip")), filepath.Join(dir, fmt.Sprint(n))
		if _, err := call(name, "sample", "--out", archive, "--count", strconv.Itoa(n), "--size", strconv.Itoa(side), "--quiet"); err != nil {
			return err
		}
		fmt.Printf("%6d", n)
		for _, args := range [][]string{{"prepare", archive, "--out", set, "--quiet"}, {"inspect", archive, "--quiet"}, {"inspect", set, "--quiet"}} {
			c, err := call(name, args...)
			if err != nil {
				return err
			}
			fmt.Printf("  %5.1fs %4.0f MiB", c.seconds, c.mebibytes)
		}
		fmt.Println()
	}
	return nil
}

// trained measures unet train.
func trained(name, dir string, counts []int, side, steps int) error {
	archive, set := filepath.Join(dir, "images.zip"), filepath.Join(dir, "set")
	if _, err := call(name, "sample", "--out", archive, "--count", "40", "--size", strconv.Itoa(side), "--quiet"); err != nil {
		return err
	}
	if _, err := call(name, "prepare", archive, "--out", set, "--size", "native", "--quiet"); err != nil {
		return err
	}
	fmt.Println("images    time  memory")
	for _, n := range counts {
		large := filepath.Join(dir, strconv.Itoa(n))
		if err := multiply(set, large, n); err != nil {
			return err
		}
		c, err := call(name, "train", large, "--out", filepath.Join(dir, fmt.Sprint("run", n)), "--epochs", "1", "--steps", strconv.Itoa(steps), "--quiet")
		if err != nil {
			return err
		}
		fmt.Printf("%6d  %5.1fs  %.0f MiB\n", n, c.seconds, c.mebibytes)
	}
	return nil
}

// cost is what a process took.
type cost struct{ seconds, mebibytes float64 }

// call runs the program.
func call(name string, args ...string) (cost, error) {
	c := exec.Command(name, args...)
	c.Stderr = os.Stderr
	start := time.Now()
	err := c.Run()
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{time.Since(start).Seconds(), float64(usage.Maxrss) / 1024}, nil
}

// multiply makes a set of n training images out of those of another.
func multiply(from, to string, n int) error {
	b, err := os.ReadFile(filepath.Join(from, "metadata.json"))
	if err != nil {
		return err
	}
	var meta map[string]any
	if err := json.Unmarshal(b, &meta); err != nil {
		return err
	}
	var train, all []map[string]any
	for _, e := range meta["entries"].([]any) {
		if e := e.(map[string]any); e["split"] == "train" {
			train = append(train, e)
		} else if err := link(from, to, e["id"].(string), e["id"].(string)); err != nil {
			return err
		} else {
			all = append(all, e)
		}
	}
	for k := range n {
		e := train[k%len(train)]
		copied := map[string]any{}
		for name, v := range e {
			copied[name] = v
		}
		copied["id"] = fmt.Sprintf("%06d", k)
		if err := link(from, to, e["id"].(string), copied["id"].(string)); err != nil {
			return err
		}
		all = append(all, copied)
	}
	meta["entries"] = all
	if b, err = json.Marshal(meta); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "metadata.json"), b, 0o644)
}

// link gives the image of a set and its labels another name in another set.
func link(from, to, name, other string) error {
	for _, kind := range []string{"images", "labels"} {
		if err := os.MkdirAll(filepath.Join(to, kind), 0o755); err != nil {
			return err
		}
		if err := os.Link(filepath.Join(from, kind, name+".png"), filepath.Join(to, kind, other+".png")); err != nil {
			return err
		}
	}
	return nil
}
