package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"unet/unet/imageio"
	"unet/unet/metrics"
)

// blobs draws random overlapping discs, each with its number.
func blobs(seed uint64, w, h, n int) *imageio.Labels {
	r := rand.New(rand.NewPCG(seed, 1))
	l := imageio.NewLabels(w, h)
	for id := 1; id <= n; id++ {
		cx, cy, rad := r.IntN(w), r.IntN(h), 1+r.IntN(max(2, min(w, h)/6))
		for y := max(0, cy-rad); y < min(h, cy+rad+1); y++ {
			for x := max(0, cx-rad); x < min(w, cx+rad+1); x++ {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) <= rad*rad {
					l.ID[y*w+x] = uint32(id)
				}
			}
		}
	}
	return l
}

func grey(w, h int, f func(x, y int) float32) *imageio.Image {
	m := imageio.NewImage(w, h, 1)
	for i := range m.Pix {
		m.Pix[i] = f(i%w, i/w)
	}
	return m
}

func TestStretch(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ramp := grey(1000, 1, func(x, _ int) float32 { return 100 + float32(x)*40 })
	m := Stretch(ramp)
	for _, c := range []struct{ x, want int }{{0, 0}, {10, 0}, {500, 126}, {998, 255}, {999, 255}} {
		if got := int(m.RGBAAt(c.x, 0).R); got < c.want-1 || got > c.want+1 {
			t.Errorf("ramp at %d shows %d, want %d", c.x, got, c.want)
		}
	}
	odd := grey(4, 1, func(x, _ int) float32 { return []float32{nan, inf, -inf, 7}[x] })
	if got := Stretch(odd); got.RGBAAt(0, 0) != (color.RGBA{0, 0, 0, 255}) {
		t.Errorf("NaN is shown as %v", got.RGBAAt(0, 0))
	}
	flat := Stretch(grey(3, 3, func(int, int) float32 { return 900 })).RGBAAt(1, 1)
	if flat.R < 100 || flat.R > 156 {
		t.Errorf("a constant image is shown as %v, want mid-grey", flat)
	}
	if got := Stretch(imageio.NewImage(2, 2, 1)).RGBAAt(1, 1); got.R != 0 {
		t.Errorf("an image of zeros is shown as %v", got)
	}
	for c := range 6 {
		img := imageio.NewImage(5, 3, c)
		for i := range img.Pix {
			img.Pix[i] = float32(i)
		}
		if got := Stretch(img).Rect.Size(); got != image.Pt(5, 3) {
			t.Errorf("%d channels: size %v", c, got)
		}
	}
	Stretch(imageio.NewImage(0, 0, 3))
}

func TestStretchKeepsHues(t *testing.T) {
	img := imageio.NewImage(100, 1, 3)
	for x := range 100 {
		img.Plane(0)[x], img.Plane(1)[x], img.Plane(2)[x] = float32(x), float32(x)/2, 0
	}
	p := Stretch(img).RGBAAt(80, 0)
	if p.R < 2*p.G-4 || p.R > 2*p.G+4 || p.B != 0 {
		t.Errorf("colour 80:40:0 became %v", p)
	}
}

func TestOutline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 30).Draw(t, "w"), rapid.IntRange(1, 30).Draw(t, "h")
		l := blobs(rapid.Uint64().Draw(t, "seed"), w, h, rapid.IntRange(0, 12).Draw(t, "n"))
		for i, on := range outline(l) {
			x, y := i%w, i/w
			other := false
			for _, d := range []image.Point{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
				q := image.Pt(x, y).Add(d)
				if q.In(image.Rect(0, 0, w, h)) && l.ID[q.Y*w+q.X] != l.ID[i] {
					other = true
				}
			}
			if want := other && l.ID[i] != 0; on != want {
				t.Fatalf("pixel %d,%d of label %d: outline %v, want %v", x, y, l.ID[i], on, want)
			}
		}
	})
}

func TestOverlayPaintsOutlinesOnly(t *testing.T) {
	l := blobs(3, 60, 40, 15)
	img := grey(60, 40, func(x, y int) float32 { return float32(x * y % 97) })
	base := Stretch(img)
	m, err := Overlay(img, l, OverlayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	painted := 0
	edge := outline(l)
	casing := slices.Clone(edge)
	eachNeighbour(edge, l, func(i, _ int) { casing[i] = true })
	for i, on := range edge {
		same := get(m, i) == get(base, i)
		if !casing[i] && !same {
			t.Fatalf("pixel %d is painted but lies on no outline or beside one", i)
		}
		if !on && luma(m.Pix[4*i:]) > luma(base.Pix[4*i:]) {
			t.Fatalf("pixel %d beside an outline is brighter than before", i)
		}
		if on && !same {
			painted++
		}
	}
	if painted < 100 {
		t.Errorf("only %d outline pixels painted", painted)
	}
	if m, err = Overlay(img, l, OverlayOptions{Scale: 2.5, Fill: true, IDs: true}); err != nil || m.Rect != image.Rect(0, 0, 150, 100) {
		t.Errorf("scaled overlay: %v, %v", m.Rect, err)
	}
	for _, bad := range []struct {
		img   *imageio.Image
		l     *imageio.Labels
		scale float64
	}{{img, imageio.NewLabels(40, 60), 1}, {img, nil, 1}, {img, l, 1e9}} {
		if _, err := Overlay(bad.img, bad.l, OverlayOptions{Scale: bad.scale}); err == nil {
			t.Errorf("no error for %+v", bad)
		}
	}
	if _, err := Overlay(nil, l, OverlayOptions{Scale: math.NaN()}); err != nil {
		t.Error(err)
	}
}

// TestColours checks on crowded labels that neighbours differ, in the plain
// palette and in those adapted to bright and stained images.
func TestColours(t *testing.T) {
	crowd := imageio.NewLabels(30, 30) // every pixel its own label: 24 neighbours
	for i := range crowd.ID {
		crowd.ID[i] = uint32(i*7919 + 1)
	}
	for name, l := range map[string]*imageio.Labels{"blobs": blobs(1, 80, 80, 60), "crowd": crowd, "empty": imageio.NewLabels(4, 4)} {
		stained := imageio.NewImage(l.W, l.H, 3)
		for i := range l.W * l.H {
			stained.Plane(0)[i], stained.Plane(1)[i], stained.Plane(2)[i] = float32(80+i%100), float32(i%60), 160
		}
		white := Stretch(grey(l.W, l.H, func(x, y int) float32 { return float32(200 + (x+y)%20) }))
		for _, colours := range []map[uint32]color.RGBA{Colours(l), contrasting(Stretch(stained), l, outline(l), colourIndex(l)), contrasting(white, l, outline(l), colourIndex(l))} {
			for i, id := range l.ID {
				if _, ok := colours[id]; ok != (id != 0) {
					t.Fatalf("%s: label %d has a colour: %v", name, id, ok)
				}
				x, y := i%l.W, i/l.W
				for dy := -2; dy <= 2; dy++ {
					for dx := -2; dx <= 2; dx++ {
						if !image.Pt(x+dx, y+dy).In(image.Rect(0, 0, l.W, l.H)) {
							continue
						}
						o := l.ID[(y+dy)*l.W+x+dx]
						if id != 0 && o != 0 && o != id && colours[o] == colours[id] {
							t.Fatalf("%s: labels %d and %d at %d,%d share %v", name, id, o, x, y, colours[id])
						}
					}
				}
			}
		}
	}
}

func TestColourFollowsTheNumber(t *testing.T) {
	a, b := imageio.NewLabels(50, 10), imageio.NewLabels(50, 10)
	a.ID[0], a.ID[25] = 5, 9
	b.ID[13], b.ID[40] = 9, 5
	ca, cb := Colours(a), Colours(b)
	if ca[5] != cb[5] || ca[9] != cb[9] || ca[5] == ca[9] {
		t.Errorf("colours %v and %v", ca, cb)
	}
}

func TestOKLCh(t *testing.T) {
	for _, c := range []struct {
		l, c, h float64
		want    color.RGBA
	}{ // reference values: CSS Color 4, oklch() of the sRGB primaries
		{0.62796, 0.25768, 29.234 / 360, color.RGBA{255, 0, 0, 255}},
		{0.86644, 0.29483, 142.495 / 360, color.RGBA{0, 255, 0, 255}},
		{0.45201, 0.31321, 264.052 / 360, color.RGBA{0, 0, 255, 255}},
		{1, 0, 0, color.RGBA{255, 255, 255, 255}},
	} {
		got := oklch(c.l, c.c, c.h)
		for _, d := range []int{int(got.R) - int(c.want.R), int(got.G) - int(c.want.G), int(got.B) - int(c.want.B)} {
			if d < -12 || d > 12 { // the primaries lie on the border of the gamut, where chroma gives way
				t.Errorf("oklch(%g %g %g) = %v, want about %v", c.l, c.c, c.h, got, c.want)
				break
			}
		}
		if chroma, hue := chromaHue(c.want); c.c > 0 && (math.Abs(chroma-c.c) > 1e-3 || math.Abs(hue-math.Round(hue-c.h)-c.h) > 1e-3) {
			t.Errorf("chroma and hue of %v: %g %g, want %g %g", c.want, chroma, hue, c.c, c.h)
		}
	}
}

func labels(w int, ids ...uint32) *imageio.Labels {
	return &imageio.Labels{W: w, H: len(ids) / w, ID: ids}
}

// black is the backdrop of labels without an image.
func black(t *testing.T, l *imageio.Labels) *image.RGBA {
	t.Helper()
	m, err := backdrop(nil, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPixelErrors(t *testing.T) {
	truth := labels(4, 0, 1, 1, 0)
	pred := labels(4, 0, 9, 0, 7)
	m := pixelErrors(black(t, truth), truth, pred)
	both := mix(color.RGBA{0, 0, 0, 255}, agreeColour, 0.75)
	for x, want := range []color.RGBA{{0, 0, 0, 255}, both, missedColour, inventedColour} {
		if got := m.RGBAAt(x, 0); got != want {
			t.Errorf("pixel %d is %v, want %v", x, got, want)
		}
	}
}

func TestInstanceErrors(t *testing.T) {
	// Columns: matched, missed, split in two, invented, merged, inexact.
	truth := labels(21, 1, 1, 0, 2, 2, 0, 3, 3, 3, 3, 0, 0, 0, 0, 5, 5, 6, 6, 0, 7, 7)
	pred := labels(21, 1, 1, 0, 0, 0, 0, 3, 3, 4, 4, 0, 8, 8, 0, 9, 9, 9, 9, 0, 7, 0)
	m := instanceErrors(black(t, truth), truth, pred, Outcomes{
		Truth: map[uint32]metrics.Outcome{1: metrics.Matched, 2: metrics.Missed, 3: metrics.Split, 5: metrics.Merged, 6: metrics.Merged, 7: metrics.Inexact},
		Pred:  map[uint32]metrics.Outcome{3: metrics.Split, 4: metrics.Split, 8: metrics.Invented, 9: metrics.Merged, 7: metrics.Inexact},
	})
	for x, want := range map[int]color.RGBA{1: agreeColour, 3: missedColour, 4: missedColour, 6: splitColour, 7: splitColour, 8: splitColour, 9: splitColour,
		11: inventedColour, 12: inventedColour, 14: mergedColour, 15: mergedColour, 16: mergedColour, 19: inexactColour, 2: {0, 0, 0, 255}, 13: {0, 0, 0, 255}} {
		if got := m.RGBAAt(x, 0); got != want {
			t.Errorf("pixel %d is %v, want %v", x, got, want)
		}
	}
	if got, want := m.RGBAAt(0, 0), (color.RGBA{0, 0, 0, 255}); got != want {
		t.Errorf("the inside of a matched nucleus is %v, want %v", got, want)
	}
}

// TestErrorColoursForAllKindsOfVision simulates complete colour blindness of
// each kind (Machado, Oliveira and Fernandes, 2009, severity 1, linear light)
// and asks that no two colours of an error picture fall together.
func TestErrorColoursForAllKindsOfVision(t *testing.T) {
	sims := map[string][9]float64{
		"normal": {1, 0, 0, 0, 1, 0, 0, 0, 1},
		"protan": {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998},
		"deutan": {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881},
		"tritan": {1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900},
	}
	for name, m := range sims {
		see := func(c color.RGBA) [3]float64 {
			r, g, b := linear(c.R), linear(c.G), linear(c.B)
			var out [3]float64
			for i := range out {
				out[i] = float64(gamma(m[3*i]*r + m[3*i+1]*g + m[3*i+2]*b))
			}
			return out
		}
		keys := instanceErrorKeys()
		for i, a := range keys {
			for _, b := range keys[:i] {
				p, q := see(a.Colour), see(b.Colour)
				if d := math.Sqrt(math.Pow(p[0]-q[0], 2) + math.Pow(p[1]-q[1], 2) + math.Pow(p[2]-q[2], 2)); d < 55 {
					t.Errorf("%s: %s and %s differ by %.0f only", name, a.Text, b.Text, d)
				}
			}
		}
	}
}

func TestHeatPicture(t *testing.T) {
	m := heatPicture([]float32{0, 1, float32(math.NaN()), -9, 9, 0.5}, 7, 1, 0, 1)
	grey := color.RGBA{128, 128, 128, 255}
	for x, want := range []color.RGBA{{68, 1, 84, 255}, {253, 231, 37, 255}, grey, {68, 1, 84, 255}, {253, 231, 37, 255}, {33, 145, 140, 255}, grey} {
		got := m.RGBAAt(x, 0)
		if d := max(absDiff(got.R, want.R), absDiff(got.G, want.G), absDiff(got.B, want.B)); d > 2 {
			t.Errorf("pixel %d is %v, want %v", x, got, want)
		}
	}
	heatPicture([]float32{1}, 1, 1, 3, 3)
}

func absDiff(a, b uint8) uint8 { return max(a, b) - min(a, b) }

func TestEncodePNG(t *testing.T) {
	m := Stretch(grey(9, 5, func(x, y int) float32 { return float32(x * y) }))
	check := func(want image.Image) {
		var b bytes.Buffer
		if err := EncodePNG(&b, m); err != nil {
			t.Fatal(err)
		}
		got, err := png.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		if got.ColorModel() != want.ColorModel() || got.Bounds() != want.Bounds() {
			t.Fatalf("PNG is %T %v", got, got.Bounds())
		}
		for i := range 45 {
			if color.RGBAModel.Convert(got.At(i%9, i/9)) != m.At(i%9, i/9) {
				t.Fatalf("pixel %d differs", i)
			}
		}
	}
	check(image.NewGray(m.Rect))
	m.SetRGBA(3, 3, color.RGBA{1, 2, 3, 255})
	check(image.NewRGBA(m.Rect))
	if EncodePNG(&bytes.Buffer{}, image.NewRGBA(image.Rect(0, 0, 0, 0))) == nil {
		t.Error("no error for an empty image")
	}
}

func TestResizeLabels(t *testing.T) {
	l := labels(2, 1, 2, 3, 4)
	up := resizeLabels(l, 4, 6)
	for i, id := range up.ID {
		if want := l.ID[i/4/3*2+i%4/2]; id != want {
			t.Fatalf("pixel %d is %d, want %d", i, id, want)
		}
	}
	if back := resizeLabels(up, 2, 2); back.ID[0] != 1 || back.ID[3] != 4 {
		t.Errorf("shrunk to %v", back.ID)
	}
}

func BenchmarkOverlay(b *testing.B) {
	const n = 1024
	l := blobs(1, n, n, 0)
	for i := range l.ID { // a lattice of discs, two thirds of them touching
		x, y := i%n, i/n
		cx, cy := x%24-12, y%24-12
		if cx*cx+cy*cy <= 144 {
			l.ID[i] = uint32(y/24*(n/24+1) + x/24 + 1)
		}
	}
	img := imageio.NewImage(n, n, 3)
	for i := range img.Pix {
		img.Pix[i] = float32(i * 7919 % 251)
	}
	b.SetBytes(n * n)
	for b.Loop() {
		if _, err := Overlay(img, l, OverlayOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// A dark nucleus on a bright background keeps its grey levels, however few its
// pixels are.
func TestStretchKeepsDarkNuclei(t *testing.T) {
	img := grey(100, 100, func(x, y int) float32 {
		if x < 9 && y < 9 { // 0.8 % of the pixels
			return 40 + float32(x)
		}
		return 200 + float32((x+y)%20)
	})
	m := Stretch(img)
	if a, b := m.Pix[4*1], m.Pix[4*8]; a >= b {
		t.Errorf("levels %d and %d inside a dark nucleus: one black spot", a, b)
	}
}
