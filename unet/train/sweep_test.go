package train

import (
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for want, list := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := words(list); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

// TestCurvesOfTheBest: six variants are drawn, and that there are more is told.
func TestCurvesOfTheBest(t *testing.T) {
	o := &SweepOptions{Base: Config{Monitor: "val_loss"}}
	for n, told := range map[int]bool{1: false, 6: false, 7: true} {
		list := make([]Variant, n)
		for i := range list {
			e := Epoch{Epoch: 1, Val: &Scores{Loss: float64(i + 1)}}
			list[i].Best, list[i].history = e, []Epoch{e}
		}
		p, caption := o.curves(list)
		if len(p.Series) != min(n, 6) || strings.Contains(caption, "Only the best 6") != told {
			t.Errorf("%d variants: %d curves, %q", n, len(p.Series), caption)
		}
	}
}
