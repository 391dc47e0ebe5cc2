package report

import (
	"fmt"
	"sort"
	"strconv"
)

// Inspection is what is known of a data set before training.
type Inspection struct {
	// Title names the data set; Subtitle says where it is.
	Title, Subtitle string
	// Facts are the counts and settings of the set as a whole.
	Facts []Fact
	// Findings are the problems met.
	Findings []Finding
	// Kinds are the kinds of image, in the order to show them. Total, unless
	// nil, is the line below them in the summary.
	Kinds []Kind
	Total *Kind
	// Sizes counts images by width and height.
	Sizes []SizeCount
	// Footer says how the page was made.
	Footer string
}

// Finding is one problem of a data set.
type Finding struct {
	Level Level
	// Code names the check, such as "overlap".
	Code string
	// Where names the image, or is empty for the whole set.
	Where, Text string
}

// Kind describes the images of one kind.
type Kind struct {
	Name   string
	Images int
	// Nuclei is the number of nuclei of each image.
	Nuclei []float64
	// Areas counts nuclei by area in pixels; its bins grow by a ratio.
	Areas Bins
	// AreaMedian, AreaP5 and AreaP95 are quantiles of the area of nuclei in
	// pixels; NaN where there are none.
	AreaMedian, AreaP5, AreaP95 float64
	// Intensity counts pixels by brightness, from black (0) to the brightest
	// value of the format (1).
	Intensity Bins
	// Samples are shown with outlines.
	Samples []Sample
}

// SizeCount is the number of images of one size.
type SizeCount struct{ W, H, Images int }

// Plots draws the histograms: image sizes, intensities, nuclei per image and
// nucleus area, stacked by kind.
func (in *Inspection) Plots() *Drawing {
	var nuclei []Group
	var names []string
	var areas []Bins
	for _, k := range in.Kinds {
		nuclei = append(nuclei, Group{k.Name, k.Nuclei})
		names = append(names, k.Name)
		areas = append(areas, k.Areas)
	}
	count := Axis{Label: "images", Integer: true}
	d := Grid("", 2, in.sizes(), in.intensities(),
		Histogram("Nuclei per image", Axis{Label: "nuclei in the image", Integer: true}, count, 40, nuclei),
		Stack("Nucleus area", Axis{Label: "area [pixels]", Log: true}, Axis{Label: "nuclei", Integer: true}, names, areas))
	d.Alt = "Histograms of image sizes, intensities, nuclei per image and nucleus area"
	return d
}

func (in *Inspection) sizes() *Plot {
	const most = 9
	list := append([]SizeCount(nil), in.Sizes...)
	sort.SliceStable(list, func(i, j int) bool { return list[i].Images > list[j].Images })
	p := &Plot{Title: "Image sizes", Y: Axis{Label: "images", Integer: true}, Series: []Series{{Style: Bars}}}
	rest := 0
	for i, s := range list {
		if i >= most-1 && len(list) > most {
			rest += s.Images
			continue
		}
		p.X.Names = append(p.X.Names, fmt.Sprintf("%d×%d", s.W, s.H))
		p.Series[0].Y = append(p.Series[0].Y, float64(s.Images))
	}
	if rest > 0 {
		p.X.Names = append(p.X.Names, strconv.Itoa(len(list)-most+1)+" others")
		p.Series[0].Y = append(p.Series[0].Y, float64(rest))
	}
	return p
}

func (in *Inspection) intensities() *Plot {
	p := &Plot{
		Title: "Intensities",
		X:     Axis{Label: "brightness, 1 = brightest value of the format", Min: 0, Max: 1},
		Y:     Axis{Label: "share of the kind's pixels per bin", Log: true},
	}
	for i, k := range in.Kinds {
		sum := 0.0
		for _, n := range k.Intensity.Counts {
			sum += float64(n)
		}
		share := make([]float64, len(k.Intensity.Counts))
		for j, n := range k.Intensity.Counts {
			if sum > 0 {
				share[j] = float64(n) / sum
			}
		}
		p.Series = append(p.Series, Series{Name: k.Name, X: k.Intensity.Edges, Y: share, Style: Steps, Colour: SeriesColour(i)})
	}
	return p
}

// Sheets shows samples of each kind with their outlines, one sheet per kind.
func (in *Inspection) Sheets() ([]*Sheet, error) {
	var out []*Sheet
	const tile = 216
	for _, k := range in.Kinds {
		if len(k.Samples) == 0 {
			continue
		}
		tiles, err := outlineTiles(k.Samples, tile)
		if err != nil {
			return nil, fmt.Errorf("contact sheet of %s: %w", k.Name, err)
		}
		s := ContactSheet(k.Name, 5, tiles)
		s.Tile = tile
		s.Note = fmt.Sprintf("%d of %d images, true nuclei outlined", len(k.Samples), k.Images)
		out = append(out, s)
	}
	return out, nil
}

// Summary is a line per kind: images, nuclei, and quantiles of nuclei per
// image and of nucleus area.
func (in *Inspection) Summary() *Table {
	t := &Table{Columns: []Column{{Name: "kind"}, {"images", true}, {"nuclei", true},
		{"per image: median", true}, {"most", true}, {"area [px]: median", true}, {"5 %", true}, {"95 %", true}}}
	row := func(k *Kind) {
		n := 0.0
		for _, v := range k.Nuclei {
			if finite(v) {
				n += v
			}
		}
		t.Add(k.Name, strconv.Itoa(k.Images), Number(n, 0), Number(quantile(k.Nuclei, 0.5), 0), Number(quantile(k.Nuclei, 1), 0),
			Number(k.AreaMedian, 0), Number(k.AreaP5, 0), Number(k.AreaP95, 0))
	}
	for i := range in.Kinds {
		row(&in.Kinds[i])
	}
	if in.Total != nil {
		row(in.Total)
	}
	return t
}

// InspectionPage lays out the report of a data set.
func InspectionPage(in *Inspection) (*Page, error) {
	p := &Page{Title: in.Title, Subtitle: in.Subtitle, Footer: in.Footer}
	s := p.Section("Overview")
	s.Facts(in.Facts)
	s.Table(in.Summary())
	s = p.Section("Findings")
	if len(in.Findings) == 0 {
		s.Note(Good, "No problems found.")
	} else {
		s.Table(FindingCounts(in.Findings))
		s.Details(fmt.Sprintf("All %d findings", len(in.Findings)), findingTable(in.Findings))
	}
	p.Section("Histograms").Drawing(in.Plots(), "")
	sheets, err := in.Sheets()
	if err != nil {
		return nil, err
	}
	s = p.Section("Samples")
	for _, sheet := range sheets {
		if err := s.Sheet(sheet); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// FindingCounts is a line per check: its level, findings and images, and the
// first finding as an example.
func FindingCounts(findings []Finding) *Table {
	type key struct {
		level Level
		code  string
	}
	var order []key
	count, images, example := map[key]int{}, map[key]map[string]bool{}, map[key]string{}
	for _, f := range findings {
		k := key{f.Level, f.Code}
		if count[k] == 0 {
			order = append(order, k)
			images[k], example[k] = map[string]bool{}, f.Text
		}
		count[k]++
		if f.Where != "" {
			images[k][f.Where] = true
		}
	}
	sort.SliceStable(order, func(i, j int) bool {
		if a, b := order[i], order[j]; a.level != b.level {
			return a.level > b.level
		}
		return count[order[i]] > count[order[j]]
	})
	t := &Table{Columns: []Column{{Name: "level"}, {Name: "check"}, {"findings", true}, {"images", true}, {Name: "such as"}}}
	for _, k := range order {
		t.Add(k.level.name(), k.code, strconv.Itoa(count[k]), strconv.Itoa(len(images[k])), example[k])
	}
	return t
}

func findingTable(findings []Finding) *Table {
	t := &Table{Columns: []Column{{Name: "level"}, {Name: "check"}, {Name: "image"}, {Name: "finding"}}}
	for _, f := range findings {
		t.Add(f.Level.name(), f.Code, f.Where, f.Text)
	}
	return t
}

// quantile returns the q-quantile of the finite values, between two of them by
// proportion, NaN without any.
func quantile(values []float64, q float64) float64 {
	var v []float64
	for _, x := range values {
		if finite(x) {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return nan
	}
	sort.Float64s(v)
	x := q * float64(len(v)-1)
	i := min(int(x), max(len(v)-2, 0))
	return v[i] + (v[min(i+1, len(v)-1)]-v[i])*(x-float64(i))
}
