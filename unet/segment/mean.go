package segment

import (
	"fmt"
	"math"

	"unet/unet/metrics"
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
	mean, low, high := metrics.Mean(v)
	return Mean{Number(mean), Number(low), Number(high), len(v)}
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
