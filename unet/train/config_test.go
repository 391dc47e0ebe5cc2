package train

import "testing"

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
	c, err := NucleiConfig("quick")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.FineTuning().LearningRate; got != 3e-4 {
		t.Errorf("fine-tuning at %v, want 3e-4", got)
	}
}
