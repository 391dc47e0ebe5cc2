package train

import (
	"context"
	"slices"
	"testing"

	"unet/core/coretest"
	"unet/unet"
	"unet/unet/instance"
)

// TestStartStays: a model that training does not make better is the result
// itself; one that it does is not.
func TestStartStays(t *testing.T) {
	coretest.NeedsKernels(t)
	first, err := trainer(t, t.TempDir()).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	start := first.Model
	defer start.Params.Free()
	start.Card.Name = "start"
	if first.Start != nil {
		t.Error("a training from random weights has a score of its start")
	}
	for _, k := range []struct {
		monitor  string
		minDelta float64
		stays    bool
	}{{"val_kaggle_score", 0.5, true}, {"val_loss", 0, false}} {
		tr := trainer(t, t.TempDir())
		tr.From = start
		tr.Config.Monitor, tr.Config.MinDelta = k.monitor, k.minDelta
		if !k.stays { // a bias from which every step leads away
			start.Params.Get("head.bias").Value[0] += 3
		}
		var announced *Scores
		tr.Observer = &events{started: func(p Plan) { announced = p.Start }}
		r, err := tr.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		p := unet.NewPredictor(tr.Engine, start)
		want, _, err := validate(context.Background(), p, tr.Val, true)
		p.Close()
		if err != nil {
			t.Fatal(err)
		}
		if r.Start == nil || announced == nil || *r.Start != want || *announced != want {
			t.Errorf("the start scores %+v, announced %+v, want %+v", r.Start, announced, want)
		}
		same := r.Model.Card.Name == "start"
		for _, q := range r.Model.Params.All() {
			same = same && slices.Equal(q.Value, start.Params.Get(q.Name).Value)
		}
		if same != k.stays || (r.BestEpoch == 0) != k.stays {
			t.Errorf("%s: the start is the result: %v, best epoch %d", k.monitor, same, r.BestEpoch)
		}
		r.Model.Params.Free()
	}
}

// TestMean: the mean with the starting model, with that model's running statistics,
// stands for an epoch that is not better alone.
func TestMean(t *testing.T) {
	coretest.NeedsKernels(t)
	first, err := trainer(t, t.TempDir()).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := first.Model
	defer start.Params.Free()
	start.Params.Get("head.bias").Value[0] += 3 // every step leads away from it
	run := func(monitor string, rate float64, steps int) *Result {
		tr := trainer(t, t.TempDir())
		c := &tr.Config
		c.Monitor, c.MinDelta, c.LearningRate, c.Warmup, c.Epochs, c.Steps, c.EMA = monitor, 0, rate, 0, 1, steps, 0
		tr.From = start
		r, err := tr.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Model.Params.Free)
		return r
	}
	// Hardly trained, the two are much alike.
	for _, monitor := range []string{"val_loss", "val_iou"} {
		if r := run(monitor, 1e-7, 1); !r.History[0].Mean {
			t.Errorf("%s: of equals not the mean: %+v", monitor, r.History[0])
		}
	}
	if r := run("val_loss", 0.003, 20); r.History[0].Mean || r.BestEpoch != 1 || r.History[0].Val.Loss > 0.9*r.Start.Loss {
		t.Errorf("epoch %d is the result, mean %v, with loss %v after %v", r.BestEpoch, r.History[0].Mean, r.History[0].Val.Loss, r.Start.Loss)
	}
}

// TestAverage: the mean is one of weights; statistics are those of the first model.
func TestAverage(t *testing.T) {
	c := testConfig()
	model := func(seed uint64, training bool) *unet.Model {
		m, err := unet.NewModel(unet.Card{Kind: c.Kind, Arch: c.Arch, Input: c.Input, Instance: instance.DefaultParams()}, seed, training)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Params.Free)
		for i, q := range m.Params.All() {
			q.Value[0] += float32(seed) * float32(i)
		}
		return m
	}
	tr := &Trainer{model: model(1, true), first: model(2, false), valCopy: model(3, false)}
	tr.model.CopyTo(tr.valCopy, false)
	tr.average()
	for _, q := range tr.model.Params.All() {
		got, first := tr.valCopy.Params.Get(q.Name).Value, tr.first.Params.Get(q.Name).Value
		for i, v := range first {
			if q.Grad != nil {
				v = (v + q.Value[i]) / 2
			}
			if got[i] != v {
				t.Fatalf("%s[%d] is %v, want %v, of %v and %v", q.Name, i, got[i], v, first[i], q.Value[i])
			}
		}
	}
}

// TestOwnThreshold: weights are judged at the threshold that suits them, the
// model's unless another is clearly better.
func TestOwnThreshold(t *testing.T) {
	coretest.NeedsKernels(t)
	tr := trainer(t, t.TempDir())
	tr.Config.Epochs, tr.Config.Steps = 1, 60
	r, err := tr.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Model.Params.Free()
	score := func(foreground float64, own bool) (Scores, float64) {
		r.Model.Card.Instance.Foreground = foreground
		r.Model.Card.Instance.Seed = 0
		p := unet.NewPredictor(tr.Engine, r.Model)
		defer p.Close()
		s, threshold, err := validate(t.Context(), p, tr.Val, own)
		if err != nil {
			t.Fatal(err)
		}
		return s, threshold
	}
	none, _ := score(1, false) // nothing is above it
	own, threshold := score(1, true)
	if none.KaggleScore > own.KaggleScore-ownGain || threshold == 0 {
		t.Errorf("%.4f at a hopeless threshold, %.4f at its own, %g", none.KaggleScore, own.KaggleScore, threshold)
	}
	if again, kept := score(threshold, true); kept != 0 || again.KaggleScore != own.KaggleScore {
		t.Errorf("%.4f at %g, which was best", again.KaggleScore, kept)
	}
}
