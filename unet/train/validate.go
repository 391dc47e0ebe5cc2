package train

import (
	"context"
	"encoding/json"

	"unet/unet"
	"unet/unet/instance"
	"unet/unet/metrics"
)

// Scores are the figures of one pass over images.
type Scores struct {
	Loss      float64 `json:"loss"`
	Accuracy  float64 `json:"accuracy"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"` // equals Dice
	IoU       float64 `json:"iou"`
	// KaggleScore is the mean over images of the mean average precision of
	// nuclei at IoU 0.50:0.05:0.95, PooledAP50 the average precision at 0.5 of
	// counts pooled over images.
	KaggleScore float64 `json:"kaggle_score"`
	PooledAP50  float64 `json:"pooled_ap50"`
}

// UnmarshalJSON reads the names of older versions, too, ap and ap50.
func (s *Scores) UnmarshalJSON(text []byte) error {
	type plain Scores
	var old struct {
		plain
		AP   float64 `json:"ap"`
		AP50 float64 `json:"ap50"`
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return err
	}
	*s = Scores(old.plain)
	s.KaggleScore, s.PooledAP50 = s.KaggleScore+old.AP, s.PooledAP50+old.AP50 // one of two is 0
	return nil
}

// pixels fills in the scores of pixels from summed counts.
func (s *Scores) pixels(p metrics.Pixels) {
	s.Accuracy, s.Precision, s.Recall = p.Accuracy(), p.Precision(), p.Recall()
	s.F1, s.IoU = p.F1(), p.IoU()
}

// ownThresholds are tried for the foreground of nuclei beside a model's own.
var ownThresholds = []float64{0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}

// ownGain is how much better another threshold than the model's must be: less
// is noise on the few images of a fine-tuning.
const ownGain = 0.005

// validate predicts whole images and scores them. The loss is the mean binary
// cross-entropy of the foreground. With own, nuclei are scored at the foreground
// threshold that suits the weights best, which is returned, 0 for the model's:
// new weights would look worse than they are at that of those they began from.
func validate(ctx context.Context, p *unet.Predictor, images *Images, own bool) (s Scores, foreground float64, err error) {
	card := p.Model().Card
	thresholds := []float64{card.Instance.Foreground}
	if own && card.Kind != unet.Paper {
		thresholds = append(thresholds, ownThresholds...)
	}
	var curve metrics.Curve
	agg := make([]metrics.Aggregate, len(thresholds))
	var bce, n float64
	taus := metrics.Taus()
	for i, item := range images.items {
		m, err := p.NormalisedMaps(ctx, item.Image, item.Image.W, item.Image.H)
		if err != nil {
			return s, 0, err
		}
		prob, truth := m.Plane(instance.Foreground), images.samples[i].Labels
		curve.Add(prob, truth)
		bce += metrics.CrossEntropy(prob, truth)
		n += float64(len(prob))
		for k, threshold := range thresholds {
			card.Instance.Foreground = threshold
			o, err := metrics.Compare(truth, card.Separate(m))
			if err != nil {
				return s, 0, err
			}
			agg[k].Add(o.Result(taus))
		}
	}
	s.pixels(curve.At(card.Threshold))
	s.Loss = bce / n
	best := 0
	for k := range agg {
		if gain := agg[k].Score() - agg[best].Score(); gain > 0 && (best > 0 || gain > ownGain) {
			best = k
		}
	}
	if best > 0 {
		foreground = thresholds[best]
	}
	s.KaggleScore, s.PooledAP50 = agg[best].Score(), agg[best].Pooled()[0].AP
	return s, foreground, nil
}
