package unet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"unet/core"
	"unet/core/coretest"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// testPredictor is a small network with random weights, with all heads unless
// some are named, whose foreground covers about half of a noise image.
func testPredictor(t *testing.T, depth int, heads ...string) *Predictor {
	t.Helper()
	if heads == nil {
		heads = []string{HeadForeground, HeadBorder, HeadDistance}
	}
	card := Card{Kind: Nuclei, Arch: Arch{Channels: 3, Depth: depth, Width: 16, Norm: "batch", Heads: heads},
		Input: Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.5,
		Instance: instance.Params{Foreground: 0.5, Seed: 0.3, Prominence: 0.02, Border: 0.5, MinArea: 4, FillHoles: true}}
	m, err := NewModel(card, 3, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := core.NewEngine("", 2)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPredictor(e, m)
	t.Cleanup(func() { p.Close(); e.Close(); m.Params.Free() })
	return p
}

// blobs is an image with smooth spots and noise.
func blobs(w, h, c int, seed uint64) *imageio.Image {
	rng := rand.New(rand.NewPCG(seed, 1))
	small := imageio.NewImage(w/9+2, h/9+2, c)
	for i := range small.Pix {
		small.Pix[i] = float32(rng.IntN(200))
	}
	m := imageio.Resample(small, w, h)
	m.Bits = 8
	for i := range m.Pix {
		m.Pix[i] = float32(int(m.Pix[i]) + rng.IntN(20))
	}
	return m
}

func rowsOf(m *imageio.Image) Rows {
	return Rows{W: m.W, H: m.H, Read: func(y, h int) (*imageio.Image, error) {
		out := imageio.NewImage(m.W, h, m.C)
		out.Bits, out.Float = m.Bits, m.Float
		for c := range m.C {
			copy(out.Plane(c), m.Plane(c)[y*m.W:])
		}
		return out, nil
	}}
}

// TestBandsEqualWhole predicts images held whole and by bands, in small tiles.
func TestBandsEqualWhole(t *testing.T) {
	coretest.NeedsKernels(t)
	ctx := context.Background()
	for _, k := range []struct {
		depth, w, h, c, tileW, tileH int
		tta                          bool
	}{
		{2, 333, 517, 1, 256, 192, false},
		{2, 517, 200, 3, 192, 256, true},
		{1, 130, 5, 1, 192, 192, false},
		{3, 331, 403, 1, 256, 256, false},
	} {
		t.Run(fmt.Sprintf("depth %d, %dx%dx%d", k.depth, k.w, k.h, k.c), func(t *testing.T) {
			p := testPredictor(t, k.depth)
			p.TTA = k.tta
			img := blobs(k.w, k.h, k.c, 7)
			untiled, err := p.Maps(ctx, img)
			if err != nil {
				t.Fatal(err)
			}
			p.whole, p.tileW, p.tileH = 0, k.tileW, k.tileH
			whole, err := p.Maps(ctx, img)
			if err != nil {
				t.Fatal(err)
			}
			foreground := whole.Plane(instance.Foreground)
			for i, v := range untiled.Plane(instance.Foreground) {
				if d := v - foreground[i]; !(d < 1e-5 && d > -1e-5) {
					t.Fatalf("pixel (%d, %d) is %v in tiles, %v in one piece", i%k.w, i/k.w, foreground[i], v)
				}
			}
			// A random network knows no nuclei: take half of all pixels.
			sorted := slices.Clone(foreground)
			slices.Sort(sorted)
			p.model.Card.Instance.Foreground = float64(sorted[len(sorted)/2])
			want := p.model.Card.Separate(whole)
			wantNuclei := instance.Measure(want, img)

			levels, err := p.model.Card.Input.Levels(ctx, rowsOf(img))
			if err != nil {
				t.Fatal(err)
			}
			got := imageio.NewLabels(k.w, k.h)
			var nuclei []instance.Nucleus
			stream := instance.NewStream(k.w, p.model.Card.Instance, func(b instance.Block) error {
				copy(got.ID[b.Y*k.w:], b.Labels.ID)
				nuclei = append(nuclei, b.Nuclei...)
				return nil
			})
			next := 0
			err = p.Bands(ctx, rowsOf(img), levels, func(y int, m instance.Maps, rows *imageio.Image) error {
				if y != next || rows.H != m.H {
					t.Fatalf("band at row %d of %d rows, want row %d", y, m.H, next)
				}
				next += m.H
				for _, name := range whole.Names {
					if !slices.Equal(m.Plane(name), whole.Plane(name)[y*k.w:(y+m.H)*k.w]) {
						t.Errorf("%s at row %d differs from the whole image's", name, y)
					}
				}
				return stream.Add(m, rows)
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Close(); err != nil {
				t.Fatal(err)
			}
			if next != k.h {
				t.Fatalf("%d rows of %d", next, k.h)
			}
			if !slices.Equal(got.ID, want.ID) {
				t.Error("labels differ from the whole image's")
			}
			if len(nuclei) != len(wantNuclei) || k.h > 100 && len(nuclei) < 5 {
				t.Fatalf("%d nuclei, whole image %d", len(nuclei), len(wantNuclei))
			}
			for i, n := range nuclei {
				w := wantNuclei[i]
				if n.ID != w.ID || n.Area != w.Area || n.X != w.X || n.Channels[0] != w.Channels[0] {
					t.Fatalf("nucleus %d: %+v, whole image %+v", i, n, w)
				}
			}
		})
	}
}

// TestLevels compares levels found by bands with those of the whole image.
func TestLevels(t *testing.T) {
	in := Input{Normalise: "percentile", Low: 1, High: 99.8}
	gray := blobs(300, 200, 1, 5)
	float := blobs(300, 200, 1, 6)
	float.Float, float.Bits = true, 32
	for i := range float.Pix {
		float.Pix[i] = float.Pix[i]*0.37 - 9
	}
	signed := blobs(300, 200, 1, 7)
	for i := range signed.Pix {
		signed.Pix[i] -= 30
		if i%40 == 0 {
			signed.Pix[i] = -32768
		}
	}
	same := &imageio.Image{W: 300, H: 200, C: 3, Bits: 8, Pix: slices.Concat(gray.Pix, gray.Pix, gray.Pix)}
	for _, k := range []struct {
		name string
		img  *imageio.Image
		gray bool
	}{{"gray", gray, false}, {"float", float, false}, {"signed", signed, false}, {"colour", blobs(300, 200, 3, 8), false}, {"gray in colour", same, true},
		{"constant", imageio.NewImage(9, 9, 1), false}} {
		l, err := in.Levels(context.Background(), rowsOf(k.img))
		if err != nil {
			t.Fatal(err)
		}
		m := k.img
		if k.gray {
			m = m.Gray()
		}
		want := in.levelsOf(m.Pix, m)
		want.Gray = k.gray
		if l != want {
			t.Errorf("%s: %+v, want %+v", k.name, l, want)
		}
	}
}

// TestCuts checks that tiles cover every pixel once, with the halo they need.
func TestCuts(t *testing.T) {
	for _, depth := range []int{1, 2, 4, 5} {
		a := Arch{Depth: depth}
		for _, tile := range []int{64, 448, 512, 1536} {
			for n := 1; n < 4000; n += 1 + n/7 {
				list := a.cuts(n, tile)
				end := (n + a.Multiple() - 1) / a.Multiple() * a.Multiple()
				from := 0
				for _, c := range list {
					if c.from != from || c.to <= c.from || c.size != list[0].size || c.start%64 != 0 || c.size%a.Multiple() != 0 {
						t.Fatalf("depth %d, tile %d, %d pixels: %+v", depth, tile, n, list)
					}
					if c.start > 0 && c.from-c.start < a.Halo() || c.start+c.size < end && c.start+c.size-c.to < a.Halo() || c.start+c.size > end {
						t.Fatalf("depth %d, tile %d, %d pixels: tile %+v lacks its halo of %d", depth, tile, n, c, a.Halo())
					}
					from = c.to
				}
				if from != n {
					t.Fatalf("depth %d, tile %d: %d of %d pixels", depth, tile, from, n)
				}
			}
		}
	}
}

// TestMaxRows checks that a slide fits 2 GiB and that too little is refused.
func TestMaxRows(t *testing.T) {
	p := testPredictor(t, 4)
	rows, network, err := p.MaxRows(40000, 40000, 40000, 1, 2<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows, network %d MiB", rows, network>>20)
	if rows < 512 {
		t.Errorf("%d rows", rows)
	}
	if _, _, err := p.MaxRows(40000, 40000, 40000, 1, 512<<20); err == nil {
		t.Error("512 MiB accepted")
	}
	// An image that the network sees as one tile takes the memory of that tile.
	side := 1 << 10
	for side*side < p.tileW*p.tileH {
		side += 32
	}
	if _, one, err := p.MaxRows(side, side, side, 1, 2<<30); err != nil || side*side > p.whole || one <= network {
		t.Errorf("%d bytes for one tile of %d x %d, %d for one of %d x %d: %v", one, side, side, network, p.tileW, p.tileH, err)
	}
	// Where nuclei are rated, two maps of float32 more are held.
	p.model.Card.Instance.Confidence = instance.Calibration{1}
	rated, _, err := p.MaxRows(40000, 40000, 40000, 1, 2<<30)
	if err != nil {
		t.Fatal(err)
	}
	const row = 40000 * (streamBytes + 4)
	if have, want := (rated+streamRows)*(row+2*4*40000), (rows+streamRows)*row; have > want+row || have < want-2*row {
		t.Errorf("%d rows of rated nuclei, %d of others", rated, rows)
	}
}
