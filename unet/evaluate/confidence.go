package evaluate

import (
	"math"

	"unet/unet/dataset"
	"unet/unet/instance"
	"unet/unet/metrics"
)

// Reliability compares the confidence of found nuclei with how many of them
// are right, matched at IoU 0.5, by tenths of confidence.
type Reliability struct {
	Tenths   [10]Tenth `json:"tenths"`   // nuclei whose confidence is 0 to 0.1, 0.1 to 0.2, ... 0.9 to 1
	ECE      float64   `json:"ece"`      // expected calibration error: the mean over nuclei of the difference, within their tenth, of mean confidence and share right
	Expected float64   `json:"expected"` // mean confidence, 0 to 1
	Right    float64   `json:"right"`    // share of nuclei that are right, 0 to 1
}

// Tenth counts nuclei whose confidence is in one tenth of 0 to 1.
type Tenth struct {
	Nuclei     int     `json:"nuclei"`     // how many there are
	Right      int     `json:"right"`      // how many of them match a true nucleus at IoU 0.5
	Confidence float64 `json:"confidence"` // sum of their confidences
}

// reliability counts rated nuclei by tenths; o compares them with the truth.
func reliability(nuclei []instance.Nucleus, o *metrics.Overlap) Reliability {
	var r Reliability
	_, outcome := o.Errors(0.5)
	for i := range nuclei {
		n := &nuclei[i]
		t := &r.Tenths[min(int(10*n.Confidence), 9)]
		t.Nuclei++
		t.Confidence += n.Confidence
		if outcome[n.ID] == metrics.Matched {
			t.Right++
		}
	}
	return r
}

func (r *Reliability) add(o *Reliability) {
	for i := range r.Tenths {
		a, b := &r.Tenths[i], &o.Tenths[i]
		a.Nuclei += b.Nuclei
		a.Right += b.Right
		a.Confidence += b.Confidence
	}
}

func (r *Reliability) nuclei() int {
	n := 0
	for _, t := range r.Tenths {
		n += t.Nuclei
	}
	return n
}

// mean is the mean confidence, 0 without nuclei.
func (r *Reliability) mean() float64 {
	s := 0.0
	for _, t := range r.Tenths {
		s += t.Confidence
	}
	return s / float64(max(r.nuclei(), 1))
}

// finish fills in what follows from the counts.
func (r *Reliability) finish() {
	n := float64(max(r.nuclei(), 1))
	r.Expected = r.mean()
	for _, t := range r.Tenths {
		r.Right += float64(t.Right) / n
		r.ECE += math.Abs(t.Confidence-float64(t.Right)) / n
	}
}

// calibrate fits confidence to images whose maps are known, every source, or
// all images where those are unknown, with the same weight.
func (t *tuner) calibrate(q instance.Params, set *dataset.Set, indices []int) (instance.Calibration, error) {
	card := t.card
	card.Instance = q
	var list []instance.Features
	var right []bool
	var source []string
	count := map[string]int{}
	for i, im := range t.images {
		found := card.Separate(im.maps)
		o, err := metrics.Compare(im.truth, found)
		if err != nil {
			return instance.Calibration{}, err
		}
		nuclei := instance.Measure(found, nil)
		list = append(list, instance.MapFeatures(im.maps, nuclei)...)
		_, outcome := o.Errors(0.5)
		name := set.Entries[indices[i]].Source
		for k := range nuclei {
			right = append(right, outcome[nuclei[k].ID] == metrics.Matched)
			source = append(source, name)
			count[name]++
		}
	}
	weight := make([]float64, len(list))
	for i := range weight {
		weight[i] = float64(len(list)) / float64(len(count)*count[source[i]])
	}
	return instance.FitCalibration(list, right, weight)
}
