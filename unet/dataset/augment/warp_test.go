package augment

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"unet/unet/imageio"
)

func TestSmallImageIsReflected(t *testing.T) {
	img := &imageio.Image{W: 3, H: 1, C: 1, Pix: []float32{5, 6, 7}}
	s, err := NewLabelled(img, &imageio.Labels{W: 3, H: 1, ID: []uint32{1, 0, 2}})
	if err != nil {
		t.Fatal(err)
	}
	out, ids := make([]float32, 64), make([]uint32, 64)
	None(8).Patch(source(1), s, nil, out, 1, ids)
	// Mirrored at the edges of the edge pixels: 5 6 7 7 6 5 5 6 …
	walk := []float32{5, 6, 7, 7, 6, 5}
	start := -1
	for k := range walk {
		if out[0] == walk[k] && out[1] == walk[(k+1)%6] {
			start = k
		}
	}
	for i, v := range out {
		if start < 0 || v != walk[(start+i%8)%6] {
			t.Fatalf("row %v, want a part of %v repeated", out[i/8*8:][:8], walk)
		}
		if want := map[float32]uint32{5: 1, 6: 0, 7: 2}[v]; ids[i] != want {
			t.Fatalf("label of sample %v is %d, want %d", v, ids[i], want)
		}
	}
}

// geometric keeps only what moves pixels.
func geometric(p Policy) Policy {
	return Policy{Size: p.Size, Scale: p.Scale, Flip: p.Flip, Rotate: p.Rotate, Elastic: p.Elastic,
		ElasticPixels: p.ElasticPixels, Foreground: p.Foreground, CopyPaste: p.CopyPaste}
}

// Bright discs and their labels must move together.
func TestImageAndLabelsMoveTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := source(rapid.Uint64().Draw(t, "seed"))
		channels := rapid.SampledFrom([]int{1, 3}).Draw(t, "channels")
		s := discs(rng, rapid.IntRange(40, 150).Draw(t, "w"), rapid.IntRange(40, 150).Draw(t, "h"), channels, 8, 9)
		p := geometric(Strong(64))
		p.Rotate = rapid.SampledFrom([]float64{0, 1}).Draw(t, "rotate")
		p.Elastic = rapid.SampledFrom([]float64{0, 1}).Draw(t, "elastic")
		p.CopyPaste = rapid.SampledFrom([]float64{0, 1}).Draw(t, "paste")
		out, ids := make([]float32, 3*64*64), make([]uint32, 64*64)
		p.Patch(rng, s, []Labelled{s}, out, 3, ids)
		for y := 1; y < 63; y++ {
			for x := 1; x < 63; x++ {
				i := y*64 + x
				// Off the outline by a pixel or more, sample and label agree.
				flat := true
				for j := i - 64; j <= i+64; j += 64 {
					for k := j - 1; k <= j+1; k++ {
						flat = flat && ids[k] == ids[i]
					}
				}
				if flat && (out[i] > 0.5) != (ids[i] != 0) {
					t.Fatalf("pixel (%d, %d): sample %v, label %d", x, y, out[i], ids[i])
				}
			}
		}
	})
}

// On an image of ramps a sample tells where it was read, and on labels that
// number the pixels a label does: both must be where the geometry says, to a
// fraction of a pixel.
func TestWarpReadsWhereGeometrySays(t *testing.T) {
	const w, h, size = 301, 260, 40
	img, lab := imageio.NewImage(w, h, 3), imageio.NewLabels(w, h)
	for i := range lab.ID {
		img.Plane(0)[i], img.Plane(1)[i], lab.ID[i] = float32(i%w), float32(i/w), uint32(i)
	}
	s := Labelled{Image: img, Labels: lab}
	buf, ids := make([]float32, 3*size*size), make([]uint32, size*size)
	for _, zoom := range []float64{2, 1, 0.8, 0.6, 0.5, 0.3, 0.25} {
		for _, elastic := range []float64{0, 1} {
			for _, angle := range []float64{0, 0.4, 2, 4} {
				c, sn := turn(angle)
				g := geometry{xx: c / zoom, xy: -sn / zoom, yx: sn / zoom, yy: c / zoom, cx: 150.3, cy: 131.9, zoom: zoom}
				p := Policy{Size: size, Elastic: elastic, ElasticPixels: 3}
				new(warp).run(source(6), p, g, s, buf, ids)
				moved := 0.0
				for i, id := range ids {
					x, y := float64(buf[i]), float64(buf[size*size+i])
					dx, dy := float64(i%size)-(size-1)/2.0, float64(i/size)-(size-1)/2.0
					away := max(math.Abs(x-g.cx-g.xx*dx-g.xy*dy), math.Abs(y-g.cy-g.yx*dx-g.yy*dy))
					moved = max(moved, away*zoom)
					if elastic == 0 && away > 0.005 {
						t.Fatalf("zoom %v angle %v pixel %d: read %v pixels beside", zoom, angle, i, away)
					}
					if d := max(math.Abs(x-float64(id%w)), math.Abs(y-float64(id/w))); d > 0.51 {
						t.Fatalf("zoom %v angle %v elastic %v pixel %d: sample at (%v, %v), label at (%d, %d)", zoom, angle, elastic, i, x, y, id%w, id/w)
					}
				}
				if elastic == 1 && (moved < 0.5 || moved > 9) {
					t.Errorf("elastic deformation moved pixels by up to %v, want some, but at most 9", moved)
				}
			}
		}
	}
}

// Mirrored parts of samples and labels must not drift apart, whatever the
// image's size.
func TestReflectionKeepsLabelsInPlace(t *testing.T) {
	const size = 96
	for _, side := range []int{40, 41, 42, 43} {
		img, lab := imageio.NewImage(side, side, 3), imageio.NewLabels(side, side)
		for i := range lab.ID {
			img.Plane(0)[i], img.Plane(1)[i], lab.ID[i] = float32(i%side), float32(i/side), uint32(i)
		}
		buf, ids := make([]float32, 3*size*size), make([]uint32, size*size)
		for _, zoom := range []float64{1, 0.5, 0.3} {
			g := geometry{xx: 1 / zoom, yy: 1 / zoom, cx: 20, cy: 17, zoom: zoom}
			new(warp).run(source(6), Policy{Size: size}, g, Labelled{Image: img, Labels: lab}, buf, ids)
			// Half a pixel for the label, and what means lose at a mirror.
			limit := 0.51 + (1/zoom-1)/2
			for i, id := range ids {
				x, y := float64(buf[i]), float64(buf[size*size+i])
				if d := max(math.Abs(x-float64(int(id)%side)), math.Abs(y-float64(int(id)/side))); d > limit {
					t.Fatalf("side %d zoom %v pixel %d: sample at (%v, %v), label at (%d, %d)", side, zoom, i, x, y, int(id)%side, int(id)/side)
				}
			}
		}
	}
}

func TestVoteTakesMostWeight(t *testing.T) {
	rng := source(23)
	src := make([]uint32, 4)
	row := make([]uint32, 1)
	for range 5000 {
		for i := range src {
			src[i] = uint32(rng.IntN(3))
		}
		fx, fy := rng.Float32(), rng.Float32()
		w := warp{taps: []tap{{a: 0, b: 1, c: 2, d: 3, fx: fx, fy: fy}}}
		w.vote(row, src)
		var weight [3]float32
		for i, k := range []float32{(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy} {
			weight[src[i]] += k
		}
		if most := slices.Max(weight[:]); most-weight[row[0]] > 1e-6 {
			t.Fatalf("labels %v, weights %v: took %d", src, weight, row[0])
		}
	}
}

// The total area must follow the magnification: catches a scale applied the
// wrong way round or to one of image and labels only.
func TestScaleMagnifies(t *testing.T) {
	rng := source(9)
	s := discs(rng, 200, 200, 1, 1, 12)
	s.Nuclei[0] = nuclei(s.Labels)[0]
	for _, zoom := range []float64{0.5, 1, 2} {
		p := Policy{Size: 100, Scale: [2]float64{zoom, zoom}}
		g := geometry{xx: 1 / zoom, yy: 1 / zoom, zoom: zoom,
			cx: float64(s.Nuclei[0].X0+s.Nuclei[0].X1-1) / 2, cy: float64(s.Nuclei[0].Y0+s.Nuclei[0].Y1-1) / 2}
		out, ids := make([]float32, 10000), make([]uint32, 10000)
		new(warp).run(rng, p, g, s, out, ids)
		area, sum := 0.0, 0.0
		for i, id := range ids {
			sum += float64(out[i])
			if id != 0 {
				area++
			}
		}
		want := float64(s.Nuclei[0].Area) * zoom * zoom
		if math.Abs(area-want) > 0.06*want || math.Abs(sum-want) > 0.04*want {
			t.Errorf("magnified %v times: %v pixels, brightness %v, want about %v", zoom, area, sum, want)
		}
	}
}

// Shrinking must average, not pick: a fine checkerboard becomes gray.
func TestShrinkingAntiAliases(t *testing.T) {
	img := imageio.NewImage(200, 200, 1)
	for i := range img.Pix {
		img.Pix[i] = float32((i%200 + i/200) % 2)
	}
	s, err := NewLabelled(img, imageio.NewLabels(200, 200))
	if err != nil {
		t.Fatal(err)
	}
	out, ids := make([]float32, 64*64), make([]uint32, 64*64)
	for _, zoom := range []float64{0.5, 0.3} {
		Policy{Size: 64, Scale: [2]float64{zoom, zoom}}.Patch(source(2), s, nil, out, 1, ids)
		for i, v := range out {
			if math.Abs(float64(v)-0.5) > 0.2 {
				t.Fatalf("magnified %v times: sample %d is %v, want about 0.5", zoom, i, v)
			}
		}
	}
}

// TestCentre: a window begins at a whole pixel, lies within the image or covers it, where
// such a pixel can be, and is nowhere nearer to where it was to be.
func TestCentre(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for range 2000 {
		w := 1 + rng.IntN(40)
		side := float64(1+rng.IntN(160)) / 4
		c := float64(w)*(1.5*rng.Float64()-0.25) - 0.5
		fits := func(begin float64) bool {
			end := begin + side - 1
			return begin >= 0 && end <= float64(w-1) || begin <= 0 && end >= float64(w-1)
		}
		got := centre(c, w, side) - (side-1)/2
		best, possible := math.Inf(1), false
		for begin := -41; begin <= 41; begin++ {
			if fits(float64(begin)) {
				best, possible = min(best, math.Abs(float64(begin)+(side-1)/2-c)), true
			}
		}
		if got != math.Trunc(got) || possible && (!fits(got) || math.Abs(got+(side-1)/2-c) > best+1e-9) {
			t.Fatalf("a window of %g at %g in %d pixels begins at %g", side, c, w, got)
		}
	}
}

// TestPatchWithoutNuclei: where there is none to aim at, a patch lies anywhere.
func TestPatchWithoutNuclei(t *testing.T) {
	s, err := NewLabelled(imageio.NewImage(20, 20, 1), imageio.NewLabels(20, 20))
	if err != nil {
		t.Fatal(err)
	}
	p := None(8)
	p.Foreground = 1
	out, ids := make([]float32, 64), make([]uint32, 64)
	p.Patch(source(1), s, nil, out, 1, ids)
	if slices.Max(ids) != 0 {
		t.Errorf("nuclei %v", ids)
	}
}
