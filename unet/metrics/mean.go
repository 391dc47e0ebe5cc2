package metrics

import "math"

// Mean is the mean of values with its 95 % confidence interval by Student's t. They
// are NaN where there are too few values for them.
func Mean(v []float64) (mean, low, high float64) {
	mean, low, high = math.NaN(), math.NaN(), math.NaN()
	if len(v) == 0 {
		return mean, low, high
	}
	sum, ss := 0.0, 0.0
	for _, x := range v {
		sum += x
	}
	mean = sum / float64(len(v))
	if len(v) < 2 {
		return mean, low, high
	}
	for _, x := range v {
		ss += (x - mean) * (x - mean)
	}
	half := student975(len(v)-1) * math.Sqrt(ss/float64(len(v)-1)/float64(len(v)))
	return mean, mean - half, mean + half
}

// student975 is the 97.5th percentile of Student's t distribution with df degrees
// of freedom: the root of its distribution function, found by bisection.
func student975(df int) float64 {
	lo, hi := 0.0, 13.0 // t(1) is 12.7
	for range 60 {
		if t := (lo + hi) / 2; studentBelow(t, df) < 0.95 {
			lo = t
		} else {
			hi = t
		}
	}
	return (lo + hi) / 2
}

// studentBelow is the probability that |T| is below t, by the finite series of
// Abramowitz and Stegun, 26.7.3 and 26.7.4; beyond 400 degrees of freedom, where
// the difference is below 0.0025, that of a normal distribution.
func studentBelow(t float64, df int) float64 {
	if df > 400 {
		return math.Erf(t / math.Sqrt2)
	}
	theta := math.Atan(t / math.Sqrt(float64(df)))
	cos2 := math.Cos(theta) * math.Cos(theta)
	sum, term := 0.0, 1.0
	if df%2 == 1 {
		term = math.Cos(theta)
		for k := 1; k <= df-2; k += 2 {
			sum += term
			term *= cos2 * float64(k+1) / float64(k+2)
		}
		return 2 / math.Pi * (theta + math.Sin(theta)*sum)
	}
	for k := 0; k <= df-2; k += 2 {
		sum += term
		term *= cos2 * float64(k+1) / float64(k+2)
	}
	return math.Sin(theta) * sum
}
