package train

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"unet/core/coretest"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/dataset/augment"
	"unet/unet/instance"
	"unet/unet/metrics"
	"unet/unet/modeltest"
)

// TestJudge follows what becomes of the best epoch, of the learning rate and of
// the run when validations score as listed.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name     string
		config   Config
		scores   []float64
		best     int
		factors  []float64 // after each epoch
		finished bool
	}{
		{"the highest is best", Config{Monitor: "val_f1"}, []float64{0.5, 0.7, 0.6}, 2, nil, false},
		{"the lowest loss is", Config{Monitor: "val_loss"}, []float64{0.5, 0.4, 0.6}, 2, nil, false},
		{"of equals the first", Config{Monitor: "val_f1"}, []float64{0.5, 0.5}, 1, nil, false},
		{"less than the least improvement is none", Config{Monitor: "val_f1", MinDelta: 0.1}, []float64{0.5, 0.59}, 1, nil, false},
		{"and is measured from the best", Config{Monitor: "val_f1", MinDelta: 0.1}, []float64{0.5, 0.59, 0.61}, 3, nil, false},
		{"of losses, too", Config{Monitor: "val_loss", MinDelta: 0.1}, []float64{0.5, 0.41}, 1, nil, false},
		{"patience ends after so many epochs", Config{Monitor: "val_f1", Patience: 2}, []float64{0.5, 0.4, 0.4}, 1, nil, true},
		{"and not before", Config{Monitor: "val_f1", Patience: 3}, []float64{0.5, 0.4, 0.4}, 1, nil, false},
		{"a better epoch begins anew", Config{Monitor: "val_f1", Patience: 2}, []float64{0.5, 0.4, 0.6, 0.5}, 3, nil, false},
		{"a plateau of two halves the rate, and again",
			Config{Monitor: "val_f1", Schedule: "plateau", PlateauPatience: 2}, []float64{0.5, 0.4, 0.4, 0.4, 0.4}, 1, []float64{1, 1, 0.5, 0.5, 0.25}, false},
		{"a better epoch ends it",
			Config{Monitor: "val_f1", Schedule: "plateau", PlateauPatience: 2}, []float64{0.5, 0.4, 0.6, 0.5, 0.5}, 3, []float64{1, 1, 1, 1, 0.5}, false},
		{"epochs that are not validated count for it",
			Config{Monitor: "val_f1", Schedule: "plateau", PlateauPatience: 4, ValidateEvery: 2}, []float64{0.5, 0.4, 0.4, 0.4, 0.4}, 1, []float64{1, 1, 0.5, 0.5, 0.25}, false},
		{"other schedules know none",
			Config{Monitor: "val_f1", Schedule: "cosine", PlateauPatience: 1}, []float64{0.5, 0.4, 0.4}, 1, []float64{1, 1, 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &Trainer{Config: c.config, Engine: coretest.Engine(t, "", 1), Dir: t.TempDir(), Train: &Images{}, valCopy: modeltest.Small(t)}
			tr.state = &state{Factor: 1, Best: -1e300}
			if c.config.lowestIsBest() {
				tr.state.Best = 1e300
			}
			var factors []float64
			for i, v := range c.scores {
				if err := tr.judge(Epoch{Epoch: i + 1, Val: &Scores{F1: v, Loss: v}}); err != nil {
					t.Fatal(err)
				}
				factors = append(factors, tr.state.Factor)
			}
			if s := tr.state; s.BestEpoch != c.best || s.Finished != c.finished || c.factors != nil && !slices.Equal(factors, c.factors) {
				t.Errorf("best %d, finished %v, rate times %v; want %d, %v, %v", s.BestEpoch, s.Finished, factors, c.best, c.finished, c.factors)
			}
		})
	}
}

// TestAverageIsKept: with a running average of the weights, it is the average
// that is validated and becomes the result, also of a last epoch that its number
// would leave out.
func TestAverageIsKept(t *testing.T) {
	coretest.NeedsKernels(t)
	tr := trainer(t, t.TempDir())
	tr.Config.Epochs, tr.Config.ValidateEvery, tr.Config.EMA = 1, 2, 0.9
	r, err := tr.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Model.Params.Free()
	if r.BestEpoch != 1 || r.History[0].Val == nil {
		t.Fatalf("the last epoch was not validated: %+v", r.History)
	}
	trained, _, err := loadCheckpoint(filepath.Join(tr.Dir, CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	defer trained.Params.Free()
	for _, q := range r.Model.Params.All() {
		p := trained.Params.Get(q.Name)
		if !slices.Equal(q.Value, trained.Params.Average(p)) {
			t.Errorf("%s is not the average", q.Name)
		}
		if p.Grad != nil && slices.Equal(q.Value, p.Value) {
			t.Errorf("%s is its own average: the test tests little", q.Name)
		}
	}
}

// TestValidateThreshold: pixels are scored at the model's threshold.
func TestValidateThreshold(t *testing.T) {
	m := modeltest.Small(t)
	images := synthetic(t, m.Card.Input, 1, 64)
	p := unet.NewPredictor(coretest.Engine(t, "", 1), m)
	defer p.Close()
	item, err := images.item(0, new(loaded))
	if err != nil {
		t.Fatal(err)
	}
	maps, err := p.NormalisedMaps(t.Context(), item.Image, 64, 64)
	if err != nil {
		t.Fatal(err)
	}
	prob := maps.Plane(instance.Foreground)
	sorted := slices.Sorted(slices.Values(prob))
	recall := map[float64]bool{}
	for _, share := range []int{1, 2, 3} { // so that some pixels are above it and some below
		m.Card.Threshold = float64(int(sorted[len(sorted)*share/4]*1024)) / 1024
		var want metrics.Pixels
		for i, id := range item.Labels.ID {
			switch above := prob[i] > float32(m.Card.Threshold); {
			case above && id != 0:
				want.TP++
			case above:
				want.FP++
			case id != 0:
				want.FN++
			default:
				want.TN++
			}
		}
		got, _, err := validate(t.Context(), p, images, false)
		if err != nil {
			t.Fatal(err)
		}
		if got.Recall != want.Recall() || got.Accuracy != want.Accuracy() {
			t.Errorf("at %v: recall %v, accuracy %v; want %v, %v", m.Card.Threshold, got.Recall, got.Accuracy, want.Recall(), want.Accuracy())
		}
		recall[got.Recall] = true
	}
	if len(recall) < 2 {
		t.Error("the threshold makes no difference: the test tests little")
	}
}

// TestDropoutNeverRepeats: with the same patches and weights in every epoch, the
// loss of an epoch is that of another but for dropout, which draws anew.
func TestDropoutNeverRepeats(t *testing.T) {
	coretest.NeedsKernels(t)
	for _, dropout := range []float64{0, 0.5} {
		tr := trainer(t, t.TempDir())
		c := &tr.Config
		c.Arch.Dropout, c.Augment, c.Scenes = dropout, augment.Policy{Size: 64}, 0
		c.LearningRate, c.WeightDecay, c.Warmup, c.Epochs, c.Steps, c.Batch = 1e-30, 0, 0, 2, 1, 2
		images := []*dataset.Sample{blank("a", "full", true), blank("b", "full", true)}
		var err error
		if tr.Train, err = NewImages(c.Input, images); err != nil {
			t.Fatal(err)
		}
		r, err := tr.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Model.Params.Free()
		if same := r.History[0].Train.Loss == r.History[1].Train.Loss; same != (dropout == 0) {
			t.Errorf("dropout %v: losses %v and %v", dropout, r.History[0].Train.Loss, r.History[1].Train.Loss)
		}
	}
}
