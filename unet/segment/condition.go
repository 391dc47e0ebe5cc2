package segment

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"unet/unet/formats"
	"unet/unet/report"
)

// Condition tells which condition of an experiment an image belongs to. The zero
// value tells nothing.
type Condition struct {
	text    string
	pattern *regexp.Regexp
	table   map[string]string // by name of the image, with and without extension
}

// ParseCondition reads "folder" (the folder that an image lies in), "well", the
// name of a CSV file with the columns image or well, and condition, or a regular
// expression whose groups are the condition.
func ParseCondition(text string) (c Condition, err error) {
	c.text = text
	switch {
	case text == "", text == "folder", text == "well":
		return c, nil
	case strings.EqualFold(path.Ext(text), ".csv"):
		c.table, err = readConditions(text)
		return c, err
	}
	if c.pattern, err = regexp.Compile(text); err != nil {
		return c, fmt.Errorf("neither folder nor a CSV file nor a regular expression: %w", err)
	}
	if c.pattern.NumSubexp() == 0 {
		return c, errors.New("the regular expression has no group, such as (control|treated)")
	}
	return c, nil
}

func readConditions(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	rows[0][0] = strings.TrimPrefix(rows[0][0], "\ufeff")
	of, condition := slices.Index(rows[0], "image"), slices.Index(rows[0], "condition")
	wells := of < 0
	if wells {
		of = slices.Index(rows[0], "well")
	}
	if of < 0 || condition < 0 {
		return nil, fmt.Errorf("%s: its first line must name the columns image and condition, or well and condition", name)
	}
	table := map[string]string{}
	for i, row := range rows[1:] {
		key := row[of]
		if wells {
			if key = wellText(key); key == "" {
				return nil, fmt.Errorf("%s, line %d: %q is no well such as B03", name, i+2, row[of])
			}
		}
		if old, ok := table[key]; ok && old != row[condition] {
			return nil, fmt.Errorf("%s, line %d: %q has two conditions", name, i+2, row[of])
		}
		table[key] = row[condition]
	}
	return table, nil
}

// Of returns the condition of an image in a well, which may be "" for none; "" if
// it has no condition.
func (c Condition) Of(image, well string) string {
	switch {
	case c.table != nil:
		for _, name := range []string{image, Stem(image), path.Base(image), path.Base(Stem(image)), well} {
			if v, ok := c.table[name]; ok {
				return v
			}
		}
	case c.pattern != nil:
		m := c.pattern.FindStringSubmatch(image)
		var parts []string
		for i := 1; i < len(m); i++ {
			if name := c.pattern.SubexpNames()[i]; name != "" && name != "condition" {
				parts = append(parts, name+" "+m[i])
			} else if m[i] != "" {
				parts = append(parts, m[i])
			}
		}
		return strings.Join(parts, ", ")
	case c.text == "well":
		return well
	case c.text == "folder":
		if dir := path.Dir(image); dir != "." {
			return dir
		}
	}
	return ""
}

// wellName finds a well of a plate of up to 384 in a name, also before the field
// (A01f02); wellRowColumn finds those in numbers, as Harmony writes them (r02c03f01).
var (
	wellName      = regexp.MustCompile(`(?:^|[^A-Za-z0-9])([A-P])(0?[1-9]|1[0-9]|2[0-4])(?:[^A-Za-z0-9]|[fs][0-9]|$)`)
	wellRowColumn = regexp.MustCompile(`(?:^|[^A-Za-z0-9])r(0[1-9]|1[0-6])c(0[1-9]|1[0-9]|2[0-4])f[0-9]`)
)

// WellOf returns the well that a name of an image tells of, such as B03, or "".
func WellOf(name string) string {
	if m := wellRowColumn.FindStringSubmatch(name); m != nil {
		row, _ := strconv.Atoi(m[1]) // the pattern allows nothing else
		return string(rune('A'+row-1)) + m[2]
	}
	m := wellName.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	n, _ := strconv.Atoi(m[2]) // the pattern allows nothing else
	return fmt.Sprintf("%s%02d", m[1], n)
}

var wellAlone = regexp.MustCompile(`^\s*([A-Za-z]{1,2})0*([1-9][0-9]?)\s*$`)

// wellText is a well as WellOf writes it, B03 for b3; "" of what is none.
func wellText(name string) string {
	m := wellAlone.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	n, _ := strconv.Atoi(m[2]) // the pattern allows nothing else
	return fmt.Sprintf("%s%02d", strings.ToUpper(m[1]), n)
}

// assign enters conditions and wells in the records of all planes.
func (r *results) assign() {
	r.shown = r.withOthers(r.summary)
	r.shown.count()
	for _, im := range r.shown.Images {
		for i := range im.Planes {
			p := &im.Planes[i]
			if p.WellName == "" {
				p.WellName = WellOf(im.Name + p.Suffix)
			}
			p.Condition = r.batch.Condition.Of(im.Name, p.WellName)
		}
	}
}

// compare sums up the conditions, after markers have told which nuclei are
// positive.
func (r *results) compare() {
	r.summary.Conditions = conditions(r.shown.Images, r.measures())
}

// ConditionRecord sums up the images of a condition. Means are over images, each
// counting once, and so are their intervals: nuclei of one image are no
// independent observations.
type ConditionRecord struct {
	Name   string `json:"name"`
	Images int    `json:"images"`
	Nuclei int    `json:"nuclei"`
	// Positive is how many nuclei are positive, by marker.
	Positive map[string]int `json:"positive,omitempty"`
	// Means are of the images' numbers, by name.
	Means map[string]Mean `json:"means"`
}

// Mean is a mean with its 95 % confidence interval (Student's t); without one of
// fewer than two images.
type Mean struct {
	Mean Number `json:"mean"`
	Low  Number `json:"low"`
	High Number `json:"high"`
	N    int    `json:"images"`
}

// measure is a number of an image that conditions are compared by.
type measure struct {
	name, text string
	of         func(*PlaneRecord) float64
}

// measures are those of the images shown. Where all of them say how large their
// pixels are, sizes are physical.
func (r *results) measures() []measure {
	list := []measure{{"count", "nuclei per image", func(p *PlaneRecord) float64 { return float64(p.Nuclei) }}}
	physical, planes := true, 0
	for _, im := range r.shown.Images {
		for _, p := range im.Planes {
			planes++
			physical = physical && p.PixelSize.Known()
		}
	}
	if physical && planes > 0 {
		list = append(list, measure{"density_per_mm2", "nuclei per mm²", (*PlaneRecord).density},
			measure{"diameter_median_um", "median diameter in µm", func(p *PlaneRecord) float64 { return orNaN(p.Diameter * p.PixelSize.Length()) }})
	} else {
		list = append(list, measure{"diameter_median", "median diameter in pixels", func(p *PlaneRecord) float64 { return orNaN(p.Diameter) }})
	}
	list = append(list, shapeMeasures...)
	for _, m := range r.summary.Markers {
		list = append(list, measure{formats.PositiveShare + m.Name, "share positive for " + m.Name, func(p *PlaneRecord) float64 { return p.positiveShare(m.Name) }})
	}
	return list
}

var shapeMeasures = []measure{
	{"circularity", "mean circularity", func(p *PlaneRecord) float64 { return orNaN(p.Statistics.Circularity) }},
	{"intensity", "mean intensity, first channel", func(p *PlaneRecord) float64 {
		if len(p.Statistics.Intensity) == 0 || p.Nuclei == 0 {
			return math.NaN()
		}
		return float64(p.Statistics.Intensity[0])
	}},
}

// orNaN is v, or NaN for the 0 of an image without nuclei.
func orNaN(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

// byCondition are the planes of each condition, whose names are sorted.
func byCondition(images []*ImageRecord) (names []string, planes map[string][]*PlaneRecord) {
	planes = map[string][]*PlaneRecord{}
	for _, im := range images {
		for i := range im.Planes {
			p := &im.Planes[i]
			if planes[p.Condition] == nil {
				names = append(names, p.Condition)
			}
			planes[p.Condition] = append(planes[p.Condition], p)
		}
	}
	slices.Sort(names)
	return names, planes
}

func conditions(images []*ImageRecord, measures []measure) (list []ConditionRecord) {
	names, planes := byCondition(images)
	if len(names) == 0 || len(names) == 1 && names[0] == "" {
		return nil
	}
	for _, name := range names {
		c := ConditionRecord{Name: name, Images: len(planes[name]), Means: map[string]Mean{}}
		for _, p := range planes[name] {
			c.Nuclei += p.Nuclei
			for name, n := range p.Positive {
				if c.Positive == nil {
					c.Positive = map[string]int{}
				}
				c.Positive[name] += n
			}
		}
		for _, m := range measures {
			var v []float64
			for _, p := range planes[name] {
				if x := m.of(p); !math.IsNaN(x) && !math.IsInf(x, 0) {
					v = append(v, x)
				}
			}
			c.Means[m.name] = meanOf(v)
		}
		list = append(list, c)
	}
	return list
}

// meanOf is the mean of values with its interval.
func meanOf(v []float64) Mean {
	nan := Number(math.NaN())
	m := Mean{nan, nan, nan, len(v)}
	if len(v) == 0 {
		return m
	}
	sum, ss := 0.0, 0.0
	for _, x := range v {
		sum += x
	}
	mean := sum / float64(len(v))
	m.Mean = Number(mean)
	if len(v) < 2 {
		return m
	}
	for _, x := range v {
		ss += (x - mean) * (x - mean)
	}
	half := student975(len(v)-1) * math.Sqrt(ss/float64(len(v)-1)/float64(len(v)))
	m.Low, m.High = Number(mean-half), Number(mean+half)
	return m
}

// student975 is the 97.5th percentile of Student's t distribution with df degrees
// of freedom: the root of its distribution function, found by bisection.
func student975(df int) float64 {
	lo, hi := 0.0, 13.0 // t(1) is 12.7
	for range 60 {
		if t := (lo + hi) / 2; studentBelow(t, df) < 0.95 {
			lo = t
		} else {
			hi = t
		}
	}
	return (lo + hi) / 2
}

// studentBelow is the probability that |T| is below t, by the finite series of
// Abramowitz and Stegun, 26.7.3 and 26.7.4; beyond 400 degrees of freedom, where
// the difference is below 0.0025, that of a normal distribution.
func studentBelow(t float64, df int) float64 {
	if df > 400 {
		return math.Erf(t / math.Sqrt2)
	}
	theta := math.Atan(t / math.Sqrt(float64(df)))
	cos2 := math.Cos(theta) * math.Cos(theta)
	sum, term := 0.0, 1.0
	if df%2 == 1 {
		term = math.Cos(theta)
		for k := 1; k <= df-2; k += 2 {
			sum += term
			term *= cos2 * float64(k+1) / float64(k+2)
		}
		return 2 / math.Pi * (theta + math.Sin(theta)*sum)
	}
	for k := 0; k <= df-2; k += 2 {
		sum += term
		term *= cos2 * float64(k+1) / float64(k+2)
	}
	return math.Sin(theta) * sum
}

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
				row = append(row, strconv.Itoa(c.Positive[m.Name]))
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

func conditionName(name string) string {
	if name == "" {
		return "(none)"
	}
	return name
}

// String is the mean with its interval, to three digits.
func (m Mean) String() string {
	text := func(v Number) string {
		switch x := math.Abs(float64(v)); {
		case x >= 100:
			return report.Number(float64(v), 0)
		case x >= 10:
			return report.Number(float64(v), 1)
		}
		return report.Number(float64(v), 2)
	}
	if math.IsNaN(float64(m.Low)) {
		return text(m.Mean)
	}
	return fmt.Sprintf("%s [%s, %s]", text(m.Mean), text(m.Low), text(m.High))
}

// plate is the wells of a plate, by row and column from 0.
type plate struct {
	name  string
	wells map[[2]int][]*PlaneRecord
}

// plates are those of the images shown: of an OME-Zarr plate its own, else those
// of the images of one folder, if each of them tells its well.
func (r *results) plates() (list []*plate) {
	at := map[string]*plate{}
	for _, im := range r.shown.Images {
		for i := range im.Planes {
			p := &im.Planes[i]
			row, column, ok := wellAt(p.WellName)
			if !ok {
				return nil
			}
			name := path.Dir(im.Name)
			if p.OnPlate {
				name = im.Name
			}
			if at[name] == nil {
				at[name] = &plate{name, map[[2]int][]*PlaneRecord{}}
				list = append(list, at[name])
			}
			well := [2]int{row, column}
			at[name].wells[well] = append(at[name].wells[well], p)
		}
	}
	return list
}

// wellAt is the row and column from 0 of a well such as B03.
func wellAt(well string) (row, column int, ok bool) {
	letters := strings.TrimRight(well, "0123456789")
	column, err := strconv.Atoi(well[len(letters):])
	for _, c := range letters {
		row = row*26 + int(c-'A') + 1
	}
	return row - 1, column - 1, err == nil && letters != "" && column > 0
}

// addPlates adds maps of the plates.
func (r *results) addPlates(g *report.Gallery) {
	measures := r.measures()
	shown := []measure{measures[0]}
	for _, m := range measures {
		if strings.HasPrefix(m.name, formats.PositiveShare) {
			shown = append(shown, m)
		}
	}
	for _, plate := range r.plates() {
		if len(plate.wells) < 2 {
			continue
		}
		title := "Plate"
		if plate.name != "." {
			title += " " + plate.name
		}
		s := g.Section(title)
		for _, m := range shown {
			means := map[[2]int]float64{}
			for at, planes := range plate.wells {
				sum, n := 0.0, 0.0
				for _, p := range planes {
					if v := m.of(p); !math.IsNaN(v) {
						sum, n = sum+v, n+1
					}
				}
				if n > 0 {
					means[at] = sum / n
				}
			}
			s.Drawing(report.PlateMap(strings.ToUpper(m.text[:1])+m.text[1:], m.text+", mean of the well", means), "")
		}
	}
}
