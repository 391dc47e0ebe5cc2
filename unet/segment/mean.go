package segment

import (
	"fmt"
	"math"

	"unet/unet/report"
)

// Mean is a mean with its 95 % confidence interval (Student's t); without one of
// fewer than two images.
type Mean struct {
	Mean Number `json:"mean"`   // mean over images
	Low  Number `json:"low"`    // lower end of its 95 % confidence interval (Student's t)
	High Number `json:"high"`   // upper end
	N    int    `json:"images"` // number of images that have the value
}

// meanOf is the mean of values with its interval.
func meanOf(v []float64) Mean {
	nan := Number(math.NaN())
	m := Mean{nan, nan, nan, len(v)}
	if len(v) == 0 {
		return m
	}
	sum, ss := 0.0, 0.0
	for _, x := range v {
		sum += x
	}
	mean := sum / float64(len(v))
	m.Mean = Number(mean)
	if len(v) < 2 {
		return m
	}
	for _, x := range v {
		ss += (x - mean) * (x - mean)
	}
	half := student975(len(v)-1) * math.Sqrt(ss/float64(len(v)-1)/float64(len(v)))
	m.Low, m.High = Number(mean-half), Number(mean+half)
	return m
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

// String is the mean with its interval, to three digits.
func (m Mean) String() string {
	text := func(v Number) string {
		switch x := math.Abs(float64(v)); {
		case x >= 100:
			return report.Number(float64(v), 0)
		case x >= 10:
			return report.Number(float64(v), 1)
		}
		return report.Number(float64(v), 2)
	}
	if math.IsNaN(float64(m.Low)) {
		return text(m.Mean)
	}
	return fmt.Sprintf("%s [%s, %s]", text(m.Mean), text(m.Low), text(m.High))
}
