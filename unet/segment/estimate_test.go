package segment

import (
	"context"
	"math"
	"slices"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// TestEstimate: fragments of large nuclei and clumps of small ones leave the
// scale alone; so do few nuclei.
func TestEstimate(t *testing.T) {
	s := &Segmenter{model: &unet.Model{Card: unet.Card{Diameter: [3]float64{10, 20, 50}}}}
	many := func(n, area int) []int { return slices.Repeat([]int{area}, n) }
	for _, k := range []struct {
		name            string
		areas           []int
		estimate, scale float64
	}{
		{"none", nil, 0, 1},
		{"few", many(4, 20), 0, 1},
		{"usual", many(9, 314), 20, 1},
		{"small", many(9, 28), 6, 20.0 / 6},
		{"large", many(9, 31416), 200, 0.1},
		{"small with some dirt", append(many(60, 28), 700), 6, 20.0 / 6},
		{"noise", many(900, 7), 3, 1},
		{"fragments", append(many(80, 28), many(6, 11000)...), 6, 1},
		{"clumps", append(many(80, 28), 31416), 6, 1},
	} {
		if estimate, scale := s.estimate(k.areas, k.areas); math.Abs(scale-k.scale) > 0.02*k.scale || math.Abs(estimate-k.estimate) > 0.1 {
			t.Errorf("%s: scale %v by an estimate of %v", k.name, scale, estimate)
		}
	}
}

const width, height = 680, 520 // of the maps below

// disks are maps of 12 round nuclei; ragged, only some pixels of each are seen.
func disks(diameter float64, ragged bool) instance.Maps {
	m := instance.NewMaps(width, height, instance.Foreground, instance.Distance)
	for k := range 12 {
		cx, cy := 85+float64(k%4)*170, 85+float64(k/4)*170
		for i := range m.W * m.H {
			x, y := i%m.W, i/m.W
			d := 2 * math.Hypot(float64(x)-cx, float64(y)-cy) / diameter
			if d < 1 && !(ragged && (x/9+y/7)%3 != 0 && (x+2*y)%31 > 5) {
				m.Plane(instance.Foreground)[i] = 1
				m.Plane(instance.Distance)[i] = float32(1 - d)
			}
		}
	}
	return m
}

// speck is a field with one small nucleus, or none.
func speck(there bool) instance.Maps {
	m := instance.NewMaps(width, height, instance.Foreground, instance.Distance)
	if there {
		for y := range 10 {
			for x := range 10 {
				i := (y+20)*width + x + 20
				m.Plane(instance.Foreground)[i], m.Plane(instance.Distance)[i] = 1, 1
			}
		}
	}
	return m
}

// TestLargeNuclei: where nuclei are found in pieces, or none but a speck, looks from
// afar tell their size; whole ones of a size that the model knows are not looked at again.
func TestLargeNuclei(t *testing.T) {
	params := instance.DefaultParams()
	params.Prominence = 0.05
	s := &Segmenter{model: &unet.Model{Card: unet.Card{Diameter: [3]float64{10, 20, 50}}}, params: params}
	whole := func(float64) instance.Maps { return disks(120, false) }
	for _, k := range []struct {
		name   string
		sees   func(scale float64) instance.Maps
		scales []float64 // at which maps are computed
		scale  float64
		nuclei int
	}{
		{"pieces", func(scale float64) instance.Maps { return disks(120, scale == 1) }, []float64{1, 1. / 4, 20. / 120}, 20. / 120, 12},
		{"whole", whole, []float64{1, 1. / 4, 1. / 8, 20. / 120}, 20. / 120, 12},
		{"whole, of a known size", func(float64) instance.Maps { return disks(40, false) }, []float64{1}, 1, 12},
		{"pieces of a known size, once in four", func(scale float64) instance.Maps { return disks(90, scale == 1) }, []float64{1, 1. / 4, 20. / 90}, 20. / 90, 12},
		{"a speck", func(scale float64) instance.Maps {
			if scale > 0.2 {
				return speck(scale == 1)
			}
			return disks(160, false)
		}, []float64{1, 1. / 4, 1. / 8, 20. / 160}, 20. / 160, 12},
		{"a speck in an empty field", func(scale float64) instance.Maps { return speck(scale == 1) }, []float64{1, 1. / 4, 1. / 8}, 1, 1},
	} {
		var scales []float64
		maps := func(_ context.Context, scale float64) (instance.Maps, error) {
			scales = append(scales, scale)
			return k.sees(scale), nil
		}
		img := imageio.NewImage(width, height, 1)
		p := &plane{img: img, measured: img, info: imageio.PlaneInfo{W: width, H: height}}
		r, err := s.compute(t.Context(), p, 1, maps)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Nuclei) != k.nuclei || math.Abs(r.Scale-k.scale) > 0.01 || len(scales) != len(k.scales) {
			t.Errorf("%s: %d nuclei at scale %.3f, computed at %.3f; %q", k.name, len(r.Nuclei), r.Scale, scales, r.Notes)
		}
	}
	empty := func(context.Context, float64) (instance.Maps, error) {
		return instance.NewMaps(width, height, instance.Foreground, instance.Distance), nil
	}
	img := imageio.NewImage(width, height, 1)
	p := &plane{img: img, measured: img, info: imageio.PlaneInfo{W: width, H: height}}
	if r, err := s.compute(t.Context(), p, 1, empty); err != nil || r.Scale != 1 || len(r.Nuclei) != 0 {
		t.Errorf("an empty field: %+v, %v", r, err)
	}
}

// TestDoubt: few right nuclei are worth a warning, unrated ones are not.
func TestDoubt(t *testing.T) {
	for _, k := range []struct {
		confidence float64
		warned     bool
	}{{0, false}, {0.3, true}, {0.53, true}, {0.55, false}, {0.9, false}} {
		if got := doubt(instance.Summary{Count: 9, Confidence: k.confidence}); (got != "") != k.warned {
			t.Errorf("confidence %g: %q", k.confidence, got)
		}
	}
}

// sightOf is a sighting of n nuclei of a diameter and a confidence in a million pixels.
func sightOf(n int, diameter, confidence float64) (s sighting) {
	area := int(math.Pi / 4 * diameter * diameter)
	nuclei := slices.Repeat([]instance.Nucleus{{Area: area, Solidity: 1, Confidence: confidence}}, n)
	s.add(instance.Maps{W: 1000, H: 1000}, nuclei)
	return s
}

// TestLarger: pieces are told from nuclei by their confidence, and what is seen from
// afar is believed where it is surer and not a few among many.
func TestLarger(t *testing.T) {
	s := &Segmenter{model: &unet.Model{Card: unet.Card{Diameter: [3]float64{10, 16, 50}}}}
	mix := sightOf(12, 31, 0.96)
	for range 5 {
		mix.add(instance.Maps{}, []instance.Nucleus{{Area: 26000, Solidity: 1, Confidence: 0.96}})
	}
	for _, c := range []struct {
		name string
		near sighting
		far  []sighting
		want float64
	}{
		{"pieces of six", sightOf(26, 35, 0.4), []sighting{sightOf(6, 300, 0.95)}, 300},
		{"pieces of one", sightOf(3, 40, 0.57), []sighting{sightOf(1, 270, 0.95)}, 270},
		{"seen from further", sightOf(26, 35, 0.4), []sighting{sightOf(2, 40, 0.3), sightOf(6, 300, 0.95)}, 300},
		{"few in a large image", sightOf(3, 40, 0.3), []sighting{sightOf(1, 120, 0.95)}, 120},
		{"few, and not sure", sightOf(3, 40, 0.3), []sighting{sightOf(1, 120, 0.6), sightOf(1, 120, 0.6)}, 0},
		{"small ones and a blob", sightOf(30, 20, 0.97), nil, 0},
		{"many in clumps", sightOf(70, 16, 0.73), []sighting{sightOf(6, 70, 0.43), sightOf(2, 150, 0.79)}, 0},
		{"a few large among many", sightOf(22, 30, 0.68), []sighting{mix, sightOf(5, 183, 0.97)}, 0},
		{"nothing, and noise from afar", sighting{pixels: 1e6}, []sighting{{pixels: 1e6}, {pixels: 1e6}}, 0},
		{"not rated: pieces", sightOf(5, 60, 0), []sighting{sightOf(6, 300, 0)}, 300},
		{"not rated: nuclei", sightOf(50, 30, 0), nil, 0},
	} {
		got, err := s.larger(c.near, 1000, func(float64) (sighting, error) {
			if len(c.far) == 0 {
				t.Fatalf("%s: looked from afar", c.name)
			}
			far := c.far[0]
			c.far = c.far[1:]
			return far, nil
		})
		if err != nil || math.Abs(got-c.want) > 1 {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

// TestLost: nuclei of which the model is sure, outside those of other labels.
func TestLost(t *testing.T) {
	l := imageio.NewLabels(10, 1)
	l.ID[3] = 1
	at := func(x int, confidence float64) instance.Nucleus {
		return instance.Nucleus{Runs: []instance.Run{{Y: 0, X0: x, X1: x + 1}}, Confidence: confidence}
	}
	if n := lost([]instance.Nucleus{at(3, 0.9), at(4, 0.9), at(5, 0.5), at(9, 0.85)}, l); n != 2 {
		t.Errorf("%d nuclei lost, want 2", n)
	}
}
