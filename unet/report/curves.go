package report

import (
	"fmt"
)

// Scores are the measures of one pass over a split; NaN where not measured.
// The fields are those of unet.Scores, so that one converts to the other.
type Scores struct {
	Loss, Accuracy, Precision, Recall, F1, IoU float64
	// MeanAP is the average precision of nuclei, the mean over IoU thresholds
	// of counts pooled over images, KaggleScore the mean over images of theirs,
	// PooledAP50 the average precision at 0.5 of pooled counts; 0 where nuclei
	// were not scored.
	MeanAP, KaggleScore, PooledAP50 float64
}

// Epoch is one line of a training history.
type Epoch struct {
	// Number counts epochs from 1; 0 is the model that training began with, which
	// has figures of validation only.
	Number int
	Train  Scores
	// Val is nil for an epoch without validation.
	Val *Scores
	// Mean says that Val is of the mean with the model that training began with.
	Mean bool
	// LR is the learning rate of the epoch.
	LR float64
	// Seconds is the duration of the epoch.
	Seconds float64
}

// Curves draws loss, accuracy, F1, precision and recall over the epochs (and
// AP where it was measured): training solid, validation dashed, the epoch
// numbered best marked. A best that is not in the history marks nothing. Epoch 0
// is the model that training began with. oneLoss says that the losses of training
// and validation are the same; else each has a plot of its own.
func Curves(history []Epoch, best int, oneLoss bool) *Drawing {
	d := Grid("", 3, curvePlots(history, best, oneLoss)...)
	d.Alt = "Training curves: loss, accuracy, F1, precision and recall over epochs"
	return d
}

func curvePlots(history []Epoch, best int, oneLoss bool) []*Plot {
	loss := curvePlot("Loss", history, best, func(s Scores) float64 { return s.Loss })
	plots := []*Plot{loss}
	if !oneLoss {
		validation := *loss
		loss.Title, loss.Series, loss.Marks = "Training loss", loss.Series[:1], nil
		validation.Title, validation.Series = "Validation loss (cross-entropy)", validation.Series[1:]
		plots = append(plots, &validation)
	}
	for _, p := range plots {
		var values []float64
		for _, s := range p.Series {
			values = append(values, s.Y...)
		}
		p.Y.Log = SpansDecade(values)
	}
	plots = append(plots,
		curvePlot("Pixel accuracy", history, best, func(s Scores) float64 { return s.Accuracy }),
		curvePlot("F1 (Dice)", history, best, func(s Scores) float64 { return s.F1 }),
		curvePlot("Pixel precision", history, best, func(s Scores) float64 { return s.Precision }),
		curvePlot("Pixel recall", history, best, func(s Scores) float64 { return s.Recall }))
	if scoresNuclei(history) {
		ap := curvePlot("Average precision of nuclei", history, best, func(s Scores) float64 { return s.PooledAP50 })
		mean := curvePlot("", history, best, func(s Scores) float64 { return s.KaggleScore })
		ap.Series = []Series{ap.Series[1], mean.Series[1]}
		ap.Series[0].Name, ap.Series[0].Colour = "validation, PooledAP50", green
		ap.Series[1].Name = "validation, KaggleScore"
		ap.markBest(best)
		plots = append(plots, ap)
	}
	return plots
}

// scoresNuclei says whether nuclei were scored on validation.
func scoresNuclei(history []Epoch) bool {
	for _, e := range history {
		if e.Val != nil && (e.Val.KaggleScore > 0 || e.Val.PooledAP50 > 0) {
			return true
		}
	}
	return false
}

func curvePlot(title string, history []Epoch, best int, value func(Scores) float64) *Plot {
	var x, xval, train, val []float64
	for _, e := range history {
		if e.Number > 0 { // nothing was trained in epoch 0
			x, train = append(x, float64(e.Number)), append(train, value(e.Train))
		}
		if e.Val != nil { // the line runs on over epochs without validation
			xval, val = append(xval, float64(e.Number)), append(val, value(*e.Val))
		}
	}
	p := &Plot{
		Title: title, X: Axis{Label: "epoch", Integer: true}, Width: 380, Height: 290,
		Series: []Series{
			{Name: "training", X: x, Y: train, Style: Line, Colour: blue},
			{Name: "validation", X: xval, Y: val, Style: Dashed, Colour: orange},
		},
	}
	p.markBest(best)
	return p
}

// markBest marks epoch best on the last series.
func (p *Plot) markBest(best int) {
	p.Marks = nil
	s := p.Series[len(p.Series)-1]
	for i, x := range s.X {
		if x == float64(best) && finite(s.Y[i]) {
			name := fmt.Sprintf("epoch %d", best)
			if best == 0 {
				name = "starting model"
			}
			p.Marks = []Mark{{X: x, Y: s.Y[i], Label: name + ": " + Number(s.Y[i], 4)}}
		}
	}
}
