package segment

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/input"
	"unet/unet/instance"
	"unet/unet/report"
)

// Marker tells positive nuclei from negative ones by a measurement.
type Marker struct {
	// Name is that of a channel, whose mean tells, or of a measurement.
	Name string `json:"name"`
	// Threshold is above which a nucleus is positive; nil: Otsu's, of all nuclei
	// of the batch.
	Threshold *float64 `json:"threshold,omitempty"`
}

// ParseMarkers reads markers separated by commas, such as Ki67,CD3>200.
func ParseMarkers(text string) (list []Marker, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		m := Marker{Name: strings.TrimSpace(part)}
		if strings.ContainsAny(part, "<>") {
			rule, err := instance.ParseRule(part)
			if err != nil {
				return nil, err
			}
			if rule.Op != ">" {
				return nil, fmt.Errorf("%q: a nucleus is positive above a threshold, such as Ki67>200", part)
			}
			m = Marker{rule.Column, &rule.Value}
		}
		if m.Name == "" || slices.ContainsFunc(list, func(o Marker) bool { return strings.EqualFold(o.Name, m.Name) }) {
			return nil, fmt.Errorf("%q: give each channel once, such as Ki67 or Ki67>200", part)
		}
		list = append(list, m)
	}
	return list, nil
}

// MarkerRecord says which nuclei are positive for a marker, and how many.
type MarkerRecord struct {
	Name      string `json:"name"`      // name of the marker, as it was given
	Column    string `json:"column"`    // the measurement that decides
	Threshold Number `json:"threshold"` // value above which a nucleus is positive
	Otsu      bool   `json:"otsu"`      // the threshold was found by Otsu's method, over the nuclei of the batch
	// Separability is the share of the variance that the two groups explain, 0 to 1.
	Separability float64 `json:"separability,omitempty"`
	Nuclei       int     `json:"nuclei"`   // nuclei whose value is known
	Positive     int     `json:"positive"` // how many of them are positive
}

// leastSeparability is that of evenly spread values: below there are hardly two
// groups.
const leastSeparability = 0.75

// nucleiTable is the table of a plane on the disk, from this run or an earlier one.
type nucleiTable struct {
	file    string
	plane   *PlaneRecord
	columns []string
}

// tables lists the tables of all planes that are still there, with their headers.
func (r *results) tables() (list []nucleiTable, err error) {
	for _, im := range r.shown.Images {
		for i := range im.Planes {
			for _, name := range im.Planes[i].Outputs {
				if FormatOf(name) != CSV {
					continue
				}
				t := nucleiTable{file: under(r.batch.Out, name), plane: &im.Planes[i]}
				if _, err := os.Stat(t.file); errors.Is(err, fs.ErrNotExist) {
					continue // of an earlier run, removed since
				}
				if err := t.read(nil); err != nil {
					return nil, err
				}
				list = append(list, t)
			}
		}
	}
	return list, nil
}

// read hands on the rows of the table; without each it reads the header.
func (t *nucleiTable) read(each func(row []string) error) error {
	f, err := input.Open(t.file)
	if err != nil {
		return err
	}
	defer f.Close()
	c := csv.NewReader(f)
	c.ReuseRecord = true
	for first := true; ; first = false {
		row, err := c.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &InputError{Name: t.file, Problem: fmt.Sprintf("is no longer a table of nuclei: %v", err), Advice: "remove it, and its image will be segmented again", Err: err}
		case first:
			t.columns = slices.Clone(row)
			if each == nil {
				return nil
			}
			continue
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// column is the place of the measurement a marker goes by; -1 where there is none.
func (t *nucleiTable) column(m Marker) int {
	var columns []instance.Column
	for _, name := range t.columns {
		columns = append(columns, instance.Column{Name: name})
	}
	return instance.IndexOf(columns, m.Name)
}

// mark finds the thresholds of the markers.
func (r *results) mark(tables []nucleiTable) error {
	if len(tables) == 0 {
		return nil
	}
	for _, m := range r.batch.Markers {
		rec := MarkerRecord{Name: m.Name, Otsu: m.Threshold == nil, Threshold: Number(math.NaN())}
		var values []float64
		without := 0
		for i := range tables {
			t := &tables[i]
			at := t.column(m)
			if at < 0 {
				without++
				continue
			}
			rec.Column = t.columns[at]
			if m.Threshold != nil {
				continue
			}
			if err := t.read(func(row []string) error {
				if v, err := strconv.ParseFloat(row[at], 64); err == nil && v-v == 0 {
					values = append(values, v)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		switch {
		case rec.Column == "":
			r.observer.Warn(fmt.Sprintf("no image has a channel or measurement %s%s", m.Name, notCounted))
			continue
		case without > 0:
			r.observer.Warn(fmt.Sprintf("%s no channel or measurement %s", amount(without, "image has", "images have"), m.Name))
		}
		if m.Threshold == nil && len(values) == 0 && anyNuclei(tables) {
			r.observer.Warn(unknownValues(rec.Column) + notCounted)
			continue
		}
		warning, ok := rec.choose(m, values)
		if warning != "" {
			r.observer.Warn(warning)
		}
		if !ok {
			continue
		}
		r.summary.Markers = append(r.summary.Markers, rec)
	}
	return nil
}

// notCounted ends a warning of a measurement that a marker goes by.
const notCounted = ": positive nuclei are not counted"

// unknownValues says that a measurement is known of no nucleus, and what to do about it.
func unknownValues(column string) string {
	text := column + " is not known of any nucleus"
	if slices.ContainsFunc(formats.Columns, func(c formats.Column) bool { return c.Name == column && strings.Contains(c.Unit, "µm") }) {
		text += ", as the size of pixels is not (pixel-size)"
	}
	return text
}

// anyNuclei reports whether the tables hold any.
func anyNuclei(tables []nucleiTable) bool {
	return slices.ContainsFunc(tables, func(t nucleiTable) bool { return t.plane.Nuclei > 0 })
}

// choose enters the threshold of a marker, which is given or Otsu's of the values; ok
// is false where these have none.
func (m *MarkerRecord) choose(of Marker, values []float64) (warning string, ok bool) {
	if of.Threshold != nil {
		m.Threshold = Number(*of.Threshold)
		return "", true
	}
	threshold, separability, ok := instance.Otsu(values)
	if !ok {
		return fmt.Sprintf("%s: too few different values for a threshold; give one, such as %s>200", m.Name, m.Name), false
	}
	m.Threshold, m.Separability = Number(threshold), separability
	if separability < leastSeparability {
		warning = fmt.Sprintf("%s: the values hardly form two groups (separability %.2f), so that Otsu's threshold, %s, is uncertain; one from controls is safer (%s>NUMBER)",
			m.Name, separability, formats.Number(threshold), m.Name)
	}
	return warning, true
}

// Mark tells which nuclei of one image are positive, as a run does of a batch that
// holds nothing else: by the measurements as its table tells them. It fails where
// the image has no measurement of a marker.
func Mark(markers []Marker, src *formats.Source, nuclei []instance.Nucleus) (list []MarkerRecord, warnings []string, err error) {
	sheet := src.Sheet()
	var row []float64
	for _, m := range markers {
		at := sheet.Index(m.Name)
		if at < 0 {
			return nil, nil, &UnknownMarkerError{m.Name, src.Channels}
		}
		rec := MarkerRecord{Name: m.Name, Column: sheet.Columns[at].Name, Otsu: m.Threshold == nil}
		values := make([]float64, 0, len(nuclei))
		for i := range nuclei {
			row = sheet.Append(row[:0], &nuclei[i])
			if v := formats.Rounded(row[at]); v-v == 0 {
				values = append(values, v)
			}
		}
		if len(values) == 0 && len(nuclei) > 0 {
			warnings = append(warnings, unknownValues(rec.Column)+notCounted)
			continue
		}
		warning, ok := rec.choose(m, values)
		if warning != "" {
			warnings = append(warnings, warning)
		}
		if !ok {
			continue
		}
		for _, v := range values {
			rec.Nuclei++
			if v > float64(rec.Threshold) {
				rec.Positive++
			}
		}
		list = append(list, rec)
		src.Markers = append(src.Markers, formats.Marker{Name: m.Name, Column: rec.Column, Threshold: float64(rec.Threshold)})
	}
	return list, warnings, nil
}

// writeNuclei joins the tables of all planes in one, with a column for each that
// any of them has, those of the markers, of the condition and of the well. The
// tables are read back because those of images that an earlier run has done are
// nowhere else.
func (r *results) writeNuclei() error {
	tables, err := r.tables()
	if err != nil {
		return err
	}
	if err := r.mark(tables); err != nil {
		return err
	}
	to := r.joinColumns(tables)
	r.histograms = map[string]logBins{}
	err = atomicfile.WriteFile(filepath.Join(r.batch.Out, NucleiFile), func(w io.Writer) error {
		out := csv.NewWriter(w)
		if len(to.header) > 0 {
			out.Write(to.header)
		}
		for i := range tables {
			if err := r.joinRows(out, to, &tables[i]); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	})
	for _, m := range r.summary.Markers {
		if m.Nuclei == 0 && anyNuclei(tables) { // of one whose threshold is given
			r.observer.Warn(unknownValues(m.Column) + notCounted)
		}
	}
	return err
}

// joint says where the columns of the joined table are.
type joint struct {
	header    []string
	of        map[*PlaneRecord][]int // those of a plane's own table
	markers   int                    // the first one's
	condition int                    // -1 for none, as the following
	well      int
	corrected int
}

// joinColumns lists the columns of all tables, and what is added to them.
func (r *results) joinColumns(tables []nucleiTable) *joint {
	to := &joint{of: map[*PlaneRecord][]int{}, condition: -1, well: -1, corrected: -1}
	at := func(name string) int {
		i := slices.Index(to.header, name)
		if i < 0 {
			i = len(to.header)
			to.header = append(to.header, name)
		}
		return i
	}
	for _, t := range tables {
		for _, c := range t.columns {
			to.of[t.plane] = append(to.of[t.plane], at(c))
		}
	}
	to.markers = len(to.header)
	for _, m := range r.summary.Markers {
		at(formats.PositiveColumn + m.Name)
	}
	if slices.ContainsFunc(tables, func(t nucleiTable) bool { return t.plane.Condition != "" }) {
		to.condition = at(formats.ConditionColumn)
	}
	if slices.ContainsFunc(tables, func(t nucleiTable) bool { return t.plane.WellName != "" }) {
		to.well = at(formats.WellColumn)
	}
	if r.shown.corrected() > 0 {
		to.corrected = at(formats.CorrectedColumn)
	}
	return to
}

// joinRows writes the nuclei of a plane, and counts those that are positive.
func (r *results) joinRows(out *csv.Writer, to *joint, t *nucleiTable) error {
	t.plane.Positive, t.plane.Judged = nil, nil
	markers := r.summary.Markers
	columns := make([]int, len(markers))
	for k, m := range markers {
		if columns[k] = t.column(Marker{Name: m.Name}); columns[k] >= 0 {
			if t.plane.Positive == nil {
				t.plane.Positive, t.plane.Judged = map[string]int{}, map[string]int{}
			}
			t.plane.Positive[m.Name], t.plane.Judged[m.Name] = 0, 0
		}
	}
	line := make([]string, len(to.header))
	return t.read(func(row []string) error {
		clear(line)
		for i, c := range t.columns {
			line[to.of[t.plane][i]] = row[i]
			r.addToHistogram(c, row[i])
		}
		for k := range markers {
			if columns[k] >= 0 {
				line[to.markers+k] = markers[k].judge(row[columns[k]], t.plane)
			}
		}
		if to.condition >= 0 {
			line[to.condition] = t.plane.Condition
		}
		if to.well >= 0 {
			line[to.well] = t.plane.WellName
		}
		if t.plane.Corrected {
			line[to.corrected] = strconv.FormatBool(true)
		}
		return out.Write(line)
	})
}

// judge tells whether a nucleus with that value is positive, and counts it; ""
// where it is not known.
func (m *MarkerRecord) judge(value string, p *PlaneRecord) string {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || v-v != 0 {
		return ""
	}
	m.Nuclei++
	p.Judged[m.Name]++
	positive := v > float64(m.Threshold)
	if positive {
		m.Positive++
		p.Positive[m.Name]++
	}
	return strconv.FormatBool(positive)
}

// markerTable tells on the page which nuclei are positive; nil without markers.
func markerTable(markers []MarkerRecord) *report.Table {
	if len(markers) == 0 {
		return nil
	}
	t := &report.Table{Columns: append([]report.Column{{Name: "marker"}, {Name: "positive where"}, {Name: "threshold by"}}, report.Numeric("nuclei", "positive", "share")...)}
	for _, m := range markers {
		by := "given"
		if m.Otsu {
			by = fmt.Sprintf("Otsu, over all nuclei (separability %.2f)", m.Separability)
		}
		share := "–"
		if m.Nuclei > 0 {
			share = report.Number(100*float64(m.Positive)/float64(m.Nuclei), 1) + " %"
		}
		t.Add(m.Name, m.Column+" > "+formats.Number(float64(m.Threshold)), by, strconv.Itoa(m.Nuclei), strconv.Itoa(m.Positive), share)
	}
	return t
}
