package segment

import (
	"fmt"
	"math"
	"slices"

	"unet/unet/formats"
)

// assign enters conditions and wells in the records of all planes, and warns of images
// that have none: a table may spell their names in another way.
func (r *results) assign() {
	r.shown = r.withOthers(r.summary)
	r.shown.count()
	without := ""
	planes, found := 0, 0
	for _, im := range r.shown.Images {
		for i := range im.Planes {
			p := &im.Planes[i]
			if p.WellName == "" {
				p.WellName = wellOf(im.Name + p.Suffix)
			}
			p.Condition = r.batch.Condition.Of(im.Name, p.WellName)
			planes++
			if p.Condition != "" {
				found++
			} else if without == "" {
				without = im.Name + p.Suffix
			}
		}
	}
	if text := r.batch.Condition.text; text != "" && found < planes {
		r.observer.Warn(fmt.Sprintf("%q gives no condition for %d of %d images, such as %s", text, planes-found, planes, without))
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
	Name     string          `json:"name"`               // name of the condition
	Images   int             `json:"images"`             // images of the condition
	Nuclei   int             `json:"nuclei"`             // nuclei in them
	Positive map[string]int  `json:"positive,omitempty"` // positive nuclei, by marker
	Means    map[string]Mean `json:"means"`              // means over images, by the name of the number
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
