package segment

import (
	"strconv"
	"strings"

	"unet/unet/report"
)

// addConditions adds tables and plots of the conditions, and of the plate.
func (r *results) addConditions(g *report.Gallery) {
	if list := r.summary.Conditions; len(list) > 0 {
		s := g.Section("Conditions")
		s.Text("Every image counts once: nuclei of one image share its focus, stain and place, so the number of images, not of nuclei, says how sure a difference is. " +
			"Brackets hold the 95 % confidence interval of the mean over images (Student's t).")
		t := &report.Table{Columns: append([]report.Column{{Name: "condition"}}, report.Numeric("images", "nuclei")...)}
		for _, m := range r.summary.Markers {
			t.Columns = append(t.Columns, report.Column{Name: m.Name + " positive", Numeric: true})
		}
		measures := r.measures()
		for _, m := range measures {
			t.Columns = append(t.Columns, report.Column{Name: m.text, Numeric: true})
		}
		for _, c := range list {
			row := []string{conditionName(c.Name), strconv.Itoa(c.Images), strconv.Itoa(c.Nuclei)}
			for _, m := range r.summary.Markers {
				row = append(row, c.positive(m.Name))
			}
			for _, m := range measures {
				row = append(row, c.Means[m.name].String())
			}
			t.Add(row...)
		}
		s.Table(t)
		names, planes := byCondition(r.shown.Images)
		for _, m := range measures {
			var groups []report.Group
			for _, name := range names {
				v := report.Group{Name: conditionName(name)}
				for _, p := range planes[name] {
					v.Values = append(v.Values, m.of(p))
				}
				groups = append(groups, v)
			}
			s.Drawing(report.Boxes(strings.ToUpper(m.text[:1])+m.text[1:], "a dot for each image", groups), "")
		}
	}
	r.addPlates(g)
}

// positive is the number of positive nuclei, a dash where no image has the measurement
// that decides.
func (c *ConditionRecord) positive(marker string) string {
	n, ok := c.Positive[marker]
	if !ok {
		return "–"
	}
	return strconv.Itoa(n)
}

func conditionName(name string) string {
	if name == "" {
		return "(none)"
	}
	return name
}
