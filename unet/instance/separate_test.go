package instance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unet/unet/imageio"
)

// scene draws the maps of n discs, touching or not, with noise.
func scene(rng *rand.Rand, w, h, n int, rmin, rmax float64) Maps {
	m := NewMaps(w, h, Foreground, Border, Distance)
	foreground, border, distance := m.Plane(Foreground), m.Plane(Border), m.Plane(Distance)
	type disc struct{ x, y, r float64 }
	discs := make([]disc, n)
	for i := range discs {
		discs[i] = disc{rng.Float64() * float64(w), rng.Float64() * float64(h), rmin + rng.Float64()*(rmax-rmin)}
	}
	for _, d := range discs {
		for y := max(0, int(d.y-d.r)); y <= min(h-1, int(d.y+d.r)); y++ {
			for x := max(0, int(d.x-d.r)); x <= min(w-1, int(d.x+d.r)); x++ {
				q := 1 - math.Hypot(float64(x)-d.x, float64(y)-d.y)/d.r
				if q <= 0 {
					continue
				}
				i := y*w + x
				if foreground[i] > 0 && math.Abs(float64(distance[i])-q) < 0.2 {
					border[i] = 0.9
				}
				foreground[i] = 0.95
				distance[i] = max(distance[i], float32(q))
			}
		}
	}
	for i := range foreground {
		foreground[i] += 0.04 * rng.Float32()
		distance[i] += 0.03 * rng.Float32()
		border[i] += 0.03 * rng.Float32()
	}
	return m
}

// noise is a scene with no structure at all.
func noise(rng *rand.Rand, w, h int) Maps {
	m := NewMaps(w, h, Foreground, Border, Distance)
	foreground, border, distance := m.Plane(Foreground), m.Plane(Border), m.Plane(Distance)
	for i := range foreground {
		foreground[i] = rng.Float32()
		distance[i] = float32(rng.IntN(5)) / 4
		border[i] = float32(rng.IntN(3)) / 2
	}
	return m
}

// reference is Separate written for the reader: every step by its definition.
func reference(m Maps, p Params) *imageio.Labels {
	w, h := m.W, m.H
	foreground, border, distance := m.Plane(Foreground), m.Plane(Border), m.Plane(Distance)
	level := make([]int, w*h)
	for i, v := range foreground {
		if v <= float32(p.Foreground) {
			continue
		}
		var s float32
		switch {
		case distance != nil && border != nil:
			s = distance[i] * (1 - float32(p.Border)*border[i])
		case distance != nil:
			s = distance[i]
		case border != nil:
			s = v * (1 - float32(p.Border)*border[i])
		default:
			s = 1
		}
		level[i] = 1 + int(math.Floor(float64(max(0, min(s, 1))*254+0.5)))
	}
	neighbours := func(i int) []int {
		var n []int
		if i >= w {
			n = append(n, i-w)
		}
		if i%w > 0 {
			n = append(n, i-1)
		}
		if i%w < w-1 {
			n = append(n, i+1)
		}
		if i < w*(h-1) {
			n = append(n, i+w)
		}
		return n
	}
	corners := func(i int) []int {
		n := neighbours(i)
		for _, d := range [4][2]int{{-1, -1}, {1, -1}, {-1, 1}, {1, 1}} {
			if x, y := i%w+d[0], i/w+d[1]; x >= 0 && x < w && y >= 0 && y < h {
				n = append(n, y*w+x)
			}
		}
		return n
	}
	// piece is the set of pixels connected to i through pixels of in.
	piece := func(i int, near func(int) []int, in func(int) bool) []int {
		seen := map[int]bool{i: true}
		list := []int{i}
		for k := 0; k < len(list); k++ {
			for _, q := range near(list[k]) {
				if in(q) && !seen[q] {
					seen[q] = true
					list = append(list, q)
				}
			}
		}
		return list
	}
	seed := 1 + int(p.Seed*254+0.5)
	rise := max(1, int(p.Prominence*254+0.5))
	lab := make([]uint32, w*h)
	type entry struct{ pixel, level int }
	var queue []entry
	var n uint32
	for i, l := range level {
		if l == 0 || l < seed {
			continue
		}
		dynamics := math.MaxInt
		for t := l; t > 0 && dynamics == math.MaxInt; t-- {
			for _, q := range piece(i, corners, func(q int) bool { return level[q] >= t }) {
				if level[q] > l || level[q] == l && q < i {
					dynamics = l - t
				}
			}
		}
		if dynamics >= rise {
			n++
			lab[i] = n
			queue = append(queue, entry{i, l})
		}
	}
	for len(queue) > 0 {
		k := 0
		for j, e := range queue {
			if e.level > queue[k].level {
				k = j
			}
		}
		e := queue[k]
		queue = slices.Delete(queue, k, k+1)
		for _, q := range neighbours(e.pixel) {
			if level[q] > 0 && lab[q] == 0 {
				lab[q] = lab[e.pixel]
				queue = append(queue, entry{q, min(level[q], e.level)})
			}
		}
	}
	for i, l := range level {
		if l == 0 || lab[i] != 0 {
			continue
		}
		px := piece(i, neighbours, func(q int) bool { return level[q] > 0 && lab[q] == 0 })
		if slices.ContainsFunc(px, func(q int) bool { return level[q] >= seed }) {
			n++
			for _, q := range px {
				lab[q] = n
			}
		}
	}
	erase := func(bad func(id uint32, pixels []int) bool) {
		for id := uint32(1); id <= n; id++ {
			var px []int
			for i, v := range lab {
				if v == id {
					px = append(px, i)
				}
			}
			if bad(id, px) {
				for _, i := range px {
					lab[i] = 0
				}
			}
		}
	}
	atEdge := func(i int) bool { return i%w == 0 || i%w == w-1 || i < w || i >= w*(h-1) }
	erase(func(_ uint32, px []int) bool { return len(px) < p.MinArea })
	if p.FillHoles {
		filled := slices.Clone(lab)
		for i, v := range lab {
			if v != 0 {
				continue
			}
			px := piece(i, neighbours, func(q int) bool { return lab[q] == 0 })
			around := map[uint32]bool{}
			outside := false
			for _, q := range px {
				outside = outside || atEdge(q)
				for _, r := range neighbours(q) {
					if lab[r] != 0 {
						around[lab[r]] = true
					}
				}
			}
			if !outside && len(around) == 1 {
				for id := range around {
					filled[i] = id
				}
			}
		}
		lab = filled
	}
	if p.RemoveEdge {
		erase(func(_ uint32, px []int) bool { return slices.ContainsFunc(px, atEdge) })
	}
	out := imageio.NewLabels(w, h)
	final := map[uint32]uint32{}
	for i, v := range lab {
		if v != 0 {
			if final[v] == 0 {
				final[v] = uint32(len(final) + 1)
			}
			out.ID[i] = final[v]
		}
	}
	return out
}

func randomParams(rng *rand.Rand) Params {
	return Params{
		Foreground: 0.2 + 0.6*rng.Float64(), Seed: 0.6 * rng.Float64(), Prominence: 0.3 * rng.Float64(),
		Border: rng.Float64(), MinArea: rng.IntN(12), FillHoles: rng.IntN(2) == 0, RemoveEdge: rng.IntN(3) == 0,
	}
}

// without returns the maps but one.
func (m Maps) without(name string) Maps {
	left := Maps{W: m.W, H: m.H}
	for _, n := range m.Names {
		if n != name {
			left.Names, left.Pix = append(left.Names, n), append(left.Pix, m.Plane(n)...)
		}
	}
	return left
}

// randomMaps draws a small scene or noise, with or without its maps.
func randomMaps(rng *rand.Rand, w, h int) Maps {
	m := noise(rng, w, h)
	if rng.IntN(2) == 0 {
		m = scene(rng, w, h, 1+w*h/90, 2, 7)
	}
	if rng.IntN(4) == 0 {
		m = m.without(Border)
	}
	if rng.IntN(4) == 0 {
		m = m.without(Distance)
	}
	return m
}

func TestSeparateEqualsReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	nuclei := 0
	for range 120 {
		m, p := randomMaps(rng, 1+rng.IntN(24), 1+rng.IntN(24)), randomParams(rng)
		got, want := Separate(m, p), reference(m, p)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%dx%d %+v: (-reference +Separate)\n%s", m.W, m.H, p, diff)
		}
		nuclei += int(got.Max())
	}
	if nuclei < 300 {
		t.Errorf("only %d nuclei in all scenes: the test tests little", nuclei)
	}
}

func TestTouchingDiscsAreSplit(t *testing.T) {
	const w, h = 60, 40
	m := NewMaps(w, h, Foreground, Distance)
	foreground, distance := m.Plane(Foreground), m.Plane(Distance)
	for y := range h {
		for x := range w {
			q := max(1-math.Hypot(float64(x-20), float64(y-20))/12, 1-math.Hypot(float64(x-40), float64(y-20))/12)
			if q > 0 {
				foreground[y*w+x], distance[y*w+x] = 1, float32(q)
			}
		}
	}
	l := Separate(m, DefaultParams())
	if l.Max() != 2 {
		t.Fatalf("two overlapping discs gave %d nuclei, want 2", l.Max())
	}
	for y := range h {
		for x := range w {
			id, other := l.ID[y*w+x], l.ID[y*w+60-max(x, 1)]
			if x >= 1 && id != 0 && x != 30 && id == other {
				t.Fatalf("(%d,%d) and its mirror image are both in nucleus %d", x, y, id)
			}
		}
	}
	if l := Separate(m.without(Distance), DefaultParams()); l.Max() != 1 {
		t.Errorf("without a distance map: %d nuclei, want the 1 component", l.Max())
	}
}

func TestSeparateTakesAnyNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	values := []float32{nan, inf, -inf, 2, -1, 0, 1, 0.6}
	rng := rand.New(rand.NewPCG(17, 18))
	m := noise(rng, 40, 40)
	for i := range m.Pix {
		m.Pix[i] = values[rng.IntN(len(values))]
	}
	foreground := m.Plane(Foreground)
	l := Separate(m, Params{Foreground: 0.5, Border: 1})
	for i, id := range l.ID {
		if (id != 0) != (foreground[i] > 0.5) {
			t.Fatalf("pixel %d of foreground %v is in nucleus %d", i, foreground[i], id)
		}
	}
	for _, size := range [][2]int{{0, 0}, {0, 5}, {5, 0}, {1, 1}} {
		n := size[0] * size[1]
		if l := Separate(Maps{W: size[0], H: size[1], Names: []string{Foreground}, Pix: foreground[:n]}, DefaultParams()); len(l.ID) != n {
			t.Errorf("%v: %d pixels", size, len(l.ID))
		}
	}
}

// TestNucleiThatMeetAtACorner are two components by the package's rule.
func TestNucleiThatMeetAtACorner(t *testing.T) {
	m := Maps{W: 4, H: 4, Names: []string{Foreground}, Pix: []float32{
		1, 1, 0, 0,
		1, 1, 0, 0,
		0, 0, 1, 1,
		0, 0, 1, 1,
	}}
	want := []uint32{1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 2, 2, 0, 0, 2, 2}
	if diff := cmp.Diff(want, Separate(m, Params{Foreground: 0.5, Seed: 0.3}).ID); diff != "" {
		t.Error(diff)
	}
}

func TestParamsValidate(t *testing.T) {
	if err := DefaultParams().Validate(); err != nil {
		t.Error(err)
	}
	for _, p := range []Params{{Foreground: 1.1}, {Seed: -0.1}, {Prominence: math.NaN()}, {Border: 2}, {MinArea: -1}} {
		if p.Validate() == nil {
			t.Errorf("%+v accepted", p)
		}
	}
}

func BenchmarkSeparate(b *testing.B) {
	m := scene(rand.New(rand.NewPCG(3, 4)), 1024, 1024, 500, 10, 18)
	var l *imageio.Labels
	for b.Loop() {
		l = Separate(m, DefaultParams())
	}
	b.ReportMetric(float64(l.Max()), "nuclei")
}

func BenchmarkMeasure(b *testing.B) {
	l := Separate(scene(rand.New(rand.NewPCG(3, 4)), 1024, 1024, 500, 10, 18), DefaultParams())
	img := imageio.NewImage(1024, 1024, 1)
	for b.Loop() {
		Measure(l, img)
	}
}
