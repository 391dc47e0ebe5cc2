package metrics

import (
	"math"
	"testing"
)

// Percentiles as in Abramowitz and Stegun, table 26.10.
func TestStudent(t *testing.T) {
	for df, want := range map[int]float64{1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 60: 2.000, 120: 1.980, 100000: 1.960} {
		if got := student975(df); math.Abs(got-want) > 0.0006 {
			t.Errorf("t(0.975, %d) = %.4f, want %.3f", df, got, want)
		}
	}
}
