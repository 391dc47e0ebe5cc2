package train

import (
	"context"
	"encoding/csv"
	"fmt"
	"image/color"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio/owned"
	"unet/unet/report"
)

// SweepOptions of Sweep.
type SweepOptions struct {
	Engine *core.Engine
	Set    *dataset.Set
	Out    string // folder of the sweep, with a folder for each variant
	// Base are the settings that are not varied.
	Base Config
	Vary []Axis
	// Random, if above 0, trains only so many combinations, drawn by Base.Seed.
	Random  int
	Program string // version
	Force   bool   // files that no earlier run made may be replaced
}

// Axis is a setting and the values to try.
type Axis struct {
	Setting string
	Values  []string
}

// Variant is one combination of the varied settings, and how it did.
type Variant struct {
	Settings  map[string]string `json:"settings"`
	Monitored float64           `json:"monitored"` // of the best epoch
	Best      Epoch             `json:"best"`
	Epochs    int               `json:"epochs"`
	// Parameters of the network, and seconds of all epochs.
	Parameters int     `json:"parameters"`
	Seconds    float64 `json:"seconds"`
	Folder     string  `json:"folder"`

	text    string // the varied settings
	config  Config
	history []Epoch
}

// SweepSummary is what Sweep found.
type SweepSummary struct {
	Variants []Variant // the best first
	Table    *report.Table
	Model    string // file of the best
	Report   string // file
}

// Sweep trains every combination of the varied settings and ranks them by the
// monitored score. Variants that are done are not trained again, so that a
// sweep that was interrupted goes on where it stopped. o.Out gets index.html,
// results.csv, results.json and best.safetensors.
func Sweep(ctx context.Context, o SweepOptions, observer Observer) (*SweepSummary, error) {
	if err := owned.Reserve(o.Out, owned.Options{Force: o.Force}, "index.html", "results.csv", "results.json", BestFile); err != nil {
		return nil, err
	}
	variants, err := o.variants()
	if err != nil {
		return nil, err
	}
	o.remark(len(variants), observer)
	for i := range variants {
		v := &variants[i]
		observer.Note(fmt.Sprintf("variant %d of %d: %s", i+1, len(variants), v.text))
		if err := v.train(ctx, o, observer); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return nil, fmt.Errorf("variant %s: %w", v.text, err)
		}
	}
	slices.SortStableFunc(variants, func(a, b Variant) int {
		if !o.Base.lowestIsBest() {
			a, b = b, a
		}
		switch {
		case a.Monitored < b.Monitored:
			return -1
		case a.Monitored > b.Monitored:
			return 1
		}
		return 0
	})
	s := &SweepSummary{Variants: variants, Model: filepath.Join(o.Out, "best.safetensors"), Report: filepath.Join(o.Out, "index.html")}
	if s.Table, err = o.table(variants); err != nil {
		return nil, err
	}
	return s, o.write(s)
}

// names lists the varied settings.
func (o *SweepOptions) names() []string {
	var list []string
	for _, a := range o.Vary {
		list = append(list, a.Setting)
	}
	return list
}

// variants lists the combinations to train.
func (o *SweepOptions) variants() ([]Variant, error) {
	const most = 10000
	list := []Variant{{Settings: map[string]string{}}}
	for i, a := range o.Vary {
		if FindSetting(a.Setting) == nil {
			return nil, wrongSetting("%s is no setting: choose from %s", a.Setting, strings.Join(SettingNames(), ", "))
		}
		if slices.Contains(o.names()[:i], a.Setting) {
			return nil, wrongSetting("%s is varied twice", a.Setting)
		}
		var next []Variant
		for _, v := range list {
			for _, value := range a.Values {
				s := maps.Clone(v.Settings)
				s[a.Setting] = value
				next = append(next, Variant{Settings: s})
			}
		}
		if list = next; len(list) > most {
			return nil, wrongSetting("more than %d combinations", most)
		}
	}
	if o.Random > 0 && o.Random < len(list) {
		rng := rand.New(rand.NewPCG(o.Base.Seed, 0))
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:o.Random]
	}
	for i := range list {
		if err := list[i].configure(o); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// configure fills in the settings of a variant and the folder named after
// them.
func (v *Variant) configure(o *SweepOptions) error {
	v.config = o.Base
	var parts []string
	for _, name := range o.names() {
		if err := FindSetting(name).Set(&v.config, v.Settings[name]); err != nil {
			return wrongSetting("%v", err)
		}
		parts = append(parts, name+"="+v.Settings[name])
	}
	if err := v.config.Check(); err != nil {
		return wrongSetting("%v", err)
	}
	v.text = strings.Join(parts, " ")
	v.Folder = filepath.Join(o.Out, strings.NewReplacer(" ", "_", "/", "_").Replace(v.text))
	return nil
}

// remark says what is worth knowing before the sweep begins.
func (o *SweepOptions) remark(variants int, observer Observer) {
	names := o.names()
	observer.Note(fmt.Sprintf("variants of %s: %d", strings.Join(names, ", "), variants))
	if o.Base.Monitor != "val_loss" {
		return
	}
	if slices.Contains(names, "threshold") {
		observer.Warn("val_loss, which ranks the variants, is the same at any threshold: put `monitor: val_f1` in a --config file")
	} else if slices.Contains(names, "loss") {
		observer.Note("val_loss, which ranks the variants, is the binary cross-entropy whatever the loss; compare val_f1 and val_kaggle_score, too")
	}
}

// train trains a variant, or goes on with it.
func (v *Variant) train(ctx context.Context, o SweepOptions, observer Observer) error {
	s, err := Run(ctx, Options{Engine: o.Engine, Set: o.Set, Out: v.Folder, Config: v.config, Resume: HoldsRun(v.Folder), Force: o.Force,
		Program: o.Program}, observer)
	if err != nil {
		return err
	}
	v.Best, v.Epochs, v.Parameters, v.history = s.Best, s.Epochs, s.Parameters, s.History
	for _, e := range s.History {
		v.Seconds += e.Seconds
	}
	v.Monitored, err = v.Best.Monitored(v.config.Monitor)
	return err
}

// table ranks the variants by the monitored score; the others are for
// comparison.
func (o *SweepOptions) table(list []Variant) (*report.Table, error) {
	t := &report.Table{}
	for _, n := range o.names() {
		t.Columns = append(t.Columns, report.Column{Name: n})
	}
	scores := slices.DeleteFunc([]string{"val_loss", "val_accuracy", "val_f1", "val_kaggle_score"}, func(s string) bool { return s == o.Base.Monitor })
	scores = slices.Insert(scores, 0, o.Base.Monitor)
	for _, n := range append(slices.Clone(scores), "best_epoch", "epochs", "parameters", "seconds") {
		t.Columns = append(t.Columns, report.Column{Name: n, Numeric: true})
	}
	for _, v := range list {
		var row []string
		for _, n := range o.names() {
			row = append(row, v.Settings[n])
		}
		for _, n := range scores {
			x, err := v.Best.Monitored(n)
			if err != nil {
				return nil, err
			}
			row = append(row, report.Number(x, 4))
		}
		t.Add(append(row, strconv.Itoa(v.Best.Epoch), strconv.Itoa(v.Epochs), strconv.Itoa(v.Parameters), report.Number(v.Seconds, 0))...)
	}
	return t, nil
}

// write writes the ranking and the best model.
func (o *SweepOptions) write(s *SweepSummary) error {
	best, err := unet.LoadModel(filepath.Join(s.Variants[0].Folder, ModelFile))
	if err != nil {
		return err
	}
	defer best.Params.Free()
	page, err := o.page(s)
	if err != nil {
		return err
	}
	var head []string
	for _, c := range s.Table.Columns {
		head = append(head, c.Name)
	}
	return owned.Write(o.Out, owned.Options{Force: o.Force}, map[string]func(io.Writer) error{
		filepath.Base(s.Model):  func(w io.Writer) error { return best.Write(w, false) },
		"results.json":          func(w io.Writer) error { return writeJSON(w, s.Variants) },
		"results.csv":           func(w io.Writer) error { return csv.NewWriter(w).WriteAll(append([][]string{head}, s.Table.Rows...)) },
		filepath.Base(s.Report): page.HTML,
	})
}

// page shows the ranking, the monitored score of the best variants over the
// epochs, and the way to the report of each.
func (o *SweepOptions) page(s *SweepSummary) (*report.Page, error) {
	const drawn = 6
	best, monitor := &s.Variants[0], o.Base.Monitor
	page := &report.Page{Title: "Sweep of " + strings.Join(o.names(), ", "), Subtitle: o.Out, Footer: "unet " + o.Program}
	sec := page.Section("Result")
	sec.Text(fmt.Sprintf("The best by %s, out of %d: %s. Scores are those of each variant's best epoch, on the validation images.",
		monitor, len(s.Variants), best.text))
	sec.Table(s.Table)
	p := &report.Plot{Title: monitor, X: report.Axis{Label: "epoch", Integer: true}, Width: 900}
	var links []report.Fact
	for i, v := range s.Variants {
		rel, err := filepath.Rel(o.Out, filepath.Join(v.Folder, reportFile))
		if err != nil {
			return nil, err
		}
		links = append(links, report.Fact{Name: v.text, Value: "report", Link: filepath.ToSlash(rel)})
		if i < drawn {
			p.Series = append(p.Series, v.curve(monitor, report.SeriesColour(i)))
		}
	}
	p.Marks = []report.Mark{{X: float64(best.Best.Epoch), Y: best.Monitored, Label: fmt.Sprintf("epoch %d: %s", best.Best.Epoch, report.Number(best.Monitored, 4))}}
	caption := "The ring marks the best epoch of the best variant."
	if len(s.Variants) > drawn {
		caption += fmt.Sprintf(" Only the best %d variants are drawn.", drawn)
	}
	page.Section("Curves").Drawing(p.Draw(), caption)
	page.Section("Runs").Facts(links)
	return page, nil
}

// curve is a score over the epochs that were validated.
func (v *Variant) curve(score string, colour color.RGBA) report.Series {
	c := report.Series{Name: v.text, Colour: colour}
	for _, e := range v.history {
		if e.Val == nil {
			continue
		}
		if y, err := e.Monitored(score); err == nil {
			c.X, c.Y = append(c.X, float64(e.Epoch)), append(c.Y, y)
		}
	}
	return c
}
