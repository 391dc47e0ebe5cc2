package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/report"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
)

func sweepCommand() *cli.Command {
	return &cli.Command{
		Name:      "sweep",
		Usage:     "train many variants of a model and keep the best",
		UsageText: "unet sweep DIR --out FOLDER --vary lr=0.0003,0.001 --vary width=16,32",
		Description: "Trains every combination of the varied settings (or --random N of them) on the\n" +
			"prepared set DIR, one run per folder, and ranks them by the monitored figure. An\n" +
			"interrupted sweep continues where it stopped. FOLDER gets index.html, results.csv,\n" +
			"results.json and best.safetensors.\n\n" +
			"Settings: " + strings.Join(sweepNames(), ", ") + ".\n" +
			"loss is bce, dice or bce+dice; augment is none, flips or strong.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` of the sweep"},
			&cli.StringSliceFlag{Name: "vary", Usage: "`SETTING=VALUE,VALUE,...`, may be repeated"},
			&cli.IntFlag{Name: "random", Usage: "try only `N` combinations, drawn at random"},
			&cli.StringFlag{Name: "arch", Value: unet.Paper, Usage: "kind of model: paper or nuclei"},
			&cli.StringFlag{Name: "config", Usage: "YAML `FILE` of the settings that are not varied"},
			&cli.IntFlag{Name: "epochs", Usage: "at most so many epochs each"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "of --random and of every training"},
		},
		Action: sweep,
	}
}

// setting is one that a sweep can vary.
type setting struct {
	name string
	set  func(*train.Config, string) error
}

func number(p func(*train.Config) *float64) func(*train.Config, string) error {
	return func(c *train.Config, s string) (err error) {
		if *p(c), err = strconv.ParseFloat(s, 64); err != nil {
			return errors.New("no number")
		}
		return nil
	}
}

func integer(p func(*train.Config) *int) func(*train.Config, string) error {
	return func(c *train.Config, s string) (err error) {
		if *p(c), err = strconv.Atoi(s); err != nil {
			return errors.New("no whole number")
		}
		return nil
	}
}

var settings = []setting{
	{"lr", number(func(c *train.Config) *float64 { return &c.LearningRate })},
	{"dropout", number(func(c *train.Config) *float64 { return &c.Arch.Dropout })},
	{"weight_decay", number(func(c *train.Config) *float64 { return &c.WeightDecay })},
	{"width", integer(func(c *train.Config) *int { return &c.Arch.Width })},
	{"depth", integer(func(c *train.Config) *int { return &c.Arch.Depth })},
	{"batch", integer(func(c *train.Config) *int { return &c.Batch })},
	{"norm", func(c *train.Config, s string) error { c.Arch.Norm = s; return nil }},
	{"loss", func(c *train.Config, s string) error {
		l := c.Loss[unet.HeadForeground]
		switch s {
		case "bce":
			l.BCE, l.Dice = 1, 0
		case "dice":
			l.BCE, l.Dice = 0, 1
		case "bce+dice":
			l.BCE, l.Dice = 1, 1
		default:
			return errors.New("bce, dice or bce+dice")
		}
		c.Loss[unet.HeadForeground] = l
		return nil
	}},
	{"augment", func(c *train.Config, s string) (err error) {
		c.Augment, err = namedPolicy(s, c.Augment.Size)
		return err
	}},
	{"threshold", number(func(c *train.Config) *float64 { return &c.Threshold })},
}

func sweepNames() []string {
	var list []string
	for _, s := range settings {
		list = append(list, s.name)
	}
	return list
}

// variant is one combination of the varied settings.
type variant struct {
	Settings  map[string]string `json:"settings"`
	Monitored float64           `json:"monitored"`
	Best      train.Epoch       `json:"best"`
	Epochs    int               `json:"epochs"`
	// Parameters of the network, and seconds of all epochs.
	Parameters int     `json:"parameters"`
	Seconds    float64 `json:"seconds"`
	Folder     string  `json:"folder"`

	cfg     train.Config
	history []train.Epoch
}

func sweep(c *cli.Context) error {
	dir, err := oneArgument(c, "the folder of a prepared set")
	if err != nil {
		return err
	}
	out := c.String("out")
	if out == "" {
		return usagef("--out is missing: the folder of the sweep")
	}
	t := term(c)
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	names, variants, err := sweepVariants(c, set)
	if err != nil {
		return err
	}
	e, err := newEngine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	t.notef("%s of %s", count(len(variants), "variant"), strings.Join(names, ", "))
	switch monitor := variants[0].cfg.Monitor; {
	case monitor == "val_loss" && slices.Contains(names, "threshold"):
		t.warnf("val_loss, which ranks the variants, is the same at any threshold: set `monitor: val_f1` and `mode: max` in a --config file")
	case monitor == "val_loss" && slices.Contains(names, "loss"):
		t.notef("val_loss, which ranks the variants, is the binary cross-entropy whatever the loss; compare val_f1 and val_ap, too")
	}
	for i := range variants {
		v := &variants[i]
		v.Folder = filepath.Join(out, v.folder(names))
		t.notef("variant %d of %d: %s", i+1, len(variants), v.text(names))
		tr, err := newTrainer(c.Context, t, e, v.cfg, set, v.Folder)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(v.Folder, train.CheckpointFile)); err == nil {
			tr.Resume = true
		}
		run := &trainRun{t: t, cfg: v.cfg, out: v.Folder}
		res, err := run.train(c.Context, tr)
		if err != nil {
			if errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) {
				return withHint(err, "the same command continues the sweep")
			}
			return fmt.Errorf("variant %s: %w", v.text(names), err)
		}
		res.Model.Params.Free()
		v.Epochs, v.Parameters, v.history = len(res.History), run.plan.Parameters, res.History
		for _, h := range res.History {
			v.Seconds += h.Seconds
			if h.Epoch == res.BestEpoch {
				v.Best = h
			}
		}
		if v.Monitored, err = v.Best.Monitored(v.cfg.Monitor); err != nil {
			return err
		}
	}
	sort.SliceStable(variants, func(i, j int) bool {
		a, b := variants[i].Monitored, variants[j].Monitored
		if variants[0].cfg.Mode == "max" {
			return a > b
		}
		return a < b
	})
	return sweepResults(t, out, names, variants)
}

// folder names a variant's run after its settings.
func (v *variant) folder(names []string) string {
	return strings.NewReplacer(" ", "_", "/", "_").Replace(v.text(names))
}

func (v *variant) text(names []string) string {
	var parts []string
	for _, n := range names {
		parts = append(parts, n+"="+v.Settings[n])
	}
	return strings.Join(parts, " ")
}

// sweepVariants lists the combinations to train.
func sweepVariants(c *cli.Context, set *dataset.Set) (names []string, list []variant, err error) {
	values := map[string][]string{}
	// urfave splits the values of a slice flag at commas; put them together.
	var current string
	for _, part := range c.StringSlice("vary") {
		if name, v, ok := strings.Cut(part, "="); ok {
			current, part = name, v
			if !slices.Contains(sweepNames(), name) {
				return nil, nil, usagef("--vary %s: unknown setting; choose from %s", name, strings.Join(sweepNames(), ", "))
			}
			if values[name] != nil {
				return nil, nil, usagef("--vary %s is given twice", name)
			}
			names = append(names, name)
		}
		if current == "" {
			return nil, nil, usagef("--vary %s: write it as SETTING=VALUE,VALUE", part)
		}
		values[current] = append(values[current], part)
	}
	if len(names) == 0 {
		return nil, nil, usagef("--vary is missing: what to vary, such as --vary lr=0.0003,0.001")
	}
	list = []variant{{Settings: map[string]string{}}}
	for _, n := range names {
		var next []variant
		for _, v := range list {
			for _, value := range values[n] {
				s := map[string]string{n: value}
				for k, old := range v.Settings {
					s[k] = old
				}
				next = append(next, variant{Settings: s})
			}
		}
		if list = next; len(list) > 10000 {
			return nil, nil, usagef("more than 10000 combinations")
		}
	}
	if n := c.Int("random"); n > 0 && n < len(list) {
		rng := rand.New(rand.NewPCG(c.Uint64("seed"), 0))
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:n]
	}
	for i := range list {
		cfg, err := sweepConfig(c, set, names, list[i].Settings)
		if err != nil {
			return nil, nil, err
		}
		list[i].cfg = cfg
	}
	return names, list, nil
}

func sweepConfig(c *cli.Context, set *dataset.Set, names []string, values map[string]string) (train.Config, error) {
	cfg, err := readConfig(c.String("config"), base{kind: c.String("arch"), preset: "quick", set: set})
	if err != nil {
		return cfg, err
	}
	cfg.Seed = c.Uint64("seed")
	if c.IsSet("epochs") {
		cfg.Epochs = c.Int("epochs")
	}
	for _, s := range settings {
		if !slices.Contains(names, s.name) {
			continue
		}
		if err := s.set(&cfg, values[s.name]); err != nil {
			return cfg, usagef("--vary %s=%s: %v", s.name, values[s.name], err)
		}
	}
	if err := cfg.Check(); err != nil {
		return cfg, usagef("%v", err)
	}
	return cfg, nil
}

// sweepResults writes the ranking and keeps the best model.
func sweepResults(t *terminal, out string, names []string, list []variant) error {
	table := &report.Table{}
	for _, n := range names {
		table.Columns = append(table.Columns, report.Column{Name: n})
	}
	monitor := list[0].cfg.Monitor // ranks; the others are for comparison
	scores := []string{"val_loss", "val_accuracy", "val_f1", "val_ap"}
	if i := slices.Index(scores, monitor); i >= 0 {
		scores = slices.Delete(scores, i, i+1)
	}
	scores = append([]string{monitor}, scores...)
	for _, n := range append(slices.Clone(scores), "best_epoch", "epochs", "parameters", "seconds") {
		table.Columns = append(table.Columns, report.Column{Name: n, Numeric: true})
	}
	for _, v := range list {
		var row []string
		for _, n := range names {
			row = append(row, v.Settings[n])
		}
		for _, n := range scores {
			x, err := v.Best.Monitored(n)
			if err != nil {
				return err
			}
			row = append(row, report.Number(x, 4))
		}
		table.Add(append(row, strconv.Itoa(v.Best.Epoch), strconv.Itoa(v.Epochs), strconv.Itoa(v.Parameters), report.Number(v.Seconds, 0))...)
	}
	best, err := unet.LoadModel(filepath.Join(list[0].Folder, train.ModelFile))
	if err != nil {
		return err
	}
	defer best.Params.Free()
	path := filepath.Join(out, "best.safetensors")
	if err := best.Save(path, false); err != nil {
		return err
	}
	if err := imageio.WriteFile(filepath.Join(out, "results.json"), func(w io.Writer) error { return encodeJSON(w, list) }); err != nil {
		return err
	}
	err = imageio.WriteFile(filepath.Join(out, "results.csv"), func(w io.Writer) error {
		var head []string
		for _, c := range table.Columns {
			head = append(head, c.Name)
		}
		return writeCSV(w, append([][]string{head}, table.Rows...))
	})
	if err != nil {
		return err
	}
	page, err := sweepPage(out, names, list, table)
	if err != nil {
		return err
	}
	index := filepath.Join(out, "index.html")
	if err := imageio.WriteFile(index, page.HTML); err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(list)
	}
	narrow := &report.Table{Columns: table.Columns[:len(table.Columns)-2]} // for narrow terminals
	for _, r := range table.Rows {
		narrow.Rows = append(narrow.Rows, r[:len(narrow.Columns)])
	}
	if err := narrow.WriteText(t.out, t.width); err != nil {
		return err
	}
	t.printf("best model %s\n", path)
	t.printf("report %s\n", index)
	return nil
}

// sweepPage shows the ranking, the monitored figure of the best variants over
// the epochs, and the way to the report of each.
func sweepPage(out string, names []string, list []variant, table *report.Table) (*report.Page, error) {
	const drawn = 6
	best, monitor := &list[0], list[0].cfg.Monitor
	page := &report.Page{Title: "Sweep of " + strings.Join(names, ", "), Subtitle: out, Footer: "unet " + version()}
	s := page.Section("Result")
	s.Text(fmt.Sprintf("Best of %s by %s: %s. Every figure is of the variant's best epoch, on the validation images.",
		count(len(list), "variant"), monitor, best.text(names)))
	s.Table(table)
	p := &report.Plot{Title: monitor, X: report.Axis{Label: "epoch", Integer: true}, Width: 900}
	var links []report.Fact
	for i, v := range list {
		rel, err := filepath.Rel(out, filepath.Join(v.Folder, "report.html"))
		if err != nil {
			return nil, err
		}
		links = append(links, report.Fact{Name: v.text(names), Value: "report", Link: filepath.ToSlash(rel)})
		if i >= drawn {
			continue
		}
		c := report.Series{Name: v.text(names), Colour: report.SeriesColour(i)}
		for _, h := range v.history {
			if h.Val == nil {
				continue
			}
			y, err := h.Monitored(monitor)
			if err != nil {
				return nil, err
			}
			c.X, c.Y = append(c.X, float64(h.Epoch)), append(c.Y, y)
		}
		p.Series = append(p.Series, c)
	}
	p.Marks = []report.Mark{{X: float64(best.Best.Epoch), Y: best.Monitored, Label: fmt.Sprintf("epoch %d: %s", best.Best.Epoch, four(best.Monitored))}}
	caption := "The ring marks the best epoch of the best variant."
	if len(list) > drawn {
		caption += fmt.Sprintf(" The %d best variants are drawn.", drawn)
	}
	page.Section("Curves").Drawing(p.Draw(), caption)
	page.Section("Runs").Facts(links)
	return page, nil
}
