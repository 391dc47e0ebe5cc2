package report

import (
	"fmt"
	"math"
	"strconv"
)

var nan = math.NaN()

// Training is what is known of a training run, finished or not.
type Training struct {
	Title, Subtitle string
	// Settings are the choices of the run.
	Settings []Fact
	// History holds the epochs so far.
	History []Epoch
	// Best is the number of the epoch whose weights are kept, 0 for none;
	// Monitor names the measure that chose it.
	Best    int
	Monitor string
	// Status says how the run stands or ended.
	Status string
	// Samples are validation images with their predictions.
	Samples []Sample
	Footer  string
}

// val returns the validation scores, NaN where there are none.
func (e *Epoch) val() Scores {
	if e.Val == nil {
		return Scores{nan, nan, nan, nan, nan, nan, nan, nan}
	}
	return *e.Val
}

// EpochTable lists every epoch of the history.
func EpochTable(history []Epoch) *Table {
	t := &Table{Columns: []Column{{"epoch", true}, {"loss", true}, {"val loss", true}, {"accuracy", true}, {"val accuracy", true},
		{"F1", true}, {"val F1", true}, {"val IoU", true}, {"learning rate", true}, {"seconds", true}}}
	ap := scoresNuclei(history)
	if ap {
		t.Columns = append(t.Columns, Column{"val AP", true}, Column{"val AP50", true})
	}
	for _, e := range history {
		row := []string{strconv.Itoa(e.Number), Number(e.Train.Loss, 4), Number(e.val().Loss, 4),
			Number(e.Train.Accuracy, 4), Number(e.val().Accuracy, 4), Number(e.Train.F1, 4), Number(e.val().F1, 4),
			Number(e.val().IoU, 4), strconv.FormatFloat(e.LR, 'g', 3, 64), Number(e.Seconds, 1)}
		if ap {
			row = append(row, Number(e.val().AP, 4), Number(e.val().AP50, 4))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// TrainingPage lays out the report of a training run.
func TrainingPage(in *Training) (*Page, error) {
	p := &Page{Title: in.Title, Subtitle: in.Subtitle, Footer: in.Footer}
	s := p.Section("Result")
	if in.Status != "" {
		s.Note(Info, in.Status)
	}
	found := false
	for _, e := range in.History {
		if e.Number != in.Best {
			continue
		}
		found = true
		text := fmt.Sprintf("The weights of epoch %d are kept", e.Number)
		if in.Monitor != "" {
			text += ", the best by " + in.Monitor
		}
		s.Text(text + ".")
		t := &Table{Columns: []Column{{Name: "split"}, {"loss", true}, {"accuracy", true}, {"precision", true}, {"recall", true}, {"F1 (Dice)", true}, {"IoU", true}}}
		for _, r := range []struct {
			name string
			s    Scores
		}{{"training", e.Train}, {"validation", e.val()}} {
			t.Add(r.name, Number(r.s.Loss, 4), Number(r.s.Accuracy, 4), Number(r.s.Precision, 4), Number(r.s.Recall, 4), Number(r.s.F1, 4), Number(r.s.IoU, 4))
		}
		s.Table(t)
		if scoresNuclei(in.History) {
			s.Text("Average precision of nuclei on validation: " + Number(e.val().AP, 4) + " in the mean over IoU thresholds, " +
				Number(e.val().AP50, 4) + " at IoU 0.5.")
		}
	}
	if !found {
		s.Text("No epoch has been kept yet.")
	}
	s = p.Section("Curves")
	s.Drawing(Curves(in.History, in.Best), "Training solid, validation dashed; the ring marks the kept epoch.")
	if len(in.Samples) > 0 {
		sheet, err := SampleSheet("", in.Samples, 216)
		if err != nil {
			return nil, err
		}
		if err := p.Section("Validation images").Sheet(sheet); err != nil {
			return nil, err
		}
	}
	p.Section("Settings").Facts(in.Settings)
	if len(in.History) > 0 {
		p.Section("Epochs").Table(EpochTable(in.History))
	}
	return p, nil
}
