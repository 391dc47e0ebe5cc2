package augment

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"unet/unet/imageio"
)

// discs draws bright discs on a dark ground, one instance each, without
// touching. Colour planes differ by a factor.
func discs(rng *rand.Rand, w, h, channels, count int, radius float64) Labelled {
	img, lab := imageio.NewImage(w, h, channels), imageio.NewLabels(w, h)
	for id := uint32(1); id <= uint32(count); id++ {
		cx, cy := rng.Float64()*float64(w), rng.Float64()*float64(h)
		free := true
		for y := range h {
			for x := range w {
				if math.Hypot(float64(x)-cx, float64(y)-cy) < radius+2 && lab.ID[y*w+x] != 0 {
					free = false
				}
			}
		}
		for y := 0; free && y < h; y++ {
			for x := range w {
				if math.Hypot(float64(x)-cx, float64(y)-cy) < radius {
					lab.ID[y*w+x] = id
				}
			}
		}
	}
	for i, id := range lab.ID {
		for c := range channels {
			if id != 0 {
				img.Plane(c)[i] = 1 - 0.1*float32(c)
			}
		}
	}
	s, err := NewLabelled(img, lab)
	if err != nil {
		panic(err)
	}
	return s
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func TestNewLabelled(t *testing.T) {
	lab := &imageio.Labels{W: 4, H: 3, ID: []uint32{
		7, 7, 0, 2,
		0, 7, 0, 2,
		0, 0, 7, 0,
	}}
	s, err := NewLabelled(imageio.NewImage(4, 3, 1), lab)
	if err != nil {
		t.Fatal(err)
	}
	want := []Nucleus{{ID: 7, X0: 0, Y0: 0, X1: 3, Y1: 3, Area: 4}, {ID: 2, X0: 3, Y0: 0, X1: 4, Y1: 2, Area: 2}}
	if !slices.Equal(s.Nuclei, want) {
		t.Errorf("nuclei %v, want %v", s.Nuclei, want)
	}
	for name, img := range map[string]*imageio.Image{
		"channels": imageio.NewImage(4, 3, 2),
		"size":     imageio.NewImage(3, 4, 1),
		"samples":  {W: 4, H: 3, C: 1, Pix: make([]float32, 11)},
		"empty":    imageio.NewImage(0, 3, 1),
	} {
		if _, err := NewLabelled(img, lab); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// crop reports where in s the patch lies exactly as it is, turned by one of
// the eight symmetries.
func crop(s Labelled, out []float32, ids []uint32, size, symmetries int) bool {
	for k := range symmetries {
		for y0 := 0; y0+size <= s.Image.H; y0++ {
		place:
			for x0 := 0; x0+size <= s.Image.W; x0++ {
				for i := range ids {
					x, y := i%size, i/size
					if k&1 != 0 {
						x = size - 1 - x
					}
					if k&2 != 0 {
						y = size - 1 - y
					}
					if k&4 != 0 {
						x, y = y, x
					}
					at := (y0+y)*s.Image.W + x0 + x
					if s.Labels.ID[at] != ids[i] {
						continue place
					}
					for c := range s.Image.C {
						if s.Image.Plane(c)[at] != out[c*size*size+i] {
							continue place
						}
					}
				}
				return true
			}
		}
	}
	return false
}

func TestNoneAndFlipsCopyExactly(t *testing.T) {
	rng := source(3)
	for _, channels := range []int{1, 3} {
		s := discs(rng, 29, 23, channels, 6, 4)
		for i := range s.Image.Pix {
			s.Image.Pix[i] += float32(rng.Float64()) - 0.3
		}
		const size = 17
		out, ids := make([]float32, channels*size*size), make([]uint32, size*size)
		for range 20 {
			None(size).Patch(rng, s, nil, out, channels, ids)
			if !crop(s, out, ids, size, 1) {
				t.Fatalf("%d channels: patch of None is no crop of the image", channels)
			}
			Flips(size).Patch(rng, s, nil, out, channels, ids)
			if !crop(s, out, ids, size, 8) {
				t.Fatalf("%d channels: patch of Flips is no turned crop of the image", channels)
			}
		}
	}
}

func TestWholeImageSeesEightSymmetries(t *testing.T) {
	rng := source(4)
	const size = 16
	img, lab := imageio.NewImage(size, size, 1), imageio.NewLabels(size, size)
	for i := range img.Pix {
		img.Pix[i] = float32(i)
	}
	s, err := NewLabelled(img, lab)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[2]float32]int{}
	out, ids := make([]float32, size*size), make([]uint32, size*size)
	for range 800 {
		Flips(size).Patch(rng, s, nil, out, 1, ids)
		seen[[2]float32{out[0], out[1]}]++
	}
	if len(seen) != 8 {
		t.Fatalf("%d different patches, want 8: %v", len(seen), seen)
	}
	for k, n := range seen {
		if n < 60 || n > 140 {
			t.Errorf("symmetry %v drawn %d times of 800, want about 100", k, n)
		}
	}
}

func TestPlacesAreUniform(t *testing.T) {
	rng := source(5)
	img := imageio.NewImage(13, 8, 1)
	for i := range img.Pix {
		img.Pix[i] = float32(i % 13)
	}
	s, err := NewLabelled(img, imageio.NewLabels(13, 8))
	if err != nil {
		t.Fatal(err)
	}
	var seen [6]int
	out, ids := make([]float32, 64), make([]uint32, 64)
	for range 6000 {
		None(8).Patch(rng, s, nil, out, 1, ids)
		seen[int(out[0])]++
	}
	for x, n := range seen {
		if n < 850 || n > 1150 {
			t.Errorf("crop at column %d drawn %d times of 6000, want about 1000", x, n)
		}
	}
}

func TestPatchIsDeterministicAndFinite(t *testing.T) {
	rng := source(11)
	everything := Strong(96)
	for _, prob := range []*float64{&everything.Rotate, &everything.Elastic, &everything.CopyPaste, &everything.Gray,
		&everything.ChannelShuffle, &everything.Colour, &everything.Tint, &everything.Invert, &everything.Intensity,
		&everything.Blur, &everything.Noise} {
		*prob = 1
	}
	for _, c := range []struct{ image, patch int }{{1, 1}, {1, 3}, {3, 1}, {3, 3}} {
		s := discs(rng, 120, 80, c.image, 6, 8)
		donor := discs(rng, 60, 60, 4-c.image, 3, 8)
		for _, p := range []Policy{Strong(96), everything} {
			for seed := range uint64(20) {
				var out [2][]float32
				var ids [2][]uint32
				for k := range out {
					out[k], ids[k] = make([]float32, c.patch*96*96), make([]uint32, 96*96)
					for i := range out[k] {
						out[k][i] = float32(k) // what was there before must not matter
					}
					p.Patch(source(seed), s, []Labelled{donor, s}, out[k], c.patch, ids[k])
				}
				if !slices.Equal(out[0], out[1]) || !slices.Equal(ids[0], ids[1]) {
					t.Fatalf("%+v seed %d: two runs differ", c, seed)
				}
				for i, v := range out[0] {
					if math.IsNaN(float64(v)) || math.Abs(float64(v)) > 20 {
						t.Fatalf("%+v seed %d: sample %d is %v", c, seed, i, v)
					}
				}
			}
		}
	}
}

func TestPatchDoesNotTouchItsSource(t *testing.T) {
	rng := source(12)
	s := discs(rng, 90, 90, 3, 5, 8)
	pix, lab := slices.Clone(s.Image.Pix), slices.Clone(s.Labels.ID)
	out, ids := make([]float32, 3*64*64), make([]uint32, 64*64)
	for range 50 {
		Strong(64).Patch(rng, s, nil, out, 3, ids)
	}
	if !slices.Equal(pix, s.Image.Pix) || !slices.Equal(lab, s.Labels.ID) {
		t.Error("Patch changed the image or its labels")
	}
}

func TestPatchAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector drops pooled memory at random")
	}
	rng := source(13)
	s := discs(rng, 200, 200, 3, 10, 9)
	out, ids := make([]float32, 3*128*128), make([]uint32, 128*128)
	donors := []Labelled{s}
	var target TargetMaps
	run := func() {
		Strong(128).Patch(rng, s, donors, out, 3, ids)
		Targets(ids, 128, 128, &target)
	}
	for range 50 {
		run()
	}
	if n := testing.AllocsPerRun(100, run); n > 0.5 {
		t.Errorf("%v allocations per patch, want 0", n)
	}
}

func TestForegroundShowsNuclei(t *testing.T) {
	rng := source(14)
	s := discs(rng, 800, 800, 1, 2, 8)
	out, ids := make([]float32, 64*64), make([]uint32, 64*64)
	p := Policy{Size: 64, Foreground: 1}
	for range 100 {
		p.Patch(rng, s, nil, out, 1, ids)
		if slices.Max(ids) == 0 {
			t.Fatal("patch centred on a nucleus shows none")
		}
	}
}

func TestValidate(t *testing.T) {
	for _, p := range []Policy{None(64), Flips(128), Strong(256)} {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
	}
	for name, change := range map[string]func(*Policy){
		"no size":           func(p *Policy) { p.Size = 0 },
		"huge size":         func(p *Policy) { p.Size = 1 << 20 },
		"probability":       func(p *Policy) { p.Blur = 1.5 },
		"NaN":               func(p *Policy) { p.Noise = math.NaN() },
		"scale order":       func(p *Policy) { p.Scale = [2]float64{2, 0.5} },
		"scale zero":        func(p *Policy) { p.Scale = [2]float64{0, 1} },
		"folding elastic":   func(p *Policy) { p.ElasticPixels = 30 },
		"blur out of range": func(p *Policy) { p.BlurSigma = 50 },
	} {
		p := Strong(64)
		change(&p)
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func everythingOn(size int) Policy {
	p := Strong(size)
	p.Rotate, p.Elastic, p.CopyPaste, p.Gray, p.ChannelShuffle, p.Colour = 1, 1, 1, 1, 1, 1
	p.Invert, p.Intensity, p.Blur, p.Noise = 1, 1, 1, 1
	return p
}

func BenchmarkPatch(b *testing.B) {
	rng := source(19)
	s := discs(rng, 512, 512, 3, 60, 11)
	out, ids := make([]float32, 3*256*256), make([]uint32, 256*256)
	shrunk := everythingOn(256)
	shrunk.Scale = [2]float64{0.5, 0.5}
	for _, c := range []struct {
		name string
		p    Policy
	}{{"None", None(256)}, {"Flips", Flips(256)}, {"Strong", Strong(256)}, {"Everything", everythingOn(256)}, {"EverythingShrunk", shrunk}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.p.Patch(rng, s, nil, out, 3, ids)
			}
		})
	}
}
