package segment

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestConditionOf(t *testing.T) {
	table := filepath.Join(t.TempDir(), "c.csv")
	if err := os.WriteFile(table, []byte("\ufeffcondition,image\nlow,a\nhigh,b/c.tif\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	wells := filepath.Join(t.TempDir(), "wells.csv")
	if err := os.WriteFile(wells, []byte("well,condition\nb3,drug\nC01,control\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	german := filepath.Join(t.TempDir(), "german.TXT")
	if err := os.WriteFile(german, []byte("Image;Condition\r\na;2,5 \xb5M\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ condition, image, want string }{
		{german, "a.png", "2,5 µM"},
		{"", "a/b.tif", ""},
		{"folder", "day1/b.tif", "day1"},
		{"folder", "day1/x/b.tif", "day1/x"},
		{"folder", "b.tif", ""},
		{"(ctrl|drug)", "a/drug_3.tif", "drug"},
		{"(ctrl|drug)", "a/other.tif", ""},
		{"(?P<dose>[0-9]+)nM_(?P<day>d[0-9])", "10nM_d2.tif", "dose 10, day d2"},
		{"(?P<condition>wt|ko)", "ko_1.tif", "ko"},
		{table, "x/a.png", "low"},
		{table, "b/c.tif", "high"},
		{table, "z.tif", ""},
		{wells, "p/x_B03_1.tif", "drug"},
		{wells, "p/x_B04_1.tif", ""},
		{"well", "p/x_b4.tif", ""},
		{"well", "p/x_C4.tif", "C04"},
	} {
		got, err := ParseCondition(c.condition)
		if err != nil {
			t.Errorf("%q: %v", c.condition, err)
		} else if of := got.Of(c.image, wellOf(c.image)); of != c.want {
			t.Errorf("condition %q of %s: %q, want %q", c.condition, c.image, of, c.want)
		}
	}
	for _, bad := range []string{"abc", "(", "none.csv"} {
		if _, err := ParseCondition(bad); err == nil {
			t.Errorf("condition %q is accepted", bad)
		}
	}
}

func TestWellOf(t *testing.T) {
	for name, want := range map[string]string{"plate/B3_s1.tif": "B03", "r_H12.png": "H12", "A01f02.tif": "A01", "M_130_C11f00d0.TIF": "C11", "r02c03f01p01-ch1sk1fk1fl1.tiff": "B03", "r1c1.tif": "", "P24": "P24", "Q01": "", "A25.tif": "", "IMA1.tif": ""} {
		if got := wellOf(name); got != want {
			t.Errorf("well of %s: %q, want %q", name, got, want)
		}
	}
}

func TestMeanOf(t *testing.T) {
	m := meanOf([]float64{1, 2, 3, 4, 5})
	// 3 ± 2.776·1.5811/√5
	if m.Mean != 3 || math.Abs(float64(m.High)-4.963) > 0.001 || math.Abs(float64(m.Low)-1.037) > 0.001 {
		t.Errorf("mean %v, interval %v to %v", m.Mean, m.Low, m.High)
	}
	if one := meanOf([]float64{7}); one.Mean != 7 || !math.IsNaN(float64(one.Low)) || one.String() != "7.00" {
		t.Errorf("one image: %v", one)
	}
	if none := meanOf(nil); !math.IsNaN(float64(none.Mean)) {
		t.Errorf("no image: %v", none)
	}
}
