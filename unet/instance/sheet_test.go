package instance

import (
	"math"
	"testing"

	"unet/unet/imageio"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestSheetShowsItsColumns: below each name stands what it names, and what is not known
// is no number. No two of the figures are alike.
func TestSheetShowsItsColumns(t *testing.T) {
	intensity := func(from float64) Intensity {
		return Intensity{Mean: from, Min: from + 1, Max: from + 2, Std: from + 3, Sum: from + 4}
	}
	n := Nucleus{ID: 1, X: 2, Y: 3, X0: 4, Y0: 5, X1: 6, Y1: 7, Edge: true, Area: 8, Perimeter: 9, Major: 10, Minor: 11, Orientation: 12,
		Eccentricity: 13, Solidity: 14, Circularity: 15, EquivalentDiameter: 16, FeretMax: 17, Confidence: 18,
		Channels: []Intensity{intensity(20), intensity(30)}, Ring: &Ring{Area: 40, Channels: []Intensity{intensity(50)}}}
	want := map[string]float64{"nucleus": 1, "x": 2, "y": 3, "x0": 4, "y0": 5, "x1": 6, "y1": 7, "edge": 1, "area": 8, "perimeter": 9,
		"major_axis": 10, "minor_axis": 11, "orientation": 12, "eccentricity": 13, "solidity": 14, "circularity": 15,
		"equivalent_diameter": 16, "feret_max": 17, "confidence": 18, "ring_area": 40,
		"mean_A": 20, "min_A": 21, "max_A": 22, "std_A": 23, "sum_A": 24, "mean_B": 30, "min_B": 31, "max_B": 32, "std_B": 33, "sum_B": 34,
		"ring_mean_A": 50, "ring_min_A": 51, "ring_max_A": 52, "ring_std_A": 53, "ring_sum_A": 54}
	for _, name := range []string{"x_um", "y_um", "area_um2", "perimeter_um", "major_axis_um", "minor_axis_um", "equivalent_diameter_um", "feret_max_um",
		"ring_mean_B", "ring_min_B", "ring_max_B", "ring_std_B", "ring_sum_B"} {
		want[name] = math.NaN()
	}
	read := func(o SheetOptions, n *Nucleus) map[string]float64 {
		s := NewSheet(o)
		got := map[string]float64{}
		for i, v := range s.Append(nil, n) {
			got[s.Columns[i].Name] = v
		}
		return got
	}
	channels := []string{"A", "B"}
	if diff := cmp.Diff(want, read(SheetOptions{Channels: channels, Rings: true}, &n), cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
	// With a size of pixels, lengths and areas are known; without a ring, nothing of it.
	n.Ring, n.Edge, n.Confidence = nil, false, 0
	got := read(SheetOptions{Channels: channels, Rings: true, PixelSize: imageio.PixelSize{X: 0.5, Y: 0.5}}, &n)
	for name, v := range map[string]float64{"x_um": 1.25, "y_um": 1.75, "area_um2": 2, "perimeter_um": 4.5, "major_axis_um": 5, "minor_axis_um": 5.5,
		"equivalent_diameter_um": 8, "feret_max_um": 8.5, "edge": 0, "confidence": math.NaN(), "ring_area": math.NaN(), "ring_mean_A": math.NaN(), "mean_A": 20} {
		if !cmp.Equal(got[name], v, cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-12)) {
			t.Errorf("%s is %v, want %v", name, got[name], v)
		}
	}
	s := NewSheet(SheetOptions{Channels: channels})
	for name, column := range map[string]string{"Area": "area", "b": "mean_B", "MAX_a": "max_A"} {
		if at := s.Index(name); at < 0 || s.Columns[at].Name != column {
			t.Errorf("%s is column %d, want %s", name, at, column)
		}
	}
	if at := s.Index("ring_area"); at != -1 {
		t.Errorf("ring_area without rings is column %d", at)
	}
}
