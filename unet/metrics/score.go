package metrics

import (
	"slices"

	"unet/unet/imageio"
)

// Taus returns the IoU thresholds of the Data Science Bowl: 0.50, 0.55, …,
// 0.95.
func Taus() []float64 {
	return []float64{0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95}
}

// Counts are the matches at one IoU threshold.
type Counts struct {
	TP int `json:"tp"`
	FP int `json:"fp"`
	FN int `json:"fn"`
	// IoU is the sum over the matched pairs.
	IoU float64 `json:"sum_iou"`
}

// Scores are the usual ratios of Counts.
type Scores struct {
	Tau       float64 `json:"tau"`           // IoU threshold
	Precision float64 `json:"precision"`     // share of found nuclei that match, 0 to 1
	Recall    float64 `json:"recall"`        // share of true nuclei that match, 0 to 1
	F1        float64 `json:"f1"`            // harmonic mean of precision and recall, 0 to 1
	AP        float64 `json:"ap"`            // TP/(TP+FP+FN), the field's "average precision"; StarDist calls it accuracy
	SQ        float64 `json:"sq"`            // segmentation quality, the mean IoU of matched pairs
	RQ        float64 `json:"rq"`            // recognition quality, equals f1
	PQ        float64 `json:"pq"`            // panoptic quality, sq times rq
	MeanTrue  float64 `json:"mean_true_iou"` // sum of the IoU of matched pairs, over the number of true nuclei
}

// Scores computes the ratios at tau.
func (c Counts) Scores(tau float64) Scores {
	tp, fp, fn := int64(c.TP), int64(c.FP), int64(c.FN)
	s := Scores{
		Tau: tau, Precision: share(tp, fp, fn), Recall: share(tp, fn, fp),
		F1: ratio(2*tp, 2*tp+fp+fn), AP: ratio(tp, tp+fp+fn),
	}
	s.RQ = s.F1
	switch {
	case tp > 0:
		s.SQ = c.IoU / float64(tp)
		s.MeanTrue = c.IoU / float64(tp+fn)
	case fp+fn == 0:
		s.SQ, s.MeanTrue = 1, 1
	}
	s.PQ = s.SQ * s.RQ
	return s
}

// Result is the comparison of one image.
type Result struct {
	// Truth and Pred are the numbers of nuclei.
	Truth int `json:"truth"`
	Pred  int `json:"pred"`
	// At holds the counts at each threshold.
	Taus []float64 `json:"taus"`
	At   []Counts  `json:"at"`
	// Inter and Union are the terms of the aggregated Jaccard index.
	Inter int64 `json:"aji_inter"`
	Union int64 `json:"aji_union"`
}

// Match compares the nuclei of two label images of one size at each IoU
// threshold (see Overlap.Match for the rule).
func Match(truth, pred *imageio.Labels, taus []float64) (*Result, error) {
	o, err := Compare(truth, pred)
	if err != nil {
		return nil, err
	}
	return o.Result(taus), nil
}

// Result scores the overlap at each IoU threshold.
func (o *Overlap) Result(taus []float64) *Result {
	r := &Result{Truth: len(o.truth.ids), Pred: len(o.pred.ids), Taus: taus, At: make([]Counts, len(taus))}
	for i, tau := range taus {
		pairs := o.match(tau)
		c := Counts{TP: len(pairs), FP: r.Pred - len(pairs), FN: r.Truth - len(pairs)}
		for _, q := range pairs {
			c.IoU += q.iou
		}
		r.At[i] = c
	}
	r.Inter, r.Union = o.aji()
	return r
}

// AJI is the aggregated Jaccard index of the image.
func (r *Result) AJI() float64 { return ratio(r.Inter, r.Union) }

// Score is the image's Data Science Bowl score: the mean of AP over its
// thresholds (with Taus, the competition's).
func (r *Result) Score() float64 {
	var sum float64
	for _, c := range r.At {
		sum += c.Scores(0).AP
	}
	return sum / float64(len(r.At))
}

// Aggregate sums up the results of many images in both of the field's
// conventions. The zero value is empty.
type Aggregate struct {
	Images int
	// Truth and Pred are the numbers of nuclei.
	Truth, Pred  int
	taus         []float64
	pooled       []Counts
	sums         []Scores
	aji          float64
	inter, union int64
}

// Add counts an image. All results must share their thresholds.
func (a *Aggregate) Add(r *Result) {
	if a.Images == 0 {
		a.taus = slices.Clone(r.Taus)
		a.pooled, a.sums = make([]Counts, len(a.taus)), make([]Scores, len(a.taus))
	}
	if !slices.Equal(a.taus, r.Taus) {
		panic("metrics: results at different IoU thresholds in one Aggregate")
	}
	a.Images++
	a.Truth += r.Truth
	a.Pred += r.Pred
	a.aji += r.AJI()
	a.inter += r.Inter
	a.union += r.Union
	for i, c := range r.At {
		p := &a.pooled[i]
		p.TP += c.TP
		p.FP += c.FP
		p.FN += c.FN
		p.IoU += c.IoU
		s, v := &a.sums[i], c.Scores(a.taus[i])
		s.Precision += v.Precision
		s.Recall += v.Recall
		s.F1 += v.F1
		s.AP += v.AP
		s.SQ += v.SQ
		s.RQ += v.RQ
		s.PQ += v.PQ
		s.MeanTrue += v.MeanTrue
	}
}

// Pooled returns the scores of the counts summed over all images, one entry
// per threshold: every nucleus weighs the same (StarDist's by_image=False).
func (a *Aggregate) Pooled() []Scores {
	out := make([]Scores, len(a.taus))
	for i, c := range a.pooled {
		out[i] = c.Scores(a.taus[i])
	}
	return out
}

// PerImage returns the means over images of the images' scores: every image
// weighs the same (StarDist's by_image=True).
func (a *Aggregate) PerImage() []Scores {
	out := make([]Scores, len(a.taus))
	n := float64(a.Images)
	for i, s := range a.sums {
		out[i] = Scores{Tau: a.taus[i], Precision: s.Precision / n, Recall: s.Recall / n, F1: s.F1 / n, AP: s.AP / n,
			SQ: s.SQ / n, RQ: s.RQ / n, PQ: s.PQ / n, MeanTrue: s.MeanTrue / n}
	}
	return out
}

// Counts returns the counts summed over all images, one per threshold.
func (a *Aggregate) Counts() []Counts { return slices.Clone(a.pooled) }

// AJI returns the aggregated Jaccard index over all images as one, and its
// mean over images. Both are 1 when there are no images.
func (a *Aggregate) AJI() (pooled, perImage float64) {
	if a.Images == 0 {
		return 1, 1
	}
	return ratio(a.inter, a.union), a.aji / float64(a.Images)
}

// Score is the Data Science Bowl's: the mean over images of the mean AP over
// thresholds. It is 0 when there are no images.
func (a *Aggregate) Score() float64 { return MeanAP(a.PerImage()) }

// MeanAP is the mean AP over thresholds of either convention's scores, 0 when
// there are none.
func MeanAP(s []Scores) float64 {
	if len(s) == 0 {
		return 0
	}
	var sum float64
	for _, v := range s {
		sum += v.AP
	}
	return sum / float64(len(s))
}
