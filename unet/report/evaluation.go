package report

import (
	"fmt"
	"strconv"
)

// Evaluation is what is known of a model on a data set.
type Evaluation struct {
	Title, Subtitle string
	// Summary says in sentences how well the model does; it comes first.
	Summary []string
	// Facts describe the model and the settings of the evaluation.
	Facts []Fact
	// About says what the measures are.
	About string
	// Scores are tables of measures, such as one by split and one by kind.
	Scores []ScoreTable
	// Confusion counts pixels or nuclei by split.
	Confusion []Confusion
	// Thresholds is the curve over probability thresholds on Split.
	Thresholds []ThresholdPoint
	Split      string
	// BestThreshold is the stored threshold; NaN or 0 for none.
	BestThreshold float64
	// AP is the average precision over IoU thresholds, a curve per name.
	AP []APCurve
	// Sheets are sets of samples: random, best, worst.
	Sheets []SampleSet
	// Notes are remarks shown first.
	Notes  []string
	Footer string
}

// ScoreTable is a table of measures in 0..1 with a line per split or kind.
type ScoreTable struct {
	// Title says what the lines are; First heads the first column.
	Title, First string
	// Measures heads the numeric columns.
	Measures []string
	Rows     []ScoreRow
}

// ScoreRow is one line of a ScoreTable, a value per measure.
type ScoreRow struct {
	Name           string
	Images, Nuclei int
	Values         []float64
}

// Table formats the scores with four digits.
func (s *ScoreTable) Table() *Table {
	t := &Table{Title: s.Title, Columns: []Column{{Name: s.First}, {"images", true}, {"nuclei", true}}}
	for _, m := range s.Measures {
		t.Columns = append(t.Columns, Column{m, true})
	}
	for _, r := range s.Rows {
		row := []string{r.Name, strconv.Itoa(r.Images), strconv.Itoa(r.Nuclei)}
		for i := range s.Measures {
			v := nan
			if i < len(r.Values) {
				v = r.Values[i]
			}
			row = append(row, Number(v, 4))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// Confusion counts hits and misses of one split; TN is 0 for nuclei.
type Confusion struct {
	Name           string
	TP, FP, FN, TN int64
}

// ThresholdPoint is one point of the threshold curve.
type ThresholdPoint struct{ Threshold, Precision, Recall, F1 float64 }

// APCurve is average precision TP/(TP+FP+FN) over IoU thresholds.
type APCurve struct {
	Name    string
	IoU, AP []float64
}

// SampleSet is a titled set of samples.
type SampleSet struct {
	Title, Note string
	Samples     []Sample
}

// ThresholdCurve draws precision, recall and F1 of the pixels of a split over
// the thresholds, the stored one marked.
func ThresholdCurve(split string, points []ThresholdPoint, best float64) *Plot {
	p := &Plot{Title: "Pixels of " + split + " by threshold of the probability", X: Axis{Label: "threshold", Min: 0, Max: 1}, Y: Axis{}}
	var x, precision, recall, f1 []float64
	at := nan
	for _, t := range points {
		x = append(x, t.Threshold)
		precision, recall, f1 = append(precision, t.Precision), append(recall, t.Recall), append(f1, t.F1)
		if t.Threshold == best {
			at = t.F1
		}
	}
	p.Series = []Series{{Name: "precision", X: x, Y: precision, Colour: blue},
		{Name: "recall", X: x, Y: recall, Colour: orange}, {Name: "F1", X: x, Y: f1, Colour: green}}
	if best > 0 && finite(best) {
		label := "stored: " + shortNumber(best)
		if finite(at) {
			label += ", F1 " + Number(at, 4)
		}
		p.Marks = []Mark{{X: best, Y: at, Label: label}}
	}
	return p
}

// APPlot draws average precision over IoU thresholds.
func APPlot(curves []APCurve) *Plot {
	p := &Plot{Title: "Average precision of nuclei", X: Axis{Label: "IoU threshold"}, Y: Axis{Label: "TP / (TP + FP + FN)", Min: 0, Max: 1}}
	for i, c := range curves {
		p.Series = append(p.Series, Series{Name: c.Name, X: c.IoU, Y: c.AP, Colour: SeriesColour(i)})
	}
	return p
}

// EvaluationPage lays out the report of a model.
func EvaluationPage(in *Evaluation) (*Page, error) {
	p := &Page{Title: in.Title, Subtitle: in.Subtitle, Footer: in.Footer}
	s := p.Section("Metrics")
	for _, text := range in.Summary {
		s.Text(text)
	}
	for _, n := range in.Notes {
		s.Note(Info, n)
	}
	s.Facts(in.Facts)
	if in.About != "" {
		s.Text(in.About)
	}
	for i := range in.Scores {
		s.Table(in.Scores[i].Table())
	}
	if len(in.Confusion) > 0 {
		p.Section("Confusion counts").Table(ConfusionTable(in.Confusion))
	}
	var plots []*Plot
	if len(in.Thresholds) > 0 {
		plots = append(plots, ThresholdCurve(in.Split, in.Thresholds, in.BestThreshold))
	}
	if len(in.AP) > 0 {
		plots = append(plots, APPlot(in.AP))
	}
	if len(plots) > 0 {
		d := Grid("", 2, plots...)
		d.Alt = "Threshold curve and average precision"
		p.Section("Curves").Drawing(d, "")
	}
	for _, set := range in.Sheets {
		if len(set.Samples) == 0 {
			continue
		}
		sheet, err := SampleSheet("", set.Samples, 216)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", set.Title, err)
		}
		s := p.Section(set.Title)
		if set.Note != "" {
			s.Text(set.Note)
		}
		if err := s.Sheet(sheet); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// ConfusionTable formats confusion counts with precision and recall.
func ConfusionTable(counts []Confusion) *Table {
	t := &Table{Columns: []Column{{Name: "split"}, {"true positive", true}, {"false positive", true}, {"false negative", true},
		{"true negative", true}, {"precision", true}, {"recall", true}}}
	for _, c := range counts {
		tn := "–"
		if c.TN > 0 {
			tn = strconv.FormatInt(c.TN, 10)
		}
		t.Add(c.Name, strconv.FormatInt(c.TP, 10), strconv.FormatInt(c.FP, 10), strconv.FormatInt(c.FN, 10), tn,
			Number(float64(c.TP)/float64(c.TP+c.FP), 4), Number(float64(c.TP)/float64(c.TP+c.FN), 4))
	}
	return t
}
