package instance

import (
	"math"
	"testing"
)

// TestDensity: evenly spread nuclei are equally dense everywhere, up to the edges,
// and the density is per pixel whatever the size of the map's fields.
func TestDensity(t *testing.T) {
	var even [][2]float64
	for y := 5; y < 200; y += 10 {
		for x := 5; x < 300; x += 10 {
			even = append(even, [2]float64{float64(x), float64(y)})
		}
	}
	for _, step := range []float64{1, 0.25} {
		density, w, h := Density(even, 300, 200, 20, step)
		if w != int(300*step) || h != int(200*step) || len(density) != w*h {
			t.Fatalf("step %v: %d x %d, %d values", step, w, h, len(density))
		}
		for i, v := range density {
			if math.Abs(float64(v)-0.01) > 0.0006 {
				t.Fatalf("step %v: %v nuclei per pixel at %d, %d, want 0.01", step, v, i%w, i/w)
			}
		}
	}
	// One nucleus in the middle: what is there adds up to it, and falls as the
	// Gaussian does.
	density, w, _ := Density([][2]float64{{100, 100}}, 201, 201, 10, 1)
	sum := 0.0
	for _, v := range density {
		sum += float64(v)
	}
	if fall := float64(density[100*w+110] / density[100*w+100]); math.Abs(sum-1) > 1e-3 || math.Abs(fall-math.Exp(-0.5)) > 1e-3 {
		t.Errorf("one nucleus adds up to %v and falls to %v at one sigma", sum, fall)
	}
	if d, w, h := Density(nil, 3, 2, 5, 1); w*h != 6 || d[0] != 0 {
		t.Errorf("no nuclei: %v", d)
	}
}
