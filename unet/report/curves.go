package report

import (
	"fmt"
	"math"
)

// Scores are the measures of one pass over a split; NaN where not measured.
// The fields are those of unet.Scores, so that one converts to the other.
type Scores struct {
	Loss, Accuracy, Precision, Recall, F1, IoU float64
	// KaggleScore is the mean over images and IoU thresholds of the average
	// precision of nuclei, PooledAP50 that at 0.5 with counts pooled over
	// images; 0 where nuclei were not scored.
	KaggleScore, PooledAP50 float64
}

// Epoch is one line of a training history.
type Epoch struct {
	// Number counts epochs from 1.
	Number int
	Train  Scores
	// Val is nil for an epoch without validation.
	Val *Scores
	// LR is the learning rate of the epoch.
	LR float64
	// Seconds is the duration of the epoch.
	Seconds float64
}

// Curves draws loss, accuracy, F1, precision and recall over the epochs (and
// AP where it was measured): training solid, validation dashed, the epoch
// numbered best marked. A best that is not in the history marks nothing.
func Curves(history []Epoch, best int) *Drawing {
	d := Grid("", 3, curvePlots(history, best)...)
	d.Alt = "Training curves: loss, accuracy, F1, precision and recall over epochs"
	return d
}

func curvePlots(history []Epoch, best int) []*Plot {
	plots := []*Plot{
		curvePlot("Loss", history, best, func(s Scores) float64 { return s.Loss }),
		curvePlot("Pixel accuracy", history, best, func(s Scores) float64 { return s.Accuracy }),
		curvePlot("F1 (Dice)", history, best, func(s Scores) float64 { return s.F1 }),
		curvePlot("Pixel precision", history, best, func(s Scores) float64 { return s.Precision }),
		curvePlot("Pixel recall", history, best, func(s Scores) float64 { return s.Recall }),
	}
	loss := plots[0]
	// Training may add other terms and maps, the validation loss never does.
	loss.Series[1].Name = "validation, cross-entropy"
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range loss.Series {
		for _, v := range s.Y {
			if finite(v) && v > 0 {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	loss.Y.Log = hi > 30*lo
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
		x, train = append(x, float64(e.Number)), append(train, value(e.Train))
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
			p.Marks = []Mark{{X: x, Y: s.Y[i], Label: fmt.Sprintf("epoch %d: %s", best, Number(s.Y[i], 4))}}
		}
	}
}
