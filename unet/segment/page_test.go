package segment

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMarkerTable: three of four nuclei are 75 % of them, and of none there is no share.
func TestMarkerTable(t *testing.T) {
	got := markerTable([]MarkerRecord{
		{Name: "Ki67", Column: "mean_Ki67", Threshold: 200, Nuclei: 4, Positive: 3},
		{Name: "CD3", Column: "mean_CD3", Threshold: 0.5, Otsu: true, Separability: 0.875},
	})
	want := [][]string{
		{"Ki67", "mean_Ki67 > 200", "given", "4", "3", "75.0 %"},
		{"CD3", "mean_CD3 > 0.5", "Otsu, over all nuclei (separability 0.88)", "0", "0", "–"},
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Error(diff)
	}
}

// TestGalleryImage: one nucleus has a diameter, none has not.
func TestGalleryImage(t *testing.T) {
	for nuclei, want := range map[int]float64{0: math.NaN(), 1: 12} {
		p := &PlaneRecord{Nuclei: nuclei, Diameter: 12}
		if nuclei == 0 {
			p.Diameter = 0
		}
		if got := galleryImage(&ImageRecord{}, p).Diameter; got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("%d nuclei: diameter %v, want %v", nuclei, got, want)
		}
	}
}

// TestConditionPositive: no nucleus is positive, or none could be.
func TestConditionPositive(t *testing.T) {
	c := &ConditionRecord{Positive: map[string]int{"Ki67": 0}}
	if none, unknown := c.positive("Ki67"), c.positive("CD3"); none != "0" || unknown != "–" {
		t.Errorf("%q of a marker that was measured, %q of another", none, unknown)
	}
}
