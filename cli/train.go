package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/report"
	"unet/unet/segment"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
)

func trainCommand() *cli.Command {
	return &cli.Command{
		Name:  "train",
		Usage: "train a model on a prepared set",
		UsageText: "unet train DIR --out RUN [options]\n" +
			"unet train DIR --out RUN --split-by source --folds 5 [--shard I/N | --job ENGINE] [options]",
		Description: "Trains on the set that `unet prepare` wrote to DIR. The run's folder holds\n" +
			"model.safetensors (the result), best.safetensors, checkpoint.safetensors, with\n" +
			"--from start.safetensors, config.yaml (all settings), history.csv, history.json,\n" +
			"curves.png, curves.svg and report.html. Ctrl-C saves and stops; --resume continues\n" +
			"the run, bit for bit.\n\n" +
			"Settings come from --kind and --preset, then from --config, then from options. A\n" +
			"file lists the settings to change, such as `batch: 16`, under the names of the\n" +
			"options; config.yaml lists all of them.\n\n" +
			"--from starts from the weights and thresholds of a model, with a fifth of the\n" +
			"learning rate. That model is scored on the validation images as well, and remains\n" +
			"the result unless an epoch is better by --min-delta (0.01, then; --patience is 8).\n" +
			"The mean of an epoch's weights and that model's stands for the epoch unless that is\n" +
			"better alone: it forgets less.\n" +
			"To forget less, too, a quarter of the patches are synthetic images as that model\n" +
			"segments them (`rehearsal: 0.25` in a file of settings). Expect better results on\n" +
			"images like those of the set, and slightly worse ones on others.\n\n" +
			"--split-by source --fold 2/5 shows what a model is worth on laboratories it has not\n" +
			"seen: the sources of the set are spread over five folds, and those of the second are\n" +
			"left out. `unet evaluate --split-by source` scores the model on them. --folds 5 trains\n" +
			"all five and scores each on what it left out: the means over folds with their\n" +
			"intervals, and a table of the sources, are in index.html, folds.csv and folds.json of\n" +
			"--out. The same command goes on where it was cut off. With --shard many processes\n" +
			"train a part of the folds each; the same command without it then scores them.\n" +
			"--job slurm prints such a job.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` of the run"},
			&cli.BoolFlag{Name: "resume", Usage: "continue the run in --out with its settings", DisableDefaultText: true},
			forceFlag(""),
			&cli.StringFlag{Name: "split-by", Usage: "leave out one --fold of the set's `PARTS`, or each of --folds: source (the laboratories) or, with --folds, group (images of one field)"},
			&cli.StringFlag{Name: "fold", Value: "1/5", Usage: "fold `K/N` of the sources that --split-by source leaves out"},
			&cli.IntFlag{Name: "folds", Usage: "train all `K` folds of --split-by source or group, in folders of --out, and score each on what it left out", DefaultText: "one run"},
			shardFlag("train the `PART` I/N of the folds, such as 3/5, or auto: as the array job says", ""),
			waitFlag("folds"),
			jobFlag("fold"),
			&cli.StringFlag{Name: "config", Usage: "YAML `FILE` of settings"},
			kindFlag(unet.Nuclei),
			&cli.StringFlag{Name: "preset", Value: "standard", Usage: "`LENGTH` of training of a nuclei model: quick (5 minutes on two cores), standard (30) or best (90)"},
			&cli.StringFlag{Name: "from", Usage: "start from `MODEL`, a file or \"embedded\": its network and normalisation are kept"},
			&cli.BoolFlag{Name: "recompute", Usage: "take a quarter less memory and a fifth more time; the result is the same, bit for bit", DisableDefaultText: true},
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the model, for its card"},
			&cli.StringFlag{Name: "license", Usage: "`LICENCE` of the images, for the model's card"},
		}, settingFlags()...),
		Action: listening(runTrain),
	}
}

func kindFlag(value string) cli.Flag {
	return &cli.StringFlag{Name: "kind", Aliases: []string{"arch"}, Value: value, Usage: "`KIND` of model: nuclei or paper"}
}

// settingFlags are options for the settings of a training.
func settingFlags() []cli.Flag {
	var list []cli.Flag
	for _, s := range train.Settings {
		if !s.Rare {
			list = append(list, settingFlag(s.Name, s.Default()))
		}
	}
	return list
}

func settingFlag(name, value string) cli.Flag {
	s := train.FindSetting(name)
	if s.Switch() {
		return &cli.BoolFlag{Name: name, Category: s.Category, Usage: s.Usage, DisableDefaultText: true}
	}
	return &cli.StringFlag{Name: name, Category: s.Category, Usage: s.Usage, DefaultText: value}
}

// runTrain is the command.
func runTrain(c *cli.Context) error {
	return together(c, func(peers core.Peers) error { return trainWith(c, peers) })
}

// trainWith trains as one of peers, or alone.
func trainWith(c *cli.Context, peers core.Peers) error {
	o := train.Options{Peers: peers, Out: c.String("out"), Resume: c.Bool("resume"), Recompute: c.Bool("recompute"), Force: c.Bool("force"),
		Name: c.String("name"), License: c.String("license"), Program: version()}
	dir, folds, err := trainArguments(c, peers)
	var w work
	if err == nil {
		w, err = openTraining(c, dir, folds, &o)
	}
	defer w.close()
	if err == nil && c.IsSet("job") { // whose tasks can be trained
		return writeTrainJob(c, "train", fmt.Sprintf("Trains %d folds of %s", folds, dir), folds)
	}
	if err = core.Agree(peers, err); err != nil {
		return err
	}
	if folds > 0 {
		return crossValidate(c, o, folds)
	}
	o.Next = func(done bool) []report.Step { return afterTraining(dir, o.Out, done) }
	t := term(c)
	s, err := train.Run(c.Context, o, &trainObserver{terminal: t})
	full := slices.ContainsFunc(diskFull, func(e error) bool { return errors.Is(err, e) })
	switch {
	case errors.Is(err, errInterrupted) && peers != nil:
		return withHint(fmt.Errorf("%w: the job was stopped, or another process of it died", err), interruptedHint(o.Out))
	case errors.Is(err, errInterrupted):
		return withHint(err, interruptedHint(o.Out))
	case full && train.HoldsRun(o.Out):
		return withHint(err, "the disk is full: make room, and continue with the same command and --resume")
	case err != nil || s == nil:
		return err
	case t.json:
		return t.writeJSON(s)
	}
	printTraining(t, s)
	return nil
}

// trainArguments reads the set's folder and the number of folds, 0 for one training.
func trainArguments(c *cli.Context, peers core.Peers) (dir string, folds int, err error) {
	if dir, err = oneArgument(c, "the folder of a prepared set"); err != nil {
		return dir, 0, err
	}
	if c.String("out") == "" {
		return dir, 0, usagef("--out is missing: the folder of the run")
	}
	if folds, err = foldsOf(c); err == nil && folds > 0 {
		err = alone(peers, "--folds", "train each fold by itself, with --fold")
	}
	return dir, folds, err
}

// openTraining opens what a training works with: the set, less what a fold leaves out,
// an engine, the model to start from and the settings. Close the work in any case.
func openTraining(c *cli.Context, dir string, folds int, o *train.Options) (w work, err error) {
	if w, err = openWork(c, dir); err != nil {
		return work{}, err
	}
	o.Engine, o.Set = w.engine, w.set
	o.Memory, o.Free = segment.SystemMemory()
	if c.Bool("resume") {
		if o.Config, o.LeftOut, err = resumedRun(c); err != nil {
			return w, err
		}
	}
	if folds == 0 {
		if o.Set, o.LeftOut, err = leaveOut(c, w.set, o.LeftOut); err != nil {
			return w, err
		}
	}
	if from := c.String("from"); from != "" {
		if w.model, err = modelFor(from); err != nil {
			return w, err
		}
		o.From = w.model
	}
	if !o.Resume {
		o.Config, err = trainConfig(c, o.Set, o.From)
	}
	return w, err
}

// interruptedHint tells how to go on with a run that was interrupted, perhaps
// before there was anything to save.
func interruptedHint(out string) string {
	if !train.HoldsRun(out) {
		return "training had not begun and nothing is saved; the same command starts again"
	}
	return fmt.Sprintf("the state is saved; continue with `unet train ... --out %s --resume`", out)
}

// afterTraining are the commands to go on with, of a run that is done or not.
func afterTraining(set, out string, done bool) []report.Step {
	set = typed(set)
	if !done {
		return []report.Step{{What: "Continue after an interruption:", Command: "unet train " + set + " --out " + typed(out) + " --resume"}}
	}
	model := typed(filepath.Join(out, train.ModelFile))
	return []report.Step{
		{What: "Score the model on images it has not learned from, choose its thresholds on the validation images, and see its errors:",
			Command: "unet evaluate " + set + " --model " + model + " --tune --out " + typed(filepath.Join(out, "evaluation"))},
		{What: "Segment images:", Command: "unet predict IMAGES --model " + model + " --out RESULTS"}}
}

// typed is a name as people type it in a shell.
func typed(name string) string {
	if strings.IndexFunc(name, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("/\\._-:+=,@", c)
	}) < 0 {
		return name
	}
	return `"` + name + `"`
}

// trainConfig returns the settings that preset, file, options and the model to
// start from ask for.
func trainConfig(c *cli.Context, set *dataset.Set, from *unet.Model) (train.Config, error) {
	d := train.Defaults{Kind: c.String("kind"), Preset: c.String("preset"), Size: set.Meta.Settings.Size}
	if from != nil {
		d.From = &from.Card
		if !c.IsSet("kind") {
			d.Kind = from.Card.Kind
		}
	}
	file := c.String("config")
	cfg, err := train.ReadConfig(file, d)
	if err != nil {
		return cfg, err
	}
	inFile := cfg.Check()
	if err := setOptions(c, &cfg); err != nil {
		return cfg, err
	}
	err = cfg.Check()
	switch {
	case err == nil:
		return cfg, nil
	case file != "" && inFile != nil && inFile.Error() == err.Error():
		return cfg, usagef("%s: %v", file, err)
	}
	return cfg, usagef("%v", err)
}

// resumedRun returns the settings of the run in --out, and the sources it leaves out.
// The command that began it may be repeated, nothing else.
func resumedRun(c *cli.Context) (cfg train.Config, leftOut []string, err error) {
	if c.IsSet("config") {
		return cfg, nil, usagef("--resume continues with the run's own settings: leave --config out")
	}
	if cfg, leftOut, err = train.ReadRun(c.String("out")); err != nil {
		return cfg, nil, err
	}
	asked := cfg
	if c.IsSet("kind") {
		asked.Kind = c.String("kind")
	}
	if err := setOptions(c, &asked); err != nil {
		return cfg, nil, err
	}
	if !reflect.DeepEqual(asked, cfg) {
		return cfg, nil, withHint(usagef("--resume continues with the run's own settings, and the options given differ"),
			"leave them out, or begin another run")
	}
	return cfg, leftOut, nil
}

// setOptions applies the settings given as options.
func setOptions(c *cli.Context, cfg *train.Config) error {
	for _, s := range train.Settings {
		if !s.Rare && c.IsSet(s.Name) {
			if err := s.Set(cfg, c.String(s.Name)); err != nil {
				return usagef("--%v", err)
			}
		}
	}
	return nil
}

// leaveOut takes the sources of a fold out of the set, if asked to, or those that a
// run which is resumed has left out.
func leaveOut(c *cli.Context, set *dataset.Set, before []string) (*dataset.Set, []string, error) {
	if c.String("split-by") == "group" {
		return nil, nil, usagef("--split-by group goes with --folds; a single fold is of sources")
	}
	by, err := splitBySource(c)
	switch {
	case err != nil:
		return nil, nil, err
	case !by && c.IsSet("fold"):
		return nil, nil, usagef("--fold goes with --split-by source")
	case !by && len(before) > 0: // folds of an earlier version, perhaps, with fields in several
		all := len(set.Entries)
		if set, err = set.LeaveOut(before); err == nil && len(set.Entries) < all {
			term(c).warnf("%s not trained on: sources left out show the same fields", plural(all-len(set.Entries), "image is", "images are"))
		}
		return set, before, err
	case !by:
		return set, nil, nil
	}
	var k, n int
	var rest string
	if got, _ := fmt.Sscanf(c.String("fold"), "%d/%d%s", &k, &n, &rest); got != 2 || k < 1 || k > n {
		return nil, nil, usagef("--fold %q: give a fold and the number of folds, such as 2/5", c.String("fold"))
	}
	folds, err := set.Folds(n)
	if err != nil {
		return nil, nil, err
	}
	set, err = set.LeaveOut(folds[k-1])
	return set, folds[k-1], err
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

// trainObserver prints how a training goes.
type trainObserver struct {
	*terminal
	bar     *progress
	loading string // the split that bar is about
	done    int    // steps done before
}

func (t *trainObserver) Started(p train.Plan) {
	threads := count(p.Threads, "thread")
	if p.Processes > 1 {
		threads = fmt.Sprintf("%d processes of %s", p.Processes, threads)
	}
	t.notef("network of %.2f M parameters, kernels %s, %s, %s of activations",
		float64(p.Parameters)/1e6, p.Kernels, threads, imageio.BytesText(int64(p.Memory)))
	t.notef("%s for training and %s for validation; %s of %s of %d patches", count(p.TrainImages, "image"), count(p.ValImages, "image"),
		count(p.Epochs, "epoch"), count(p.Steps, "step"), p.Batch)
	if p.Start != nil {
		t.notef("the starting model  | %s", scoreLine(p.Start))
	}
	t.bar, t.done = nil, p.Done*p.Steps
}

func (t *trainObserver) Progress(p train.Progress) {
	what, unit, note := "training", "steps", fmt.Sprintf("epoch %d  loss %.4f", p.Epoch, p.Loss)
	if p.Loading != "" {
		what, unit, note = "loading "+p.Loading, "images", ""
	}
	if t.bar == nil || t.loading != p.Loading {
		t.bar, t.loading = t.progress(what, unit, p.Total, t.done), p.Loading
	}
	t.bar.update(p.Done, note)
}

func (t *trainObserver) EpochDone(history []train.Epoch, best int) {
	e := history[len(history)-1]
	line := epochLine(e)
	if e.Epoch == best {
		line += "  best"
	}
	t.notef("%s", line)
}

func (t *trainObserver) Note(text string) { t.notef("%s", text) }
func (t *trainObserver) Warn(text string) { t.warnf("%s", text) }

func epochLine(e train.Epoch) string {
	s := fmt.Sprintf("epoch %3d  %s  loss %.4f  acc %.4f  f1 %.4f", e.Epoch,
		shortDuration(time.Duration(e.Seconds*float64(time.Second))), e.Train.Loss, e.Train.Accuracy, e.Train.F1)
	if e.Val != nil {
		s += "  | " + scoreLine(e.Val)
	}
	if e.Mean {
		s += "  (mean with the starting model)"
	}
	return s
}

func scoreLine(v *train.Scores) string {
	return fmt.Sprintf("val loss %.4f  acc %.4f  prec %.4f  rec %.4f  f1 %.4f  iou %.4f  KaggleScore %.4f",
		v.Loss, v.Accuracy, v.Precision, v.Recall, v.F1, v.IoU, v.KaggleScore)
}

// printTraining tells what a run gave.
func printTraining(t *terminal, s *train.Summary) {
	switch {
	case s.Unchanged:
		t.printf("no epoch is clearly better than the starting model on the validation images: the result is the starting model\n")
		t.printf("%s\n", scoreLine(s.Start))
	case s.Best == nil:
		t.printf("no epoch could be judged: the result is the last\n")
	default:
		if s.Stopped {
			t.notef("stopped early: no better epoch since %d", s.BestEpoch)
		}
		t.printf("best: %s\n", strings.TrimSpace(epochLine(*s.Best)))
	}
	t.printf("model %s\n", s.Model)
	t.printf("report %s\n", s.Report)
}
