// Command labs measures what a recipe is worth on laboratories it has not seen:
// it trains a model for each fold of the sources of a set, without those
// sources, and scores it on them alone. Thresholds of a fold's model are the
// medians of those that suit the other folds' models on what these had left
// out, so that nothing is chosen on what is scored.
//
//	unet prepare stage1_train.zip stage1_test_57.zip --corrections stage1_train_fixes.zip --out set --size native --fix
//	go run ./bench/quality/labs [-folds 5] SET RUNS [options of unet train]
//
// RUNS gets a folder for each fold. The same command continues where it was cut
// off: finished folds are not trained again. The tables are Markdown.
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
	"slices"
	"strings"

	"unet/bench/program"
	"unet/unet"
	"unet/unet/evaluate"
	"unet/unet/instance"
)

func main() {
	folds := flag.Int("folds", 5, "number of folds")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "labs: give a prepared set and a folder for the runs")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *folds, flag.Args()[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "labs:", err)
		os.Exit(1)
	}
}

// bench runs the program.
type bench struct{ program, set, runs string }

func run(set, runs string, folds int, options []string) error {
	if err := os.MkdirAll(runs, 0o777); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "labs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := bench{set: set, runs: runs}
	if b.program, err = program.Build(tmp); err != nil {
		return err
	}
	params := make([]instance.Params, folds)
	for k := range folds {
		if err := b.train(k, folds, options); err != nil {
			return fmt.Errorf("fold %d: %w", k+1, err)
		}
		if params[k], err = b.tuned(k); err != nil {
			return fmt.Errorf("fold %d: %w", k+1, err)
		}
	}
	var plain, chosen []evaluate.SetScores
	for k := range folds {
		r, err := b.score(b.model(k))
		if err != nil {
			return err
		}
		plain = append(plain, r.Results.Splits[0].Sources...)
		others := slices.Delete(slices.Clone(params), k, k+1)
		if r, err = b.scoreWith(k, median(others)); err != nil {
			return err
		}
		chosen = append(chosen, r.Results.Splits[0].Sources...)
	}
	table("thresholds of training's own validation images", plain)
	table("thresholds of the other folds", chosen)
	fmt.Printf("\nmedian of all folds' thresholds: %s\n", evaluate.ParamsText(unet.Nuclei, median(params)))
	return nil
}

func (b bench) folder(k int) string { return filepath.Join(b.runs, fmt.Sprintf("fold-%d", k+1)) }
func (b bench) model(k int) string  { return filepath.Join(b.folder(k), "model.safetensors") }

// train trains a fold, or the rest of it.
func (b bench) train(k, folds int, options []string) error {
	if exists(b.model(k)) {
		return nil
	}
	args := []string{"train", b.set, "--out", b.folder(k), "--split-by", "source", "--fold", fmt.Sprintf("%d/%d", k+1, folds)}
	if exists(filepath.Join(b.folder(k), "checkpoint.safetensors")) {
		args = append(args, "--resume")
		for i := 0; i < len(options); i++ { // all settings but the start are in the run
			if options[i] == "--from" {
				args = append(args, options[i:min(i+2, len(options))]...)
			}
		}
	} else {
		args = append(args, options...)
	}
	cmd := exec.Command(b.program, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}

// score scores a model on what it has not seen.
func (b bench) score(model string, options ...string) (*evaluate.Report, error) {
	cmd := exec.Command(b.program, append([]string{"evaluate", b.set, "--model", model, "--split-by", "source", "--json", "-q"}, options...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", model, err)
	}
	r := new(evaluate.Report)
	if err := json.Unmarshal(out, r); err != nil {
		return nil, err
	}
	if len(r.Results.Splits) != 1 {
		return nil, errors.New("evaluate: no single split was scored")
	}
	return r, nil
}

// tuned returns the thresholds that suit a fold's model on what it has not seen.
func (b bench) tuned(k int) (instance.Params, error) {
	file := filepath.Join(b.folder(k), "tuned.safetensors")
	if !exists(file) {
		part := file + ".part"
		if err := copyFile(part, b.model(k)); err != nil {
			return instance.Params{}, err
		}
		if _, err := b.score(part, "--tune"); err != nil {
			return instance.Params{}, err
		}
		if err := os.Rename(part, file); err != nil {
			return instance.Params{}, err
		}
	}
	m, err := unet.LoadModel(file)
	if err != nil {
		return instance.Params{}, err
	}
	defer m.Params.Free()
	return m.Card.Instance, nil
}

// scoreWith scores a fold's model with other thresholds.
func (b bench) scoreWith(k int, p instance.Params) (*evaluate.Report, error) {
	file := filepath.Join(b.folder(k), "others.safetensors")
	if err := copyFile(file, b.model(k)); err != nil {
		return nil, err
	}
	m, err := unet.LoadModel(file)
	if err != nil {
		return nil, err
	}
	card := m.Card
	m.Params.Free()
	card.Instance = p
	if err := unet.RewriteCard(file, card); err != nil {
		return nil, err
	}
	return b.score(file)
}

// median takes the middle value of every threshold, and of the weights of
// confidence.
func median(list []instance.Params) instance.Params {
	p := list[0]
	middle := func(of func(instance.Params) float64) float64 {
		var v []float64
		for _, q := range list {
			v = append(v, of(q))
		}
		slices.Sort(v)
		return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	}
	p.Foreground = middle(func(q instance.Params) float64 { return q.Foreground })
	p.Seed = middle(func(q instance.Params) float64 { return q.Seed })
	p.Prominence = middle(func(q instance.Params) float64 { return q.Prominence })
	p.Border = middle(func(q instance.Params) float64 { return q.Border })
	p.MinArea = int(middle(func(q instance.Params) float64 { return float64(q.MinArea) }))
	for i := range p.Confidence {
		p.Confidence[i] = middle(func(q instance.Params) float64 { return q.Confidence[i] })
	}
	return p
}

// table prints the scores of all sources and their mean.
func table(title string, sources []evaluate.SetScores) {
	slices.SortFunc(sources, func(a, b evaluate.SetScores) int { return strings.Compare(a.Name, b.Name) })
	fmt.Printf("\n%s:\n\n| source | images | nuclei | PooledAP50 | KaggleScore | matched | merged | missed | inexact | split | invented |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n", title)
	mean50, mean := 0.0, 0.0
	for _, s := range sources {
		n, e := s.Nuclei, s.Nuclei.Errors
		fmt.Printf("| %s | %d | %d | %.3f | %.3f | %d | %d | %d | %d | %d | %d |\n", s.Name, s.Images, n.Truth, n.Pooled[0].AP, n.KaggleScore,
			e.Matched, e.Merged, e.Missed, e.Inexact, e.Split, e.Invented)
		mean50 += n.Pooled[0].AP / float64(len(sources))
		mean += n.KaggleScore / float64(len(sources))
	}
	fmt.Printf("| mean over sources | | | %.3f | %.3f | | | | | | |\n", mean50, mean)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
