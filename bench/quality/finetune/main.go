// Command finetune shows what fine-tuning the built-in model on a few images
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
// Any other case is the name of a source of the set: as many of its images as
// -images says are annotated, of different fields, those of other fields are scored,
// and what it costs on the validation images of all other sources is shown. For
// laboratories that the model has not seen, -from gives one that has not.
//
// Usage:
//
//	go run ./bench/quality/finetune [-case microscope,slides,others] [-images 10] [-from embedded] [-epochs N] SET
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"unet/bench/program"
	"unet/unet/dataset"
)

func main() {
	b := &bench{}
	cases := flag.String("case", "microscope,slides,others", "comma-separated cases and sources")
	images := flag.String("images", "10", "comma-separated `NUMBERS` of annotated images, at most")
	flag.StringVar(&b.from, "from", "embedded", "`MODEL` to begin with")
	flag.IntVar(&b.epochs, "epochs", 0, "epochs of 100 steps, 0 for those of the preset quick")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "finetune: give one prepared set")
		os.Exit(2)
	}
	if err := b.run(flag.Arg(0), strings.Split(*cases, ","), strings.Split(*images, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "finetune:", err)
		os.Exit(1)
	}
}

func (b *bench) run(dir string, cases, images []string) error {
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "unet-finetune"); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	if b.program, err = program.Build(b.work); err != nil {
		return err
	}
	fmt.Println("| case | images | training | model | PooledAP50 | MeanAP .5:.9 | KaggleScore | merged | missed | invented | elsewhere: PooledAP50 |\n|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, name := range cases {
		for _, text := range images {
			n, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			c, err := choose(set, name, n)
			if err != nil {
				return err
			}
			if err := b.measure(fmt.Sprintf("%s-%d", name, n), c); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

type bench struct {
	work, program, from string
	epochs              int
}

func (b *bench) unet(args ...string) ([]byte, error) {
	out, err := exec.Command(b.program, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("unet %s: %s", args[0], exit.Stderr)
	}
	return out, err
}

// measure trains on the annotated images and scores the others before and after.
func (b *bench) measure(name string, c trial) error {
	if len(c.own) < 3 || len(c.unseen) == 0 {
		return fmt.Errorf("%d images to annotate and %d unseen ones: too few", len(c.own), len(c.unseen))
	}
	share := "0.8,0.2,0"
	if len(c.own) < 5 {
		share = "0.6,0.4,0"
	}
	at := func(what string) string { return filepath.Join(b.work, name+"-"+what) }
	for _, s := range []struct {
		what, split string
		samples     []*dataset.Sample
	}{{"own", share, c.own}, {"unseen", "1,0,0", c.unseen}, {"elsewhere", "1,0,0", c.elsewhere}} {
		if len(s.samples) == 0 {
			continue
		}
		if err := write(at(s.what), s.samples); err != nil {
			return err
		}
		if _, err := b.unet("prepare", at(s.what), "--out", at(s.what)+"-set", "--size", "native", "--split", s.split, "--quiet"); err != nil {
			return err
		}
	}
	start := time.Now()
	args := []string{"train", at("own") + "-set", "--from", b.from, "--preset", "quick", "--out", at("run"), "--quiet", "--json"}
	if b.epochs > 0 {
		args = append(args, "--epochs", strconv.Itoa(b.epochs))
	}
	out, err := b.unet(args...)
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
		after = fmt.Sprintf("none of %d epochs better: as before", trained.Epochs)
	}
	for _, m := range []struct{ label, time, file string }{
		{"before", "", b.from}, {after, took.Round(time.Second).String(), filepath.Join(at("run"), "model.safetensors")},
	} {
		s, err := b.score(at("unseen")+"-set", m.file)
		if err != nil {
			return err
		}
		elsewhere := ""
		if len(c.elsewhere) > 0 {
			e, err := b.score(at("elsewhere")+"-set", m.file)
			if err != nil {
				return err
			}
			elsewhere = fmt.Sprintf("%.3f", e.Pooled[0].AP)
		}
		fmt.Printf("| %s | %d + %d | %s | %s | %.3f | %.3f | %.3f | %d | %d | %d | %s |\n", name, len(c.own), len(c.unseen), m.time, m.label,
			s.Pooled[0].AP, s.Mean, s.Kaggle, s.Errors.Merged, s.Errors.Missed, s.Errors.Invented, elsewhere)
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
