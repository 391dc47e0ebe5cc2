package evaluate

import (
	"slices"
	"unet/unet/dataset"
	"unet/unet/instance"
	"unet/unet/metrics"
)

// Evaluation is how well a model does on a prepared set.
type Evaluation struct {
	Threshold float64         `json:"threshold"` // threshold of the mask, as used
	Instance  instance.Params `json:"instance"`  // parameters that turn maps into nuclei, as used
	TTA       bool            `json:"tta"`       // maps were averaged over mirrored images
	Splits    []SplitScores   `json:"splits"`    // scores of each split
}

// SplitScores are the scores of one split.
type SplitScores struct {
	Name        string            `json:"name"`                   // train, val or test
	Summary     string            `json:"summary"`                // what became of the nuclei at IoU 0.5, in a sentence
	All         SetScores         `json:"all"`                    // scores of all images of the split
	Kinds       []SetScores       `json:"kinds"`                  // scores by kind of image
	Sources     []SetScores       `json:"sources,omitempty"`      // scores by laboratory, where the set tells
	SourceScore float64           `json:"source_score,omitempty"` // mean over sources of KaggleScore: what to expect of images of another laboratory
	Best        ThresholdScores   `json:"best_threshold"`         // the threshold of the highest F1 on this split
	Curve       []ThresholdScores `json:"thresholds"`             // scores of pixels at thresholds k/64
	Images      []ImageScores     `json:"images"`                 // scores by image
}

// SetScores are the scores of several images together.
type SetScores struct {
	Name   string        `json:"name"`   // the kind or source; empty for all images
	Images int           `json:"images"` // number of images
	Loss   float64       `json:"loss"`   // mean binary cross-entropy of the foreground
	Pixels PixelScores   `json:"pixels"` // scores of the mask at the threshold, pixels of all images together
	Nuclei NucleusScores `json:"nuclei"` // scores of nuclei
}

// PixelScores are counts of pixels and their ratios; Dice equals F1.
type PixelScores struct {
	metrics.Pixels
	Accuracy  float64 `json:"accuracy"`  // share of pixels that are right, 0 to 1
	Precision float64 `json:"precision"` // share of found pixels that are right, 0 to 1
	Recall    float64 `json:"recall"`    // share of true pixels that are found, 0 to 1
	F1        float64 `json:"f1"`        // harmonic mean of precision and recall, 0 to 1
	Dice      float64 `json:"dice"`      // equals f1
	IoU       float64 `json:"iou"`       // intersection over union, 0 to 1
}

func pixelScores(p metrics.Pixels) PixelScores {
	return PixelScores{p, p.Accuracy(), p.Precision(), p.Recall(), p.F1(), p.F1(), p.IoU()}
}

// ThresholdScores are the pixel scores at one threshold.
type ThresholdScores struct {
	Threshold float64 `json:"threshold"` // foreground probability above which a pixel is in the mask, 0 to 1
	PixelScores
}

// NucleusScores compare nuclei, in both of the field's conventions: with the
// counts pooled over images, so that every nucleus weighs the same, and as the
// mean over images.
type NucleusScores struct {
	Truth       int              `json:"truth"`                // number of true nuclei
	Predicted   int              `json:"predicted"`            // number of nuclei found
	PooledAP50  float64          `json:"pooled_ap50"`          // average precision at IoU 0.5, counts pooled over images, 0 to 1
	ImageAP50   float64          `json:"image_ap50"`           // mean over images of the average precision at IoU 0.5, 0 to 1
	MeanAP      float64          `json:"mean_ap"`              // mean over IoU thresholds 0.50, 0.55, ... 0.95 of the average precision, counts pooled over images, 0 to 1
	MeanAP90    float64          `json:"mean_ap_50_90"`        // the same over 0.50 to 0.90 only, as StarDist's paper has it
	KaggleScore float64          `json:"kaggle_score"`         // score of the Data Science Bowl: the mean over images of MeanAP, 0 to 1
	AJI         float64          `json:"aji"`                  // aggregated Jaccard index, of sums over all images, 0 to 1
	AJIPerImage float64          `json:"aji_per_image"`        // mean over images of the aggregated Jaccard index
	PQ          float64          `json:"pq"`                   // panoptic quality at IoU 0.5, of counts pooled over images
	PQPerImage  float64          `json:"pq_per_image"`         // mean over images of the panoptic quality
	Errors      ErrorCounts      `json:"errors"`               // what became of nuclei at IoU 0.5
	Confidence  *Reliability     `json:"confidence,omitempty"` // how well confidence agrees with the truth; absent where the model rates no nuclei
	Pooled      []metrics.Scores `json:"pooled"`               // scores at each IoU threshold, of counts pooled over images
	PerImage    []metrics.Scores `json:"per_image"`            // scores at each IoU threshold, mean over images
}

// ErrorCounts says what became of nuclei at IoU 0.5. Merged and Inexact count
// true nuclei, Split those found in pieces.
type ErrorCounts struct {
	Matched  int `json:"matched"`  // true nuclei found
	Missed   int `json:"missed"`   // true nuclei of which nothing was found
	Invented int `json:"invented"` // nuclei found where there is none
	Merged   int `json:"merged"`   // true nuclei found as one with a neighbour
	Split    int `json:"split"`    // true nuclei found in pieces
	Inexact  int `json:"inexact"`  // true nuclei found with too little overlap
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
	ID         string      `json:"id"`                   // name of the image
	Index      int         `json:"-"`                    // in the set
	Kind       string      `json:"kind"`                 // kind of image
	Group      string      `json:"group"`                // group that shows the same field
	Source     string      `json:"source,omitempty"`     // laboratory that it comes from
	W          int         `json:"w"`                    // width, in pixels
	H          int         `json:"h"`                    // height, in pixels
	Loss       float64     `json:"loss"`                 // mean binary cross-entropy of the foreground
	Pixels     PixelScores `json:"pixels"`               // scores of the mask at the threshold
	Truth      int         `json:"truth"`                // number of true nuclei
	Predicted  int         `json:"predicted"`            // number of nuclei found
	MeanAP     float64     `json:"mean_ap"`              // mean over IoU thresholds 0.50, 0.55, ... 0.95 of the average precision, 0 to 1
	AP50       float64     `json:"ap50"`                 // average precision at IoU 0.5
	AP75       float64     `json:"ap75"`                 // average precision at IoU 0.75
	F1         float64     `json:"f1"`                   // F1 of nuclei at IoU 0.5, 0 to 1
	PQ         float64     `json:"pq"`                   // panoptic quality at IoU 0.5
	AJI        float64     `json:"aji"`                  // aggregated Jaccard index
	Errors     ErrorCounts `json:"errors"`               // what became of nuclei at IoU 0.5
	Confidence float64     `json:"confidence,omitempty"` // mean confidence of the nuclei found, and so about the share of them that is right; 0 where the model rates none

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
