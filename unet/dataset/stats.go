package dataset

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
)

// histBins is the number of bins of intensity histograms.
const histBins = 64

// Measures are the figures of one sample that statistics are made of.
type Measures struct {
	W, H, C int
	Kind    string
	// Levels counts the luminance of pixels in histBins equal bins between 0
	// and the largest value of the sample size (255 or 65535; of float
	// images, their own range); Inside counts those inside nuclei.
	Levels, Inside [histBins]int64
	// Mean and Std of the luminance, on the same scale from 0 to 1.
	Mean, Std float64
	// Foreground and Background are the means inside and outside nuclei.
	Foreground, Background float64
	// Areas of the nuclei in pixels, by number.
	Areas []int32
}

// Measure takes the figures of a sample.
func Measure(s *Sample) *Measures {
	m := &Measures{W: s.Image.W, H: s.Image.H, C: s.Image.C, Kind: s.Kind}
	lum := luminance(s.Image)
	lo, hi := float32(0), float32(255)
	switch {
	case s.Image.Float || s.Image.Bits > 16:
		lo, hi = sampleRange(s.Image)
	case s.Image.Bits > 8:
		hi = 65535
	case s.Image.Bits == 1:
		hi = 1
	}
	scale := 1 / float64(max(hi-lo, 1e-30))
	m.Areas = make([]int32, s.Labels.Max())
	var sum, sq, in float64
	nIn := 0
	for i, v := range lum {
		x := min(max(float64(v-lo)*scale, 0), 1)
		b := min(int(x*histBins), histBins-1)
		m.Levels[b]++
		sum += x
		sq += x * x
		if k := s.Labels.ID[i]; k != 0 {
			m.Inside[b]++
			m.Areas[k-1]++
			in += x
			nIn++
		}
	}
	n := float64(len(lum))
	m.Mean = sum / n
	m.Std = math.Sqrt(max(0, sq/n-m.Mean*m.Mean))
	if nIn > 0 {
		m.Foreground = in / float64(nIn)
	}
	if nIn < len(lum) {
		m.Background = (sum - in) / (n - float64(nIn))
	}
	return m
}

// Summary describes a distribution.
type Summary struct {
	N      int     `json:"n"`      // number of values
	Min    float64 `json:"min"`    // the least
	P5     float64 `json:"p5"`     // 5th percentile
	Q1     float64 `json:"q1"`     // first quartile
	Median float64 `json:"median"` // median
	Q3     float64 `json:"q3"`     // third quartile
	P95    float64 `json:"p95"`    // 95th percentile
	Max    float64 `json:"max"`    // the greatest
	Mean   float64 `json:"mean"`   // mean
	Std    float64 `json:"std"`    // standard deviation
}

// Histogram counts values: Counts[i] of them in [Edges[i], Edges[i+1]), the
// last bin closed.
type Histogram struct {
	Edges  []float64 `json:"edges"`  // where bins begin, and the last ends
	Counts []int64   `json:"counts"` // number of values in each bin
}

// SizeCount is a size of images and how many have it.
type SizeCount struct {
	W     int `json:"w"`     // width, in pixels
	H     int `json:"h"`     // height, in pixels
	Count int `json:"count"` // number of images
}

// KindStats are the statistics of the images of one kind, or of all.
type KindStats struct {
	Kind           string      `json:"kind"`             // kind of image, all for all of them
	Images         int         `json:"images"`           // number of images
	Nuclei         int         `json:"nuclei"`           // number of nuclei in them
	Sizes          []SizeCount `json:"sizes"`            // sizes of images, the most frequent first
	Intensity      Histogram   `json:"intensity"`        // luminance of pixels, 0 to 1
	Foreground     Histogram   `json:"foreground"`       // luminance of pixels inside nuclei
	MeanIntensity  Summary     `json:"mean_intensity"`   // mean luminance of each image
	Contrast       Summary     `json:"contrast"`         // mean luminance inside nuclei minus outside, of each image
	Coverage       Summary     `json:"coverage"`         // share of pixels inside nuclei, of each image
	NucleiPerImage Summary     `json:"nuclei_per_image"` // nuclei in an image
	NucleiHist     Histogram   `json:"nuclei_hist"`      // nuclei in an image
	Area           Summary     `json:"area"`             // area of nuclei, in pixels
	AreaHist       Histogram   `json:"area_hist"`        // the same, in logarithmic bins
	Diameter       Summary     `json:"diameter"`         // diameter of the circle of equal area, of each nucleus, in pixels
	MedianDiameter Summary     `json:"median_diameter"`  // median diameter of the nuclei of each image, in pixels
}

// Stats are the statistics of a set: of all images first, then of each kind.
type Stats struct {
	All   KindStats   `json:"all"`   // statistics of all images
	Kinds []KindStats `json:"kinds"` // statistics by kind of image
}

// tally gathers the measures of samples as they are read, for statistics. What it keeps
// of an image are its figures; pixels and nuclei are counted, by level and by area.
type tally struct {
	mu     sync.Mutex
	images []*figures // by number; nil where there is no sample
	counts map[string]*counts
}

// figures are what statistics know of one image.
type figures struct {
	kind                     string
	w, h, nuclei             int
	mean, contrast, coverage float64
	diameter                 float64 // median
}

// counts are of the pixels and nuclei of the images of one kind.
type counts struct {
	levels, inside [histBins]int64
	areas          map[int32]int // nuclei by area
}

// newTally is for n images.
func newTally(n int) *tally {
	return &tally{images: make([]*figures, n), counts: map[string]*counts{}}
}

// add takes the measures of image i. Several goroutines may call it at once.
func (t *tally) add(i int, m *Measures) {
	f := &figures{kind: m.Kind, w: m.W, h: m.H, nuclei: len(m.Areas), mean: m.Mean, contrast: m.Foreground - m.Background}
	inside := 0
	var diameters []float64
	for _, a := range m.Areas {
		inside += int(a)
		diameters = append(diameters, diameter(float64(a)))
	}
	f.coverage = float64(inside) / float64(m.W*m.H)
	f.diameter = summarise(diameters).Median
	t.mu.Lock()
	defer t.mu.Unlock()
	t.images[i] = f
	c := t.counts[m.Kind]
	if c == nil {
		c = &counts{areas: map[int32]int{}}
		t.counts[m.Kind] = c
	}
	c.add(&counts{levels: m.Levels, inside: m.Inside})
	for _, a := range m.Areas {
		c.areas[a]++
	}
}

// add adds the counts of others.
func (c *counts) add(other *counts) {
	for b := range c.levels {
		c.levels[b] += other.levels[b]
		c.inside[b] += other.inside[b]
	}
	for a, n := range other.areas {
		c.areas[a] += n
	}
}

// stats makes statistics of what was gathered.
func (t *tally) stats() *Stats {
	all := &counts{areas: map[int32]int{}}
	for _, c := range t.counts {
		all.add(c)
	}
	largest := int32(0)
	for a := range all.areas {
		largest = max(largest, a)
	}
	of := func(kind string) (list []*figures) {
		for _, f := range t.images {
			if f != nil && (kind == "" || f.kind == kind) {
				list = append(list, f)
			}
		}
		return list
	}
	s := &Stats{All: kindStats("all", of(""), all, float64(largest))}
	for _, k := range Kinds {
		if c := t.counts[k]; c != nil {
			s.Kinds = append(s.Kinds, kindStats(k, of(k), c, float64(largest)))
		}
	}
	return s
}

// kindStats bins areas up to the largest of all kinds, so that the histograms
// of kinds can be stacked.
func kindStats(kind string, images []*figures, c *counts, largest float64) KindStats {
	k := KindStats{Kind: kind, Images: len(images), Intensity: linearBins(0, 1, histBins), Foreground: linearBins(0, 1, histBins)}
	copy(k.Intensity.Counts, c.levels[:])
	copy(k.Foreground.Counts, c.inside[:])
	var mean, contrast, cover, nuclei, med []float64
	type size struct{ w, h int }
	place := map[size]int{}
	for _, f := range images {
		i, ok := place[size{f.w, f.h}]
		if !ok {
			i = len(k.Sizes)
			place[size{f.w, f.h}] = i
			k.Sizes = append(k.Sizes, SizeCount{W: f.w, H: f.h})
		}
		k.Sizes[i].Count++
		mean = append(mean, f.mean)
		nuclei = append(nuclei, float64(f.nuclei))
		cover = append(cover, f.coverage)
		if f.nuclei > 0 {
			med = append(med, f.diameter)
			contrast = append(contrast, f.contrast)
		}
		k.Nuclei += f.nuclei
	}
	slices.SortStableFunc(k.Sizes, func(a, b SizeCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.W*a.H, b.W*b.H))
	})
	k.MeanIntensity, k.Contrast, k.Coverage = summarise(mean), summarise(contrast), summarise(cover)
	k.NucleiPerImage, k.MedianDiameter = summarise(nuclei), summarise(med)
	k.NucleiHist = linearBins(0, max(10, math.Ceil(k.NucleiPerImage.Max/10)*10), 40)
	for _, v := range nuclei {
		k.NucleiHist.add(v, 1)
	}
	k.AreaHist = logBins(1, max(100, largest), 40)
	var areas, diameters []repeated
	for _, a := range slices.Sorted(maps.Keys(c.areas)) {
		r := repeated{float64(a), c.areas[a]}
		k.AreaHist.add(r.value, r.times)
		areas = append(areas, r)
		diameters = append(diameters, repeated{diameter(r.value), r.times})
	}
	k.Area, k.Diameter = summariseRepeated(areas), summariseRepeated(diameters)
	return k
}

// repeated is a value that occurs a number of times.
type repeated struct {
	value float64
	times int
}

func summarise(v []float64) Summary {
	list := make([]repeated, len(v))
	for i, x := range slices.Sorted(slices.Values(v)) {
		list[i] = repeated{x, 1}
	}
	return summariseRepeated(list)
}

// summariseRepeated describes values in ascending order.
func summariseRepeated(v []repeated) Summary {
	if len(v) == 0 {
		return Summary{}
	}
	ends := make([]int, len(v)) // numbers of values up to each
	n := 0
	for i, r := range v {
		n += r.times
		ends[i] = n
	}
	at := func(i int) float64 {
		k, _ := slices.BinarySearch(ends, i+1)
		return v[k].value
	}
	q := func(p float64) float64 {
		x := p * float64(n-1)
		i := int(x)
		if i+1 == n {
			return at(i)
		}
		return at(i) + (at(i+1)-at(i))*(x-float64(i))
	}
	s := Summary{N: n, Min: at(0), P5: q(.05), Q1: q(.25), Median: q(.5), Q3: q(.75), P95: q(.95), Max: at(n - 1)}
	for _, r := range v {
		for range r.times {
			s.Mean += r.value
		}
	}
	s.Mean /= float64(n)
	for _, r := range v {
		for range r.times {
			s.Std += (r.value - s.Mean) * (r.value - s.Mean)
		}
	}
	s.Std = math.Sqrt(s.Std / float64(n))
	return s
}

func linearBins(lo, hi float64, n int) Histogram {
	h := Histogram{Counts: make([]int64, n)}
	for i := range n + 1 {
		h.Edges = append(h.Edges, lo+(hi-lo)*float64(i)/float64(n))
	}
	return h
}

func logBins(lo, hi float64, n int) Histogram {
	h := Histogram{Counts: make([]int64, n)}
	for i := range n + 1 {
		h.Edges = append(h.Edges, lo*math.Pow(hi/lo, float64(i)/float64(n)))
	}
	return h
}

// add counts a value a number of times; those outside the edges go to the outer bins.
func (h *Histogram) add(v float64, times int) {
	i, found := slices.BinarySearch(h.Edges, v)
	if !found {
		i--
	}
	h.Counts[min(max(i, 0), len(h.Counts)-1)] += int64(times)
}
