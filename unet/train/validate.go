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

// validate predicts whole images and scores them. The loss is the mean binary
// cross-entropy of the foreground.
func validate(ctx context.Context, p *unet.Predictor, images *Images) (Scores, error) {
	card := p.Model().Card
	var s Scores
	var curve metrics.Curve
	var agg metrics.Aggregate
	var bce, n float64
	taus := metrics.Taus()
	for i, item := range images.items {
		m, err := p.NormalisedMaps(ctx, item.Image, item.Image.W, item.Image.H)
		if err != nil {
			return s, err
		}
		foreground, truth := m.Plane(instance.Foreground), images.samples[i].Labels
		curve.Add(foreground, truth)
		bce += metrics.CrossEntropy(foreground, truth)
		n += float64(len(foreground))
		o, err := metrics.Compare(truth, card.Separate(m))
		if err != nil {
			return s, err
		}
		agg.Add(o.Result(taus))
	}
	s.pixels(curve.At(card.Threshold))
	s.Loss = bce / n
	s.KaggleScore, s.PooledAP50 = agg.Score(), agg.Pooled()[0].AP
	return s, nil
}
