package evaluate

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio/owned"
	"unet/unet/metrics"
	"unet/unet/report"
)

// Main returns the split that curves are of: the validation split where it was
// scored.
func (r *Report) Main() *SplitScores {
	for _, name := range []string{dataset.Val, dataset.Test, dataset.Train} {
		if s := r.split(name); s != nil {
			return s
		}
	}
	return nil
}

// split returns the scores of a split, nil where it was not scored.
func (r *Report) split(name string) *SplitScores {
	for i := range r.Results.Splits {
		if s := &r.Results.Splits[i]; s.Name == name {
			return s
		}
	}
	return nil
}

// write writes the files of o.Out.
func (r *Report) write(ctx context.Context, o Options, p *unet.Predictor) error {
	m := r.Main()
	sets, err := r.pictureSets(ctx, p, o.Set, o.Samples)
	if err != nil {
		return err
	}
	in := r.evaluation()
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
		sec.Table(s.All.Nuclei.Table())
		if s != m && len(s.Sources) > 0 {
			sec.Table(nucleusTable("Nuclei", "source", s.Sources))
		}
		if rated := s.All.Nuclei.Confidence; rated != nil {
			sec.Text("Found nuclei by confidence: how many are right at IoU 0.5, and how many should be. The calibration error is the mean difference of the two.")
			sec.Table(rated.Table())
		}
		sec.Text("Nuclei by outcome at IoU 0.5; invented are predicted nuclei, the others true ones.")
		sec.Table(errorTable("", "kind", append(slices.Clone(s.Kinds), s.All)))
		if len(s.Sources) > 0 {
			sec.Table(errorTable("", "source", s.Sources))
		}
	}

	files := map[string]func(io.Writer) error{
		"index.html":   page.HTML,
		"metrics.json": owned.JSON(r),
		"images.csv":   func(w io.Writer) error { return csv.NewWriter(w).WriteAll(imageRows(&r.Results)) },
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
		for i := range s.Samples {
			files[s.Samples[i].Link] = func(w io.Writer) error { return s.Samples[i].WriteErrors(w) }
		}
	}
	return owned.Write(o.Out, owned.Options{Force: o.Force}, files)
}

// evaluation fills in the report, pictures aside.
func (r *Report) evaluation() *report.Evaluation {
	ev := &r.Results
	m := r.Main()
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
			"PooledAP50 is that at IoU 0.5, ImageAP50 the mean over images of theirs; MeanAP is the mean over IoU 0.50 to 0.95 or (.5:.9) 0.90; KaggleScore is the mean over images of their MeanAP. " +
			"AJI is the aggregated Jaccard index, PQ the panoptic quality at IoU 0.5.",
		Footer: "unet " + r.Program,
		Facts: []report.Fact{
			{Name: "model", Value: r.Model.File},
			{Name: "SHA-256", Value: r.Model.SHA256},
			{Name: "set", Value: fmt.Sprintf("%s, made from %s, split seed %d", r.Set.Dir, r.Set.Source, r.Set.Seed)},
			{Name: "mask threshold", Value: fmt.Sprintf("%s (highest F1 on %s: %s at %s)", short(ev.Threshold), m.Name, four(m.Best.F1), short(m.Best.Threshold))},
			{Name: "nuclei", Value: ParamsText(r.Model.Kind, ev.Instance)},
			{Name: "test-time augmentation", Value: map[bool]string{true: "yes", false: "no"}[ev.TTA]},
		},
	}
	if u := r.Tuning; u != nil {
		in.Facts = append(in.Facts, report.Fact{Name: "tuned", Value: fmt.Sprintf("on %s images of %s; pixel F1 %s to %s, mean of MeanAP and KaggleScore %s to %s; before: threshold %s, %s",
			strconv.Itoa(u.Images), u.Split, four(u.F1.Before), four(u.F1.After), four(u.Objective.Before), four(u.Objective.After), short(u.Threshold.Before), ParamsText(r.Model.Kind, u.Before))})
	}
	in.Summary = r.Summary()
	var all []SetScores
	for _, s := range ev.Splits {
		v := s.All
		v.Name = s.Name
		all = append(all, v)
		px, at := v.Pixels, v.Nuclei.Errors.Matched
		in.Confusion = append(in.Confusion,
			report.Confusion{Name: s.Name + ", pixels", TP: px.TP, FP: px.FP, FN: px.FN, TN: px.TN},
			report.Confusion{Name: s.Name + ", nuclei at IoU 0.5", TP: int64(at), FP: int64(v.Nuclei.Predicted - at), FN: int64(v.Nuclei.Truth - at)})
	}
	in.Scores = []report.ScoreTable{
		pixelScoreTable("Pixels", "split", all),
		nucleusScoreTable("Nuclei", "split", all),
		pixelScoreTable("Pixels of "+m.Name, "kind", m.Kinds),
		nucleusScoreTable("Nuclei of "+m.Name, "kind", m.Kinds),
	}
	if n := len(m.Sources); n > 0 {
		in.Scores = append(in.Scores, nucleusScoreTable("Nuclei of "+m.Name+" by laboratory", "source", m.Sources))
		in.Facts = append(in.Facts, report.Fact{Name: "mean over sources", Value: fmt.Sprintf("KaggleScore %s, the mean over %s on %s", four(m.SourceScore), fmt.Sprintf("%d sources", n), m.Name)})
	}
	stored := ThresholdScores{Threshold: ev.Threshold, PixelScores: m.All.Pixels}
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

// pixelScoreTable lists the scores of pixels of some sets of images.
func pixelScoreTable(title, first string, rows []SetScores) report.ScoreTable {
	return scoreTable(title, first, rows, []string{"accuracy", "precision", "recall", "F1 = Dice", "IoU", "loss (BCE)"}, func(s *SetScores) []float64 {
		p := s.Pixels
		return []float64{p.Accuracy, p.Precision, p.Recall, p.F1, p.IoU, s.Loss}
	})
}

// nucleusScoreTable lists their scores of nuclei.
func nucleusScoreTable(title, first string, rows []SetScores) report.ScoreTable {
	names := []string{"PooledAP50", "ImageAP50", "MeanAP", "MeanAP .5:.9", "KaggleScore", "AJI", "AJI per image", "PQ", "PQ per image"}
	return scoreTable(title, first, rows, names, func(s *SetScores) []float64 {
		n := &s.Nuclei
		return []float64{n.PooledAP50, n.ImageAP50, n.MeanAP, n.MeanAP90, n.KaggleScore, n.AJI, n.AJIPerImage, n.PQ, n.PQPerImage}
	})
}

func scoreTable(title, first string, rows []SetScores, names []string, values func(*SetScores) []float64) report.ScoreTable {
	t := report.ScoreTable{Title: title, First: first, Measures: names}
	for i := range rows {
		s := &rows[i]
		t.Rows = append(t.Rows, report.ScoreRow{Name: s.Name, Images: s.Images, Nuclei: s.Nuclei.Truth, Values: values(s)})
	}
	return t
}

// insertThreshold adds a point to a curve, unless there already.
func insertThreshold(curve []ThresholdScores, p ThresholdScores) []ThresholdScores {
	i, found := slices.BinarySearchFunc(curve, p.Threshold, func(o ThresholdScores, v float64) int { return cmp.Compare(o.Threshold, v) })
	if found {
		return curve
	}
	return slices.Insert(slices.Clone(curve), i, p)
}
