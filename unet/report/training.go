package report

import (
	"fmt"
	"math"
	"slices"
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
	// Loss says what the training loss is, OneLoss that it is the same as the
	// validation loss.
	Loss    string
	OneLoss bool
	// Next are commands to go on with, each with what it does.
	Next []Step
	// Start holds the validation scores of the model that training began
	// with, nil where it began with random weights. It is the one to keep
	// until an epoch is better.
	Start *Scores
	// Samples are validation images with their predictions.
	Samples []Sample
	Footer  string
}

// Step is a command and what it does.
type Step struct{ What, Command string }

// val returns the validation scores, NaN where there are none.
func (e *Epoch) val() Scores {
	if e.Val == nil {
		return noScores
	}
	return *e.Val
}

var noScores = Scores{nan, nan, nan, nan, nan, nan, nan, nan, nan}

// epochTable lists every epoch of the history.
func epochTable(history []Epoch) *Table {
	t := &Table{Columns: []Column{{"epoch", true}, {"loss", true}, {"val loss", true}, {"accuracy", true}, {"val accuracy", true},
		{"F1", true}, {"val F1", true}, {"val precision", true}, {"val recall", true}, {"val IoU", true}, {"rate", true}, {"seconds", true}}}
	ap := scoresNuclei(history)
	if ap {
		t.Columns = append(t.Columns, Column{"val KaggleScore", true}, Column{"val PooledAP50", true})
	}
	for _, e := range history {
		train, rate, seconds := e.Train, strconv.FormatFloat(e.LR, 'g', 3, 64), e.Seconds
		if e.Number == 0 {
			train, rate, seconds = noScores, Number(nan, 0), nan
		}
		row := []string{strconv.Itoa(e.Number), Number(train.Loss, 4), Number(e.val().Loss, 4),
			Number(train.Accuracy, 4), Number(e.val().Accuracy, 4), Number(train.F1, 4), Number(e.val().F1, 4),
			Number(e.val().Precision, 4), Number(e.val().Recall, 4), Number(e.val().IoU, 4), rate, Number(seconds, 1)}
		if ap {
			row = append(row, Number(e.val().KaggleScore, 4), Number(e.val().PooledAP50, 4))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// WithStart is the history with the starting model as epoch 0.
func (in *Training) WithStart() []Epoch {
	if in.Start == nil {
		return in.History
	}
	return append([]Epoch{{Val: in.Start}}, in.History...)
}

// TrainingPage lays out the report of a training run.
func TrainingPage(in *Training) (*Page, error) {
	p := &Page{Title: in.Title, Subtitle: in.Subtitle, Footer: in.Footer}
	in.result(p.Section("Result"))
	if len(in.Next) > 0 {
		s := p.Section("What next")
		for _, n := range in.Next {
			s.Text(n.What)
			if n.Command != "" {
				s.Code(n.Command)
			}
		}
	}
	in.curves(p.Section("Curves"))
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
		p.Section("Epochs").Table(epochTable(in.WithStart()))
	}
	return p, nil
}

// result says which weights are kept, and their scores.
func (in *Training) result(s *Section) {
	if in.Status != "" {
		s.Note(Info, in.Status)
	}
	kept := slices.IndexFunc(in.History, func(e Epoch) bool { return e.Number == in.Best })
	t := &Table{Columns: []Column{{Name: "split"}, {"loss", true}, {"accuracy", true}, {"precision", true}, {"recall", true}, {"F1 (Dice)", true}, {"IoU", true}}}
	row := func(name string, r Scores) {
		t.Add(name, Number(r.Loss, 4), Number(r.Accuracy, 4), Number(r.Precision, 4), Number(r.Recall, 4), Number(r.F1, 4), Number(r.IoU, 4))
	}
	val := Scores{}
	switch {
	case kept >= 0:
		e := in.History[kept]
		text := fmt.Sprintf("The weights of epoch %d are kept", e.Number)
		if e.Mean {
			text = fmt.Sprintf("The mean of the weights of epoch %d and of the model that training began with is kept", e.Number)
		}
		if in.Monitor != "" {
			text += ", the best by " + in.Monitor
		}
		s.Text(text + ".")
		val = e.val()
		row("training", e.Train)
		row("validation", val)
		if in.Start != nil {
			row("validation, starting model", *in.Start)
		}
	case in.Start != nil:
		s.Text("No epoch is clearly better than the model that training began with, which is kept.")
		val = *in.Start
		row("validation, starting model", val)
	default:
		s.Text("No epoch has been kept yet.")
	}
	if len(t.Rows) > 0 {
		s.Table(t)
	}
	if val.KaggleScore > 0 || val.PooledAP50 > 0 {
		s.Text("Nuclei of the validation images: KaggleScore " + Number(val.KaggleScore, 4) + " (AP = TP/(TP+FP+FN), mean over images and IoU 0.50 to 0.95), PooledAP50 " +
			Number(val.PooledAP50, 4) + " (AP at IoU 0.5 of counts pooled over images).")
	}
}

// curves draws the history, and says what is in it.
func (in *Training) curves(s *Section) {
	caption := "Training solid, validation dashed; the ring marks the kept epoch."
	if in.Start != nil {
		caption += " Epoch 0 is the starting model."
	}
	s.Drawing(Curves(in.WithStart(), in.Best, in.OneLoss), caption)
	text := "Training scores are taken during the epoch, on augmented images and while the weights change; validation scores after it, on whole images."
	if in.Loss != "" {
		text += " The training loss is " + in.Loss + "; the validation loss is the binary cross-entropy of the nucleus map"
		if !in.OneLoss {
			text += ", so that the two cannot be compared"
		}
		text += "."
	}
	s.Text(text)
}
