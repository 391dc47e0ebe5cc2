package instance

import (
	"math"
	"math/rand/v2"
	"testing"

	"unet/unet/imageio"
)

// TestPixelsThatAreNotSquare: a disk that pixels of 0.5 x 1 µm draw as an
// ellipse is measured as a disk. Lengths along pixels are too long by a few per
// cent, more than with square pixels.
func TestPixelsThatAreNotSquare(t *testing.T) {
	const r = 20.0 // µm
	size := imageio.PixelSize{X: 0.5, Y: 1}
	l := imageio.NewLabels(120, 60)
	for y := range l.H {
		for x := range l.W {
			if math.Hypot((float64(x)+0.5)*size.X-30, (float64(y)+0.5)*size.Y-30) < r {
				l.ID[y*l.W+x] = 1
			}
		}
	}
	n := Measure(l, &imageio.Image{PixelSize: size})[0]
	p := n.In(size)
	for name, v := range map[string]struct{ got, want, tolerance float64 }{
		"area":                {p.Area, math.Pi * r * r, 0.01},
		"perimeter":           {p.Perimeter, 2 * math.Pi * r, 0.08},
		"major axis":          {p.Major, 2 * r, 0.01},
		"minor axis":          {p.Minor, 2 * r, 0.01},
		"equivalent diameter": {p.EquivalentDiameter, 2 * r, 0.01},
		"largest diameter":    {p.FeretMax, 2 * r, 0.05},
		"x":                   {p.X, 30, 0.001},
		"y":                   {p.Y, 30, 0.001},
		"circularity":         {n.Circularity, 1, 0.15},
		"solidity":            {n.Solidity, 1, 0.03},
	} {
		if math.Abs(v.got-v.want) > v.tolerance*v.want {
			t.Errorf("%s is %v, want %v", name, v.got, v.want)
		}
	}
	if n.Eccentricity > 0.15 {
		t.Errorf("eccentricity %v of a disk", n.Eccentricity)
	}
	if n.Area != int(p.Area/0.5) || n.Major < 1.9*n.Minor {
		t.Errorf("in pixels: area %d, axes %v and %v", n.Area, n.Major, n.Minor)
	}
	var streamed []Nucleus
	s := NewStream(l.W, Params{Foreground: 0.5}, func(b Block) error {
		streamed = append(streamed, b.Nuclei...)
		return nil
	})
	s.PixelSize = size
	m := NewMaps(l.W, l.H, Foreground)
	for i, id := range l.ID {
		m.Pix[i] = float32(id)
	}
	if err := s.Add(m, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(streamed) != 1 || streamed[0].Eccentricity != n.Eccentricity || streamed[0].Circularity != n.Circularity {
		t.Errorf("streamed: %+v", streamed)
	}
}

// TestNearlySquarePixels: the measurements of stretched pixels go over into
// those of square ones.
func TestNearlySquarePixels(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-3*max(math.Abs(a), math.Abs(b), 1e-9) }
	for range 200 {
		for _, n := range Measure(mosaic(rng, 1+rng.IntN(20), 1+rng.IntN(20)), nil) {
			square, other := n.In(imageio.PixelSize{X: 0.3, Y: 0.3}), n.In(imageio.PixelSize{X: 0.3, Y: 0.300003})
			if !near(square.Area, other.Area) || !near(square.Perimeter, other.Perimeter) || !near(square.Major, other.Major) ||
				!near(square.EquivalentDiameter, other.EquivalentDiameter) || !near(square.FeretMax, other.FeretMax) {
				t.Fatalf("square %+v, nearly %+v", square, other)
			}
		}
	}
}
