package instance

import (
	"math"
	"slices"

	"unet/unet/imageio"
)

// Summary describes the nuclei of one image. Lengths are in pixels.
type Summary struct {
	Count int `json:"count"` // number of nuclei
	// EdgeCount is the number of nuclei that touch the edge of the image.
	EdgeCount int `json:"edge_count"`
	// LeftOut are nuclei that were found and do not count.
	LeftOut []Dropped `json:"dropped,omitempty"`
	// Coverage is the share of the pixels in which nuclei count that lie in them.
	Coverage       float64 `json:"coverage"`
	AreaMean       float64 `json:"area_mean"`       // mean area, in pixels; 0 when there are no nuclei, as the following
	AreaMedian     float64 `json:"area_median"`     // median area, in pixels
	AreaStd        float64 `json:"area_std"`        // standard deviation of areas, of the population
	DiameterMedian float64 `json:"diameter_median"` // median equivalent diameter, in pixels
	Circularity    float64 `json:"circularity"`     // mean over nuclei
	Solidity       float64 `json:"solidity"`        // mean over nuclei
	Eccentricity   float64 `json:"eccentricity"`    // mean over nuclei
	// Confidence is the mean over the nuclei that have one: about the share of
	// them that is right; 0 where the model does not say.
	Confidence    float64   `json:"confidence,omitempty"`
	Intensity     []float64 `json:"intensity,omitempty"`      // mean over nuclei of the mean of each channel
	RingIntensity []float64 `json:"ring_intensity,omitempty"` // mean over rings of the mean of each channel
}

// Dropped is the number of nuclei that were found and do not count.
func (s *Summary) Dropped() (n int) {
	for _, d := range s.LeftOut {
		n += d.Nuclei
	}
	return n
}

// Tally accumulates a Summary, nucleus by nucleus.
type Tally struct {
	// Region is where nuclei count, of the size of the image; nil: everywhere.
	Region *imageio.Labels

	s     Summary
	areas []float64
	area  int // in all, within the region
	rings int // that are not empty
	rated int // nuclei that have a confidence
}

// Add counts one more nucleus.
func (t *Tally) Add(n *Nucleus) {
	t.s.Count++
	if n.Edge {
		t.s.EdgeCount++
	}
	t.areas = append(t.areas, float64(n.Area))
	t.area += n.within(t.Region)
	t.s.Circularity += n.Circularity
	t.s.Solidity += n.Solidity
	t.s.Eccentricity += n.Eccentricity
	if n.Confidence > 0 {
		t.rated++
		t.s.Confidence += n.Confidence
	}
	addMeans(&t.s.Intensity, n.Channels)
	if n.Ring != nil && n.Ring.Area > 0 {
		t.rings++
		addMeans(&t.s.RingIntensity, n.Ring.Channels)
	}
}

// addMeans adds the mean of each channel to a sum.
func addMeans(sums *[]float64, channels []Intensity) {
	for c, in := range channels {
		if c == len(*sums) {
			*sums = append(*sums, 0)
		}
		(*sums)[c] += in.Mean
	}
}

// Summary describes the nuclei added so far, of an image of w x h pixels.
func (t *Tally) Summary(w, h int) Summary {
	s := t.s
	s.Intensity, s.RingIntensity = slices.Clone(s.Intensity), slices.Clone(s.RingIntensity)
	if s.Count == 0 {
		return s
	}
	k := float64(s.Count)
	var sum, ss float64
	for _, a := range t.areas {
		sum += a
	}
	s.AreaMean = sum / k
	for _, a := range t.areas {
		ss += (a - s.AreaMean) * (a - s.AreaMean)
	}
	s.AreaStd = math.Sqrt(ss / k)
	slices.Sort(t.areas)
	s.AreaMedian = (t.areas[(s.Count-1)/2] + t.areas[s.Count/2]) / 2
	diameter := func(a float64) float64 { return math.Sqrt(4 * a / math.Pi) }
	s.DiameterMedian = (diameter(t.areas[(s.Count-1)/2]) + diameter(t.areas[s.Count/2])) / 2
	pixels := float64(w) * float64(h)
	if t.Region != nil {
		pixels = float64(RegionPixels(t.Region))
	}
	if pixels > 0 {
		s.Coverage = float64(t.area) / pixels
	}
	s.Circularity /= k
	s.Solidity /= k
	s.Eccentricity /= k
	s.Confidence /= float64(max(t.rated, 1))
	for c := range s.Intensity {
		s.Intensity[c] /= k
	}
	for c := range s.RingIntensity {
		s.RingIntensity[c] /= float64(t.rings)
	}
	return s
}

// within is the number of its pixels in a region.
func (n *Nucleus) within(region *imageio.Labels) (pixels int) {
	if region == nil {
		return n.Area
	}
	for _, r := range n.Runs {
		for _, id := range region.ID[r.Y*region.W:][r.X0:r.X1] {
			if id != 0 {
				pixels++
			}
		}
	}
	return pixels
}

// RegionPixels is the number of pixels of a region, of those that are not 0; 0 of nil.
func RegionPixels(region *imageio.Labels) (pixels int) {
	if region == nil {
		return 0
	}
	for _, id := range region.ID {
		if id != 0 {
			pixels++
		}
	}
	return pixels
}

// Summarise describes the nuclei of an image of w x h pixels, which count in a region;
// nil: everywhere.
func Summarise(nuclei []Nucleus, w, h int, region *imageio.Labels) Summary {
	t := Tally{Region: region}
	for i := range nuclei {
		t.Add(&nuclei[i])
	}
	return t.Summary(w, h)
}
