package evaluate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"unet/unet"
	"unet/unet/instance"
	"unet/unet/metrics"
	"unet/unet/report"
)

// four prints a score.
func four(v float64) string { return report.Number(v, 4) }

// Tables returns the scores for a terminal of 80 columns.
func (r *Report) Tables() []*report.Table {
	var pixels, nuclei []SetScores
	for _, s := range r.Results.Splits {
		all := s.All
		all.Name = s.Name
		pixels, nuclei = append(pixels, all), append(nuclei, all)
	}
	m := r.Main()
	iou := m.All.Nuclei.Table()
	iou.Title = "Nuclei of " + m.Name + " by IoU threshold"
	tables := []*report.Table{
		pixelTable("Pixels", "split", pixels), nucleusTable("Nuclei", "split", nuclei),
		pixelTable("Pixels of "+m.Name+" by kind", "kind", m.Kinds), nucleusTable("Nuclei of "+m.Name+" by kind", "kind", m.Kinds),
	}
	if len(m.Sources) > 0 {
		tables = append(tables, nucleusTable("Nuclei of "+m.Name+" by source", "source", m.Sources))
	}
	tables = append(tables, iou, errorTable("Nuclei of "+m.Name+" by outcome at IoU 0.5", "kind", append(slices.Clone(m.Kinds), m.All)))
	if len(m.Sources) > 0 {
		tables = append(tables, errorTable("Nuclei of "+m.Name+" by source and outcome", "source", m.Sources))
	}
	if rated := m.All.Nuclei.Confidence; rated != nil {
		t := rated.Table()
		t.Title = "Nuclei of " + m.Name + " by confidence"
		tables = append(tables, t)
	}
	return tables
}

// Summary says in a sentence for each split what became of its nuclei.
func (r *Report) Summary() []string {
	var list []string
	for i := range r.Results.Splits {
		s := &r.Results.Splits[i]
		text := s.Summary
		if len(r.Results.Splits) > 1 {
			text = s.Name + ": " + text
		}
		list = append(list, text)
	}
	return list
}

// String says what became of the nuclei, for people: "Of 106 nuclei, 72 are found, 16
// merged with a neighbour, 16 missed, 2 found in part; 5 false detections."
func (e ErrorCounts) String() string {
	truth := e.Matched + e.Missed + e.Merged + e.Split + e.Inexact
	parts := []string{fmt.Sprintf("Of %s, %s found", nuclei(truth), are(e.Matched))}
	switch {
	case truth == 0:
		parts = []string{"There are no nuclei"}
	case e.Matched == truth && truth > 1:
		parts = []string{fmt.Sprintf("All %d nuclei are found", truth)}
	case e.Matched == truth:
		parts = []string{"The only nucleus is found"}
	}
	for _, v := range []struct {
		n    int
		what string
	}{{e.Merged, "merged with a neighbour"}, {e.Missed, "missed"}, {e.Split, "found in pieces"}, {e.Inexact, "found in part"}} {
		if v.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", v.n, v.what))
		}
	}
	text := strings.Join(parts, ", ")
	switch {
	case e.Invented == 1:
		text += "; 1 false detection"
	case e.Invented > 1:
		text += fmt.Sprintf("; %d false detections", e.Invented)
	}
	return text + "."
}

func nuclei(n int) string {
	if n == 1 {
		return "1 nucleus"
	}
	return fmt.Sprintf("%d nuclei", n)
}

func are(n int) string {
	switch n {
	case 0:
		return "none is"
	case 1:
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}

// short prints a setting.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// ParamsText says how a kind of model turns maps into nuclei.
func ParamsText(kind string, p instance.Params) string {
	s := fmt.Sprintf("foreground %s, seed %s, prominence %s, border %s", short(p.Foreground), short(p.Seed), short(p.Prominence), short(p.Border))
	if kind == unet.Paper {
		s = "connected parts of the mask"
	}
	s += fmt.Sprintf(", area %d", p.MinArea)
	if p.FillHoles {
		s += ", holes filled"
	}
	return s
}

func pixelTable(title, first string, rows []SetScores) *report.Table {
	t := &report.Table{Title: title, Columns: append([]report.Column{{Name: first}},
		report.Numeric("images", "loss", "accuracy", "prec.", "recall", "F1=Dice", "IoU")...)}
	for _, r := range rows {
		p := r.Pixels
		t.Add(r.Name, strconv.Itoa(r.Images), four(r.Loss), four(p.Accuracy), four(p.Precision), four(p.Recall), four(p.F1), four(p.IoU))
	}
	return t
}

func nucleusTable(title, first string, rows []SetScores) *report.Table {
	t := &report.Table{Title: title, Columns: append([]report.Column{{Name: first}},
		report.Numeric("true", "found", "PooledAP50", "MeanAP", "KaggleScore", "AJI", "PQ")...)}
	for _, r := range rows {
		n := r.Nuclei
		t.Add(r.Name, strconv.Itoa(n.Truth), strconv.Itoa(n.Predicted), four(n.PooledAP50),
			four(n.MeanAP), four(n.KaggleScore), four(n.AJI), four(n.PQ))
	}
	return t
}

func errorTable(title, first string, rows []SetScores) *report.Table {
	t := &report.Table{Title: title, Columns: append([]report.Column{{Name: first}},
		report.Numeric("matched", "missed", "merged", "split", "inexact", "invented")...)}
	for _, r := range rows {
		e := r.Nuclei.Errors
		row := []string{r.Name}
		for _, n := range []int{e.Matched, e.Missed, e.Merged, e.Split, e.Inexact, e.Invented} {
			row = append(row, strconv.Itoa(n))
		}
		t.Add(row...)
	}
	return t
}

// Table has a line per tenth of confidence that nuclei fall into.
func (r *Reliability) Table() *report.Table {
	t := &report.Table{Columns: append([]report.Column{{Name: "confidence"}}, report.Numeric("found", "right", "share", "expected")...)}
	line := func(name string, n, right int, share, expected float64) {
		t.Add(name, strconv.Itoa(n), strconv.Itoa(right), report.Number(share, 3), report.Number(expected, 3))
	}
	all, right := 0, 0
	for i, v := range r.Tenths {
		if v.Nuclei > 0 {
			n := float64(v.Nuclei)
			line(fmt.Sprintf("%.1f to %.1f", float64(i)/10, float64(i+1)/10), v.Nuclei, v.Right, float64(v.Right)/n, v.Confidence/n)
		}
		all, right = all+v.Nuclei, right+v.Right
	}
	line("calibration error "+report.Number(r.ECE, 3), all, right, r.Right, r.Expected)
	return t
}

// Table has a line per IoU threshold and both conventions side by side:
// with pooled counts and, "/img", as means over images.
func (n *NucleusScores) Table() *report.Table {
	t := &report.Table{Columns: report.Numeric("IoU", "AP", "P", "R", "F1", "PQ", "AP/img", "P/img", "R/img", "F1/img", "PQ/img")}
	line := func(name string, a, b metrics.Scores) {
		row := []string{name}
		for _, s := range []metrics.Scores{a, b} {
			for _, v := range []float64{s.AP, s.Precision, s.Recall, s.F1, s.PQ} {
				row = append(row, report.Number(v, 3))
			}
		}
		t.Add(row...)
	}
	for i, s := range n.Pooled {
		line(report.Number(s.Tau, 2), s, n.PerImage[i])
	}
	line("mean", meanScores(n.Pooled), meanScores(n.PerImage))
	return t
}

func meanScores(list []metrics.Scores) metrics.Scores {
	var m metrics.Scores
	n := float64(len(list))
	for _, s := range list {
		m.AP += s.AP / n
		m.Precision += s.Precision / n
		m.Recall += s.Recall / n
		m.F1 += s.F1 / n
		m.PQ += s.PQ / n
	}
	return m
}

// imageRows is images.csv.
func imageRows(ev *Evaluation) [][]string {
	rows := [][]string{{"split", "image", "kind", "group", "source", "width", "height", "loss", "accuracy", "precision", "recall", "f1_dice", "iou",
		"pixels_tp", "pixels_fp", "pixels_fn", "pixels_tn", "nuclei_true", "nuclei_predicted", "mean_ap", "ap50", "ap75", "nuclei_f1", "pq", "aji", "confidence",
		"matched", "missed", "merged", "split_up", "inexact", "invented"}}
	num := func(v float64) string { return strconv.FormatFloat(v, 'g', 7, 64) }
	for _, s := range ev.Splits {
		for _, v := range s.Images {
			row := []string{s.Name, v.ID, v.Kind, v.Group, v.Source, strconv.Itoa(v.W), strconv.Itoa(v.H)}
			px, e := v.Pixels, v.Errors
			for _, x := range []float64{v.Loss, px.Accuracy, px.Precision, px.Recall, px.F1, px.IoU} {
				row = append(row, num(x))
			}
			for _, x := range []int64{px.TP, px.FP, px.FN, px.TN, int64(v.Truth), int64(v.Predicted)} {
				row = append(row, strconv.FormatInt(x, 10))
			}
			for _, x := range []float64{v.MeanAP, v.AP50, v.AP75, v.F1, v.PQ, v.AJI, v.Confidence} {
				row = append(row, num(x))
			}
			for _, x := range []int{e.Matched, e.Missed, e.Merged, e.Split, e.Inexact, e.Invented} {
				row = append(row, strconv.Itoa(x))
			}
			rows = append(rows, row)
		}
	}
	return rows
}
