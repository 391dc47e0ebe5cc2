// Command finetune shows what fine-tuning the built-in model on ten images
// gains on images that nothing has seen, and how long it takes. SET is prepared
// by `unet prepare --size native`; the model was not trained on its validation
// and test images, of which the cases are made:
//
//   - microscope: a new kind of contrast. Fluorescence images become relief
//     images (the slope of the blurred intensity along the diagonal, with
//     noise), as an oblique illumination would show: a synthetic change, the
//     same for ten annotated fields and for the unseen fields that are scored.
//   - slides: every second purple section is annotated, the others, of the same
//     slides, are scored.
//   - others: ten purple sections are annotated, sections of other slides are
//     scored: what fine-tuning costs where it cannot help.
//
// Usage:
//
//	go run ./bench/quality/finetune [-case microscope,slides,others] [-preset quick] SET
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"unet/bench/program"
	"unet/unet/dataset"
)

func main() {
	cases := flag.String("case", "microscope,slides,others", "comma-separated cases")
	preset := flag.String("preset", "quick", "length of the training")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "finetune: give one prepared set")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *preset, strings.Split(*cases, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "finetune:", err)
		os.Exit(1)
	}
}

func run(dir, preset string, cases []string) error {
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "unet-finetune")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	unet, err := program.Build(work)
	if err != nil {
		return err
	}
	b := &bench{work: work, preset: preset, program: unet}
	fmt.Println("| case | images | training | model | PooledAP50 | MeanAP .5:.9 | KaggleScore | merged | missed | invented |\n|---|--:|--:|---|--:|--:|--:|--:|--:|--:|")
	for _, name := range cases {
		own, unseen, err := choose(set, name)
		if err != nil {
			return err
		}
		if err := b.measure(name, own, unseen); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

type bench struct{ work, preset, program string }

func (b *bench) unet(args ...string) ([]byte, error) {
	out, err := exec.Command(b.program, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("unet %s: %s", args[0], exit.Stderr)
	}
	return out, err
}

// measure trains on own and scores unseen before and after.
func (b *bench) measure(name string, own, unseen []*dataset.Sample) error {
	if len(own) < 5 || len(unseen) == 0 {
		return fmt.Errorf("%d images to annotate and %d unseen ones: too few", len(own), len(unseen))
	}
	annotated, scored := filepath.Join(b.work, name+"-own"), filepath.Join(b.work, name+"-unseen")
	for _, s := range []struct {
		folder, split string
		samples       []*dataset.Sample
	}{{annotated, "0.8,0.2,0", own}, {scored, "1,0,0", unseen}} {
		if err := write(s.folder, s.samples); err != nil {
			return err
		}
		if _, err := b.unet("prepare", s.folder, "--out", s.folder+"-set", "--size", "native", "--split", s.split, "--quiet"); err != nil {
			return err
		}
	}
	start := time.Now()
	run := filepath.Join(b.work, name+"-run")
	out, err := b.unet("train", annotated+"-set", "--from", "embedded", "--preset", b.preset, "--out", run, "--quiet", "--json")
	if err != nil {
		return err
	}
	took := time.Since(start)
	var trained struct {
		Unchanged bool
		Epochs    int
		BestEpoch int `json:"best_epoch"`
	}
	if err := json.Unmarshal(out, &trained); err != nil {
		return err
	}
	after := fmt.Sprintf("fine-tuned, epoch %d of %d", trained.BestEpoch, trained.Epochs)
	if trained.Unchanged {
		after = fmt.Sprintf("none of %d epochs better: the built-in one", trained.Epochs)
	}
	for _, m := range []struct{ label, time, file string }{
		{"built-in", "", "embedded"}, {after, took.Round(time.Second).String(), filepath.Join(run, "model.safetensors")},
	} {
		s, err := b.score(scored+"-set", m.file)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %d + %d | %s | %s | %.3f | %.3f | %.3f | %d | %d | %d |\n", name, len(own), len(unseen), m.time, m.label,
			s.Pooled[0].AP, s.Mean, s.Kaggle, s.Errors.Merged, s.Errors.Missed, s.Errors.Invented)
	}
	return nil
}

// scores are those of `unet evaluate --json` that are shown.
type scores struct {
	Mean   float64 `json:"mean_ap_50_90"`
	Kaggle float64 `json:"kaggle_score"`
	Pooled []struct {
		AP float64 `json:"ap"`
	} `json:"pooled"`
	Errors struct{ Merged, Missed, Invented int } `json:"errors"`
}

// score evaluates a model on the images of a set, all in its first split.
func (b *bench) score(set, model string) (*scores, error) {
	out, err := b.unet("evaluate", set, "--model", model, "--split", dataset.Train, "--json")
	if err != nil {
		return nil, err
	}
	var r struct {
		Results struct {
			Splits []struct {
				All struct{ Nuclei scores } `json:"all"`
			} `json:"splits"`
		} `json:"results"`
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, err
	}
	if len(r.Results.Splits) != 1 || len(r.Results.Splits[0].All.Nuclei.Pooled) == 0 {
		return nil, errors.New("unet evaluate gave no scores")
	}
	return &r.Results.Splits[0].All.Nuclei, nil
}
