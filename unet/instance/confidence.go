package instance

import (
	"errors"
	"math"
)

// Calibration turns what the maps show of a nucleus into its confidence: the
// probability that a person would draw it, with an IoU of at least 0.5. It is
// a logistic regression over Features, fitted on images of laboratories that
// the network was not trained on (FitCalibration), and stored in the model
// file. The zero value says nothing: nuclei then have no confidence.
type Calibration [1 + features]float64

// features is the number of Features.
const features = 6

// Features are what a Calibration weighs, for pixels of a nucleus: the mean
// foreground probability inside and along the edge, the highest point of the
// distance map, solidity, the logarithm of the area, and whether the edge of
// the image cuts the nucleus. Each is about -1 to 1.
type Features [features]float64

// Confidence is the probability of being right, 0 where c is zero. It has three
// digits, of which it is calibrated to two: what is read back from a table is all of
// it.
func (c Calibration) Confidence(f Features) float64 {
	if c == (Calibration{}) {
		return 0
	}
	return max(1, math.Round(logistic(c.sum(f))*1000)) / 1000
}

func (c Calibration) sum(f Features) float64 {
	s := c[0]
	for i, v := range f {
		s += c[1+i] * v
	}
	return s
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// evidence holds the maps that Features come from, as rows of a width; the
// first is row y0 of the image.
type evidence struct {
	foreground, distance []float32 // distance may be nil
	w, y0                int
}

// features describes a measured nucleus.
func (e evidence) features(n *Nucleus) (f Features) {
	var inside, edge, top float64
	ends := 0
	for _, r := range n.Runs {
		row := e.foreground[(r.Y-e.y0)*e.w:][:e.w]
		for _, v := range row[r.X0:r.X1] {
			inside += float64(v)
		}
		edge += float64(row[r.X0]) + float64(row[r.X1-1])
		ends += 2
		if e.distance != nil {
			for _, v := range e.distance[(r.Y-e.y0)*e.w:][r.X0:r.X1] {
				top = max(top, float64(v))
			}
		}
	}
	f = Features{2*inside/float64(n.Area) - 1, 2*edge/float64(ends) - 1, 2*top - 1, 2*n.Solidity - 1,
		(math.Log(float64(n.Area)) - 5) / 3, 0}
	if n.Edge {
		f[5] = 1
	}
	return f
}

// MapFeatures returns the Features of nuclei that were measured on labels of
// the size of the maps.
func MapFeatures(m Maps, nuclei []Nucleus) []Features {
	e := evidence{m.Plane(Foreground), m.Plane(Distance), m.W, 0}
	list := make([]Features, len(nuclei))
	for i := range nuclei {
		list[i] = e.features(&nuclei[i])
	}
	return list
}

// Rate gives nuclei that were measured on labels of the size of the maps their
// confidence.
func (c Calibration) Rate(m Maps, nuclei []Nucleus) {
	if c == (Calibration{}) {
		return
	}
	for i, f := range MapFeatures(m, nuclei) {
		nuclei[i].Confidence = c.Confidence(f)
	}
}

// ErrUncalibrated says that nuclei are too few, or all right or all wrong.
var ErrUncalibrated = errors.New("too few right and wrong nuclei to fit confidence to")

// leastOutcomes are needed, right and wrong, to fit six weights.
const leastOutcomes = 20

// FitCalibration fits a Calibration to nuclei and whether they are right, each
// with a weight, by Newton's method on the penalised likelihood (a ridge of
// one nucleus per weight keeps separable data finite).
func FitCalibration(list []Features, right []bool, weight []float64) (Calibration, error) {
	var c Calibration
	n := [2]int{}
	for _, r := range right {
		if r {
			n[1]++
		} else {
			n[0]++
		}
	}
	if min(n[0], n[1]) < leastOutcomes {
		return c, ErrUncalibrated
	}
	const size = 1 + features
	for range 50 {
		var gradient [size]float64
		var hessian [size][size]float64
		for i := range size {
			ridge := 1.0
			if i == 0 {
				ridge = 1e-6
			}
			gradient[i] = -ridge * c[i]
			hessian[i][i] = ridge
		}
		for k, f := range list {
			x := [size]float64{1}
			copy(x[1:], f[:])
			p := logistic(c.sum(f))
			d := -p
			if right[k] {
				d++
			}
			for i := range size {
				gradient[i] += weight[k] * d * x[i]
				for j := range size {
					hessian[i][j] += weight[k] * p * (1 - p) * x[i] * x[j]
				}
			}
		}
		step := solve(hessian, gradient)
		moved := 0.0
		for i := range c {
			c[i] += step[i]
			moved = max(moved, math.Abs(step[i]))
		}
		if moved < 1e-9 {
			break
		}
	}
	return c, nil
}

// solve solves a symmetric positive definite system by Gaussian elimination.
func solve(a [1 + features][1 + features]float64, b [1 + features]float64) (x [1 + features]float64) {
	n := len(b)
	for i := range n {
		for r := i + 1; r < n; r++ {
			k := a[r][i] / a[i][i]
			for j := i; j < n; j++ {
				a[r][j] -= k * a[i][j]
			}
			b[r] -= k * b[i]
		}
	}
	for i := n - 1; i >= 0; i-- {
		x[i] = b[i]
		for j := i + 1; j < n; j++ {
			x[i] -= a[i][j] * x[j]
		}
		x[i] /= a[i][i]
	}
	return x
}
