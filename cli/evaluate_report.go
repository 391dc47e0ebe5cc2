package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/metrics"
	"unet/unet/report"
)

// mainSplit is the split that curves and pictures are of: the validation
// split where it was scored.
func mainSplit(ev *evaluate.Evaluation) *evaluate.SplitScores {
	for _, name := range []string{dataset.Val, dataset.Test, dataset.Train} {
		for i := range ev.Splits {
			if ev.Splits[i].Name == name {
				return &ev.Splits[i]
			}
		}
	}
	return nil
}

// trainSplit is the split of the training images, nil unless it was scored
// beside the main one.
func trainSplit(ev *evaluate.Evaluation, main *evaluate.SplitScores) *evaluate.SplitScores {
	for i := range ev.Splits {
		if s := &ev.Splits[i]; s.Name == dataset.Train && s != main {
			return s
		}
	}
	return nil
}

func numeric(names ...string) []report.Column {
	var list []report.Column
	for _, n := range names {
		list = append(list, report.Column{Name: n, Numeric: true})
	}
	return list
}

// four prints a score.
func four(v float64) string { return report.Number(v, 4) }

// printEvaluation shows the result on a terminal of 80 columns.
func printEvaluation(t *terminal, r *evaluateResult) error {
	ev := &r.Results
	if u := r.Tuning; u != nil {
		t.printf("tuned on %s of val\n", count(u.Images, "image"))
		t.printf("  mask threshold %s -> %s, pixel F1 %s -> %s\n", short(u.Threshold.Before), short(u.Threshold.After), four(u.F1.Before), four(u.F1.After))
		t.printf("  nuclei: %s\n       -> %s\n", paramsText(r.Model.Kind, u.Before), paramsText(r.Model.Kind, u.After))
		t.printf("  mean AP, of pooled counts and per image averaged: %s -> %s\n\n", four(u.AP.Before), four(u.AP.After))
	}
	var pixels, nuclei []evaluate.SetScores
	for _, s := range ev.Splits {
		all := s.All
		all.Name = s.Name
		pixels, nuclei = append(pixels, all), append(nuclei, all)
	}
	tables := []*report.Table{pixelTable("Pixels", "split", pixels), nucleusTable("Nuclei", "split", nuclei)}
	m := mainSplit(ev)
	tables = append(tables, pixelTable("Pixels of "+m.Name+" by kind", "kind", m.Kinds), nucleusTable("Nuclei of "+m.Name+" by kind", "kind", m.Kinds))
	if len(m.Sources) > 0 {
		tables = append(tables, nucleusTable("Nuclei of "+m.Name+" by source", "source", m.Sources))
	}
	iou := iouTable(&m.All.Nuclei)
	iou.Title = "Nuclei of " + m.Name + " by IoU threshold"
	tables = append(tables, iou, errorTable("Nuclei of "+m.Name+" by outcome at IoU 0.5", "kind", append(slices.Clone(m.Kinds), m.All)))
	if len(m.Sources) > 0 {
		tables = append(tables, errorTable("Nuclei of "+m.Name+" by source and outcome", "source", m.Sources))
	}
	for i, tab := range tables {
		if i > 0 {
			t.printf("\n")
		}
		if err := t.table(tab); err != nil {
			return err
		}
	}
	if n := len(m.Sources); n > 0 {
		t.printf("\nmean over %s of the Kaggle score on %s: %s\n", count(n, "source"), m.Name, four(m.SourceScore))
	}
	t.printf("\nmask threshold %s (best F1 on %s: %s at %s)\n", short(ev.Threshold), m.Name, four(m.Best.F1), short(m.Best.Threshold))
	t.printf("nuclei: %s\n", paramsText(r.Model.Kind, ev.Instance))
	return nil
}

// short prints a setting.
func short(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// paramsText says how a kind of model turns maps into nuclei.
func paramsText(kind string, p instance.Params) string {
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

func pixelTable(title, first string, rows []evaluate.SetScores) *report.Table {
	t := &report.Table{Title: title, Columns: append([]report.Column{{Name: first}},
		numeric("images", "loss", "accuracy", "prec.", "recall", "F1=Dice", "IoU")...)}
	for _, r := range rows {
		p := r.Pixels
		t.Add(r.Name, strconv.Itoa(r.Images), four(r.Loss), four(p.Accuracy), four(p.Precision), four(p.Recall), four(p.F1), four(p.IoU))
	}
	return t
}

// nucleusTable's AP are of pooled counts; kaggle is the mean over images.
func nucleusTable(title, first string, rows []evaluate.SetScores) *report.Table {
	t := &report.Table{Title: title, Columns: append([]report.Column{{Name: first}},
		numeric("true", "found", "AP50", "AP75", "mAP", "kaggle", "AJI", "PQ")...)}
	for _, r := range rows {
		n := r.Nuclei
		t.Add(r.Name, strconv.Itoa(n.Truth), strconv.Itoa(n.Predicted), four(n.Pooled[0].AP), four(n.Pooled[5].AP),
			four(n.MeanAP), four(n.Kaggle), four(n.AJI), four(n.PQ))
	}
	return t
}

func errorTable(title, first string, rows []evaluate.SetScores) *report.Table {
	t := &report.Table{Title: title, Columns: append([]report.Column{{Name: first}},
		numeric("matched", "missed", "merged", "split", "inexact", "invented")...)}
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

// iouTable has a line per IoU threshold and both conventions side by side:
// with pooled counts and, "/img", as means over images.
func iouTable(n *evaluate.NucleusScores) *report.Table {
	t := &report.Table{Columns: numeric("IoU", "AP", "P", "R", "F1", "PQ", "AP/img", "P/img", "R/img", "F1/img", "PQ/img")}
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

// writeEvaluation writes the files of --out.
func writeEvaluation(ctx context.Context, t *terminal, out string, r *evaluateResult, p *unet.Predictor, set *dataset.Set, samples int) error {
	m := mainSplit(&r.Results)
	sets, err := pictureSets(ctx, p, set, m, trainSplit(&r.Results, m), samples)
	if err != nil {
		return err
	}
	in := evaluationPage(r)
	for _, s := range sets {
		in.Sheets = append(in.Sheets, s.SampleSet)
	}
	page, err := report.EvaluationPage(in)
	if err != nil {
		return err
	}
	for i := range r.Results.Splits {
		s := &r.Results.Splits[i]
		sec := page.Section("Details of " + s.Name)
		if s != m {
			sec.Table(pixelTable("Pixels", "kind", s.Kinds))
			sec.Table(nucleusTable("Nuclei", "kind", s.Kinds))
		}
		sec.Text("Nuclei by IoU threshold: AP = TP/(TP+FP+FN), precision, recall, F1 and panoptic quality, with counts pooled over images and (/img) as means over images.")
		sec.Table(iouTable(&s.All.Nuclei))
		if s != m && len(s.Sources) > 0 {
			sec.Table(nucleusTable("Nuclei", "source", s.Sources))
		}
		sec.Text("Nuclei by outcome at IoU 0.5; invented are predicted nuclei, the others true ones.")
		sec.Table(errorTable("", "kind", append(slices.Clone(s.Kinds), s.All)))
		if len(s.Sources) > 0 {
			sec.Table(errorTable("", "source", s.Sources))
		}
	}

	files := map[string]func(io.Writer) error{
		"index.html":   page.HTML,
		"metrics.json": func(w io.Writer) error { return encodeJSON(w, r) },
		"images.csv":   func(w io.Writer) error { return writeCSV(w, imageRows(&r.Results)) },
	}
	curves := report.Grid("", 2, report.ThresholdCurve(in.Split, in.Thresholds, in.BestThreshold), report.APPlot(in.AP))
	files["curves.png"] = func(w io.Writer) error { return curves.PNG(w, 1.5) }
	files["curves.svg"] = curves.SVG
	for _, s := range sets {
		sheet, err := report.SampleSheet(s.Title, s.Samples, 216)
		if err != nil {
			return err
		}
		sheet.Note = s.Note
		img := sheet.Image()
		files["sheet-"+s.name+".png"] = func(w io.Writer) error { return report.EncodePNG(w, img) }
	}
	for name, write := range files {
		if err := imageio.WriteFile(filepath.Join(out, name), write); err != nil {
			return err
		}
	}
	return nil
}

// evaluationPage fills in the report, pictures aside.
func evaluationPage(r *evaluateResult) *report.Evaluation {
	ev := &r.Results
	m := mainSplit(ev)
	name := r.Model.Name
	if name == "" {
		name = filepath.Base(r.Model.File)
	}
	in := &report.Evaluation{
		Title:    "Evaluation of " + name,
		Subtitle: fmt.Sprintf("%s model on %s", r.Model.Kind, r.Set.Dir),
		Notes:    r.Notes, BestThreshold: ev.Threshold, Split: m.Name,
		About: "Pixels: the mask at the threshold against the truth, all pixels of the images together.\n\n" +
			"Nuclei: a true and a found one match where their IoU reaches the threshold. AP = TP/(TP+FP+FN) with counts pooled over images, " +
			"mean AP that over IoU 0.50 to 0.95 or (.5:.9) 0.90; the Kaggle score is the mean over images of their mean AP. " +
			"AJI is the aggregated Jaccard index, PQ the panoptic quality at IoU 0.5.",
		Footer: "unet " + r.Program,
		Facts: []report.Fact{
			{Name: "model", Value: r.Model.File},
			{Name: "SHA-256", Value: r.Model.SHA256},
			{Name: "set", Value: fmt.Sprintf("%s, made from %s, split seed %d", r.Set.Dir, r.Set.Source, r.Set.Seed)},
			{Name: "mask threshold", Value: fmt.Sprintf("%s (highest F1 on %s: %s at %s)", short(ev.Threshold), m.Name, four(m.Best.F1), short(m.Best.Threshold))},
			{Name: "nuclei", Value: paramsText(r.Model.Kind, ev.Instance)},
			{Name: "test-time flips", Value: map[bool]string{true: "yes", false: "no"}[ev.Flips]},
		},
	}
	if u := r.Tuning; u != nil {
		in.Facts = append(in.Facts, report.Fact{Name: "tuned", Value: fmt.Sprintf("on %s of val; pixel F1 %s to %s, mean AP (of pooled counts and per image averaged) %s to %s; before: threshold %s, %s",
			count(u.Images, "image"), four(u.F1.Before), four(u.F1.After), four(u.AP.Before), four(u.AP.After), short(u.Threshold.Before), paramsText(r.Model.Kind, u.Before))})
	}
	pixelNames := []string{"accuracy", "precision", "recall", "F1 = Dice", "IoU", "loss (BCE)"}
	nucleusNames := []string{"AP 0.5", "AP 0.75", "mean AP", "mean AP .5:.9", "Kaggle score", "AJI", "AJI per image", "PQ", "PQ per image"}
	pixels := func(s *evaluate.SetScores) []float64 {
		p := s.Pixels
		return []float64{p.Accuracy, p.Precision, p.Recall, p.F1, p.IoU, s.Loss}
	}
	nuclei := func(s *evaluate.SetScores) []float64 {
		n := &s.Nuclei
		return []float64{n.Pooled[0].AP, n.Pooled[5].AP, n.MeanAP, n.MeanAP90, n.Kaggle, n.AJI, n.AJIPerImage, n.PQ, n.PQPerImage}
	}
	table := func(title, first string, names []string, values func(*evaluate.SetScores) []float64, rows []evaluate.SetScores) {
		t := report.ScoreTable{Title: title, First: first, Measures: names}
		for i := range rows {
			s := &rows[i]
			t.Rows = append(t.Rows, report.ScoreRow{Name: s.Name, Images: s.Images, Nuclei: s.Nuclei.Truth, Values: values(s)})
		}
		in.Scores = append(in.Scores, t)
	}
	var all []evaluate.SetScores
	for _, s := range ev.Splits {
		v := s.All
		v.Name = s.Name
		all = append(all, v)
		px, at := v.Pixels, v.Nuclei.Errors.Matched
		in.Confusion = append(in.Confusion,
			report.Confusion{Name: s.Name + ", pixels", TP: px.TP, FP: px.FP, FN: px.FN, TN: px.TN},
			report.Confusion{Name: s.Name + ", nuclei at IoU 0.5", TP: int64(at), FP: int64(v.Nuclei.Predicted - at), FN: int64(v.Nuclei.Truth - at)})
	}
	table("Pixels", "split", pixelNames, pixels, all)
	table("Nuclei", "split", nucleusNames, nuclei, all)
	table("Pixels of "+m.Name, "kind", pixelNames, pixels, m.Kinds)
	table("Nuclei of "+m.Name, "kind", nucleusNames, nuclei, m.Kinds)
	if n := len(m.Sources); n > 0 {
		table("Nuclei of "+m.Name+" by laboratory", "source", nucleusNames, nuclei, m.Sources)
		in.Facts = append(in.Facts, report.Fact{Name: "mean over sources", Value: fmt.Sprintf("%s: the mean over %s of the Kaggle score on %s", four(m.SourceScore), count(n, "source"), m.Name)})
	}
	stored := evaluate.ThresholdScores{Threshold: ev.Threshold, PixelScores: m.All.Pixels}
	for _, o := range insertThreshold(m.Curve, stored) {
		in.Thresholds = append(in.Thresholds, report.ThresholdPoint{Threshold: o.Threshold, Precision: o.Precision, Recall: o.Recall, F1: o.F1})
	}
	curve := func(name string, list []metrics.Scores) {
		c := report.APCurve{Name: name}
		for _, s := range list {
			c.IoU, c.AP = append(c.IoU, s.Tau), append(c.AP, s.AP)
		}
		in.AP = append(in.AP, c)
	}
	curve(m.Name+", pooled counts", m.All.Nuclei.Pooled)
	curve(m.Name+", mean over images", m.All.Nuclei.PerImage)
	return in
}

// insertThreshold adds a point to a curve, unless there already.
func insertThreshold(curve []evaluate.ThresholdScores, p evaluate.ThresholdScores) []evaluate.ThresholdScores {
	i, found := slices.BinarySearchFunc(curve, p.Threshold, func(o evaluate.ThresholdScores, v float64) int { return cmp.Compare(o.Threshold, v) })
	if found {
		return curve
	}
	return slices.Insert(slices.Clone(curve), i, p)
}

// namedSet is a set of samples and what its sheet's file is called.
type namedSet struct {
	name string
	report.SampleSet
}

// pictureSets predicts n random, the n best and the n worst images of a split
// again, and n random ones of train unless that is nil, for looking at.
func pictureSets(ctx context.Context, p *unet.Predictor, set *dataset.Set, s, train *evaluate.SplitScores, n int) ([]namedSet, error) {
	paper := p.Model().Card.Kind == unet.Paper
	score := func(v *evaluate.ImageScores) float64 {
		if paper {
			return v.Pixels.Dice
		}
		return v.AP
	}
	measure := "mean AP over IoU 0.50 to 0.95"
	if paper {
		measure = "Dice"
	}
	list := func(s *evaluate.SplitScores) []*evaluate.ImageScores {
		l := make([]*evaluate.ImageScores, len(s.Images))
		for i := range l {
			l[i] = &s.Images[i]
		}
		return l
	}
	random := func(s *evaluate.SplitScores) []*evaluate.ImageScores {
		l := list(s)
		rng := rand.New(rand.NewPCG(1, 1))
		rng.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		return l[:min(n, len(l))]
	}
	ranked := list(s)
	slices.SortStableFunc(ranked, func(a, b *evaluate.ImageScores) int { return cmp.Compare(score(b), score(a)) })
	worst := slices.Clone(ranked)
	slices.Reverse(worst)
	made := map[int]report.Sample{}
	var out []namedSet
	type choice struct {
		name, title, note string
		list              []*evaluate.ImageScores
	}
	most := min(n, len(ranked))
	choices := []choice{
		{"random", "Random images of " + s.Name, "Outlines: a colour per nucleus. Probability: violet 0 to yellow 1. " +
			"Dice: of the mask. AP: of nuclei, the mean over IoU 0.50 to 0.95; AP50 at IoU 0.5.", random(s)},
		{"best", "Best images of " + s.Name, "By " + measure + ".", ranked[:most]},
		{"worst", "Worst images of " + s.Name, "By " + measure + ".", worst[:most]},
	}
	if train != nil {
		choices = append(choices, choice{"train", "Random images of train", "A model trained on this set has learned from these.", random(train)})
	}
	for _, v := range choices {
		sheet := namedSet{v.name, report.SampleSet{Title: v.title, Note: v.note}}
		for _, im := range v.list {
			sample, ok := made[im.Index]
			if !ok {
				var err error
				if sample, err = picture(ctx, p, set, im); err != nil {
					return nil, err
				}
				made[im.Index] = sample
			}
			sheet.Samples = append(sheet.Samples, sample)
		}
		out = append(out, sheet)
	}
	return out, nil
}

// picture predicts one image with everything there is to show of it.
func picture(ctx context.Context, p *unet.Predictor, set *dataset.Set, im *evaluate.ImageScores) (report.Sample, error) {
	s, err := set.Load(im.Index)
	if err != nil {
		return report.Sample{}, err
	}
	m, err := p.Maps(ctx, s.Image)
	if err != nil {
		return report.Sample{}, fmt.Errorf("%s: %w", s.ID, err)
	}
	pred := p.Segment(m)
	out := report.Sample{Name: shortID(s.ID), Kind: s.Kind, Image: s.Image, Truth: s.Labels, Pred: pred, Prob: m.Plane(instance.Foreground),
		Scores: []report.Score{{Name: "Dice", Value: im.Pixels.Dice}, {Name: "AP", Value: im.AP}, {Name: "AP50", Value: im.AP50}}}
	if p.Model().Card.Kind != unet.Paper {
		o, err := metrics.Compare(s.Labels, pred)
		if err != nil {
			return report.Sample{}, err
		}
		truth, found := o.Errors(0.5)
		out.Outcomes = &report.Outcomes{Truth: truth, Pred: found}
	}
	return out, nil
}

// imageRows is images.csv.
func imageRows(ev *evaluate.Evaluation) [][]string {
	rows := [][]string{{"split", "image", "kind", "group", "source", "width", "height", "loss", "accuracy", "precision", "recall", "f1_dice", "iou",
		"pixels_tp", "pixels_fp", "pixels_fn", "pixels_tn", "nuclei_true", "nuclei_predicted", "ap", "ap50", "ap75", "nuclei_f1", "pq", "aji",
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
			for _, x := range []float64{v.AP, v.AP50, v.AP75, v.F1, v.PQ, v.AJI} {
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

func writeCSV(w io.Writer, rows [][]string) error { return csv.NewWriter(w).WriteAll(rows) }
