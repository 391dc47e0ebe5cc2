package instance

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unet/unet/imageio"
)

// rows returns rows y0..y1-1 of the maps.
func (m Maps) rows(y0, y1 int) Maps {
	part := Maps{W: m.W, H: y1 - y0, Names: m.Names}
	for _, name := range m.Names {
		part.Pix = append(part.Pix, m.Plane(name)[y0*m.W:y1*m.W]...)
	}
	return part
}

func randomImage(rng *rand.Rand, w, h, c int) *imageio.Image {
	img := imageio.NewImage(w, h, c)
	for i := range img.Pix {
		img.Pix[i] = float32(rng.IntN(256))
	}
	return img
}

func imageRows(img *imageio.Image, y0, y1 int) *imageio.Image {
	out := imageio.NewImage(img.W, y1-y0, img.C)
	for c := range img.C {
		copy(out.Plane(c), img.Plane(c)[y0*img.W:y1*img.W])
	}
	return out
}

// stream runs the maps through a Stream in bands of random height and puts
// the blocks together again.
func stream(t *testing.T, rng *rand.Rand, m Maps, img *imageio.Image, p Params, maxRows, band int) (*imageio.Labels, []Nucleus, *Stream) {
	t.Helper()
	out := imageio.NewLabels(m.W, m.H)
	var all []Nucleus
	next := 0
	s := NewStream(m.W, p, func(b Block) error {
		if b.Y != next {
			t.Fatalf("block at row %d, want %d", b.Y, next)
		}
		next += b.Labels.H
		copy(out.ID[b.Y*m.W:], b.Labels.ID)
		all = append(all, b.Nuclei...)
		return nil
	})
	s.MaxRows = maxRows
	for y := 0; y < m.H; {
		end := min(m.H, y+1+rng.IntN(band))
		if err := s.Add(m.rows(y, end), imageRows(img, y, end)); err != nil {
			t.Fatal(err)
		}
		y = end
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if next != m.H {
		t.Fatalf("%d of %d rows left the stream", next, m.H)
	}
	return out, all, s
}

func TestStreamEqualsWholeImage(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		m, p := randomMaps(rng, 1+rng.IntN(60), 1+rng.IntN(90)), randomParams(rng)
		img := randomImage(rng, m.W, m.H, 1+rng.IntN(2))
		want := Separate(m, p)
		got, nuclei, s := stream(t, rng, m, img, p, 0, 20)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("labels %dx%d %+v: (-whole +stream)\n%s", m.W, m.H, p, diff)
		}
		if diff := cmp.Diff(Measure(want, img), nuclei); diff != "" {
			t.Fatalf("nuclei %dx%d %+v: (-whole +stream)\n%s", m.W, m.H, p, diff)
		}
		if s.Cuts() != 0 || len(s.waiting) != 0 {
			t.Fatalf("%d cuts, %d nuclei left over", s.Cuts(), len(s.waiting))
		}
	}
}

// TestStreamFrom: a stream that begins within the image knows the nuclei from a row
// on, or says that it has to begin further up.
func TestStreamFrom(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	above, exact := 0, 0
	for range 400 {
		m, p := randomMaps(rng, 1+rng.IntN(60), 20+rng.IntN(90)), randomParams(rng)
		img := randomImage(rng, m.W, m.H, 1)
		owned := 1 + rng.IntN(m.H-1)
		var want, got []Nucleus
		for _, n := range Measure(Separate(m, p), img) {
			if n.ID = 0; n.Y0 >= owned {
				want = append(want, n)
			}
		}
		for from := owned - 1 - rng.IntN(owned); ; from /= 2 {
			got = nil
			s := NewStream(m.W, p, func(b Block) error {
				for _, n := range b.Nuclei {
					if n.ID = 0; n.Y0 >= owned {
						got = append(got, n)
					}
				}
				return nil
			})
			s.From, s.Owned = from, owned
			var err error
			for y := from; y < m.H && err == nil; {
				end := min(m.H, y+1+rng.IntN(20))
				err = s.Add(m.rows(y, end), imageRows(img, y, end))
				y = end
			}
			if err == nil {
				err = s.Close()
			}
			if errors.Is(err, ErrAbove) && from > 0 {
				above++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if from > 0 && len(got) > 0 {
				exact++
			}
			break
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%dx%d from row %d, %+v: (-whole +stream)\n%s", m.W, m.H, owned, p, diff)
		}
	}
	if above < 20 || exact < 20 {
		t.Errorf("%d times from further up, %d times from within: the test tests little", above, exact)
	}
}

// TestStreamBoundedMemory floods a cluster that never ends.
func TestStreamBoundedMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	m := scene(rng, 140, 800, 830, 6, 10)
	p := DefaultParams()
	img := randomImage(rng, m.W, m.H, 1)
	want := Separate(m, p)
	got, nuclei, s := stream(t, rng, m, img, p, 100, 50)
	if s.Cuts() == 0 {
		t.Fatal("the cluster was not cut: the test tests nothing")
	}
	if len(s.f.level) > 0 && s.f.h > 100 {
		t.Errorf("%d rows held, limit 100", s.f.h)
	}
	// Numbers may differ, so compare by overlap: nearly every nucleus must
	// be there unchanged.
	same := 0
	at := map[[4]int]int{}
	for _, n := range Measure(want, nil) {
		at[[4]int{n.X0, n.Y0, n.X1, n.Y1}] = n.Area
	}
	for _, n := range nuclei {
		if at[[4]int{n.X0, n.Y0, n.X1, n.Y1}] == n.Area {
			same++
		}
	}
	if total := int(want.Max()); same < total*98/100 || len(nuclei) > total*101/100 {
		t.Errorf("%d nuclei, %d as in the whole image's %d (%d cuts)", len(nuclei), same, total, s.Cuts())
	}
	if diff := cmp.Diff(shapesOnly(Measure(got, img)), shapesOnly(nuclei)); diff != "" {
		t.Errorf("nuclei do not describe the label rows: %s", diff)
	}
}

// TestStreamSplitsGiants feeds one nucleus taller than the window.
func TestStreamSplitsGiants(t *testing.T) {
	const w, h = 9, 400
	m := NewMaps(w, h, Foreground)
	for i := range m.Pix {
		if x := i % w; x > 1 && x < 7 && i/w > 3 && i/w < h-3 {
			m.Pix[i] = 1
		}
	}
	rng := rand.New(rand.NewPCG(9, 9))
	got, nuclei, s := stream(t, rng, m, imageio.NewImage(w, h, 1), DefaultParams(), 50, 20)
	area := 0
	for _, n := range nuclei {
		area += n.Area
		if n.Edge {
			t.Errorf("rows %d to %d are said to touch the image's edge", n.Y0, n.Y1)
		}
	}
	if s.Cuts() == 0 || len(nuclei) < 2 || area != 5*(h-7) || int(got.Max()) != len(nuclei) {
		t.Errorf("%d cuts, %d pieces of %d pixels in all", s.Cuts(), len(nuclei), area)
	}
}

func shapesOnly(all []Nucleus) []Nucleus {
	out := make([]Nucleus, len(all))
	for i, n := range all {
		out[i] = Nucleus{ID: n.ID, Runs: n.Runs, Edge: n.Edge, Channels: n.Channels}
	}
	return out
}

func TestStreamRefusesMisfits(t *testing.T) {
	s := NewStream(5, DefaultParams(), func(Block) error { return nil })
	if err := s.Add(NewMaps(6, 1, Foreground), nil); err == nil {
		t.Error("band of another width accepted")
	}
	if err := s.Add(NewMaps(5, 2, Foreground), imageio.NewImage(5, 2, 1)); err != nil {
		t.Error(err)
	}
	if err := s.Add(NewMaps(5, 2, Foreground), nil); err == nil {
		t.Error("band without its image accepted")
	}
}

func BenchmarkStream(b *testing.B) {
	m := scene(rand.New(rand.NewPCG(3, 4)), 1024, 1024, 500, 10, 18)
	for b.Loop() {
		s := NewStream(m.W, DefaultParams(), func(Block) error { return nil })
		for y := 0; y < m.H; y += 128 {
			if err := s.Add(m.rows(y, y+128), nil); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
