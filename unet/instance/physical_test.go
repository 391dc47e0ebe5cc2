package instance

import (
	"math"
	"math/rand/v2"
	"testing"

	"unet/unet/imageio"
)

// TestPixelsThatAreNotSquare: a disk that pixels of 0.5 x 1 µm draw as an
// ellipse is measured as a disk.
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
		"perimeter":           {p.Perimeter, 2 * math.Pi * r, 0.01},
		"major axis":          {p.Major, 2 * r, 0.01},
		"minor axis":          {p.Minor, 2 * r, 0.01},
		"equivalent diameter": {p.EquivalentDiameter, 2 * r, 0.01},
		"largest diameter":    {p.FeretMax, 2 * r, 0.05},
		"x":                   {p.X, 30, 0.001},
		"y":                   {p.Y, 30, 0.001},
		"circularity":         {n.Circularity, 1, 0.02},
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

// TestPerimeterOfEllipses: the outline of ellipses in every direction has the
// length that it has, whatever the pixels.
func TestPerimeterOfEllipses(t *testing.T) {
	for _, size := range []imageio.PixelSize{{X: 0.5, Y: 1}, {X: 1, Y: 0.5}, {X: 0.25, Y: 1}, {X: 1, Y: 0.8}, {X: 1, Y: 1.0001}} {
		for _, axes := range [][2]float64{{20, 20}, {20, 14}, {24, 12}} {
			worst, sum, n := 0.0, 0.0, 0
			for degrees := 0.0; degrees < 180; degrees += 15 {
				sin, cos := math.Sincos(degrees * math.Pi / 180)
				l := imageio.NewLabels(int(60/size.X), int(60/size.Y))
				for y := range l.H {
					for x := range l.W {
						dx, dy := (float64(x)+0.5)*size.X-30.1, (float64(y)+0.5)*size.Y-29.8
						if math.Hypot((cos*dx+sin*dy)/axes[0], (cos*dy-sin*dx)/axes[1]) < 1 {
							l.ID[y*l.W+x] = 1
						}
					}
				}
				p := Measure(l, nil)[0].In(size)
				// Ramanujan's second approximation is right to 1e-6 here.
				a, b := axes[0], axes[1]
				d := 3 * (a - b) * (a - b) / ((a + b) * (a + b))
				want := math.Pi * (a + b) * (1 + d/(10+math.Sqrt(4-d)))
				e := p.Perimeter/want - 1
				worst, sum, n = max(worst, math.Abs(e)), sum+e, n+1
			}
			if mean := sum / float64(n); worst > 0.055 || math.Abs(mean) > 0.01 {
				t.Errorf("pixels of %v, axes %v: off by up to %.3f, on average %+.3f", size, axes, worst, mean)
			}
		}
	}
}

// TestCroftonOfSquarePixels: in square pixels the formula is that of
// skimage.measure.perimeter_crofton(directions=4), which gave these numbers.
func TestCroftonOfSquarePixels(t *testing.T) {
	for want, picture := range map[float64][]string{
		2.681517061334488:  {"#"},
		4.577635959271528:  {"##"},
		12.947509714417135: {"###", "#.#", "###"},
		15.303704204609481: {"..##..", ".####.", "######", ".#..#."},
		13.082262735530296: {"#..#", ".##.", "#..#"},
	} {
		_, rows := rowsOf(runsOf(picture))
		if got := crofton(rows, 1, 1); math.Abs(got-want) > 1e-9 {
			t.Errorf("%q: %v, want %v", picture, got, want)
		}
	}
}

// runsOf reads a picture, one string per row.
func runsOf(picture []string) (runs []Run) {
	for y, line := range picture {
		for x := 0; x < len(line); x++ {
			if line[x] != '#' {
				continue
			}
			r := Run{Y: y, X0: x}
			for x < len(line) && line[x] == '#' {
				x++
			}
			r.X1 = x
			runs = append(runs, r)
		}
	}
	return runs
}

// TestPerimeterByHand: the line through the centres of the border pixels, whose steps
// are 1 or √2 (skimage.measure.perimeter).
func TestPerimeterByHand(t *testing.T) {
	for _, c := range []struct {
		picture []string
		want    float64
	}{
		{[]string{"####", "####", "####"}, 10},
		{[]string{"..#..", ".###.", "#####", ".###.", "..#.."}, 8 * math.Sqrt2},
		{[]string{".##.", "####", "####", ".##."}, 4 + 4*math.Sqrt2},
	} {
		_, rows := rowsOf(runsOf(c.picture))
		if got := perimeter(rows); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%q: %v, want %v", c.picture, got, c.want)
		}
	}
}

// TestHullOfTwoParts: the hull of two pixels far apart is a band one pixel wide. Its
// edges, x/2 above and below the line through the centres, meet the rows of centres
// at x = 0..1, 1..3 and 3..4.
func TestHullOfTwoParts(t *testing.T) {
	y0, rows := rowsOf(runsOf([]string{"#....", ".....", "....#"}))
	pixels, feret := convexHull(rows, y0, 1, 1)
	// Furthest from each other are the left and the right edge's midpoint.
	if want := math.Hypot(5, 2); pixels != 2+3+2 || math.Abs(feret-want) > 1e-12 {
		t.Errorf("%d pixels, diameter %v, want 7 and %v", pixels, feret, want)
	}
}

// TestNearlySquarePixels: the measurements of stretched pixels go over into
// those of square ones, but for the perimeter, which has another definition.
func TestNearlySquarePixels(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-3*max(math.Abs(a), math.Abs(b), 1e-9) }
	for range 200 {
		for _, n := range Measure(mosaic(rng, 1+rng.IntN(20), 1+rng.IntN(20)), nil) {
			square, other := n.In(imageio.PixelSize{X: 0.3, Y: 0.3}), n.In(imageio.PixelSize{X: 0.3, Y: 0.300003})
			if !near(square.Area, other.Area) || !near(square.Major, other.Major) ||
				!near(square.EquivalentDiameter, other.EquivalentDiameter) || !near(square.FeretMax, other.FeretMax) {
				t.Fatalf("square %+v, nearly %+v", square, other)
			}
		}
	}
}
