package instance

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"unet/unet/imageio"
)

// TestThresholdIsBackground: a pixel belongs to a nucleus when its probability
// is above the threshold; on it, it does not. So for each set of maps.
func TestThresholdIsBackground(t *testing.T) {
	above := math.Nextafter32(0.5, 1)
	for _, names := range [][]string{{Foreground}, {Foreground, Border}, {Foreground, Distance}, {Foreground, Border, Distance}} {
		m := NewMaps(5, 1, names...)
		copy(m.Plane(Foreground), []float32{0.5, above, 1, above, 0.5})
		if d := m.Plane(Distance); d != nil {
			copy(d, []float32{1, 1, 1, 1, 1})
		}
		got := Separate(m, Params{Foreground: 0.5, Seed: 0.3})
		if want := []uint32{0, 1, 1, 1, 0}; !slices.Equal(got.ID, want) {
			t.Errorf("%v: %v, want %v", names, got.ID, want)
		}
	}
}

// TestSummaryByHand: mean, median and population standard deviation of areas
// 1, 3, 4 and 8; the diameter is that of circles of the two middle areas.
func TestSummaryByHand(t *testing.T) {
	nuclei := []Nucleus{
		{Area: 8, Circularity: 1, Channels: []Intensity{{Mean: 10}, {Mean: 1}}, Edge: true},
		{Area: 1, Circularity: 0.5, Channels: []Intensity{{Mean: 20}, {Mean: 2}}},
		{Area: 4, Channels: []Intensity{{Mean: 30}, {Mean: 3}}},
		{Area: 3, Channels: []Intensity{{Mean: 60}, {Mean: 6}}},
	}
	s := Summarise(nuclei, 10, 8, nil)
	diameter := func(a float64) float64 { return 2 * math.Sqrt(a/math.Pi) }
	for name, v := range map[string][2]float64{
		"mean": {s.AreaMean, 4}, "median": {s.AreaMedian, 3.5}, "standard deviation": {s.AreaStd, math.Sqrt((9 + 1 + 0 + 16) / 4.0)},
		"median diameter": {s.DiameterMedian, (diameter(3) + diameter(4)) / 2}, "coverage": {s.Coverage, 16.0 / 80},
		"circularity": {s.Circularity, 1.5 / 4}, "first channel": {s.Intensity[0], 30}, "second channel": {s.Intensity[1], 3},
	} {
		if math.Abs(v[0]-v[1]) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, v[0], v[1])
		}
	}
	if s.Count != 4 || s.EdgeCount != 1 {
		t.Errorf("%d nuclei, %d at the edge; want 4 and 1", s.Count, s.EdgeCount)
	}
	if odd := Summarise(nuclei[:3], 10, 8, nil); odd.AreaMedian != 4 {
		t.Errorf("the median of 8, 1 and 4 is %v", odd.AreaMedian)
	}
}

// TestCoverageOfARegion: of nuclei that reach beyond the region, what lies in it counts.
func TestCoverageOfARegion(t *testing.T) {
	l, region := imageio.NewLabels(10, 8), imageio.NewLabels(10, 8)
	for y := 1; y < 6; y++ {
		for x := 1; x < 6; x++ {
			l.ID[y*10+x] = 7
		}
	}
	for x := range 10 {
		region.ID[3*10+x] = 2
	}
	if s := Summarise(Measure(l, nil), 10, 8, region); s.Coverage != 0.5 {
		t.Errorf("%v of a row of 10 pixels lies in nuclei, want 0.5", s.Coverage)
	}
}

// TestMeasureByHand: bars of 1 x 5 pixels, lying, standing and slanting, have the
// moments of their pixels: a variance of (25-1)/12 = 2 along the bar and 0 across,
// so a major axis of 4√2 and no minor one. Orientation is measured from the
// vertical, counter-clockwise (scikit-image).
func TestMeasureByHand(t *testing.T) {
	const n = 7
	for _, c := range []struct {
		name           string
		at             func(i int) (x, y int)
		major, towards float64
	}{
		{"standing", func(i int) (int, int) { return 3, 1 + i }, 4 * math.Sqrt2, 0},
		{"lying", func(i int) (int, int) { return 1 + i, 3 }, 4 * math.Sqrt2, math.Pi / 2},
		{"falling to the right", func(i int) (int, int) { return 1 + i, 1 + i }, 8, math.Pi / 4},
		{"falling to the left", func(i int) (int, int) { return 5 - i, 1 + i }, 8, -math.Pi / 4},
	} {
		l := imageio.NewLabels(n, n)
		img := imageio.NewImage(n, n, 1)
		for i := range 5 {
			x, y := c.at(i)
			l.ID[y*n+x] = 9
			img.Pix[y*n+x] = float32(2 * i) // 0 to 8: mean 4, variance 8
		}
		nuclei := Measure(l, img)
		if len(nuclei) != 1 {
			t.Fatalf("%s: %d nuclei", c.name, len(nuclei))
		}
		got := nuclei[0]
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }
		// The two ways to say lying are the same axis.
		turned := math.Abs(math.Remainder(got.Orientation-c.towards, math.Pi))
		if got.ID != 9 || got.Area != 5 || !near(got.X, 3) || !near(got.Y, 3) || !near(got.Major, c.major) || !near(got.Minor, 0) || turned > 1e-12 || !near(got.Eccentricity, 1) {
			t.Errorf("%s: %+v, want axes %v and 0, %v from the vertical", c.name, got, c.major, c.towards)
		}
		if in := got.Channels[0]; !near(in.Mean, 4) || !near(in.Std, math.Sqrt(8)) || in.Min != 0 || in.Max != 8 || in.Sum != 20 {
			t.Errorf("%s: intensities %+v", c.name, in)
		}
		if got.Edge {
			t.Errorf("%s: it does not touch the edge", c.name)
		}
	}
}

// TestEdge: a nucleus touches the edge with a pixel in the first or last row or
// column, and is removed for it if asked for; one pixel further in it is not.
func TestEdge(t *testing.T) {
	const n = 6
	for y := range n {
		for x := range n {
			at := y*n + x
			l := imageio.NewLabels(n, n)
			l.ID[at] = 1
			want := x == 0 || y == 0 || x == n-1 || y == n-1
			if got := Measure(l, nil)[0].Edge; got != want {
				t.Errorf("(%d, %d): touches the edge %v, want %v", x, y, got, want)
			}
			m := NewMaps(n, n, Foreground)
			m.Pix[at] = 1
			if got := Separate(m, Params{Foreground: 0.5, RemoveEdge: true}).ID[at] == 0; got != want {
				t.Errorf("(%d, %d): removed %v, want %v", x, y, got, want)
			}
		}
	}
}

// TestIntensityOfNaN: JSON has no number for a nucleus with a pixel that is none.
func TestIntensityOfNaN(t *testing.T) {
	l, img := imageio.NewLabels(2, 1), imageio.NewImage(2, 1, 1)
	l.ID[0], l.ID[1] = 1, 2
	img.Pix[0], img.Pix[1] = float32(math.NaN()), 3
	b, err := json.Marshal(Measure(l, img))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"channels":[{"mean":null,`, `"channels":[{"mean":3,"min":3,"max":3,"std":0,"sum":3}]`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s, want %s", b, want)
		}
	}
}
