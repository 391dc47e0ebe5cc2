package instance

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"unet/unet/imageio"
)

// A fit finds the weights that outcomes were drawn with, and its probabilities
// are those of the outcomes.
func TestFitCalibration(t *testing.T) {
	want := Calibration{0.5, 2, -1, 1.5, 0, 0.7, -0.4}
	rng := rand.New(rand.NewPCG(1, 1))
	var list []Features
	var right []bool
	var weight []float64
	for range 20000 {
		var f Features
		for i := range f {
			f[i] = 2*rng.Float64() - 1
		}
		list, right, weight = append(list, f), append(right, rng.Float64() < want.Confidence(f)), append(weight, 1)
	}
	got, err := FitCalibration(list, right, weight)
	if err != nil {
		t.Fatal(err)
	}
	var hit, n [10]float64
	for i := range want {
		if math.Abs(got[i]-want[i]) > 0.15 {
			t.Errorf("weight %d is %.3f, want %.3f", i, got[i], want[i])
		}
	}
	for i, f := range list {
		p := got.Confidence(f)
		k := min(int(10*p), 9)
		n[k]++
		if right[i] {
			hit[k]++
		}
	}
	for k := range n {
		if n[k] > 300 && math.Abs(hit[k]/n[k]-(float64(k)+0.5)/10) > 0.06 {
			t.Errorf("of %.0f nuclei in the tenth %d %.3f are right", n[k], k, hit[k]/n[k])
		}
	}
	if _, err := FitCalibration(list[:10], right[:10], weight[:10]); !errors.Is(err, ErrUncalibrated) {
		t.Errorf("ten nuclei: %v", err)
	}
	for i := range right { // separable: weights stay finite
		right[i] = list[i][0] > 0
	}
	if got, err := FitCalibration(list, right, weight); err != nil || math.IsNaN(got[1]) || got[1] > 1e4 {
		t.Errorf("separable: %v, %v", got, err)
	}
}

// TestSolve: the answer fulfils the equations.
func TestSolve(t *testing.T) {
	const n = 1 + features
	rng := rand.New(rand.NewPCG(3, 3))
	var a [n][n]float64
	var b [n]float64
	for range n { // a sum of squares and the unit matrix is positive definite
		var v [n]float64
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		for i := range a {
			for j := range a {
				a[i][j] += v[i] * v[j]
			}
		}
	}
	for i := range a {
		a[i][i]++
		b[i] = rng.NormFloat64()
	}
	x := solve(a, b)
	for i := range a {
		left := -b[i]
		for j := range a {
			left += a[i][j] * x[j]
		}
		if math.Abs(left) > 1e-12 {
			t.Errorf("equation %d is off by %g", i, left)
		}
	}
}

// TestFeatures: by hand, of a nucleus of two rows. Its edge is where runs begin and end.
func TestFeatures(t *testing.T) {
	m := NewMaps(4, 3, Foreground, Distance)
	copy(m.Plane(Foreground), []float32{
		0, 0, 0, 0,
		0.5, 1, 1, 0.75,
		0, 0.25, 0.5, 0})
	copy(m.Plane(Distance), []float32{
		1, 0, 0, 0, // not the nucleus's
		0, 0.5, 0.875, 0.25,
		0, 0, 0, 0})
	n := Nucleus{Runs: []Run{{Y: 1, X0: 0, X1: 4}, {Y: 2, X0: 1, X1: 3}}, Area: 6, Solidity: 0.75, Edge: true}
	want := Features{2*4.0/6 - 1, 2*(0.5+0.75+0.25+0.5)/4 - 1, 2*0.875 - 1, 0.5, (math.Log(6) - 5) / 3, 1}
	got := MapFeatures(m, []Nucleus{n})[0]
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Errorf("feature %d is %g, want %g", i, got[i], want[i])
		}
	}
}

// Features of a nucleus are those of its pixels; a stream rates the same.
func TestConfidenceOfMaps(t *testing.T) {
	m := NewMaps(40, 30, Foreground, Border, Distance)
	rng := rand.New(rand.NewPCG(2, 2))
	for _, c := range [][3]int{{8, 8, 6}, {28, 17, 9}, {39, 3, 5}} {
		for i := range 40 * 30 {
			if d := math.Hypot(float64(i%40-c[0]), float64(i/40-c[1])) / float64(c[2]); d < 1 {
				m.Plane(Foreground)[i] = float32(0.7 + 0.3*rng.Float64())
				m.Plane(Distance)[i] = float32(1 - d)
			}
		}
	}
	p := DefaultParams()
	p.Confidence = Calibration{0.3, 1, 1, 1, 0.5, -0.5, -1}
	img := imageio.NewImage(40, 30, 1)
	l := Separate(m, p)
	nuclei := Measure(l, img)
	if len(nuclei) != 3 {
		t.Fatalf("%d nuclei", len(nuclei))
	}
	p.Confidence.Rate(m, nuclei)
	f := MapFeatures(m, nuclei)
	for i, n := range nuclei {
		if n.Confidence <= 0 || n.Confidence >= 1 || f[i][0] < 0.4 || f[i][0] > 1 || (f[i][5] == 1) != n.Edge {
			t.Errorf("nucleus %d: confidence %g, %v", n.ID, n.Confidence, f[i])
		}
	}
	var streamed []Nucleus
	s := NewStream(40, p, func(b Block) error {
		streamed = append(streamed, b.Nuclei...)
		return nil
	})
	for y := 0; y < 30; y += 7 {
		rows := min(7, 30-y)
		band := NewMaps(40, rows, m.Names...)
		part := imageio.NewImage(40, rows, 1)
		for _, name := range m.Names {
			copy(band.Plane(name), m.Plane(name)[y*40:])
		}
		if err := s.Add(band, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, n := range streamed {
		if n.Confidence != nuclei[i].Confidence {
			t.Errorf("nucleus %d: confidence %g in a stream, %g at once", n.ID, n.Confidence, nuclei[i].Confidence)
		}
	}
	nuclei = Measure(l, img)
	(Calibration{}).Rate(m, nuclei)
	if nuclei[0].Confidence != 0 {
		t.Error("confidence without a calibration")
	}
}
