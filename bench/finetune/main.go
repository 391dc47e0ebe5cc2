// Command finetune shows what fine-tuning the built-in model on a few images
// gains and how long it takes. Of a set prepared by `unet prepare --size
// native`, the validation images of one kind play the user's annotated images
// and the test images of that kind, which nothing has seen, are scored before
// and after (as the only split of a set of their own).
//
//	go run ./bench/finetune SET                      ten purple sections
//	go run ./bench/finetune -kind fluorescence-large -images 10 SET
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"unet/unet/dataset"
)

func main() {
	kind := flag.String("kind", "histology-purple", "kind of images")
	images := flag.Int("images", 10, "at most so many of the user's images")
	preset := flag.String("preset", "quick", "length of the training")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "finetune: give one prepared set")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *kind, *preset, *images); err != nil {
		fmt.Fprintln(os.Stderr, "finetune:", err)
		os.Exit(1)
	}
}

func run(dir, kind, preset string, images int) error {
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "unet-finetune")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	program := filepath.Join(work, "unet")
	if out, err := exec.Command("go", "build", "-o", program, "unet/cli/unet").CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	unet := func(args ...string) ([]byte, error) {
		out, err := exec.Command(program, args...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("unet %s: %s", args[0], exit.Stderr)
		}
		return out, err
	}
	own, unseen := filepath.Join(work, "own"), filepath.Join(work, "unseen")
	n, err := take(set, dataset.Val, kind, images, own)
	if err != nil {
		return err
	}
	m, err := take(set, dataset.Test, kind, 1<<20, unseen)
	if err != nil {
		return err
	}
	if n < 2 || m < 1 {
		return fmt.Errorf("%s has %d validation and %d test images of kind %q: needs 2 and 1", dir, n, m, kind)
	}
	for _, s := range []struct{ folder, split string }{{own, "0.8,0.2,0"}, {unseen, "1,0,0"}} {
		if _, err := unet("prepare", s.folder, "--out", s.folder+"-set", "--size", "native", "--split", s.split, "--quiet"); err != nil {
			return err
		}
	}
	start := time.Now()
	tuned := filepath.Join(work, "run")
	if _, err := unet("train", own+"-set", "--from", "embedded", "--preset", preset, "--out", tuned, "--quiet"); err != nil {
		return err
	}
	took := time.Since(start)
	fmt.Printf("%d images of kind %s, %s with --preset %s; scores on %d images of that kind that nothing has seen:\n\n",
		n, kind, took.Round(time.Second), preset, m)
	fmt.Println("| model | AP at IoU 0.5 | mean AP 0.5-0.9 | PQ | merged | missed | invented |\n|---|--:|--:|--:|--:|--:|--:|")
	for _, model := range []struct{ name, file string }{
		{"built-in", "embedded"}, {"fine-tuned", filepath.Join(tuned, "model.safetensors")},
	} {
		out, err := unet("evaluate", unseen+"-set", "--model", model.file, "--split", dataset.Train, "--json")
		if err != nil {
			return err
		}
		var r struct {
			Results struct {
				Splits []struct {
					All struct {
						Nuclei struct {
							Mean   float64 `json:"mean_ap_50_90"`
							PQ     float64 `json:"pq"`
							Pooled []struct {
								AP float64 `json:"ap"`
							} `json:"pooled"`
							Errors struct{ Merged, Missed, Invented int } `json:"errors"`
						} `json:"nuclei"`
					} `json:"all"`
				} `json:"splits"`
			} `json:"results"`
		}
		if err := json.Unmarshal(out, &r); err != nil {
			return err
		}
		s := r.Results.Splits[0].All.Nuclei
		fmt.Printf("| %s | %.3f | %.3f | %.3f | %d | %d | %d |\n", model.name, s.Pooled[0].AP, s.Mean, s.PQ, s.Errors.Merged, s.Errors.Missed, s.Errors.Invented)
	}
	return nil
}

// take copies up to most images of a kind with their label images to dir.
func take(set *dataset.Set, split, kind string, most int, dir string) (n int, err error) {
	for _, i := range set.Split(split) {
		e := set.Entries[i]
		if e.Kind != kind || n == most {
			continue
		}
		for _, folder := range []string{"images", "labels"} {
			files, err := filepath.Glob(filepath.Join(set.Dir, folder, e.ID+".*"))
			if err != nil || len(files) != 1 {
				return n, fmt.Errorf("%s in %s: %d files", e.ID, filepath.Join(set.Dir, folder), len(files))
			}
			if err := copyFile(files[0], filepath.Join(dir, folder, filepath.Base(files[0]))); err != nil {
				return n, err
			}
		}
		n++
	}
	return n, nil
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}
