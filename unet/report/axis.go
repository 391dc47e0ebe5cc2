package report

import (
	"math"
	"strconv"
	"strings"
)

// Axis describes one axis of a Plot. The zero value is a linear axis over the
// range of the data.
type Axis struct {
	// Label names the quantity and its unit.
	Label string
	// Min and Max fix the range when Max > Min.
	Min, Max float64
	// Log asks for a logarithmic scale; it is ignored where the data is not
	// positive.
	Log bool
	// Integer keeps ticks at whole numbers.
	Integer bool
	// Names makes the axis categorical: entry i stands at i. X axis only.
	Names []string
}

// scale maps values of an axis to positions from..to.
type scale struct {
	lo, hi   float64
	from, to float64
	log      bool
}

func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		v, lo, hi = math.Log10(max(v, math.SmallestNonzeroFloat64)), math.Log10(lo), math.Log10(hi)
	}
	t := (v - lo) / (hi - lo)
	return s.from + min(max(t, 0), 1)*(s.to-s.from)
}

// scale chooses the range of the axis for data from lo to hi.
func (a Axis) scale(lo, hi float64) scale {
	if !(lo <= hi) || !finite(lo) || !finite(hi) {
		lo, hi = 0, 1
	}
	fixed := a.Max > a.Min && finite(a.Min) && finite(a.Max)
	if fixed {
		lo, hi = a.Min, a.Max
	}
	const huge = 1e150 // differences and ratios of numbers below it are finite
	lo, hi = min(max(lo, -huge), huge), min(max(hi, -huge), huge)
	s := scale{lo: lo, hi: hi, log: a.Log && lo > 0}
	if s.log {
		lo, hi = max(lo, 1/huge), max(hi, 1/huge)
		s.lo, s.hi = lo, hi
	}
	switch {
	case s.log && hi < lo*1.5:
		s.lo, s.hi = lo/1.3, hi*1.3
	case hi-lo <= 1e-9*max(math.Abs(lo), math.Abs(hi)): // one value
		d := max(math.Abs(lo)*0.1, 0.5)
		s.lo, s.hi = lo-d, hi+d
	}
	return s
}

// padded leaves a little room beyond data that does not end at zero, unless
// the range was fixed.
func (s scale) padded(a Axis) scale {
	if a.Max > a.Min {
		return s
	}
	if s.log {
		f := math.Pow(s.hi/s.lo, 0.05)
		s.lo, s.hi = s.lo/f, s.hi*f
		return s
	}
	pad := (s.hi - s.lo) * 0.05
	if s.hi != 0 {
		s.hi += pad
	}
	if s.lo != 0 {
		s.lo -= pad
	}
	return s
}

// SpansDecade reports whether finite values differ so much that a logarithmic
// axis shows them better: by a factor of ten or more, none of them 0 or less.
func SpansDecade(values []float64) bool {
	lo, hi := math.Inf(1), 0.0
	for _, v := range values {
		if v <= 0 {
			return false
		}
		if finite(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	return hi >= 10*lo
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

type tick struct {
	v    float64
	text string
}

// ticks returns about n ticks at 1, 2 or 5 times a power of ten inside the
// range, in increasing order.
func (a Axis) ticks(s scale, n int) []tick {
	if s.log {
		return logTicks(s, n)
	}
	step := niceStep((s.hi - s.lo) / float64(max(n, 1)))
	if a.Integer {
		step = max(step, 1)
	}
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	var out []tick
	slack := (s.hi - s.lo) * 1e-6 // rounding must not cost the last tick
	first := math.Ceil((s.lo - slack) / step)
	for i := range 3 * max(n, 1) {
		v := (first + float64(i)) * step
		if v > s.hi+slack {
			break
		}
		out = append(out, tick{v, tickText(v, digits)})
	}
	return out
}

func niceStep(raw float64) float64 {
	if !(raw > 0) || !finite(raw) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// logTicks tries 1-2-5 per decade, then 1-3, then powers of ten, then fewer.
func logTicks(s scale, n int) []tick {
	lo, hi := math.Floor(math.Log10(s.lo)), math.Ceil(math.Log10(s.hi))
	for _, mult := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
		var out []tick
		for e := lo; e <= hi; e++ {
			for _, m := range mult {
				v := m * math.Pow(10, e)
				if v >= s.lo*(1-1e-9) && v <= s.hi*(1+1e-9) {
					out = append(out, tick{v, tickText(v, max(0, -int(e)))})
				}
			}
		}
		if len(out) <= n+1 {
			return out
		}
	}
	var out []tick
	every := math.Ceil((hi - lo) / float64(max(n, 1)))
	for e := lo; e <= hi; e += every {
		if v := math.Pow(10, e); v >= s.lo*(1-1e-9) && v <= s.hi*(1+1e-9) {
			out = append(out, tick{v, tickText(v, max(0, -int(e)))})
		}
	}
	return out
}

func tickText(v float64, digits int) string {
	if v == 0 {
		return "0"
	}
	switch abs := math.Abs(v); {
	case abs >= 1e9 || abs < 1e-4:
		// The shortest form of a value rounded to five digits.
		v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'e', 4, 64), 64)
		return strings.NewReplacer("-", "−", "e-0", "e−", "e+0", "e", "e+", "e").Replace(strconv.FormatFloat(v, 'e', -1, 64))
	case abs >= 1e6:
		return minus(strconv.FormatFloat(v/1e6, 'g', 6, 64)) + "M"
	case abs >= 1e4:
		return minus(strconv.FormatFloat(v/1e3, 'g', 6, 64)) + "k"
	}
	return minus(strconv.FormatFloat(v, 'f', digits, 64))
}

func minus(s string) string { return strings.Replace(s, "-", "−", 1) }
