//go:build unix

// Command large makes a large synthetic tiled TIFF of nuclei, segments it with
// `unet predict --max-memory`, and prints the time and the peak memory.
//
//	go run ./bench/speed/large                        40 000 x 40 000 pixels in 2 GiB
//	go run ./bench/speed/large -height 4096           a band of it: the same memory
//	go run ./bench/speed/large -side 4096 -check      compares with the image in one piece
//	go run ./bench/speed/large -side 4096 -max-memory 1GiB -parts 4
//	                                                  divided among parts, too, and joined
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"unet/bench/program"
	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
)

func main() {
	width := flag.Int("side", 40000, "width and height of the image")
	height := flag.Int("height", 0, "height, if another")
	memory := flag.String("max-memory", "2GiB", "memory allowed")
	model := flag.String("model", "", "model file (default: the built-in one)")
	formats := flag.String("format", "labels,csv,overlay", "results to write")
	check := flag.Bool("check", false, "segment it in one piece too and compare")
	parts := flag.Int("parts", 0, "divide it among so many parts, too, and compare")
	dir := flag.String("dir", "", "folder for the files (default: a temporary one)")
	flag.Parse()
	if *height == 0 {
		*height = *width
	}
	if err := run(*dir, *width, *height, *memory, *model, *formats, *check, *parts); err != nil {
		fmt.Fprintln(os.Stderr, "large:", err)
		os.Exit(1)
	}
}

func run(dir string, w, h int, memory, model, formats string, check bool, parts int) error {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "unet-large"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	unet, err := program.Build(dir)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "large.tif")
	start := time.Now()
	if err := synthesise(file, w, h); err != nil {
		return err
	}
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	fmt.Printf("%d x %d pixels, 8 bits, tiled: %d MiB, made in %.0f s\n", w, h, st.Size()>>20, time.Since(start).Seconds())
	pixels := float64(w) * float64(h)
	predict := func(name, out, memory string, more ...string) (string, error) {
		out = filepath.Join(dir, out)
		args := append([]string{"predict", file, "--out", out, "--format", formats, "--max-memory", memory}, more...)
		if model != "" {
			args = append(args, "--model", model)
		}
		return filepath.Join(out, "large.labels.tif"), measure(unet, fmt.Sprintf("%-8s --max-memory %-7s", name, memory), pixels, args...)
	}
	bands, err := predict("bands", "bands", memory)
	if err != nil {
		return err
	}
	for i := range parts {
		shard := fmt.Sprintf("%d/%d", i+1, parts)
		if _, err := predict("part "+shard, "parts", memory, "--shard", shard); err != nil {
			return err
		}
	}
	if parts > 0 {
		joined := filepath.Join(dir, "parts")
		if err := measure(unet, "gather", pixels, "gather", joined); err != nil {
			return err
		}
		if err := compare(bands, filepath.Join(joined, "large.labels.tif")); err != nil {
			return err
		}
	}
	if !check {
		return nil
	}
	whole, err := predict("whole", "whole", "1TiB")
	if err != nil {
		return err
	}
	return compare(bands, whole)
}

// measure runs the program and prints what it took.
func measure(unet, name string, pixels float64, args ...string) error {
	cmd := exec.Command(unet, append(args, "--json")...)
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	var m struct {
		Nuclei int
		Images []struct{ Planes []struct{ Banded bool } }
	}
	if err := json.Unmarshal(stdout.Bytes(), &m); err != nil {
		return err
	}
	line := fmt.Sprintf("%s  %8.1f s  %6.2f Mpixel/s  %9d nuclei", name, seconds, pixels/seconds/1e6, m.Nuclei)
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		line += fmt.Sprintf("  peak %d MiB, %.0f s of processor time", u.Maxrss>>10, cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds())
	}
	if len(m.Images) == 1 && len(m.Images[0].Planes) > 0 && m.Images[0].Planes[0].Banded {
		line += ", in bands"
	}
	fmt.Println(line)
	return nil
}

// compare fails where two label images differ.
func compare(one, other string) error {
	a, err := imageio.ReadLabels(one)
	if err != nil {
		return err
	}
	b, err := imageio.ReadLabels(other)
	if err != nil {
		return err
	}
	different := 0
	for i, id := range a.ID {
		if id != b.ID[i] {
			different++
		}
	}
	fmt.Printf("pixels whose labels differ: %d\n", different)
	if different > 0 {
		return fmt.Errorf("the labels differ")
	}
	return nil
}

// synthesise writes bright nuclei on a dark noisy ground: a field of 2048 x
// 2048 pixels, repeated.
func synthesise(file string, w, h int) error {
	const side, pitch = 2048, 32
	rng := rand.New(rand.NewPCG(1, 2))
	field := make([]float32, side*side)
	for y := 0; y < side; y += pitch {
		for x := 0; x < side; x += pitch {
			if rng.Float64() < 0.25 {
				continue
			}
			cx, cy := x+rng.IntN(pitch), y+rng.IntN(pitch)
			a, b, light := 6+rng.Float64()*8, 6+rng.Float64()*8, 60+100*rng.Float64()
			for dy := -15; dy <= 15; dy++ {
				for dx := -15; dx <= 15; dx++ {
					d := float64(dx*dx)/(a*a) + float64(dy*dy)/(b*b)
					if d < 1 {
						i := (cy+dy+side)%side*side + (cx+dx+side)%side
						field[i] = max(field[i], float32(light*(1-0.4*d)))
					}
				}
			}
		}
	}
	pixels := make([]uint32, side*side)
	for i, v := range field {
		pixels[i] = uint32(v + 12 + 10*rng.Float32())
	}
	f, err := tiff.Create(file, tiff.Options{W: w, H: h, Bits: 8, Tiled: true})
	if err != nil {
		return err
	}
	defer f.Abort()
	row := make([]uint32, w)
	for y := range h {
		src := pixels[y%side*side:][:side]
		for x := 0; x < w; x += side {
			copy(row[x:], src)
		}
		if err := f.WriteLabels(row); err != nil {
			return err
		}
	}
	return f.Close()
}
