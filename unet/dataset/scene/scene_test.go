package scene

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"unet/unet/imageio"
)

func library(t testing.TB) *Library {
	t.Helper()
	lib := NewLibrary(20)
	for k, style := range []Style{SmallFluorescence, LargeFluorescence, PurpleStain} {
		m, l := Field(style, 192, 192, rand.New(rand.NewPCG(3, uint64(k))))
		for i := range m.Pix {
			m.Pix[i] /= 255
		}
		lib.Add(m, l)
	}
	if len(lib.bright) < 5 || len(lib.dark) < 5 {
		t.Fatalf("%d bright and %d dark nuclei", len(lib.bright), len(lib.dark))
	}
	return lib
}

// Scenes follow from the seed; their labels are 1..n without gaps, each
// nucleus is one piece of more than a speck, and scenes are as crowded, as
// varied and as visible as they say.
func TestCrowded(t *testing.T) {
	lib := library(t)
	touching, gray, colour := 0, 0, 0
	for k := range uint64(24) {
		draw := func(lib *Library) (*imageio.Image, *imageio.Labels) {
			return Crowded(128, 96, lib, rand.New(rand.NewPCG(1, k)))
		}
		with := lib
		if k%3 == 0 {
			with = nil
		}
		m, l := draw(with)
		again, _ := draw(with)
		if digest(m) != digest(again) {
			t.Errorf("scene %d differs from itself", k)
		}
		if m.W != 128 || m.H != 96 || m.C != 1 && m.C != 3 || l.W != 128 || l.H != 96 {
			t.Fatalf("scene %d: %dx%dx%d", k, m.W, m.H, m.C)
		}
		if m.C == 1 {
			gray++
		} else {
			colour++
		}
		area := make([]int, l.Max()+1)
		for i, id := range l.ID {
			area[id]++
			if x := i % l.W; x > 0 && id != 0 && l.ID[i-1] != 0 && l.ID[i-1] != id {
				touching++
			}
		}
		for id, n := range area[1:] {
			if n < MinNucleus {
				t.Errorf("scene %d: nucleus %d has %d pixels", k, id+1, n)
			}
		}
		for _, v := range m.Pix {
			if v < 0 || v > 255 || v != float32(math.Round(float64(v))) {
				t.Fatalf("scene %d: a sample of %g", k, v)
			}
		}
	}
	if touching < 500 || gray < 8 || colour < 1 {
		t.Errorf("touching along %d pixels; %d gray, %d in colour", touching, gray, colour)
	}
}

func digest(m *imageio.Image) [32]byte {
	b := make([]byte, 0, 4*len(m.Pix))
	for _, v := range m.Pix {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return sha256.Sum256(b)
}

// A nucleus drawn upright and in its own size is the one that was cut out.
func TestRealNucleusKeepsItsShape(t *testing.T) {
	m, l := imageio.NewImage(64, 64, 1), imageio.NewLabels(64, 64)
	for y := range 64 {
		for x := range 64 {
			u, v := float64(x-30)/14, float64(y-33)/8
			if u*u+v*v <= 1 {
				l.ID[y*64+x] = 1
				m.Pix[y*64+x] = 0.3 + 0.01*float32(x)
			}
		}
	}
	lib := NewLibrary(5)
	lib.Add(m, l)
	if lib.Len() != 1 {
		t.Fatalf("%d nuclei", lib.Len())
	}
	n := lib.bright[0]
	if math.Abs(n.a-14) > 0.5 || math.Abs(n.b-8) > 0.5 || math.Abs(math.Sin(n.angle)) > 0.05 || math.Abs(n.deepest-8) > 1 {
		t.Errorf("axes %.2f and %.2f, angle %.3f, deepest %.2f", n.a, n.b, n.angle, n.deepest)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, angle := range []float64{0, 1, 2.5} {
		b := &body{outline: newOutline(rng, 50, 50, 2*math.Sqrt(14*8), 14.0/8, angle, 0), size: 2 * math.Sqrt(14*8)}
		b.fromLibrary(lib, rng)
		b.raster(100, 100)
		area := 0
		var sxx, sxy, syy float64
		for _, p := range b.pix {
			if p.inside >= 0 {
				area++
				dx, dy := float64(p.at%100)-50, float64(p.at/100)-50
				sxx, sxy, syy = sxx+dx*dx, sxy+dx*dy, syy+dy*dy
			}
		}
		if want := math.Pi * 14 * 8; math.Abs(float64(area)-want) > 0.08*want {
			t.Errorf("at %.1f: %d pixels, want %.0f", angle, area, want)
		}
		if got := math.Atan2(2*sxy, sxx-syy) / 2; math.Abs(math.Sin(got-angle)) > 0.05 {
			t.Errorf("turned by %.3f, want %.3f", got, angle)
		}
	}
}

// The quick blur is a Gaussian one, to a few percent of noise, off the edges.
func TestQuickBlur(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	src := make([]float32, 80*60)
	for i := range src {
		src[i] = rng.Float32()
	}
	for _, sigma := range []float64{1, 4, 9} {
		want, got := blur(src, 80, 60, sigma), quickBlur(src, 80, 60, sigma)
		for i := range want {
			if x, y := i%80, i/80; x < 20 || y < 20 || x >= 60 || y >= 40 {
				continue
			}
			if d := math.Abs(float64(want[i] - got[i])); d > 0.03 {
				t.Fatalf("sigma %g: off by %.3f at %d", sigma, d, i)
			}
		}
	}
}

func BenchmarkCrowded(b *testing.B) {
	lib := library(b)
	for k := 0; b.Loop(); k++ {
		Crowded(192, 192, lib, rand.New(rand.NewPCG(1, uint64(k))))
	}
}
