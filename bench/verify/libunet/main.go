// Command libunet builds segmentation as a shared library and calls it from C,
// C++ and Python, with the results of package segment as the measure.
//
//	go run ./bench/verify/libunet
//
// Needed are a C and a C++ compiler (CC, CXX) and python3.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"unet/core"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/segment"
	"unet/unet/weights"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "libunet:", err)
		os.Exit(1)
	}
}

func or(name, missing string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return missing
}

// command returns what a program writes to standard output; the rest is shown.
func command(name string, args ...string) (string, error) {
	c := exec.Command(name, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, os.Stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return out.String(), nil
}

func run() error {
	dir, err := os.MkdirTemp("", "libunet")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	library := filepath.Join(dir, "libunet.so")
	if _, err := command("go", "build", "-buildmode=c-shared", "-o", library, "unet/unet/libunet"); err != nil {
		return err
	}
	const header, source = "unet/libunet", "bench/verify/libunet/clients/client.c"
	flags := []string{"-Wall", "-Wextra", "-Werror", "-O1", "-I" + header}
	link := []string{"-L" + dir, "-lunet", "-Wl,-rpath," + dir}
	inC, inCPP := filepath.Join(dir, "client-c"), filepath.Join(dir, "client-cpp")
	if _, err := command(or("CC", "cc"), append(append(flags, "-std=c11", source, "-o", inC), link...)...); err != nil {
		return err
	}
	if _, err := command(or("CXX", "c++"), append(append(flags, "-std=c++17", "-x", "c++", source, "-x", "none", "-o", inCPP), link...)...); err != nil {
		return err
	}
	made, err := dataset.Synthesise(dataset.Synthesis{Count: 3, Size: 200, Seed: 5})
	if err != nil {
		return err
	}
	for _, sample := range made {
		want, args, err := expected(sample.Image, filepath.Join(dir, "image.raw"))
		if err != nil {
			return err
		}
		for _, client := range [][]string{{inC}, {inCPP}, {"python3", "bench/verify/libunet/clients/client.py", library}} {
			got, err := command(client[0], append(client[1:], args...)...)
			if err != nil {
				return err
			}
			if strings.TrimSpace(got) != want {
				return fmt.Errorf("%s says %q, package segment %q", client, got, want)
			}
		}
		fmt.Printf("%s: %s, from C, C++ and Python as from Go\n", sample.ID, want)
	}
	return nil
}

// expected writes an image's samples for the clients, and says what they should
// print and how they are called.
func expected(img *imageio.Image, file string) (want string, args []string, err error) {
	var raw []byte
	for i := range img.W * img.H {
		for c := range img.C {
			raw = append(raw, byte(img.Pix[c*img.W*img.H+i]))
		}
	}
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		return "", nil, err
	}
	e, err := core.NewEngine("", 0)
	if err != nil {
		return "", nil, err
	}
	defer e.Close()
	m, err := weights.Default()
	if err != nil {
		return "", nil, err
	}
	defer m.Params.Free()
	s, err := segment.New(e, m, segment.Options{})
	if err != nil {
		return "", nil, err
	}
	defer s.Close()
	r, err := s.Image(context.Background(), img)
	if err != nil {
		return "", nil, err
	}
	sum, area := uint64(0), 0
	for i, id := range r.Labels.ID {
		sum += uint64(i+1) * uint64(id)
	}
	for _, n := range r.Nuclei {
		area += n.Area
	}
	return fmt.Sprintf("%d nuclei, %d pixels, labels %d", len(r.Nuclei), area, sum),
		[]string{file, fmt.Sprint(img.W), fmt.Sprint(img.H), fmt.Sprint(img.C)}, nil
}
