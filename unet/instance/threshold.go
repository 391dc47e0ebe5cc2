package instance

import "slices"

// Otsu finds the threshold that parts values in two groups of least variance
// (N. Otsu, 1979), between two of the values themselves, without a histogram:
// those above it are the upper group. separability is the share of the variance
// that lies between the groups, 0..1: of values of one normal distribution it is
// 0.64, of evenly spread ones 0.75, of two groups apart close to 1. ok is false
// for fewer than two different values.
func Otsu(values []float64) (threshold, separability float64, ok bool) {
	v := slices.Clone(values)
	slices.Sort(v)
	n := float64(len(v))
	if len(v) == 0 || v[0] == v[len(v)-1] {
		return 0, 0, false
	}
	mean := 0.0
	for _, x := range v {
		mean += x / n
	}
	total := 0.0
	for _, x := range v {
		total += (x - mean) * (x - mean)
	}
	best, below := -1.0, 0.0 // below is the sum of the lower group, from the mean
	for i := range len(v) - 1 {
		below += v[i] - mean
		if v[i] == v[i+1] {
			continue
		}
		k := float64(i + 1)
		// Both groups' squared distance from the mean, times their sizes.
		if between := below * below * n / (k * (n - k)); between > best {
			best, threshold = between, v[i]+(v[i+1]-v[i])/2
		}
	}
	return threshold, best / total, true
}
