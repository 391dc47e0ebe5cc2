package evaluate

import (
	"testing"

	"unet/unet"
	"unet/unet/instance"
)

// TestSearchWantsAGain: a parameter changes only if the objective rises by more
// than what chance brings, and of the values that do so the best is taken.
func TestSearchWantsAGain(t *testing.T) {
	start := instance.Params{Foreground: 0.5, MinArea: 10}
	for _, c := range []struct {
		name   string
		scores map[int]float64 // by least area; others score nothing
		want   int
	}{
		{"nothing is better", nil, 10},
		{"by chance", map[int]float64{24: 0.8 + minGain/2}, 10},
		{"just so much", map[int]float64{24: 0.8 + minGain}, 10},
		{"clearly", map[int]float64{24: 0.8 + 1.5*minGain}, 24},
		{"the best of several", map[int]float64{16: 0.82, 24: 0.83, 32: 0.82}, 24},
	} {
		card := unet.Card{Kind: unet.Paper} // whose least area alone is tuned
		tu := &tuner{card: card, threads: 1, seen: map[instance.Params]float64{start: 0.8}}
		for area, v := range c.scores {
			q := start
			q.MinArea = area
			tu.seen[q] = v
		}
		got, best, err := tu.search(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		if want := max(c.scores[c.want], 0.8); got.MinArea != c.want || (c.want != 10 && best != want) {
			t.Errorf("%s: least area %d with %v, want %d with %v", c.name, got.MinArea, best, c.want, want)
		}
	}
}
