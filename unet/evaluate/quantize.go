package evaluate

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
)

// MostLost is what a quantised model may lose of validation KaggleScore and Dice.
const MostLost = 0.002

// Quantization is a model with 8-bit products and what it was measured to be.
type Quantization struct {
	Model             *unet.Model `json:"-"`
	Calibration       int         `json:"calibration_images"`  // images of the training split that ranges were measured on
	FloatLayers       []string    `json:"float_layers"`        // layers that stay in float32
	Clip              float64     `json:"clip"`                // factor that the ranges measured were cut to
	KaggleScoreBefore float64     `json:"kaggle_score_before"` // KaggleScore on the validation split
	KaggleScoreAfter  float64     `json:"kaggle_score_after"`  // of the quantised model
	DiceBefore        float64     `json:"dice_before"`         // Dice of the mask, by pixels, on the validation split
	DiceAfter         float64     `json:"dice_after"`          // of the quantised model
	MillisBefore      float64     `json:"ms_before"`           // time of a batch of 4 images, in milliseconds
	MillisAfter       float64     `json:"ms_after"`            // of the quantised model
	BytesBefore       int         `json:"bytes_before"`        // size of the model file, in bytes
	BytesAfter        int         `json:"bytes_after"`         // of the quantised model
}

// Speedup is how many times faster the quantised model is.
func (q *Quantization) Speedup() float64 { return q.MillisBefore / q.MillisAfter }

// Lost reports whether KaggleScore or Dice fell by more than MostLost.
func (q *Quantization) Lost() bool {
	return q.KaggleScoreBefore-q.KaggleScoreAfter > MostLost || q.DiceBefore-q.DiceAfter > MostLost
}

// attempts are tried in turn until one keeps its scores. Ranges cut below the
// greatest value seen serve the many small values better. The full resolution
// is where rounding shows in outlines; two levels in float leave the layers
// that have most of the weights.
var attempts = []struct {
	clip  float64
	float int // levels in float
}{{0.8, 0}, {1, 0}, {0.8, 1}, {0.8, 2}}

// Quantize makes a model with 8-bit products of m: it measures the ranges of
// all layers' inputs on images of the training split, and the loss on the
// validation split. What it returns may have Lost too much; then it is the
// last attempt. The observer is told of every attempt.
func Quantize(ctx context.Context, e *core.Engine, m *unet.Model, set *dataset.Set, images int, observer Observer) (*Quantization, error) {
	if m.Card.Precision != "" {
		return nil, &unet.ModelError{Name: "model", Problem: "is quantised already", Advice: "give the model it was made from"}
	}
	if m.Card.Arch.Norm == "group" {
		return nil, &unet.ModelError{Name: "model", Problem: "has group norm, which 8-bit products do not work with",
			Advice: "quantise a model with batch-norm, or predict in another precision", Option: "precision bfloat16"}
	}
	if len(set.Split(dataset.Train)) == 0 {
		return nil, &dataset.InputError{Name: set.Dir, Problem: "has no images in the split \"train\" to measure ranges on",
			Advice: "prepare a set with training images"}
	}
	apBefore, diceBefore, err := validationScores(ctx, e, m, set, observer)
	if err != nil {
		return nil, err
	}
	ranges, n, err := inputRanges(ctx, e, m, set, images)
	if err != nil {
		return nil, err
	}
	var q *Quantization
	for _, a := range attempts {
		if q != nil {
			q.Model.Params.Free()
		}
		q = &Quantization{Calibration: n, Clip: a.clip, KaggleScoreBefore: apBefore, DiceBefore: diceBefore}
		if err := q.build(m, ranges, a.float); err != nil {
			return nil, err
		}
		if q.KaggleScoreAfter, q.DiceAfter, err = validationScores(ctx, e, q.Model, set, observer); err != nil {
			return nil, err
		}
		observer.Note(fmt.Sprintf("KaggleScore %.4f and Dice %.4f with %d layers in float, ranges cut to %g",
			q.KaggleScoreAfter, q.DiceAfter, len(q.FloatLayers), q.Clip))
		if !q.Lost() {
			break
		}
	}
	if err := q.time(ctx, e, m); err != nil {
		return nil, err
	}
	return q, nil
}

// build makes the model as its file will have it, with the layers of the first
// float levels as they were.
func (q *Quantization) build(m *unet.Model, ranges map[string][]float32, float int) error {
	card := m.Card
	card.Precision = unet.Int8
	for _, l := range card.Arch.QuantLayers() {
		if l.Level < float {
			card.FloatLayers = append(card.FloatLayers, l.Name)
		}
	}
	q.FloatLayers = card.FloatLayers
	c, err := unet.NewModel(card, 1, false)
	if err != nil {
		return err
	}
	defer c.Params.Free()
	for _, p := range m.Params.All() {
		copy(c.Params.Get(p.Name).Value, p.Value)
	}
	for layer, r := range ranges {
		p := c.Params.Get(core.RangeName(layer))
		if p == nil {
			continue // a layer in float
		}
		for i, v := range r {
			p.Value[i] = float32(q.Clip) * v
		}
	}
	before, err := m.Bytes(false)
	if err != nil {
		return err
	}
	after, err := c.Bytes(true)
	if err != nil {
		return err
	}
	q.BytesBefore, q.BytesAfter = len(before), len(after)
	q.Model, err = unet.ReadModel("the quantised model", bytes.NewReader(after), int64(len(after)))
	return err
}

// inputRanges measures the ranges of all layers' inputs on at most n images
// evenly spread over the training split; it returns how many.
func inputRanges(ctx context.Context, e *core.Engine, m *unet.Model, set *dataset.Set, n int) (map[string][]float32, int, error) {
	ranges := map[string][]float32{}
	p := unet.NewPredictor(e, m)
	p.Ranges = ranges
	defer p.Close()
	train := set.Split(dataset.Train)
	n = min(n, len(train))
	var indices []int
	for i := range n {
		indices = append(indices, train[i*len(train)/n])
	}
	for _, i := range indices {
		s, err := set.Load(i)
		if err != nil {
			return nil, 0, err
		}
		if _, err := p.Maps(ctx, s.Image); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", s.ID, err)
		}
	}
	return ranges, n, nil
}

// validationScores returns KaggleScore and Dice on the validation split.
func validationScores(ctx context.Context, e *core.Engine, m *unet.Model, set *dataset.Set, observer Observer) (ap, dice float64, err error) {
	p := unet.NewPredictor(e, m)
	defer p.Close()
	ev, err := Score(ctx, p, set, ScoreOptions{Splits: []string{dataset.Val}, Progress: func(done, total int) {
		observer.Progress(Progress{Stage: Scoring, Done: done, Total: total})
	}})
	if err != nil {
		return 0, 0, err
	}
	all := ev.Splits[0].All
	return all.Nuclei.KaggleScore, all.Pixels.Dice, nil
}

// time compares the speed of both models on batches of 4 images of the size of
// the model, or 256 x 256, in turns, by the median of 9 rounds.
func (q *Quantization) time(ctx context.Context, e *core.Engine, m *unet.Model) error {
	const batch, rounds = 4, 9
	side := m.Card.Input.Size
	if side == 0 {
		side = 256
	}
	fill := func(net *unet.Network) {
		in := net.Input()
		for k := range in {
			in[k] = float32(k%251) / 251
		}
	}
	var nets [2]*unet.Network
	var times [2][]float64
	for i, model := range []*unet.Model{m, q.Model} {
		net, err := model.Network(e, side, side, core.Options{Batch: batch}, nil)
		if err != nil {
			return err
		}
		defer net.Free()
		fill(net)
		if err := net.Run(ctx, core.Pack, core.Forward); err != nil {
			return err
		}
		nets[i] = net
	}
	for range rounds {
		for i, net := range nets {
			fill(net)
			start := time.Now()
			if err := net.Run(ctx, core.Forward); err != nil {
				return err
			}
			times[i] = append(times[i], time.Since(start).Seconds()*1e3)
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	q.MillisBefore, q.MillisAfter = times[0][rounds/2], times[1][rounds/2]
	return nil
}
