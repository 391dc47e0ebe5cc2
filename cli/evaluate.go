package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/formats"
	"unet/unet/weights"

	"github.com/urfave/cli/v2"
)

func evaluateCommand() *cli.Command {
	return &cli.Command{
		Name:  "evaluate",
		Usage: "score a model on a prepared set, or a Kaggle submission",
		UsageText: "unet evaluate DIR [--model MODEL] [--out DIR] [options]\n" +
			"   unet evaluate --solution SOLUTION.csv PREDICTIONS.csv",
		Description: "Scores pixels (accuracy, precision, recall, F1 = Dice, IoU) and nuclei (AP,\n" +
			"precision, recall, F1 and PQ at IoU 0.50 to 0.95, with counts pooled over images\n" +
			"and as means over images; AJI; the Kaggle score; kinds of errors) on each split\n" +
			"and for each kind of image and each source (laboratory). --out writes index.html with pictures of random, the\n" +
			"best and the worst images of val and of random ones of train, the same sheets as\n" +
			"PNG, curves.png, metrics.json and images.csv.\n\n" +
			"--tune chooses the model's thresholds on the validation split and stores them in\n" +
			"the model file. --split-by source scores a model of `unet train --split-by source`\n" +
			"on the sources it has not seen, as test. --solution scores a table of run lengths by Kaggle's rules.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Aliases: []string{"m"}, Usage: "`MODEL` file, or embedded:NAME (default: the built-in model)"},
			&cli.StringFlag{Name: "split", Usage: "`SPLITS` to score, such as val or train,val (default: all)"},
			&cli.StringFlag{Name: "split-by", Usage: "source: score the images of the sources that training left out"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` for the report"},
			&cli.IntFlag{Name: "samples", Value: 6, Usage: "images on each sheet of the report, 1 to 50"},
			&cli.BoolFlag{Name: "tta", Usage: "average over mirror images: better, four times slower"},
			precisionFlag(""),
			&cli.BoolFlag{Name: "tune", Usage: "choose thresholds on val and store them in the model file"},
			&cli.StringFlag{Name: "solution", Usage: "CSV `FILE` of true nuclei with the images' Height and Width"},
		},
		Action: runEvaluate,
	}
}

// evaluateResult is metrics.json and the output of --json.
type evaluateResult struct {
	Program string              `json:"program"`
	Model   evaluatedModel      `json:"model"`
	Set     evaluatedSet        `json:"set"`
	Tuning  *evaluate.Tuning    `json:"tuning,omitempty"`
	Notes   []string            `json:"notes,omitempty"`
	Results evaluate.Evaluation `json:"results"`
}

type evaluatedModel struct {
	File   string `json:"file"`
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	SHA256 string `json:"sha256"` // of the file as read
	// Precision of what the network multiplies.
	Precision string `json:"precision"`
}

type evaluatedSet struct {
	Dir    string `json:"dir"`
	Source string `json:"source"`
	SHA256 string `json:"sha256"`
	Size   int    `json:"size"` // 0: native
	Seed   uint64 `json:"seed"`
}

func runEvaluate(c *cli.Context) error {
	if c.IsSet("solution") {
		return evaluateSolution(c)
	}
	t := term(c)
	dir, err := oneArgument(c, "the folder of a prepared set")
	if err != nil {
		return err
	}
	file := c.String("model")
	builtIn := file == "" || strings.HasPrefix(file, "embedded")
	if c.Bool("tune") && builtIn {
		return withHint(usagef("--tune changes a model file, and the built-in model is none"), "give the file with --model")
	}
	if n := c.Int("samples"); n < 1 || n > 50 {
		return usagef("--samples %d: 1 to 50", n)
	}
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	m, err := modelFor(file)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	wanted := c.String("split")
	if by, err := splitBySource(c); err != nil {
		return err
	} else if by {
		left := m.Card.Training.LeftOut
		if len(left) == 0 {
			return withHint(usagef("--split-by source: no source was left out when this model was trained"), "train one with `unet train --split-by source`")
		}
		if set, err = set.LeaveOut(left); err != nil {
			return err
		}
		if wanted == "" {
			wanted = dataset.Test
		}
	}
	splits, err := parseSplits(wanted, set)
	if err != nil {
		return err
	}
	numbers, err := precision(c, m)
	if err != nil {
		return err
	}
	e, err := newEngine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	p.Flips = c.Bool("tta")
	setPrecision(c, e, p, numbers)
	if out := c.String("out"); out != "" {
		if err := os.MkdirAll(out, 0o777); err != nil {
			return err
		}
	}

	r := &evaluateResult{Program: version(), Notes: evaluationNotes(m.Card, set),
		Model: evaluatedModel{file, m.Card.Name, m.Card.Kind, m.SHA256, numbers},
		Set:   evaluatedSet{dir, set.Meta.Source.Name, set.Meta.Source.SHA256, set.Meta.Settings.Size, set.Meta.Settings.Seed}}
	if builtIn {
		r.Model.File = "built-in"
		if file == "" || file == "embedded" {
			r.Model.File += ": " + weights.DefaultName
		} else {
			r.Model.File += strings.TrimPrefix(file, "embedded")
		}
	}
	for _, n := range r.Notes {
		t.notef("note: %s", n)
	}
	if c.Bool("tune") {
		bar := t.progress("predicting val", "images", len(set.Split(dataset.Val)), 0)
		trying := t.progress("tuning", "trials", evaluate.TuneTrials, 0)
		r.Tuning, err = evaluate.Tune(c.Context, p, set, func(done, total int) { bar.update(done, "") },
			func(done int, ap float64) { trying.update(min(done, evaluate.TuneTrials), fmt.Sprintf("AP %.4f", ap)) })
		if err != nil {
			return err
		}
		if n := r.Tuning.Images; n < 5 {
			t.warnf("thresholds from %s may not suit others: prepare the set with more for val", count(n, "image"))
		}
	}
	total := 0
	for _, s := range splits {
		total += len(set.Split(s))
	}
	bar := t.progress("evaluating", "images", total, 0)
	ev, err := evaluate.Score(c.Context, p, set, evaluate.ScoreOptions{Splits: splits,
		Progress: func(done, _ int) { bar.update(done, "") }})
	if err != nil {
		return err
	}
	r.Results = *ev
	if r.Tuning != nil {
		m.Card.Training.Metrics = cardMetrics(m.Card.Training.Metrics, ev)
		if err := unet.RewriteCard(file, m.Card); err != nil {
			return err
		}
	}
	if out := c.String("out"); out != "" {
		if err := writeEvaluation(c.Context, t, out, r, p, set, c.Int("samples")); err != nil {
			return err
		}
	}
	if t.json {
		return t.writeJSON(r)
	}
	if err := printEvaluation(t, r); err != nil {
		return err
	}
	if out := c.String("out"); out != "" {
		t.printf("\nreport %s\n", filepath.Join(out, "index.html"))
	}
	return nil
}

// splitBySource reads --split-by.
func splitBySource(c *cli.Context) (bool, error) {
	switch by := c.String("split-by"); by {
	case "":
		return false, nil
	case "source":
		return true, nil
	default:
		return false, usagef("--split-by %q: source", by)
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

// evaluationNotes says what makes scores on a set differ from what a reader
// would expect.
func evaluationNotes(card unet.Card, set *dataset.Set) []string {
	size := set.Meta.Settings.Size
	var notes []string
	switch {
	case card.Input.Size == 0 && size > 0:
		notes = append(notes, fmt.Sprintf("the set was resized to %dx%d, but the model works at native scale: prepare the set with --size native", size, size))
	case card.Input.Size > 0 && size != card.Input.Size:
		notes = append(notes, fmt.Sprintf("the model sees images resized to %dx%d; its maps are scored at the size of the images", card.Input.Size, card.Input.Size))
	}
	return notes
}

// cardMetrics renews the validation figures of a model's card.
func cardMetrics(old map[string]float64, ev *evaluate.Evaluation) map[string]float64 {
	for i := range ev.Splits {
		if s := &ev.Splits[i]; s.Name == dataset.Val {
			px, n := s.All.Pixels, s.All.Nuclei
			return map[string]float64{"loss": s.All.Loss, "accuracy": px.Accuracy, "f1": px.F1, "iou": px.IoU,
				"ap": n.Kaggle, "ap50": n.Pooled[0].AP}
		}
	}
	return old
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
		return t.writeJSON(s)
	}
	if err := t.table(iouTable(&s.Scores)); err != nil {
		return err
	}
	n := s.Scores
	t.printf("\n%s, %d true nuclei, %d predicted\n", count(s.Images, "image"), n.Truth, n.Predicted)
	t.printf("mean AP of pooled counts %.4f, AJI %.4f, PQ %.4f\n", n.MeanAP, n.AJI, n.PQ)
	t.printf("Kaggle score %.5f\n", n.Kaggle)
	return nil
}

func readRLE(path string) ([]formats.Encoded, error) {
	f, err := os.Open(path)
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
