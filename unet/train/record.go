package train

import (
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/owned"
	"unet/unet/report"

	"go.yaml.in/yaml/v3"
)

// Files of a run's folder for people to look at.
const (
	configFile = "config.yaml"
	reportFile = "report.html"
)

// HistorySchema is the version of the layout of History in JSON.
const HistorySchema = 2

// History is history.json.
type History struct {
	Schema int     `json:"schema"` // version of the layout
	Epochs []Epoch `json:"epochs"` // the epochs so far
}

// record is an observer that writes the files of a run for people to look at
// and passes everything on. The run goes on where they cannot be written.
type record struct {
	Observer
	o       Options
	plan    Plan
	history []Epoch
	best    int // the number of the best epoch, 0 for none
	done    bool
}

func (r *record) Started(p Plan) {
	r.plan = p
	r.Observer.Started(p)
	if !r.o.Resume {
		if err := r.writeConfig(); err != nil {
			r.Warn(err.Error())
		}
	}
}

func (r *record) EpochDone(history []Epoch, best int) {
	r.Observer.EpochDone(history, best)
	r.history, r.best = history, best
	r.write(fmt.Sprintf("%d of %d epochs so far.", len(history), r.o.Config.Epochs))
}

// end writes the files of a run that is done.
func (r *record) end(res *Result) {
	r.history, r.best, r.done = res.History, res.BestEpoch, true
	c, n := r.o.Config, len(res.History)
	status := fmt.Sprintf("All %d epochs done.", c.Epochs)
	if c.Epochs == 1 {
		status = "The only epoch is done."
	}
	if res.Stopped {
		status = fmt.Sprintf("Stopped early after %d of %d epochs: %d without a better %s.", n, c.Epochs, n-res.BestEpoch, monitorWords(c.Monitor))
	}
	r.write(status)
}

func (r *record) path(name string) string { return filepath.Join(r.o.Out, name) }

func (r *record) writeConfig() error {
	return atomicfile.WriteFile(r.path(configFile), func(w io.Writer) error {
		fmt.Fprintf(w, "# All settings of this run, and a file of settings for another.\n")
		e := yaml.NewEncoder(w)
		defer e.Close()
		return e.Encode(r.o.Config)
	})
}

// write renews the history, the curves and the report.
func (r *record) write(status string) {
	if err := r.writeFiles(status); err != nil {
		r.Warn(err.Error())
	}
}

func (r *record) writeFiles(status string) error {
	epochs := make([]report.Epoch, len(r.history))
	for i, e := range r.history {
		epochs[i] = report.Epoch{Number: e.Epoch, Train: report.Scores(e.Train), Val: (*report.Scores)(e.Val), Mean: e.Mean, LR: e.Rate, Seconds: e.Seconds}
	}
	training := r.training(epochs, status)
	page, err := report.TrainingPage(training)
	if err != nil {
		return err
	}
	curves := report.Curves(training.WithStart(), r.best, training.OneLoss)
	for name, f := range map[string]func(io.Writer) error{
		"history.csv":  func(w io.Writer) error { return writeHistory(w, r.history) },
		"history.json": owned.JSON(History{HistorySchema, r.history}),
		"curves.svg":   curves.SVG,
		"curves.png":   func(w io.Writer) error { return curves.PNG(w, 1.5) },
		reportFile:     page.HTML,
	} {
		if err := atomicfile.WriteFile(r.path(name), f); err != nil {
			return err
		}
	}
	return nil
}

// training is what the report says, with a line for every setting.
func (r *record) training(epochs []report.Epoch, status string) *report.Training {
	c, p := r.o.Config, r.plan
	name := r.o.Name
	if name == "" {
		name = filepath.Base(r.o.Out)
	}
	facts := []report.Fact{
		{Name: "images", Value: fmt.Sprintf("%d training, %d validation", p.TrainImages, p.ValImages)},
		{Name: "parameters", Value: strconv.Itoa(p.Parameters)},
		{Name: "steps per epoch", Value: fmt.Sprintf("%d of %d patches of %d x %d", p.Steps, c.Batch, c.Augment.Size, c.Augment.Size)},
		{Name: "settings", Value: configFile, Link: configFile},
		{Name: "kind", Value: c.Kind},
	}
	for i := range Settings {
		facts = append(facts, report.Fact{Name: Settings[i].Name, Value: Settings[i].Text(c)})
	}
	return &report.Training{
		Title: "Training of " + name, History: epochs, Best: r.best, Monitor: monitorWords(c.Monitor), Status: status, Next: r.next(),
		Loss: lossText(c), OneLoss: c.oneLoss(), Start: (*report.Scores)(p.Start), Settings: facts, Footer: "unet " + r.o.Program,
	}
}

// next says what to do with the result.
func (r *record) next() (list []report.Step) {
	if r.done && r.best == 0 && r.plan.Start != nil {
		list = append(list, report.Step{What: "Training did not improve the starting model on the validation images. " +
			"More annotated images, of other fields, help most; look first at what the model gets wrong."})
	}
	if r.o.Next != nil {
		list = append(list, r.o.Next(r.done)...)
	}
	return list
}

func writeHistory(w io.Writer, h []Epoch) error {
	rows := [][]string{{"epoch", "learning_rate", "seconds",
		"loss", "accuracy", "precision", "recall", "f1", "iou",
		"val_loss", "val_accuracy", "val_precision", "val_recall", "val_f1", "val_iou", "val_mean_ap", "val_kaggle_score", "val_pooled_ap50"}}
	num := func(v float64) string { return strconv.FormatFloat(v, 'g', 7, 64) }
	for _, e := range h {
		row := []string{strconv.Itoa(e.Epoch), num(e.Rate), strconv.FormatFloat(e.Seconds, 'f', 1, 64)}
		s := e.Train
		for _, v := range []float64{s.Loss, s.Accuracy, s.Precision, s.Recall, s.F1, s.IoU} {
			row = append(row, num(v))
		}
		if v := e.Val; v != nil {
			for _, x := range []float64{v.Loss, v.Accuracy, v.Precision, v.Recall, v.F1, v.IoU, v.MeanAP, v.KaggleScore, v.PooledAP50} {
				row = append(row, num(x))
			}
		} else {
			row = append(row, make([]string, 9)...)
		}
		rows = append(rows, row)
	}
	return csv.NewWriter(w).WriteAll(rows)
}
