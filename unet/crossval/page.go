package crossval

import (
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"unet/unet/imageio/owned"
	"unet/unet/report"
)

// write writes the files of all folds.
func (s *Summary) write(o Options) error {
	page, err := s.page(o)
	if err != nil {
		return err
	}
	head := []string{"fold", "sources", "images", "nuclei"}
	for _, m := range measures {
		head = append(head, m.key)
	}
	rows := [][]string{head}
	for k := range s.Folds {
		f := &s.Folds[k]
		cells := row(fmt.Sprint(f.Number), &f.Scores)
		rows = append(rows, append([]string{cells[0], strings.Join(f.Sources, ";")}, cells[1:]...))
	}
	return owned.Write(o.Out, owned.Options{Force: o.Force}, map[string]func(io.Writer) error{
		tableFile: func(w io.Writer) error { return csv.NewWriter(w).WriteAll(rows) },
		jsonFile:  owned.JSON(s),
		pageFile:  page.HTML,
	})
}

// page shows the scores of folds and sources, and leads to the report of each fold.
func (s *Summary) page(o Options) (*report.Page, error) {
	page := &report.Page{Title: fmt.Sprintf("Cross-validation of %d folds", len(s.Folds)), Subtitle: o.Set.Dir, Footer: "unet " + o.Program}
	sec := page.Section("Result")
	kaggle := s.Means[1]
	what := map[By]string{Sources: "laboratories", Groups: "fields"}[s.By]
	sec.Text(fmt.Sprintf("On images of %s that the models have not seen the KaggleScore is %s, mean of %d folds (95 %% confidence interval %s to %s, Student's t).", what,
		report.Number(kaggle.Mean, 4), len(s.Folds), report.Number(kaggle.Low, 4), report.Number(kaggle.High, 4)))
	sec.Text("The " + what + " of the set are spread over the folds. The model of a fold has learned from the others, " +
		"with thresholds as training left them, and is scored on all images of its own. F1 is that of pixels.")
	sec.Table(s.FoldTable())
	if len(s.Sources) > 0 {
		page.Section("Sources").Table(s.SourceTable())
	}
	var links []report.Fact
	for _, f := range s.Folds {
		rel, err := filepath.Rel(o.Out, filepath.Join(f.Folder, "report.html"))
		if err != nil {
			return nil, err
		}
		links = append(links, report.Fact{Name: fmt.Sprintf("Fold %d, without %s", f.Number, f.without()), Value: "report", Link: filepath.ToSlash(rel)})
	}
	page.Section("Runs").Facts(links)
	return page, nil
}
