package unet

import (
	"math/rand/v2"
	"slices"
	"testing"

	"unet/unet/imageio"
)

// spots are bright nuclei of level on ground with noise; n of radius r.
func spots(bits int, ground, level, noise float64, n, r int) *imageio.Image {
	m := imageio.NewImage(256, 256, 1)
	m.Bits = bits
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range m.Pix {
		m.Pix[i] = float32(int(ground + noise*rng.Float64()))
	}
	for k := range n {
		cx, cy := 24+52*(k%5), 24+52*(k/5)
		for y := -r; y <= r; y++ {
			for x := -r; x <= r; x++ {
				if x*x+y*y <= r*r {
					m.Pix[(cy+y)*m.W+cx+x] = float32(int(level * (0.6 + 0.4*rng.Float64())))
				}
			}
		}
	}
	return m
}

// A few saturated pixels do not take the range from the nuclei, in levels
// found at once or band by band; the only nucleus of a field is none of them.
func TestOutliers(t *testing.T) {
	old := Input{Normalise: "percentile", Low: 1, High: 99.8}
	in := old
	in.Outliers = 5
	high := func(in Input, m *imageio.Image) float64 {
		at := in.levelsOf(m.Pix, m)
		l, err := in.Levels(t.Context(), Rows{W: m.W, H: m.H, Read: func(y, n int) (*imageio.Image, error) {
			part := *m
			part.H, part.Pix = n, m.Pix[y*m.W:(y+n)*m.W]
			return &part, nil
		}})
		at.Gray = l.Gray
		if err != nil || l != at {
			t.Errorf("%+v in bands, %+v at once (%v)", l, at, err)
		}
		n, err := in.Apply(m)
		if err != nil {
			t.Fatal(err)
		}
		if top := slices.Max(n.Pix); at.Clip && top > 1.0001 || !at.Clip && in.Outliers > 0 && top > 8 {
			t.Errorf("the brightest sample is %g (%+v)", top, at)
		}
		return at.High
	}
	for _, c := range []struct {
		name        string
		spoil       func(m *imageio.Image)
		before, now [2]float64
	}{
		{"clean", func(*imageio.Image) {}, [2]float64{1500, 2000}, [2]float64{1500, 2000}},
		{"a spot of 0.23 %", func(m *imageio.Image) {
			for y := range 12 {
				for x := range 13 {
					m.Pix[(100+y)*m.W+128+x] = 65535
				}
			}
		}, [2]float64{65535, 65535}, [2]float64{2000, 11000}},
		{"150 hot pixels", func(m *imageio.Image) {
			for k := range 150 {
				m.Pix[k*431] = 65535
			}
		}, [2]float64{65535, 65535}, [2]float64{2000, 11000}},
	} {
		m := spots(16, 100, 2000, 60, 22, 8)
		c.spoil(m)
		for _, w := range []struct {
			in   Input
			want [2]float64
		}{{old, c.before}, {in, c.now}} {
			if hi := high(w.in, m); hi < w.want[0] || hi > w.want[1] {
				t.Errorf("%s: 1 is %g with outliers %g, want %v", c.name, hi, w.in.Outliers, w.want)
			}
		}
	}
	single := spots(8, 10, 200, 6, 1, 8) // 0.3 % of the field
	if a, b := high(old, single), high(in, single); a != b || a < 100 {
		t.Errorf("a single nucleus: 1 is %g, %g without the bound", b, a)
	}
}
