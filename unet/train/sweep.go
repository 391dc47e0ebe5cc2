package train

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
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
	// Part and Of, if Of is above 0, train every Of-th variant from the Part-th
	// on, from 1, and leave the ranking to a sweep of all.
	Part, Of int
	Wait     bool // until other processes have trained all variants
}

// Axis is a setting and the values to try.
type Axis struct {
	Setting string
	Values  []string
}

// Variant is one combination of the varied settings, and how it did.
type Variant struct {
	Settings   map[string]string `json:"settings"`   // the settings that were varied, and their values
	Threshold  float64           `json:"threshold"`  // the threshold that suits the model best: of the foreground of nuclei, or of a paper model's mask
	Scores     Scores            `json:"scores"`     // scores on the validation images at that threshold
	Best       Epoch             `json:"best"`       // the epoch whose weights the model has
	Epochs     int               `json:"epochs"`     // epochs trained
	Parameters int               `json:"parameters"` // parameters of the network
	Seconds    float64           `json:"seconds"`    // time of all epochs
	Folder     string            `json:"folder"`     // folder of the run

	text    string // the varied settings
	config  Config
	history []Epoch
}

// SweepSchema is the version of the layout of SweepSummary in JSON.
const SweepSchema = 2

// SweepSummary is what Sweep found; results.json holds it.
type SweepSummary struct {
	Schema   int       `json:"schema"`           // version of the layout
	Kind     string    `json:"kind"`             // nuclei or paper
	RankedBy string    `json:"ranked_by"`        // the score that ranks the variants
	Variants []Variant `json:"variants"`         // what was trained, the best first
	Failed   []Failure `json:"failed,omitempty"` // variants that could not be trained, as they diverged
	Model    string    `json:"model"`            // file of the best model
	Report   string    `json:"report"`           // the report, an HTML page

	Table *report.Table `json:"-"`
}

// Sweep trains every combination of the varied settings and ranks the models: of
// nuclei by MeanAP, the paper's by the F1 of pixels, each at the threshold that
// suits it best. Variants that are done are not trained again, so that a
// sweep that was interrupted goes on where it stopped, and one whose parts other
// processes have trained only ranks them. A variant that diverges is left out, and
// not tried again. o.Out gets index.html, results.csv, results.json and
// best.safetensors. A part has no summary.
func Sweep(ctx context.Context, o SweepOptions, observer Observer) (*SweepSummary, error) {
	variants, err := o.variants()
	if err != nil {
		return nil, err
	}
	if err := RefuseSet(o.Out); err != nil {
		return nil, err
	}
	if o.Of == 0 {
		if err := owned.Reserve(o.Out, owned.Options{Force: o.Force}, "index.html", "results.csv", "results.json", BestFile); err != nil {
			return nil, err
		}
	}
	o.remark(len(variants), observer)
	if o.Wait {
		over := func(i int) bool { return variants[i].failed(&o) != "" || ended(variants[i].Folder) }
		if err := wait(ctx, len(variants), over, observer); err != nil {
			return nil, err
		}
	}
	variants, failed, err := o.train(ctx, variants, observer)
	if err != nil || o.Of > 0 {
		return nil, err
	}
	if len(variants) == 0 {
		return nil, fmt.Errorf("all variants failed; %s: %w", failed[0].text, ErrDiverged)
	}
	if err := o.score(ctx, variants, observer); err != nil {
		return nil, err
	}
	by := o.measures()[0]
	slices.SortStableFunc(variants, func(a, b Variant) int { return cmp.Compare(by.of(&b), by.of(&a)) })
	s := &SweepSummary{Schema: SweepSchema, Kind: o.Base.Kind, RankedBy: by.key, Variants: variants, Failed: failed,
		Model: filepath.Join(o.Out, BestFile), Report: filepath.Join(o.Out, "index.html"), Table: o.table(variants)}
	return s, o.write(s)
}

// train trains the variants, or those of a part, and tells those that diverge from
// the others.
func (o *SweepOptions) train(ctx context.Context, variants []Variant, observer Observer) (trained []Variant, failed []Failure, err error) {
	for i := range variants {
		if o.Of > 0 && i%o.Of != o.Part-1 {
			continue
		}
		v := &variants[i]
		observer.Note(fmt.Sprintf("variant %d of %d: %s", i+1, len(variants), v.text))
		reason := v.failed(o)
		if reason == "" {
			err := v.train(ctx, *o, observer)
			if errors.Is(err, ErrDiverged) {
				reason, err = err.Error(), v.fail(o, err)
			}
			if err != nil && ctx.Err() != nil {
				return nil, nil, err
			}
			if err != nil {
				return nil, nil, fmt.Errorf("variant %s: %w", v.text, err)
			}
		}
		if reason != "" {
			observer.Warn(fmt.Sprintf("variant %s failed and is left out: %s", v.text, reason))
			failed = append(failed, Failure{v.Settings, reason, v.Folder, v.text})
			continue
		}
		trained = append(trained, *v)
	}
	return trained, failed, nil
}

// measure is a number of a variant: its key in tables for programs, its name on
// pages.
type measure struct {
	key, name string
	digits    int
	of        func(*Variant) float64
}

// measures lists those of a ranking; the first ranks.
func (o *SweepOptions) measures() []measure {
	f1 := measure{"f1", "F1", 4, func(v *Variant) float64 { return v.Scores.F1 }}
	meanAP := measure{"mean_ap", "MeanAP", 4, func(v *Variant) float64 { return v.Scores.MeanAP }}
	list := []measure{meanAP, {"kaggle_score", "KaggleScore", 4, func(v *Variant) float64 { return v.Scores.KaggleScore }}, f1}
	if o.Base.Kind == unet.Paper {
		list = []measure{f1, {"iou", "IoU", 4, func(v *Variant) float64 { return v.Scores.IoU }}, meanAP}
	}
	return append(list,
		measure{"val_loss", "val loss", 4, func(v *Variant) float64 { return v.Scores.Loss }},
		measure{"best_threshold", "best threshold", 3, func(v *Variant) float64 { return v.Threshold }},
		measure{"best_epoch", "best epoch", 0, func(v *Variant) float64 { return float64(v.Best.Epoch) }},
		measure{"epochs_done", "epochs done", 0, func(v *Variant) float64 { return float64(v.Epochs) }},
		measure{"parameters", "parameters", 0, func(v *Variant) float64 { return float64(v.Parameters) }},
		measure{"seconds", "seconds", 0, func(v *Variant) float64 { return v.Seconds }})
}

// names lists the varied settings.
func (o *SweepOptions) names() []string {
	var list []string
	for _, a := range o.Vary {
		list = append(list, a.Setting)
	}
	return list
}

// Count checks the settings of all variants, and says how many there are.
func (o SweepOptions) Count() (int, error) {
	list, err := o.variants()
	return len(list), err
}

// variants lists the combinations to train.
func (o *SweepOptions) variants() ([]Variant, error) {
	const most = 10000
	list := []Variant{{Settings: map[string]string{}}}
	for i, a := range o.Vary {
		if FindSetting(a.Setting) == nil {
			return nil, wrongSetting("%s is not a setting: choose from %s", a.Setting, strings.Join(SettingNames(), ", "))
		}
		if slices.Contains(o.names()[:i], a.Setting) {
			return nil, wrongSetting("%s is varied twice", a.Setting)
		}
		var next []Variant
		for _, v := range list {
			for k, value := range a.Values {
				if value == "" {
					return nil, wrongSetting("%s has an empty value", a.Setting)
				}
				if slices.Contains(a.Values[:k], value) {
					return nil, wrongSetting("%s has the value %s twice", a.Setting, value)
				}
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
	if slices.Contains(names, "threshold") {
		observer.Warn("threshold makes no difference here: every variant is scored at the threshold that suits it best")
	}
}

// train trains a variant, or goes on with it.
func (v *Variant) train(ctx context.Context, o SweepOptions, observer Observer) error {
	if err := v.forgetFailure(); err != nil {
		return err
	}
	s, err := Run(ctx, Options{Engine: o.Engine, Set: o.Set, Out: v.Folder, Config: v.config, Resume: HoldsRun(v.Folder), Force: o.Force,
		Program: o.Program}, observer)
	if err != nil {
		return err
	}
	v.Epochs, v.Parameters, v.history = s.Epochs, s.Parameters, s.History
	if v.Best = s.History[len(s.History)-1]; s.Best != nil {
		v.Best = *s.Best
	}
	for _, e := range s.History {
		v.Seconds += e.Seconds
	}
	return nil
}

// score scores the models of the variants on the validation images.
func (o *SweepOptions) score(ctx context.Context, list []Variant, observer Observer) error {
	images := map[unet.Input]*Images{} // as the variants' networks see them
	defer func() {
		for _, list := range images {
			list.Close()
		}
	}()
	for i := range list {
		v := &list[i]
		in := v.config.Input
		if images[in] == nil {
			set, err := load(ctx, Options{Set: o.Set, Out: o.Out, Config: v.config}, dataset.Val, observer)
			if err != nil {
				return err
			}
			images[in] = set
		}
		if err := v.score(ctx, o.Engine, images[in]); err != nil {
			return err
		}
	}
	return nil
}

func (v *Variant) score(ctx context.Context, e *core.Engine, images *Images) error {
	m, err := v.model()
	if err != nil {
		return err
	}
	defer m.Params.Free()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	v.Threshold, v.Scores, err = suit(ctx, p, images)
	return err
}

func (v *Variant) model() (*unet.Model, error) {
	return unet.LoadModel(filepath.Join(v.Folder, ModelFile))
}

// table lists the variants with their measures.
func (o *SweepOptions) table(list []Variant) *report.Table {
	t := &report.Table{}
	for _, n := range o.names() {
		t.Columns = append(t.Columns, report.Column{Name: n})
	}
	for _, m := range o.measures() {
		t.Columns = append(t.Columns, report.Column{Name: m.name, Numeric: true})
	}
	for i := range list {
		var row []string
		for _, n := range o.names() {
			row = append(row, list[i].Settings[n])
		}
		for _, m := range o.measures() {
			row = append(row, report.Number(m.of(&list[i]), m.digits))
		}
		t.Add(row...)
	}
	return t
}

// write writes the ranking and the best model, with the threshold that suits it.
func (o *SweepOptions) write(s *SweepSummary) error {
	v := &s.Variants[0]
	best, err := v.model()
	if err != nil {
		return err
	}
	defer best.Params.Free()
	if best.Card.Kind == unet.Paper {
		best.Card.Threshold = v.Threshold
	} else {
		best.Card.Instance.Foreground = v.Threshold
	}
	best.Card.Training.Metrics = v.Scores.metrics()
	page, err := o.page(s)
	if err != nil {
		return err
	}
	head := o.names()
	for _, m := range o.measures() {
		head = append(head, m.key)
	}
	return owned.Write(o.Out, owned.Options{Force: o.Force}, map[string]func(io.Writer) error{
		filepath.Base(s.Model):  func(w io.Writer) error { return best.Write(w, false) },
		"results.json":          owned.JSON(s),
		"results.csv":           func(w io.Writer) error { return csv.NewWriter(w).WriteAll(append([][]string{head}, s.Table.Rows...)) },
		filepath.Base(s.Report): page.HTML,
	})
}

// page shows the ranking, what the settings do, the monitored score of the best
// variants over the epochs, and the way to the report of each.
func (o *SweepOptions) page(s *SweepSummary) (*report.Page, error) {
	best, by := &s.Variants[0], o.measures()[0]
	page := &report.Page{Title: "Sweep of " + words(o.names()), Subtitle: o.Out, Footer: "unet " + o.Program}
	sec := page.Section("Result")
	what := "the average precision of nuclei, mean over IoU 0.50 to 0.95"
	if o.Base.Kind == unet.Paper {
		what = "of the pixels, equal to Dice"
	}
	sec.Text(fmt.Sprintf("The best of %d variants is %s: %s %s (%s) on the validation images.",
		len(s.Variants), best.text, by.name, report.Number(by.of(best), 4), what))
	sec.Text("Each variant is scored with the weights of its best epoch by " + monitorWords(o.Base.Monitor) +
		", at the threshold that suits it best. " + filepath.Base(s.Model) + " has that threshold.")
	sec.Table(s.Table)
	if plots := o.effects(s.Variants, by); len(plots) > 0 {
		page.Section("What the settings do").Drawing(report.Grid("", 2, plots...), "A point is a variant; the ring marks the best.")
	}
	curves, caption := o.curves(s.Variants)
	page.Section("Curves").Drawing(curves.Draw(), caption)
	var links []report.Fact
	for _, v := range s.Variants {
		rel, err := filepath.Rel(o.Out, filepath.Join(v.Folder, reportFile))
		if err != nil {
			return nil, err
		}
		links = append(links, report.Fact{Name: v.text, Value: "report", Link: filepath.ToSlash(rel)})
	}
	page.Section("Runs").Facts(links)
	if len(s.Failed) > 0 {
		var reasons []report.Fact
		for _, f := range s.Failed {
			reasons = append(reasons, report.Fact{Name: f.text, Value: f.Reason})
		}
		sec := page.Section("Failed")
		sec.Text("These variants could not be trained, and are not ranked.")
		sec.Facts(reasons)
	}
	return page, nil
}

// effects plots the score that ranks over each varied setting.
func (o *SweepOptions) effects(list []Variant, by measure) (plots []*report.Plot) {
	for _, a := range o.Vary {
		if len(a.Values) < 2 {
			continue
		}
		p := &report.Plot{Title: by.name + " by " + a.Setting, X: report.Axis{Label: a.Setting}, Width: 450, Height: 300}
		at := map[string]float64{} // values on the axis
		var numbers []float64
		for i, text := range a.Values {
			v, err := strconv.ParseFloat(text, 64)
			if err == nil {
				numbers = append(numbers, v)
			} else {
				v = float64(i)
			}
			at[text] = v
		}
		if len(numbers) == len(a.Values) {
			p.X.Log = report.SpansDecade(numbers)
		} else {
			p.X.Names = a.Values
			for i, text := range a.Values {
				at[text] = float64(i)
			}
		}
		s := report.Series{Style: report.Points, Colour: report.SeriesColour(0)}
		for i := range list {
			s.X, s.Y = append(s.X, at[list[i].Settings[a.Setting]]), append(s.Y, by.of(&list[i]))
		}
		p.Series = []report.Series{s}
		p.Marks = []report.Mark{{X: s.X[0], Y: s.Y[0], Label: report.Number(s.Y[0], 4)}}
		plots = append(plots, p)
	}
	return plots
}

// curves plots the monitored score of the best variants over the epochs.
func (o *SweepOptions) curves(list []Variant) (p *report.Plot, caption string) {
	const drawn = 6
	monitor := o.Base.Monitor
	title := monitorWords(monitor)
	p = &report.Plot{Title: strings.ToUpper(title[:1]) + title[1:] + " over the epochs", X: report.Axis{Label: "epoch", Integer: true}, Width: 900}
	var values []float64
	for i := range list[:min(drawn, len(list))] {
		c := list[i].curve(monitor, report.SeriesColour(i))
		values = append(values, c.Y...)
		p.Series = append(p.Series, c)
	}
	p.Y.Log = report.SpansDecade(values)
	e := list[0].Best
	if y, err := e.monitored(monitor); err == nil {
		p.Marks = []report.Mark{{X: float64(e.Epoch), Y: y, Label: fmt.Sprintf("epoch %d: %s", e.Epoch, report.Number(y, 4))}}
	}
	caption = "The ring marks the best epoch of the best variant."
	if len(list) > drawn {
		caption += fmt.Sprintf(" Only the best %d variants are drawn.", drawn)
	}
	return p, caption
}

// words lists names as a sentence does.
func words(list []string) string {
	if n := len(list); n > 1 {
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
	return strings.Join(list, "")
}

// curve is a score over the epochs that were validated.
func (v *Variant) curve(score string, colour color.RGBA) report.Series {
	c := report.Series{Name: v.text, Colour: colour}
	for _, e := range v.history {
		if e.Val == nil {
			continue
		}
		if y, err := e.monitored(score); err == nil {
			c.X, c.Y = append(c.X, float64(e.Epoch)), append(c.Y, y)
		}
	}
	return c
}
