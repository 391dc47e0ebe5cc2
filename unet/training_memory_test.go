package unet

import (
	"testing"

	"unet/core"
)

// TestTrainingMemory: what is told without taking memory is what a network takes,
// with and without recomputing, which takes less.
func TestTrainingMemory(t *testing.T) {
	e, err := core.NewEngine("", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const side = 64
	for _, a := range theVariants() {
		a = a.sized(3, 2, 16, threeHeads)
		m, err := NewModel(Card{Kind: Nuclei, Arch: a}, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		losses := make([]core.Loss, len(a.Heads))
		for k := range losses {
			losses[k] = core.Loss{Scale: 1, BCE: 1}
		}
		var before int
		for _, recompute := range []bool{false, true} {
			o := core.Options{Batch: 2, Training: true, Recompute: recompute}
			n, err := m.Network(e, side, side, o, losses)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.TrainingMemory(e, side, o, losses)
			if want := n.Memory() + 20*a.parameters(); err != nil || got != want {
				t.Errorf("%v, recompute %v: %d bytes, %v, and the network takes %d", a, recompute, got, err, want)
			}
			n.Free()
			if recompute && got >= before {
				t.Errorf("%v: %d bytes, %d without recomputing", a, got, before)
			}
			before = got
		}
		m.Params.Free()
	}
}
