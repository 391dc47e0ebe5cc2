// Command counts checks on real images that a program which calls package segment finds
// what `unet predict` finds: the same labels, to the pixel, of every image.
//
//	go run ./bench/verify/counts IMAGE...
//
// It prints how many images and nuclei were compared and ends with status 1 if
// any differ.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"unet/bench/program"
	"unet/core"
	"unet/unet/imageio"
	"unet/unet/segment"
	"unet/unet/weights"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "counts: name images or folders")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "counts:", err)
		os.Exit(1)
	}
}

func run(images []string) error {
	dir, err := os.MkdirTemp("", "counts")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	summary, err := predict(dir, images)
	if err != nil {
		return err
	}
	e, err := core.NewEngine("", 0)
	if err != nil {
		return err
	}
	defer e.Close()
	m, err := weights.Default()
	if err != nil {
		return err
	}
	defer m.Params.Free()
	s, err := segment.New(e, m, segment.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	nuclei, differ := 0, 0
	for _, im := range summary.Images {
		same, n, err := compare(s, dir, im)
		if err != nil {
			return err
		}
		if nuclei += n; !same {
			differ++
			fmt.Printf("%s: %d nuclei, the program finds %d\n", im.Name, n, im.Planes[0].Nuclei)
		}
	}
	fmt.Printf("%d images, %d nuclei, %d images differ\n", len(summary.Images), nuclei, differ)
	if differ > 0 {
		return fmt.Errorf("the package and the program differ")
	}
	return nil
}

// predict runs the program.
func predict(dir string, images []string) (*segment.Summary, error) {
	unet, err := program.Build(dir)
	if err != nil {
		return nil, err
	}
	args := append([]string{"predict", "--out", filepath.Join(dir, "out"), "--format", segment.Labels, "--json", "--quiet"}, images...)
	c := exec.Command(unet, args...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("unet predict: %w", err)
	}
	s := new(segment.Summary)
	return s, json.Unmarshal(out, s)
}

// compare reports whether the package finds the labels that the program wrote.
func compare(s *segment.Segmenter, dir string, im *segment.ImageRecord) (same bool, nuclei int, err error) {
	if len(im.Planes) != 1 {
		return false, 0, fmt.Errorf("%s: %d planes; give images of one", im.Name, len(im.Planes))
	}
	img, err := imageio.Read(im.Input)
	if err != nil {
		return false, 0, err
	}
	got, err := s.Image(context.Background(), img)
	if err != nil {
		return false, 0, err
	}
	want, err := imageio.ReadLabels(filepath.Join(dir, "out", filepath.FromSlash(im.Planes[0].Outputs[0])))
	if err != nil {
		return false, 0, err
	}
	return slices.Equal(got.Labels.ID, want.ID) && len(got.Nuclei) == im.Planes[0].Nuclei, len(got.Nuclei), nil
}
