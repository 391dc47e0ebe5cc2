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

// TestMean: by hand, the deviation of 1, 2 and 3 is 1, and 4.303 is the percentile of two
// degrees of freedom. One value has no interval, none no mean.
func TestMean(t *testing.T) {
	half, nan := 4.303/math.Sqrt(3), math.NaN()
	for _, c := range []struct{ values, want []float64 }{
		{[]float64{3, 1, 2}, []float64{2, 2 - half, 2 + half}},
		{[]float64{7}, []float64{7, nan, nan}},
		{nil, []float64{nan, nan, nan}},
	} {
		mean, low, high := Mean(c.values)
		for i, got := range []float64{mean, low, high} {
			if math.IsNaN(got) != math.IsNaN(c.want[i]) || math.Abs(got-c.want[i]) > 1e-3 {
				t.Errorf("mean and interval of %v: %g, %g to %g, want %g", c.values, mean, low, high, c.want)
			}
		}
	}
}
