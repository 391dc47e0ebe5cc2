package dataset

import (
	"math"
	"slices"
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

// Summarise makes statistics of the measures of samples; nil ones are skipped.
func Summarise(ms []*Measures) *Stats {
	ms = slices.DeleteFunc(slices.Clone(ms), func(m *Measures) bool { return m == nil })
	largest := 0.0
	for _, m := range ms {
		for _, a := range m.Areas {
			largest = max(largest, float64(a))
		}
	}
	s := &Stats{All: kindStats("all", ms, largest)}
	for _, k := range Kinds {
		of := slices.DeleteFunc(slices.Clone(ms), func(m *Measures) bool { return m.Kind != k })
		if len(of) > 0 {
			s.Kinds = append(s.Kinds, kindStats(k, of, largest))
		}
	}
	return s
}

// kindStats bins areas up to the largest of all kinds, so that the histograms
// of kinds can be stacked.
func kindStats(kind string, ms []*Measures, largest float64) KindStats {
	k := KindStats{Kind: kind, Images: len(ms)}
	var mean, contrast, cover, count, area, diam, med []float64
	k.Intensity = linearBins(0, 1, histBins)
	k.Foreground = linearBins(0, 1, histBins)
	for _, m := range ms {
		i := slices.IndexFunc(k.Sizes, func(s SizeCount) bool { return s.W == m.W && s.H == m.H })
		if i < 0 {
			i = len(k.Sizes)
			k.Sizes = append(k.Sizes, SizeCount{W: m.W, H: m.H})
		}
		k.Sizes[i].Count++
		for b := range m.Levels {
			k.Intensity.Counts[b] += m.Levels[b]
			k.Foreground.Counts[b] += m.Inside[b]
		}
		mean = append(mean, m.Mean)
		count = append(count, float64(len(m.Areas)))
		inside := 0.0
		var own []float64
		for _, a := range m.Areas {
			inside += float64(a)
			area = append(area, float64(a))
			own = append(own, 2*math.Sqrt(float64(a)/math.Pi))
		}
		diam = append(diam, own...)
		cover = append(cover, inside/float64(m.W*m.H))
		if len(own) > 0 {
			med = append(med, summarise(own).Median)
			contrast = append(contrast, m.Foreground-m.Background)
		}
		k.Nuclei += len(m.Areas)
	}
	slices.SortStableFunc(k.Sizes, func(a, b SizeCount) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return a.W*a.H - b.W*b.H
	})
	k.MeanIntensity, k.Contrast, k.Coverage = summarise(mean), summarise(contrast), summarise(cover)
	k.NucleiPerImage, k.Area, k.Diameter, k.MedianDiameter = summarise(count), summarise(area), summarise(diam), summarise(med)
	k.NucleiHist = linearBins(0, max(10, math.Ceil(k.NucleiPerImage.Max/10)*10), 40)
	for _, v := range count {
		k.NucleiHist.add(v)
	}
	k.AreaHist = logBins(1, max(100, largest), 40)
	for _, v := range area {
		k.AreaHist.add(v)
	}
	return k
}

func summarise(v []float64) Summary {
	if len(v) == 0 {
		return Summary{}
	}
	v = slices.Sorted(slices.Values(v))
	q := func(p float64) float64 {
		x := p * float64(len(v)-1)
		i := int(x)
		if i+1 == len(v) {
			return v[i]
		}
		return v[i] + (v[i+1]-v[i])*(x-float64(i))
	}
	s := Summary{N: len(v), Min: v[0], P5: q(.05), Q1: q(.25), Median: q(.5), Q3: q(.75), P95: q(.95), Max: v[len(v)-1]}
	for _, x := range v {
		s.Mean += x
	}
	s.Mean /= float64(len(v))
	for _, x := range v {
		s.Std += (x - s.Mean) * (x - s.Mean)
	}
	s.Std = math.Sqrt(s.Std / float64(len(v)))
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

// add counts a value; those outside the edges go to the outer bins.
func (h *Histogram) add(v float64) {
	i, found := slices.BinarySearch(h.Edges, v)
	if !found {
		i--
	}
	h.Counts[min(max(i, 0), len(h.Counts)-1)]++
}
