package cli

import (
	"errors"
	"fmt"
	"strings"

	"unet/unet/formats"
	"unet/unet/instance"
	"unet/unet/segment"
)

// predictPrinter tells of a run as it goes on.
type predictPrinter struct {
	t     *terminal
	image string // that the progress is of
	p     *progress
}

// Progress implements segment.Observer.
func (o *predictPrinter) Progress(p segment.Progress) {
	what, unit, note := "segmenting", "images", p.Last
	if p.Image != "" {
		what, unit, note = p.Image, "rows", plural(p.Nuclei, "nucleus", "nuclei")
	}
	if o.p == nil || o.image != p.Image {
		o.image, o.p = p.Image, o.t.progress(what, unit, p.Total, 0)
	}
	o.p.skipped = p.Kept
	o.p.update(p.Done, note)
}

// Note implements segment.Observer.
func (o *predictPrinter) Note(text string) { o.t.notef("%s", oneRow(text)) }

// Warn implements segment.Observer.
func (o *predictPrinter) Warn(text string) { o.t.warnf("%s", text) }

// mostShown is how many images are printed one by one.
const mostShown = 20

// printSummary prints the result and returns the error it amounts to.
func printSummary(t *terminal, s *segment.Summary, out string) error {
	switch {
	case t.json:
		if err := t.writeJSON(s); err != nil {
			return err
		}
	case s.Failed == 0 || len(s.Images) > 1:
		shown := 0
		for _, im := range s.Images {
			for i := range im.Planes {
				if shown++; shown <= mostShown {
					t.printf("%s\n", planeLine(im, &im.Planes[i]))
				}
			}
		}
		if shown > mostShown {
			t.printf("... and %d more\n", shown-mostShown)
		}
		t.printf("%s\n", strings.Join(totals(s, out), ", "))
	}
	switch {
	case s.Failed == 0:
		return nil
	case len(s.Images) == 1 && s.Images[0].Err != nil:
		return s.Images[0].Err
	}
	if none := new(*instance.UnknownColumnError); s.Failed == len(s.Images) && errors.As(s.Images[0].Err, none) {
		return *none // the option is wrong, not the images
	}
	return &partialErr{s.Failed, len(s.Images), "inputs"}
}

// printPart prints what a part did. Its bad images are lines of the table, and no
// reason for a scheduler to run it again.
func printPart(t *terminal, s *segment.Summary, b segment.Batch) error {
	if t.json {
		return t.writeJSON(s)
	}
	t.printf("part %s: %s\n", b.Part, strings.Join(totals(s, b.Out), ", "))
	return nil
}

func planeLine(im *segment.ImageRecord, p *segment.PlaneRecord) string {
	line := im.Name + p.Suffix + ": " + plural(p.Nuclei, "nucleus", "nuclei")
	if p.Nuclei > 0 {
		line += fmt.Sprintf(", median diameter %.1f px", p.Diameter)
	}
	if n := p.Statistics.Dropped(); n > 0 {
		line += fmt.Sprintf(", %d left out", n)
	}
	if p.Scale != 1 {
		line += fmt.Sprintf(", scaled by %.3g", p.Scale)
	}
	if im.Status == segment.Skipped {
		line += " (kept)"
	}
	return oneRow(line)
}

// totals says how a run went.
func totals(s *segment.Summary, out string) []string {
	list := []string{plural(s.Nuclei, "nucleus", "nuclei") + " in " + plural(s.Planes, "image", "images")}
	for _, d := range s.LeftOut {
		list = append(list, fmt.Sprintf("%d left out (%s)", d.Nuclei, d.Why))
	}
	list = append(list, positiveTexts(s.Markers)...)
	if s.Skipped > 0 {
		list = append(list, fmt.Sprintf("%d kept from before", s.Skipped))
	}
	if s.Failed > 0 {
		list = append(list, fmt.Sprintf("%d failed", s.Failed))
	}
	return append(list, fmt.Sprintf("%.1f s", s.Seconds), "results in "+out)
}

// positiveTexts say how many nuclei are positive.
func positiveTexts(markers []segment.MarkerRecord) (list []string) {
	for _, m := range markers {
		list = append(list, fmt.Sprintf("%d of %d positive for %s (above %s)", m.Positive, m.Nuclei, m.Name, formats.Number(float64(m.Threshold))))
	}
	return list
}
