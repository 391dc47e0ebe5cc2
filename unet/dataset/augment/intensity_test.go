package augment

import (
	"maps"
	"math"
	"slices"
	"testing"

	"unet/unet/imageio"
)

func TestIntensityFormula(t *testing.T) {
	const size = 16
	for _, c := range []struct {
		name string
		p    Policy
		want func(v float64) float64
	}{
		{"invert", Policy{Invert: 1}, func(v float64) float64 { return 1 - v }},
		{"gain", Policy{Intensity: 1, Gain: [2]float64{3, 3}}, func(v float64) float64 { return 3 * v }},
		{"gain of inverse", Policy{Invert: 1, Intensity: 1, Gain: [2]float64{3, 3}}, func(v float64) float64 { return 3 * (1 - v) }},
		{"gamma", Policy{Intensity: 1, Gamma: [2]float64{2, 2}}, func(v float64) float64 { return v * math.Abs(v) }},
		{"all", Policy{Invert: 1, Intensity: 1, Gamma: [2]float64{2, 2}, Gain: [2]float64{3, 3}}, func(v float64) float64 { return 3 * (1 - v) * math.Abs(1-v) }},
	} {
		img := imageio.NewImage(size, size, 1)
		for i := range img.Pix {
			img.Pix[i] = float32(i)/128 - 0.4 // below 0 and above 1, too
		}
		s, err := NewLabelled(img, imageio.NewLabels(size, size))
		if err != nil {
			t.Fatal(err)
		}
		out, ids := make([]float32, 3*size*size), make([]uint32, size*size)
		c.p.Size = size
		c.p.Patch(source(1), s, nil, out, 3, ids)
		for i, v := range out {
			if d := math.Abs(float64(v) - c.want(float64(img.Pix[i%256]))); d > 1e-4 {
				t.Errorf("%s: %v became %v, off by %v", c.name, img.Pix[i%256], v, d)
				break
			}
		}
	}
	// The offset is drawn: all of its range, the same for the whole patch.
	s, _ := NewLabelled(imageio.NewImage(size, size, 1), imageio.NewLabels(size, size))
	lo, hi := 0.0, 0.0
	rng := source(2)
	for range 200 {
		out, ids := make([]float32, size*size), make([]uint32, size*size)
		Policy{Size: size, Intensity: 1, Offset: 0.5}.Patch(rng, s, nil, out, 1, ids)
		lo, hi = min(lo, float64(out[0])), max(hi, float64(out[0]))
		if slices.Min(out) != slices.Max(out) {
			t.Fatal("offset differs within a patch")
		}
	}
	if lo < -0.5 || lo > -0.45 || hi > 0.5 || hi < 0.45 {
		t.Errorf("offsets from %v to %v, want -0.5 to 0.5", lo, hi)
	}
}

func TestColourMixes(t *testing.T) {
	const n = 64
	img := imageio.NewImage(8, 8, 3)
	for i := range n {
		img.Plane(0)[i] = 1 // red
	}
	s, err := NewLabelled(img, imageio.NewLabels(8, 8))
	if err != nil {
		t.Fatal(err)
	}
	rng := source(22)
	out, ids := make([]float32, 3*n), make([]uint32, n)
	draw := func(p Policy, channels int) [3]float32 {
		p.Size = 8
		clear(out)
		p.Patch(rng, s, nil, out[:channels*n], channels, ids)
		return [3]float32{out[0], out[n], out[2*n]}
	}
	if got := draw(Policy{}, 1); got[0] != luma[0] {
		t.Errorf("one channel of red is %v, want its luminance %v", got[0], luma[0])
	}
	if got := draw(Policy{Gray: 1}, 3); got != [3]float32{luma[0], luma[0], luma[0]} {
		t.Errorf("gray of red is %v, want its luminance %v", got, luma[0])
	}
	shuffled, dark := map[[3]float32]bool{}, map[float32]bool{}
	for range 100 {
		shuffled[draw(Policy{ChannelShuffle: 1}, 3)] = true
		dark[draw(Policy{ChannelShuffle: 1, Gray: 1}, 3)[1]] = true
	}
	want := map[[3]float32]bool{{1, 0, 0}: true, {0, 1, 0}: true, {0, 0, 1}: true}
	if !maps.Equal(shuffled, want) {
		t.Errorf("red shuffled gives %v, want the three pure colours", shuffled)
	}
	if !maps.Equal(dark, map[float32]bool{luma[0]: true, luma[1]: true, luma[2]: true}) {
		t.Errorf("red shuffled, then gray, gives %v, want the three luminances", dark)
	}
	gray := imageio.NewImage(8, 8, 1)
	for i := range gray.Pix {
		gray.Pix[i] = 1
	}
	if s, err = NewLabelled(gray, imageio.NewLabels(8, 8)); err != nil {
		t.Fatal(err)
	}
	if got := draw(Policy{Gray: 1, Colour: 1, ChannelShuffle: 1, Hue: 0.5}, 3); got != [3]float32{1, 1, 1} {
		t.Errorf("colour changes made %v of gray", got)
	}
	for range 100 {
		got := draw(Policy{Tint: 1}, 3)
		if max(got[0], got[1], got[2]) != 1 || min(got[0], got[1], got[2]) < 0 || got == [3]float32{1, 1, 1} {
			t.Fatalf("tint %v, want one full channel and two weaker ones", got)
		}
	}
}

func TestHueSaturationKeepsGrayAndLuminance(t *testing.T) {
	m := hueSaturation(0.3, 1.4)
	for i, row := range m {
		if sum := row[0] + row[1] + row[2]; math.Abs(float64(sum)-1) > 1e-5 {
			t.Errorf("row %d sums to %v: gray is changed", i, sum)
		}
	}
	third := hueSaturation(1.0/3, 1).times(matrix{{1}, {0}, {0}}) // red turns to green
	if math.Abs(float64(third[0][0])) > 1e-6 || math.Abs(float64(third[1][0])-1) > 1e-6 || math.Abs(float64(third[2][0])) > 1e-6 {
		t.Errorf("red turned by a third is %v, want green", third)
	}
	dull := hueSaturation(0, 0)
	if dull != (matrix{luma, luma, luma}) {
		t.Errorf("saturation 0 is %v, want luminance", dull)
	}
}

func TestCurveFollowsFunction(t *testing.T) {
	rng := source(16)
	s := make([]float32, 4000)
	for i := range s {
		s[i] = float32(rng.NormFloat64())
	}
	want := slices.Clone(s)
	f := func(v float64) float64 { return 2*math.Tanh(v) - 0.1 }
	new(scratch).curve(s, f)
	for i, v := range want {
		if d := math.Abs(float64(s[i]) - f(float64(v))); d > 1e-3 {
			t.Fatalf("f(%v) = %v, off by %v", v, s[i], d)
		}
	}
	flat := []float32{0.5, 0.5}
	new(scratch).curve(flat, f)
	if math.Abs(float64(flat[0])-f(0.5)) > 1e-6 {
		t.Errorf("flat plane: %v, want %v", flat[0], f(0.5))
	}
}

func TestBlurMatchesDirectSum(t *testing.T) {
	rng := source(17)
	for _, size := range []int{8, 21} {
		for _, sigma := range []float64{0.3, 1, 1.5, maxBlur} {
			in := make([]float32, size*size)
			for i := range in {
				in[i] = float32(rng.Float64())
			}
			got := slices.Clone(in)
			new(scratch).blur(got, size, sigma)
			r := min(int(math.Ceil(2.5*sigma)), size-1)
			mirror := func(i int) int {
				if i < 0 {
					i = -i
				}
				if i >= size {
					i = 2*(size-1) - i
				}
				return i
			}
			for y := range size {
				for x := range size {
					sum, weight := 0.0, 0.0
					for dy := -r; dy <= r; dy++ {
						for dx := -r; dx <= r; dx++ {
							g := math.Exp(-float64(dx*dx+dy*dy) / (2 * sigma * sigma))
							sum += g * float64(in[mirror(y+dy)*size+mirror(x+dx)])
							weight += g
						}
					}
					if d := math.Abs(sum/weight - float64(got[y*size+x])); d > 1e-5 {
						t.Fatalf("size %d sigma %v at (%d, %d): off by %v", size, sigma, x, y, d)
					}
				}
			}
		}
	}
}

func TestNoiseHasItsDeviation(t *testing.T) {
	for _, photon := range []bool{false, true} {
		s := make([]float32, 100001)
		for i := range s {
			s[i] = 0.25
		}
		noise(source(18), s, 0.1, photon)
		mean, square, next := 0.0, 0.0, 0.0
		for i, v := range s {
			d := float64(v) - 0.25
			mean += d
			square += d * d
			if i > 0 {
				next += d * (float64(s[i-1]) - 0.25)
			}
		}
		n := float64(len(s))
		want := 0.1
		if photon {
			want = 0.05
		}
		sigma := math.Sqrt(square / n)
		if math.Abs(mean/n) > 0.002 || math.Abs(sigma-want) > 0.01*want || math.Abs(next/square) > 0.02 {
			t.Errorf("photon %v: mean %v, deviation %v (want %v), correlation of neighbours %v", photon, mean/n, sigma, want, next/square)
		}
	}
}
