package evaluate

import (
	"slices"
	"unet/unet/dataset"
	"unet/unet/instance"
	"unet/unet/metrics"
)

// Evaluation is how well a model does on a prepared set.
type Evaluation struct {
	// Threshold and Instance are the model's, as used.
	Threshold float64         `json:"threshold"`
	Instance  instance.Params `json:"instance"`
	TTA       bool            `json:"tta"`
	Splits    []SplitScores   `json:"splits"`
}

// SplitScores are the scores of one split.
type SplitScores struct {
	Name string `json:"name"`
	// Summary says in a sentence what became of the nuclei at IoU 0.5.
	Summary string      `json:"summary"`
	All     SetScores   `json:"all"`
	Kinds   []SetScores `json:"kinds"`
	// Sources are the scores by laboratory, where the set tells; SourceScore
	// is the mean over them of KaggleScore: what to expect of images of
	// a laboratory, whichever it is.
	Sources     []SetScores `json:"sources,omitempty"`
	SourceScore float64     `json:"source_score,omitempty"`
	// Best is the threshold of the highest F1 on this split; Curve holds the
	// thresholds k/64.
	Best   ThresholdScores   `json:"best_threshold"`
	Curve  []ThresholdScores `json:"thresholds"`
	Images []ImageScores     `json:"images"`
}

// SetScores are the scores of several images together.
type SetScores struct {
	Name   string        `json:"name"`
	Images int           `json:"images"`
	Loss   float64       `json:"loss"` // mean binary cross-entropy of the foreground
	Pixels PixelScores   `json:"pixels"`
	Nuclei NucleusScores `json:"nuclei"`
}

// PixelScores are counts of pixels and their ratios; Dice equals F1.
type PixelScores struct {
	metrics.Pixels
	Accuracy  float64 `json:"accuracy"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Dice      float64 `json:"dice"`
	IoU       float64 `json:"iou"`
}

func pixelScores(p metrics.Pixels) PixelScores {
	return PixelScores{p, p.Accuracy(), p.Precision(), p.Recall(), p.F1(), p.F1(), p.IoU()}
}

// ThresholdScores are the pixel scores at one threshold.
type ThresholdScores struct {
	Threshold float64 `json:"threshold"`
	PixelScores
}

// NucleusScores compare nuclei, in both of the field's conventions: with the
// counts pooled over images, so that every nucleus weighs the same, and as the
// mean over images.
type NucleusScores struct {
	Truth     int `json:"truth"`
	Predicted int `json:"predicted"`
	// PooledAP50 is the AP at IoU 0.5 of counts pooled over images, ImageAP50 the
	// mean over images of theirs.
	PooledAP50 float64 `json:"pooled_ap50"`
	ImageAP50  float64 `json:"image_ap50"`
	// MeanAP is the mean AP over IoU 0.50:0.05:0.95 of pooled counts,
	// MeanAP90 over 0.50:0.05:0.90 only, as StarDist's paper has it.
	MeanAP   float64 `json:"mean_ap"`
	MeanAP90 float64 `json:"mean_ap_50_90"`
	// KaggleScore is the Data Science Bowl's: the mean over images of their
	// MeanAP.
	KaggleScore float64 `json:"kaggle_score"`
	// AJI is the aggregated Jaccard index, PQ the panoptic quality at IoU 0.5
	// (pooled).
	AJI         float64     `json:"aji"`
	AJIPerImage float64     `json:"aji_per_image"`
	PQ          float64     `json:"pq"`
	PQPerImage  float64     `json:"pq_per_image"`
	Errors      ErrorCounts `json:"errors"`
	// Confidence is nil where the model rates no nuclei.
	Confidence *Reliability     `json:"confidence,omitempty"`
	Pooled     []metrics.Scores `json:"pooled"`
	PerImage   []metrics.Scores `json:"per_image"`
}

// ErrorCounts says what became of nuclei at IoU 0.5. Merged and Inexact count
// true nuclei, Split those found in pieces.
type ErrorCounts struct {
	Matched  int `json:"matched"`
	Missed   int `json:"missed"`
	Invented int `json:"invented"`
	Merged   int `json:"merged"`
	Split    int `json:"split"`
	Inexact  int `json:"inexact"`
}

func countErrors(o *metrics.Overlap) ErrorCounts {
	truth, pred := o.Errors(0.5)
	var e ErrorCounts
	for _, v := range truth {
		switch v {
		case metrics.Matched:
			e.Matched++
		case metrics.Missed:
			e.Missed++
		case metrics.Merged:
			e.Merged++
		case metrics.Split:
			e.Split++
		case metrics.Inexact:
			e.Inexact++
		}
	}
	for _, v := range pred {
		if v == metrics.Invented {
			e.Invented++
		}
	}
	return e
}

func (e *ErrorCounts) add(f ErrorCounts) {
	e.Matched += f.Matched
	e.Missed += f.Missed
	e.Invented += f.Invented
	e.Merged += f.Merged
	e.Split += f.Split
	e.Inexact += f.Inexact
}

// ImageScores are the scores of one image.
type ImageScores struct {
	ID        string      `json:"id"`
	Index     int         `json:"-"` // in the set
	Kind      string      `json:"kind"`
	Group     string      `json:"group"`
	Source    string      `json:"source,omitempty"`
	W         int         `json:"w"`
	H         int         `json:"h"`
	Loss      float64     `json:"loss"`
	Pixels    PixelScores `json:"pixels"`
	Truth     int         `json:"truth"`
	Predicted int         `json:"predicted"`
	// MeanAP is the mean AP over IoU 0.50:0.05:0.95, AP50 and AP75 are the AP at
	// 0.5 and 0.75.
	MeanAP float64     `json:"mean_ap"`
	AP50   float64     `json:"ap50"`
	AP75   float64     `json:"ap75"`
	F1     float64     `json:"f1"` // of nuclei, at IoU 0.5
	PQ     float64     `json:"pq"`
	AJI    float64     `json:"aji"`
	Errors ErrorCounts `json:"errors"`
	// Confidence is the mean of the found nuclei's, and so how many of them
	// should be right; 0 where the model rates none.
	Confidence float64 `json:"confidence,omitempty"`

	rated  Reliability
	result *metrics.Result
	pixels int // of the image
}

func splitScores(name string, images []ImageScores, curve *metrics.Curve) SplitScores {
	best := curve.Best()
	s := SplitScores{Name: name, All: setScores("all", images), Images: images,
		Best: ThresholdScores{best.Threshold, pixelScores(best.Pixels)}}
	s.Summary = s.All.Nuclei.Errors.String()
	for _, o := range curve.Points(16) {
		s.Curve = append(s.Curve, ThresholdScores{o.Threshold, pixelScores(o.Pixels)})
	}
	kind, source := func(v *ImageScores) string { return v.Kind }, func(v *ImageScores) string { return v.Source }
	s.Kinds = scoresBy(images, dataset.Kinds, kind)
	var sources []string
	for i := range images {
		if name := images[i].Source; name != "" && !slices.Contains(sources, name) {
			sources = append(sources, name)
		}
	}
	slices.Sort(sources)
	s.Sources = scoresBy(images, sources, source)
	for i := range s.Sources {
		s.SourceScore += s.Sources[i].Nuclei.KaggleScore / float64(len(s.Sources))
	}
	return s
}

// scoresBy scores the images of each of the names that there are images of.
func scoresBy(images []ImageScores, names []string, of func(*ImageScores) string) []SetScores {
	var list []SetScores
	for _, name := range names {
		var some []ImageScores
		for i := range images {
			if of(&images[i]) == name {
				some = append(some, images[i])
			}
		}
		if len(some) > 0 {
			list = append(list, setScores(name, some))
		}
	}
	return list
}

func setScores(name string, images []ImageScores) SetScores {
	var pixels metrics.Pixels
	var agg metrics.Aggregate
	var errors ErrorCounts
	var rated Reliability
	var loss float64
	var n int
	for i := range images {
		v := &images[i]
		pixels.Merge(v.Pixels.Pixels)
		agg.Add(v.result)
		errors.add(v.Errors)
		rated.add(&v.rated)
		loss += v.Loss * float64(v.pixels)
		n += v.pixels
	}
	return SetScores{Name: name, Images: len(images), Loss: loss / float64(n), Pixels: pixelScores(pixels),
		Nuclei: nucleusScores(&agg, errors, &rated)}
}

func nucleusScores(a *metrics.Aggregate, e ErrorCounts, rated *Reliability) NucleusScores {
	s := NucleusScores{Truth: a.Truth, Predicted: a.Pred, Errors: e, Pooled: a.Pooled(), PerImage: a.PerImage(), KaggleScore: a.Score()}
	if rated != nil && rated.nuclei() > 0 {
		rated.finish()
		s.Confidence = rated
	}
	s.MeanAP = metrics.MeanAP(s.Pooled)
	s.AJI, s.AJIPerImage = a.AJI()
	if len(s.Pooled) > 0 {
		s.PooledAP50, s.ImageAP50 = s.Pooled[0].AP, s.PerImage[0].AP
		s.MeanAP90 = metrics.MeanAP(s.Pooled[:len(s.Pooled)-1])
		s.PQ, s.PQPerImage = s.Pooled[0].PQ, s.PerImage[0].PQ
	}
	return s
}
