package train

import (
	"math"
	"testing"
)

// TestWarmup: a training shorter than its warm-up still reaches its rate.
func TestWarmup(t *testing.T) {
	c := Config{LearningRate: 1, Warmup: 400, Schedule: "constant"}
	for _, k := range []struct {
		step, total int
		want        float64
	}{{0, 4000, 1. / 400}, {199, 4000, 0.5}, {400, 4000, 1}, {0, 30, 0.1}, {9, 30, 1}, {29, 30, 1}, {0, 1, 1}} {
		if got := c.rate(k.step, k.total); got != k.want {
			t.Errorf("rate of step %d of %d is %v, want %v", k.step, k.total, got, k.want)
		}
	}
	// A cosine falls from the whole rate over half of it to a hundredth.
	c = Config{LearningRate: 2, Schedule: "cosine"}
	for step, want := range map[int]float64{0: 2, 250: 0.01*2 + 0.99*(1+math.Sqrt2/2), 500: 1.01, 1000: 0.02} {
		if got := c.rate(step, 1000); math.Abs(got-want) > 1e-12 {
			t.Errorf("cosine: rate of step %d of 1000 is %v, want %v", step, got, want)
		}
	}
	c, err := NucleiConfig("quick")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.fineTuning().Rehearsal; got != 0.25 || c.Rehearsal != 0 || paperConfig(64).fineTuning().Rehearsal != 0 {
		t.Errorf("a nuclei model rehearses %v in fine-tuning, %v else", got, c.Rehearsal)
	}
	if got := c.fineTuning().LearningRate; got != 3e-4 {
		t.Errorf("fine-tuning at %v, want 3e-4", got)
	}
}
