package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/report"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

func trainCommand() *cli.Command {
	const network, schedule = "Network", "Schedule"
	return &cli.Command{
		Name:      "train",
		Usage:     "train a model on a prepared set",
		UsageText: "unet train DIR --out RUN [options]",
		Description: "Trains on the set that `unet prepare` wrote to DIR. The run's folder holds\n" +
			"model.safetensors (the result), best.safetensors, checkpoint.safetensors,\n" +
			"config.yaml (all settings), history.csv, history.json, curves.png, curves.svg and\n" +
			"report.html. Ctrl-C saves and ends; --resume continues to the same bits.\n\n" +
			"Settings come from --preset or --arch, then --config, then single options. A file\n" +
			"may hold some of the settings only, such as `batch: 16`; its `kind` stands for\n" +
			"--arch.\n\n" +
			"--from starts from a model's weights and thresholds: a fifth of the learning rate,\n" +
			"an early end. That model is scored on the validation images, too, and stays the\n" +
			"result if no epoch is better by --min-delta. The result suits images like those it\n" +
			"was trained on, and others less than before.\n\n" +
			"--split-by source --fold 2/5 shows what a model is worth on laboratories it has not\n" +
			"seen: the sources of the set are spread over five folds, and those of the second\n" +
			"are left out. `unet evaluate --split-by source` scores the model on them.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` of the run"},
			&cli.BoolFlag{Name: "resume", Usage: "continue the run in --out with its settings"},
			&cli.StringFlag{Name: "split-by", Usage: "source: leave out the sources (laboratories) of one --fold"},
			&cli.StringFlag{Name: "fold", Value: "1/5", Usage: "`K/N`: the fold of N that --split-by source leaves out"},
			&cli.StringFlag{Name: "config", Usage: "YAML `FILE` of settings that differ, all of which config.yaml shows"},
			&cli.StringFlag{Name: "arch", Value: unet.Nuclei, Usage: "kind of model: nuclei or paper", Category: network},
			&cli.StringFlag{Name: "preset", Value: "standard", Usage: "length of training of a nuclei model: quick (5 minutes on two cores), standard (30) or best (90)", Category: schedule},
			&cli.StringFlag{Name: "from", Usage: "start from the weights of `MODEL`, or \"embedded\"", Category: network},
			&cli.IntFlag{Name: "depth", Usage: "levels of the U-Net", Category: network},
			&cli.IntFlag{Name: "width", Usage: "channels of the first level", Category: network},
			&cli.StringFlag{Name: "norm", Usage: "batch or none", Category: network},
			&cli.Float64Flag{Name: "dropout", Usage: "rate after every pool", Category: network},
			&cli.IntFlag{Name: "epochs", Usage: "at most so many epochs", Category: schedule},
			&cli.IntFlag{Name: "steps", Usage: "steps per epoch (0: every image once)", Category: schedule},
			&cli.StringFlag{Name: "memory", Value: "high", Usage: "low: take a quarter less and a fifth more time, to the same bits", Category: schedule},
			&cli.IntFlag{Name: "batch", Usage: "images per step", Category: schedule},
			&cli.Float64Flag{Name: "lr", Usage: "learning rate", Category: schedule},
			&cli.Float64Flag{Name: "threshold", Usage: "of the foreground probability for masks and pixel scores", Category: network},
			&cli.StringFlag{Name: "schedule", Usage: "constant, cosine or plateau", Category: schedule},
			&cli.StringFlag{Name: "augment", Usage: "none, flips or strong", Category: schedule},
			&cli.StringFlag{Name: "monitor", Usage: "figure that decides which epoch is best (val_loss, val_f1, val_ap, ...)", Category: schedule},
			&cli.StringFlag{Name: "mode", Usage: "min or max: which is better", Category: schedule},
			&cli.IntFlag{Name: "patience", Usage: "stop after so many epochs without a better one (0: never)", Category: schedule},
			&cli.Float64Flag{Name: "min-delta", Usage: "smallest change that counts as better", Category: schedule},
			&cli.Uint64Flag{Name: "seed", Usage: "of weights, order and augmentation", Category: schedule},
			&cli.StringFlag{Name: "name", Usage: "name of the model", Category: "Model card"},
			&cli.StringFlag{Name: "license", Usage: "licence of the data, recorded in the model", Category: "Model card"},
		},
		Action: runTrain,
	}
}

// runTrain is the command.
func runTrain(c *cli.Context) error {
	dir, err := oneArgument(c, "the folder of a prepared set")
	if err != nil {
		return err
	}
	out := c.String("out")
	if out == "" {
		return usagef("--out is missing: the folder of the run")
	}
	t := term(c)
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	set, left, err := leaveOut(c, set)
	if err != nil {
		return err
	}
	cfg, err := trainConfig(c, set, out)
	if err != nil {
		return err
	}
	if cfg.Kind == unet.Nuclei && set.Meta.Settings.Size > 0 {
		t.warnf("%s holds images resized to %d x %d; a nuclei model learns better at native scale (unet prepare --size native)",
			dir, set.Meta.Settings.Size, set.Meta.Settings.Size)
	}
	e, err := newEngine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	run := &trainRun{t: t, cfg: cfg, out: out, name: c.String("name")}
	tr, err := newTrainer(c.Context, t, e, cfg, set, out)
	if err != nil {
		return err
	}
	tr.Resume = c.Bool("resume")
	switch m := c.String("memory"); m {
	case "low":
		tr.Recompute = true
	case "high":
	default:
		return usagef("--memory %q: high or low", m)
	}
	tr.Card.Name = c.String("name")
	tr.Card.Training.LeftOut = left
	tr.DataHash = leftOutHash(tr.DataHash, left)
	tr.Card.Training.License = c.String("license")
	tr.Card.Training.Program = version()
	if from := c.String("from"); from != "" {
		if tr.From, err = modelFor(from); err != nil {
			return err
		}
		defer tr.From.Params.Free()
	}
	if !tr.Resume {
		if _, err := os.Stat(filepath.Join(out, train.CheckpointFile)); err == nil {
			return withHint(usagef("%s already holds a run", out), "add --resume to continue it, or choose another --out")
		}
	}
	r, err := run.train(c.Context, tr)
	if err != nil {
		return err
	}
	defer r.Model.Params.Free()
	return run.summary(r)
}

// leaveOut takes the sources of a fold out of the set, if asked to.
func leaveOut(c *cli.Context, set *dataset.Set) (*dataset.Set, []string, error) {
	by, err := splitBySource(c)
	if err != nil {
		return nil, nil, err
	}
	if !by {
		if c.IsSet("fold") {
			return nil, nil, usagef("--fold goes with --split-by source")
		}
		return set, nil, nil
	}
	var k, n int
	if _, err := fmt.Sscanf(c.String("fold"), "%d/%d", &k, &n); err != nil || k < 1 || k > n {
		return nil, nil, usagef("--fold %q: a fold and their number, such as 2/5", c.String("fold"))
	}
	folds, err := set.Folds(n)
	if err != nil {
		return nil, nil, err
	}
	set, err = set.LeaveOut(folds[k-1])
	return set, folds[k-1], err
}

// leftOutHash makes the digest of a set that of what is left of it.
func leftOutHash(hash string, left []string) string {
	if len(left) == 0 {
		return hash
	}
	return hash + " without " + strings.Join(left, ",")
}

// oneArgument returns the command's only argument.
func oneArgument(c *cli.Context, what string) (string, error) {
	switch c.NArg() {
	case 0:
		return "", usagef("an argument is missing: %s", what)
	case 1:
		return c.Args().First(), nil
	}
	return "", usagef("too many arguments: %q", c.Args().Slice()[1:])
}

// trainHint says what a set needs to be trained on.
const trainHint = "that takes two images at least, of different fields, and a share for each: unet prepare --split 0.8,0.1,0.1"

// newTrainer loads the set and prepares a run.
func newTrainer(ctx context.Context, t *terminal, e *core.Engine, cfg train.Config, set *dataset.Set, out string) (*train.Trainer, error) {
	for _, split := range []string{dataset.Train, dataset.Val} {
		if len(set.Split(split)) == 0 {
			return nil, &dataset.InputError{Name: set.Dir, Problem: fmt.Sprintf("has no images in the split %q, which training needs", split), Advice: trainHint}
		}
	}
	load := func(split string) (*train.Images, error) {
		var list []*dataset.Sample
		indices := set.Split(split)
		p := t.progress("loading "+split, "images", len(indices), 0)
		for n, i := range indices {
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			s, err := set.Load(i)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
			p.update(n+1, "")
		}
		return train.NewImages(cfg.Input, list)
	}
	tr := &train.Trainer{Config: cfg, Engine: e, Dir: out, Every: 5 * time.Minute, DataHash: set.Meta.Source.SHA256}
	tr.Card.Training.Data = fmt.Sprintf("%s (sha256 %s)", filepath.Base(set.Meta.Source.Name), set.Meta.Source.SHA256)
	tr.Card.Diameter = diameters(set)
	tr.Card.Training.Date = time.Now().UTC().Format(time.DateOnly)
	var err error
	if tr.Train, err = load(dataset.Train); err != nil {
		return nil, err
	}
	if tr.Val, err = load(dataset.Val); err != nil {
		return nil, err
	}
	return tr, nil
}

// diameters returns the 10th, 50th and 90th percentile of the median nucleus
// diameters of the training images, in pixels of the prepared set.
func diameters(set *dataset.Set) (d [3]float64) {
	var list []float64
	for _, i := range set.Split(dataset.Train) {
		e := set.Entries[i]
		if e.Diameter > 0 {
			list = append(list, e.Diameter*math.Sqrt(float64(e.W*e.H)/float64(e.SourceW*e.SourceH)))
		}
	}
	if len(list) == 0 {
		return d
	}
	slices.Sort(list)
	for i, q := range []float64{0.1, 0.5, 0.9} {
		d[i] = math.Round(list[int(q*float64(len(list)-1))]*10) / 10
	}
	return d
}

// trainRun shows a run on the terminal and writes the files that people look
// at.
type trainRun struct {
	t    *terminal
	cfg  train.Config
	out  string
	name string
	plan train.RunPlan
	bar  *progress

	history []train.Epoch
	best    int // the number of the best epoch, 0 for none
}

func (r *trainRun) train(ctx context.Context, tr *train.Trainer) (*train.Result, error) {
	if err := os.MkdirAll(r.out, 0o777); err != nil {
		return nil, err
	}
	tr.Started = func(p train.RunPlan) {
		r.plan = p
		r.t.notef("network of %.2f M parameters, kernels %s, %d threads, %s of activations",
			float64(p.Parameters)/1e6, tr.Engine.ISA(), tr.Engine.Threads(), bytesText(uint64(p.Memory)))
		r.t.notef("%d training and %d validation images, %d epochs of %d steps of %d",
			p.TrainImages, p.ValImages, r.cfg.Epochs, p.Steps, r.cfg.Batch)
		if p.Start != nil {
			r.t.notef("the starting model  | %s", scoreLine(p.Start))
		}
		r.bar = r.t.progress("training", "steps", r.cfg.Epochs*p.Steps, p.Epoch*p.Steps)
		if !tr.Resume {
			if err := r.writeConfig(); err != nil {
				r.t.warnf("%v", err)
			}
		}
	}
	tr.Progress = func(p train.Progress) {
		r.bar.update((p.Epoch-1)*p.Steps+p.Step, fmt.Sprintf("epoch %d  loss %.4f", p.Epoch, p.Loss))
	}
	tr.EpochDone = func(h []train.Epoch, best int) {
		r.t.notef("%s", epochLine(h[len(h)-1], best))
		r.history, r.best = h, best
		r.write(fmt.Sprintf("%d of %d epochs so far.", len(h), r.cfg.Epochs))
	}
	tr.Warn = func(text string) { r.t.warnf("%s", text) }
	res, err := tr.Run(ctx)
	if errors.Is(err, errInterrupted) {
		if len(r.history) > 0 {
			r.write(fmt.Sprintf("Interrupted after %d of %d epochs; --resume continues.", len(r.history), r.cfg.Epochs))
		}
		return nil, withHint(err, fmt.Sprintf("the state is saved; continue with `unet train ... --out %s --resume`", r.out))
	}
	if err != nil {
		return nil, err
	}
	r.history, r.best = res.History, res.BestEpoch
	status := fmt.Sprintf("All %d epochs done.", r.cfg.Epochs)
	if res.Stopped {
		status = fmt.Sprintf("Stopped early after %d of %d epochs: %d without a better %s.",
			len(res.History), r.cfg.Epochs, len(res.History)-res.BestEpoch, r.cfg.Monitor)
	}
	r.write(status)
	return res, nil
}

func epochLine(e train.Epoch, best int) string {
	s := fmt.Sprintf("epoch %3d  %s  loss %.4f  acc %.4f  f1 %.4f", e.Epoch,
		shortDuration(time.Duration(e.Seconds*float64(time.Second))), e.Train.Loss, e.Train.Accuracy, e.Train.F1)
	if e.Val != nil {
		s += "  | " + scoreLine(e.Val)
	}
	if e.Epoch == best {
		s += "  best"
	}
	return s
}

func scoreLine(v *train.Scores) string {
	return fmt.Sprintf("val loss %.4f  acc %.4f  prec %.4f  rec %.4f  f1 %.4f  iou %.4f  ap %.4f",
		v.Loss, v.Accuracy, v.Precision, v.Recall, v.F1, v.IoU, v.AP)
}

func (r *trainRun) path(name string) string { return filepath.Join(r.out, name) }

func (r *trainRun) writeConfig() error {
	return imageio.WriteFile(r.path("config.yaml"), func(w io.Writer) error {
		fmt.Fprintf(w, "# All settings of this run; use with `unet train DIR --config`.\n")
		e := yaml.NewEncoder(w)
		defer e.Close()
		return e.Encode(r.cfg)
	})
}

// write renews the history, curves and report of a run. The run goes on
// without them.
func (r *trainRun) write(status string) {
	if err := r.writeReport(status); err != nil {
		r.t.warnf("%v", err)
	}
}

func (r *trainRun) writeReport(status string) error {
	c, h, kept, monitor := r.cfg, r.history, r.best, r.cfg.Monitor
	if !c.RestoreBest {
		kept, monitor = h[len(h)-1].Epoch, ""
	}
	epochs := make([]report.Epoch, len(h))
	for i, e := range h {
		epochs[i] = report.Epoch{Number: e.Epoch, Train: report.Scores(e.Train), Val: (*report.Scores)(e.Val), LR: e.Rate, Seconds: e.Seconds}
	}
	d := report.Curves(epochs, kept)
	name := r.name
	if name == "" {
		name = filepath.Base(r.out)
	}
	page, err := report.TrainingPage(&report.Training{
		Title: "Training of " + name, History: epochs, Best: kept, Monitor: monitor, Status: status,
		Loss: lossText(c), Start: (*report.Scores)(r.plan.Start),
		Settings: []report.Fact{
			{Name: "kind", Value: c.Kind},
			{Name: "network", Value: fmt.Sprintf("depth %d, width %d, norm %s, dropout %g", c.Arch.Depth, c.Arch.Width, c.Arch.Norm, c.Arch.Dropout)},
			{Name: "parameters", Value: strconv.Itoa(r.plan.Parameters)},
			{Name: "images", Value: fmt.Sprintf("%d training, %d validation", r.plan.TrainImages, r.plan.ValImages)},
			{Name: "epoch", Value: fmt.Sprintf("%d steps of %d patches of %d x %d", r.plan.Steps, c.Batch, c.Augment.Size, c.Augment.Size)},
			{Name: "augmentation", Value: augmentText(c)},
			{Name: "loss", Value: lossText(c)},
			{Name: "optimiser", Value: fmt.Sprintf("Adam, learning rate %s, %s", short(c.LearningRate), c.Schedule)},
			{Name: "best epoch", Value: bestText(c)},
			{Name: "seed", Value: strconv.FormatUint(c.Seed, 10)},
			{Name: "all settings", Value: "config.yaml", Link: "config.yaml"},
		},
		Footer: "unet " + version(),
	})
	if err != nil {
		return err
	}
	for name, f := range map[string]func(io.Writer) error{
		"history.csv":  func(w io.Writer) error { return writeHistory(w, h) },
		"history.json": func(w io.Writer) error { return encodeJSON(w, h) },
		"curves.svg":   d.SVG,
		"curves.png":   func(w io.Writer) error { return d.PNG(w, 1.5) },
		"report.html":  page.HTML,
	} {
		if err := imageio.WriteFile(r.path(name), f); err != nil {
			return err
		}
	}
	return nil
}

// lossText names the terms of the training loss, map by map.
func lossText(c train.Config) string {
	var maps []string
	for _, h := range c.Arch.Heads {
		l := c.Loss[h]
		var terms []string
		for _, v := range []struct {
			weight float64
			name   string
		}{{l.BCE, "binary cross-entropy"}, {l.Dice, "Dice loss"}, {l.L1, "L1"}} {
			switch w := v.weight * l.Scale; {
			case w == 1:
				terms = append(terms, v.name)
			case w > 0:
				terms = append(terms, short(w)+" "+v.name)
			}
		}
		text := strings.Join(terms, " + ")
		if len(c.Arch.Heads) > 1 {
			text = h + ": " + text
		}
		maps = append(maps, text)
	}
	text := strings.Join(maps, "; ")
	if c.PixelWeights {
		text += "; pixels weighted"
	}
	return text
}

func augmentText(c train.Config) string {
	for _, name := range []string{"none", "flips", "strong"} {
		if p, err := namedPolicy(name, c.Augment.Size); err == nil && p == c.Augment {
			return name
		}
	}
	return "own"
}

// bestText says which epoch is kept and when training stops early.
func bestText(c train.Config) string {
	s := map[string]string{"min": "lowest ", "max": "highest "}[c.Mode] + c.Monitor
	if c.MinDelta > 0 {
		s += ", better by " + short(c.MinDelta)
	}
	if !c.RestoreBest {
		s += ", but the last is kept"
	}
	if c.Patience > 0 {
		s += fmt.Sprintf("; early stop after %d epochs without", c.Patience)
	}
	return s
}

func writeHistory(w io.Writer, h []train.Epoch) error {
	rows := [][]string{{"epoch", "learning_rate", "seconds",
		"loss", "accuracy", "precision", "recall", "f1", "iou",
		"val_loss", "val_accuracy", "val_precision", "val_recall", "val_f1", "val_iou", "val_ap", "val_ap50"}}
	num := func(v float64) string { return strconv.FormatFloat(v, 'g', 7, 64) }
	for _, e := range h {
		row := []string{strconv.Itoa(e.Epoch), num(e.Rate), strconv.FormatFloat(e.Seconds, 'f', 1, 64)}
		s := e.Train
		for _, v := range []float64{s.Loss, s.Accuracy, s.Precision, s.Recall, s.F1, s.IoU} {
			row = append(row, num(v))
		}
		if v := e.Val; v != nil {
			for _, x := range []float64{v.Loss, v.Accuracy, v.Precision, v.Recall, v.F1, v.IoU, v.AP, v.AP50} {
				row = append(row, num(x))
			}
		} else {
			row = append(row, make([]string, 8)...)
		}
		rows = append(rows, row)
	}
	return writeCSV(w, rows)
}

func writeCSV(w io.Writer, rows [][]string) error {
	c := csv.NewWriter(w)
	if err := c.WriteAll(rows); err != nil {
		return err
	}
	return c.Error()
}

// summary tells what a run gave.
func (r *trainRun) summary(res *train.Result) error {
	best := res.History[len(res.History)-1]
	for _, e := range res.History {
		if e.Epoch == res.BestEpoch {
			best = e
		}
	}
	path := r.path(train.ModelFile)
	unchanged := r.cfg.RestoreBest && res.BestEpoch == 0 && res.Start != nil
	if r.t.json {
		return r.t.writeJSON(struct {
			Model     string        `json:"model"`
			Epochs    int           `json:"epochs"`
			Stopped   bool          `json:"stopped_early"`
			BestEpoch int           `json:"best_epoch"`
			Best      train.Epoch   `json:"best"`
			Start     *train.Scores `json:"start,omitempty"`
			Unchanged bool          `json:"unchanged"` // the result is the starting model
		}{path, len(res.History), res.Stopped, res.BestEpoch, best, res.Start, unchanged})
	}
	switch {
	case unchanged:
		r.t.printf("no epoch is better than the starting model on the validation images: the result is the starting model\n")
		r.t.printf("%s\n", scoreLine(res.Start))
	default:
		if res.Stopped {
			r.t.notef("stopped early: no better epoch since %d", res.BestEpoch)
		}
		r.t.printf("best: %s\n", strings.TrimSuffix(epochLine(best, res.BestEpoch), "  best"))
	}
	r.t.printf("model %s\n", path)
	r.t.printf("report %s\n", r.path("report.html"))
	return nil
}
