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
	Loss        float64 `json:"loss"`         // value of the loss function
	Accuracy    float64 `json:"accuracy"`     // share of pixels that are right, 0 to 1
	Precision   float64 `json:"precision"`    // share of found pixels that are right, 0 to 1
	Recall      float64 `json:"recall"`       // share of true pixels that are found, 0 to 1
	F1          float64 `json:"f1"`           // harmonic mean of precision and recall, the same as Dice
	IoU         float64 `json:"iou"`          // intersection over union of pixels, 0 to 1
	MeanAP      float64 `json:"mean_ap"`      // mean over IoU thresholds 0.50, 0.55, ... 0.95 of the average precision of nuclei, counts pooled over images, 0 to 1
	KaggleScore float64 `json:"kaggle_score"` // mean over images of the same of each, 0 to 1
	PooledAP50  float64 `json:"pooled_ap50"`  // average precision of nuclei at IoU 0.5, counts pooled over images, 0 to 1
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

// metrics are the scores as a model's card has them.
func (s *Scores) metrics() map[string]float64 {
	return map[string]float64{"loss": s.Loss, "accuracy": s.Accuracy, "f1": s.F1, "iou": s.IoU,
		"kaggle_score": s.KaggleScore, "pooled_ap50": s.PooledAP50}
}

// ownThresholds are tried for the foreground of nuclei beside a model's own.
var ownThresholds = []float64{0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}

// ownGain is how much better another threshold than the model's must be: less
// is noise on the few images of a fine-tuning.
const ownGain = 0.005

// predicted are the scores of one pass over images.
type predicted struct {
	curve  metrics.Curve       // of pixels by threshold
	loss   float64             // mean binary cross-entropy of the foreground
	nuclei []metrics.Aggregate // by threshold of nuclei
}

// predict predicts whole images and scores them, their nuclei at several
// foreground thresholds. A paper model's nuclei are those of its mask, whatever
// the threshold.
func predict(ctx context.Context, p *unet.Predictor, images *Images, thresholds []float64) (*predicted, error) {
	card := p.Model().Card
	r := &predicted{nuclei: make([]metrics.Aggregate, len(thresholds))}
	pixels := 0.0
	taus := metrics.Taus()
	in := new(loaded)
	for i := range images.items {
		item, err := images.item(i, in)
		if err != nil {
			return nil, err
		}
		m, err := p.NormalisedMaps(ctx, item.Image, item.Image.W, item.Image.H)
		if err != nil {
			return nil, err
		}
		prob, truth := m.Plane(instance.Foreground), item.Labels
		r.curve.Add(prob, truth)
		r.loss += metrics.CrossEntropy(prob, truth)
		pixels += float64(len(prob))
		for k, threshold := range thresholds {
			card.Instance.Foreground = threshold
			o, err := metrics.Compare(truth, card.Separate(m))
			if err != nil {
				return nil, err
			}
			r.nuclei[k].Add(o.Result(taus))
		}
	}
	r.loss /= pixels
	return r, nil
}

// scores are those of pixels at one threshold and of nuclei at the k-th.
func (r *predicted) scores(threshold float64, k int) Scores {
	pooled := r.nuclei[k].Pooled()
	s := Scores{Loss: r.loss, MeanAP: metrics.MeanAP(pooled), KaggleScore: r.nuclei[k].Score(), PooledAP50: pooled[0].AP}
	s.pixels(r.curve.At(threshold))
	return s
}

// validate scores the weights of p. With own, nuclei are scored at the foreground
// threshold that suits the weights best, which is returned, 0 for the model's:
// new weights would look worse than they are at that of those they began from.
func validate(ctx context.Context, p *unet.Predictor, images *Images, own bool) (s Scores, foreground float64, err error) {
	card := p.Model().Card
	thresholds := []float64{card.Instance.Foreground}
	if own && card.Kind != unet.Paper {
		thresholds = append(thresholds, ownThresholds...)
	}
	r, err := predict(ctx, p, images, thresholds)
	if err != nil {
		return s, 0, err
	}
	best := 0
	for k := range r.nuclei {
		if gain := r.nuclei[k].Score() - r.nuclei[best].Score(); gain > 0 && (best > 0 || gain > ownGain) {
			best = k
		}
	}
	if best > 0 {
		foreground = thresholds[best]
	}
	return r.scores(card.Threshold, best), foreground, nil
}

// suit gives the card of p's model the threshold at which it does best on the
// images, a paper model by the F1 of pixels, others by MeanAP, and returns that
// threshold and the scores there.
func suit(ctx context.Context, p *unet.Predictor, images *Images) (threshold float64, s Scores, err error) {
	card := &p.Model().Card
	if card.Kind == unet.Paper {
		r, err := predict(ctx, p, images, nil)
		if err != nil {
			return 0, s, err
		}
		card.Threshold = r.curve.Best().Threshold
		s, _, err = validate(ctx, p, images, false)
		return card.Threshold, s, err
	}
	thresholds := append([]float64{card.Instance.Foreground}, ownThresholds...)
	r, err := predict(ctx, p, images, thresholds)
	if err != nil {
		return 0, s, err
	}
	best, top := 0, -1.0
	for k := range r.nuclei {
		if v := metrics.MeanAP(r.nuclei[k].Pooled()); v > top {
			best, top = k, v
		}
	}
	card.Instance.Foreground = thresholds[best]
	return thresholds[best], r.scores(card.Threshold, best), nil
}
