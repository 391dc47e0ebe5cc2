package cli

import (
	"fmt"
	"slices"
	"strings"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/formats"
	"unet/unet/imageio/input"
	"unet/unet/segment"
	"unet/unet/weights"

	"github.com/urfave/cli/v2"
)

func evaluateCommand() *cli.Command {
	return &cli.Command{
		Name:  "evaluate",
		Usage: "score a model on a prepared set, or a Kaggle submission",
		UsageText: "unet evaluate DIR [--model MODEL] [--out DIR] [options]\n" +
			"unet evaluate --solution SOLUTION.csv PREDICTIONS.csv",
		Description: "Scores pixels (accuracy, precision, recall, F1 = Dice, IoU) and nuclei (AP,\n" +
			"precision, recall, F1 and PQ at IoU 0.50 to 0.95, with counts pooled over images and\n" +
			"as means over images; AJI; KaggleScore; kinds of errors) on each split, and for each\n" +
			"kind of image and each source (laboratory). --out writes index.html with pictures of\n" +
			"random, the best and the worst images of val and of random ones of train, the same\n" +
			"sheets as PNG, curves.png, metrics.json and images.csv.\n\n" +
			"--tune chooses the model's thresholds on the validation split, fits the confidence\n" +
			"of nuclei there, and stores both in the model file. --split-by source scores a model\n" +
			"of `unet train --split-by source` on the sources it has not seen, which then are the\n" +
			"split test; --tune works on them, too. --solution scores a table of run lengths by\n" +
			"Kaggle's rules.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "`MODEL` file, or embedded:NAME (default: the built-in model)"},
			&cli.StringFlag{Name: "split", Usage: "`SPLITS` to score, such as val or train,val (default: all)"},
			&cli.StringFlag{Name: "split-by", Usage: "score what training left out of the set's `PARTS`: source (the laboratories)"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` for the report"},
			&cli.IntFlag{Name: "samples", Value: 6, Usage: "`NUMBER` of images on each sheet of the report, 1 to 50"},
			&cli.BoolFlag{Name: "tta", Usage: "test-time augmentation: average over mirrored images, four times slower", DisableDefaultText: true},
			precisionFlag(""),
			&cli.BoolFlag{Name: "tune", Usage: "choose thresholds on val, fit confidence, and store them in the model file; a copy of it is kept", DisableDefaultText: true},
			&cli.StringFlag{Name: "solution", Usage: "CSV `FILE` of true nuclei with the images' Height and Width"},
			forceFlag(""),
		},
		Action: listening(runEvaluate),
	}
}

// runEvaluate is the command.
func runEvaluate(c *cli.Context) error {
	if c.IsSet("solution") {
		return evaluateSolution(c)
	}
	dir, err := oneArgument(c, "the folder of a prepared set")
	if err != nil {
		return err
	}
	o := evaluate.Options{File: c.String("model"), TTA: c.Bool("tta"), Out: c.String("out"),
		Samples: c.Int("samples"), Force: c.Bool("force"), Program: version()}
	builtIn := o.File == "" || strings.HasPrefix(o.File, "embedded")
	if c.Bool("tune") {
		if o.Tune = dataset.Val; c.IsSet("split-by") {
			o.Tune = dataset.Test // of sources left out
		}
	}
	if o.Tune != "" && builtIn {
		return withHint(usagef("--tune changes a model file, and the built-in model is not one"), "give the file with --model")
	}
	if o.Samples < 1 || o.Samples > 50 {
		return usagef("--samples %d: 1 to 50", o.Samples)
	}
	w, err := openWork(c, dir, o.File)
	if err != nil {
		return err
	}
	defer w.close()
	o.Engine, o.Set, o.Model = w.engine, w.set, w.model
	if o.Set, o.Splits, err = evaluatedSplits(c, o.Set, o.Model); err != nil {
		return err
	}
	numbers, err := precision(c, o.Model)
	if err != nil {
		return err
	}
	o.BFloat16 = numbers == segment.BFloat16
	warnPrecision(c, o.Engine, numbers)
	if builtIn {
		o.File = "built-in: " + weights.DefaultName
		if name, ok := strings.CutPrefix(c.String("model"), "embedded:"); ok {
			o.File = "built-in: " + name
		}
	}
	t := term(c)
	r, err := evaluate.Run(c.Context, o, &evaluateObserver{terminal: t})
	if err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(r)
	}
	return printEvaluation(t, r, o.Out)
}

// evaluateObserver prints how an evaluation goes.
type evaluateObserver struct {
	*terminal
	bar   *progress
	stage evaluate.Stage // that bar is about
}

func (t *evaluateObserver) Progress(p evaluate.Progress) {
	unit, note := "images", ""
	if p.Stage == evaluate.Trying {
		unit, note = "trials", fmt.Sprintf("mean of MeanAP and KaggleScore %.4f", p.Best)
	}
	if t.bar == nil || t.stage != p.Stage {
		t.bar, t.stage = t.progress(string(p.Stage), unit, p.Total, 0), p.Stage
	}
	t.bar.update(p.Done, note)
}

func (t *evaluateObserver) Note(text string) { t.notef("note: %s", text) }
func (t *evaluateObserver) Warn(text string) { t.warnf("%s", text) }

// printEvaluation shows the result on a terminal of 80 columns.
func printEvaluation(t *terminal, r *evaluate.Report, out string) error {
	if u := r.Tuning; u != nil {
		t.printf("tuned on %s of %s\n", count(u.Images, "image"), u.Split)
		t.printf("  mask threshold %.3g -> %.3g, pixel F1 %.4f -> %.4f\n", u.Threshold.Before, u.Threshold.After, u.F1.Before, u.F1.After)
		t.printf("  nuclei: %s\n       -> %s\n", evaluate.ParamsText(r.Model.Kind, u.Before), evaluate.ParamsText(r.Model.Kind, u.After))
		t.printf("  mean of MeanAP and KaggleScore: %.4f -> %.4f\n\n", u.Objective.Before, u.Objective.After)
	}
	for _, text := range r.Summary() {
		t.printf("%s\n", text)
	}
	for _, tab := range r.Tables() {
		t.printf("\n")
		if err := t.table(tab); err != nil {
			return err
		}
	}
	ev, m := &r.Results, r.Main()
	if n := len(m.Sources); n > 0 {
		t.printf("\nKaggleScore on %s, mean over %s: %.4f\n", m.Name, count(n, "source"), m.SourceScore)
	}
	t.printf("\nmask threshold %.3g (best F1 on %s: %.4f at %.3g)\n", ev.Threshold, m.Name, m.Best.F1, m.Best.Threshold)
	t.printf("nuclei: %s\n", evaluate.ParamsText(r.Model.Kind, ev.Instance))
	if out != "" {
		t.printf("\nreport %s\n", evaluate.Page(out))
	}
	return nil
}

// evaluatedSplits returns the splits to score and the set, of which
// --split-by source leaves the sources that the model has not seen.
func evaluatedSplits(c *cli.Context, set *dataset.Set, m *unet.Model) (*dataset.Set, []string, error) {
	wanted := c.String("split")
	by, err := splitBySource(c)
	if err != nil {
		return nil, nil, err
	}
	if by {
		left := m.Card.Training.LeftOut
		if len(left) == 0 {
			return nil, nil, withHint(usagef("--split-by source: no source was left out when this model was trained"), "train one with `unet train --split-by source`")
		}
		if set, err = set.LeaveOut(left); err != nil {
			return nil, nil, err
		}
		if wanted == "" {
			wanted = dataset.Test
		}
	}
	splits, err := parseSplits(wanted, set)
	return set, splits, err
}

// splitBySource reads --split-by.
func splitBySource(c *cli.Context) (bool, error) {
	switch by := c.String("split-by"); by {
	case "":
		return false, nil
	case "source":
		return true, nil
	default:
		return false, usagef("--split-by %q: give source", by)
	}
}

// parseSplits reads --split; none means every split that has images.
func parseSplits(s string, set *dataset.Set) ([]string, error) {
	known := []string{dataset.Train, dataset.Val, dataset.Test}
	var list []string
	if s == "" {
		for _, k := range known {
			if len(set.Split(k)) > 0 {
				list = append(list, k)
			}
		}
		if len(list) == 0 {
			return nil, &dataset.InputError{Name: set.Dir, Problem: "has no images", Advice: "prepare it again"}
		}
		return list, nil
	}
	for _, k := range strings.Split(s, ",") {
		k = strings.TrimSpace(k)
		if !slices.Contains(known, k) {
			return nil, usagef("--split %q: train, val and test, separated by commas", s)
		}
		if !slices.Contains(list, k) {
			list = append(list, k)
		}
	}
	return list, nil
}

// evaluateSolution scores a table of run lengths.
func evaluateSolution(c *cli.Context) error {
	t := term(c)
	file, err := oneArgument(c, "the CSV file of predictions")
	if err != nil {
		return err
	}
	for _, name := range []string{"model", "split", "out", "tta", "tune"} {
		if c.IsSet(name) {
			return usagef("--%s does not go with --solution", name)
		}
	}
	solution, err := readRLE(c.String("solution"))
	if err != nil {
		return err
	}
	predictions, err := readRLE(file)
	if err != nil {
		return err
	}
	s, err := evaluate.ScoreSolution(solution, predictions)
	if err != nil {
		return err
	}
	for _, w := range []struct {
		list []string
		what string
	}{{s.Missing, "of the solution without prediction, scored as empty"}, {s.Extra, "not in the solution, left out"}} {
		if len(w.list) > 0 {
			t.warnf("%s %s (first: %s)", count(len(w.list), "image"), w.what, w.list[0])
		}
	}
	if t.json {
		return t.writeJSON(solutionResult{firstLayout, s})
	}
	if err := t.table(s.Scores.Table()); err != nil {
		return err
	}
	n := s.Scores
	t.printf("\n%s, %d true nuclei, %d predicted\n", count(s.Images, "image"), n.Truth, n.Predicted)
	t.printf("MeanAP %.4f, AJI %.4f, PQ %.4f\n", n.MeanAP, n.AJI, n.PQ)
	t.printf("KaggleScore %.5f\n", n.KaggleScore)
	return nil
}

func readRLE(path string) ([]formats.Encoded, error) {
	f, err := input.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := formats.ReadRLE(f)
	if err != nil {
		return nil, &dataset.InputError{Name: path, Problem: err.Error(),
			Advice: "a table of nuclei has the columns ImageId and EncodedPixels"}
	}
	return list, nil
}
