//go:build unix

// Command sets measures what a training takes of memory and time by the number of
// images in its set: `unet train` on two sets of generated images, in turns.
//
//	go run ./bench/speed/sets [-unet PROGRAM] [-images 100,20000] [-side 128] [-steps 40]
//
// What differs between the sets should be their index and what of their images is
// kept in memory, some tens of MiB, and the time that loading takes.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"unet/bench/program"
	"unet/unet/imageio"
)

func main() {
	name := flag.String("unet", "", "the program; built if empty")
	images := flag.String("images", "100,20000", "numbers of images")
	side := flag.Int("side", 128, "of the images, in pixels")
	steps := flag.Int("steps", 40, "of training")
	flag.Parse()
	if err := measure(*name, strings.Split(*images, ","), *side, *steps); err != nil {
		fmt.Fprintln(os.Stderr, "sets:", err)
		os.Exit(1)
	}
}

func measure(name string, counts []string, side, steps int) error {
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
	fmt.Println("images  prepare      MiB    train      MiB")
	for _, text := range counts {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		in, set := filepath.Join(dir, text), filepath.Join(dir, "set"+text)
		if err := generate(in, n, side); err != nil {
			return err
		}
		prepared, err := run(name, "prepare", in, "--out", set, "--size", "native", "--quiet")
		if err != nil {
			return err
		}
		if err := os.RemoveAll(in); err != nil {
			return err
		}
		trained, err := run(name, "train", set, "--out", filepath.Join(dir, "run"+text), "--epochs", "1", "--steps", strconv.Itoa(steps), "--quiet")
		if err != nil {
			return err
		}
		fmt.Printf("%6d  %6.1fs  %7.0f  %6.1fs  %7.0f\n", n, prepared.seconds, prepared.mebibytes, trained.seconds, trained.mebibytes)
	}
	return nil
}

// cost is what a process took.
type cost struct{ seconds, mebibytes float64 }

func run(name string, args ...string) (cost, error) {
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

// generate writes images of noisy discs, and their label images.
func generate(dir string, n, side int) error {
	for _, d := range []string{"images", "labels"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	for k := range n {
		gray, labels := imageio.NewLabels(side, side), imageio.NewLabels(side, side)
		for i := range gray.ID {
			gray.ID[i] = uint32(20 + rng.IntN(20))
		}
		for id := range uint32(6) {
			x0, y0, r := rng.IntN(side), rng.IntN(side), 4+rng.IntN(5)
			for y := max(0, y0-r); y < min(side, y0+r+1); y++ {
				for x := max(0, x0-r); x < min(side, x0+r+1); x++ {
					if (x-x0)*(x-x0)+(y-y0)*(y-y0) <= r*r {
						gray.ID[y*side+x], labels.ID[y*side+x] = uint32(150+rng.IntN(60)), id+1
					}
				}
			}
		}
		file := fmt.Sprintf("%06d.png", k)
		if err := imageio.WriteLabels(filepath.Join(dir, "images", file), gray); err != nil {
			return err
		}
		if err := imageio.WriteLabels(filepath.Join(dir, "labels", file), labels); err != nil {
			return err
		}
	}
	return nil
}
