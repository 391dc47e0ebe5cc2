package dataset

import (
	"math/rand/v2"
	"slices"
	"testing"

	"unet/unet/dataset/scene"
	"unet/unet/imageio"
)

// cropOf cuts a rectangle out of an image.
func cropOf(m *imageio.Image, x0, y0, w, h int) *imageio.Image {
	out := imageio.NewImage(w, h, m.C)
	for c := range m.C {
		for y := range h {
			copy(out.Plane(c)[y*w:(y+1)*w], m.Plane(c)[(y0+y)*m.W+x0:])
		}
	}
	return out
}

// Crops of one field are found; images of other fields are not.
func TestGroups(t *testing.T) {
	var looks []*look
	var want []int // field of each image
	for f, kind := range []string{FluorescenceSmall, FluorescenceLarge, HistologyPurple, PinkPurple, GrayTissue} {
		rng := rand.New(rand.NewPCG(5, uint64(f)))
		field, _ := scene.Field(styles[kind], 384, 384, rng)
		for _, at := range [][2]int{{0, 0}, {192, 0}, {0, 192}, {192, 192}} {
			looks = append(looks, lookOf(cropOf(field, at[0], at[1], 192, 192), ""))
			want = append(want, f)
		}
	}
	links := findLinks(looks)
	for _, l := range links {
		if want[l.i] != want[l.j] {
			t.Errorf("%v joins fields %d and %d", l, want[l.i], want[l.j])
		}
		if l.kind != relAdjacent {
			t.Errorf("%v is not %s", l, relAdjacent)
		}
	}
	got := groupOf(len(looks), links)
	for i := range got {
		if got[i] != want[i]*4 {
			t.Errorf("crop %d of field %d is in group %d", i%4, want[i], got[i]/4)
		}
	}
}

func TestOverlapsAndDuplicates(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	field, _ := scene.Field(styles[FluorescenceSmall], 200, 160, rng)
	other, _ := scene.Field(styles[FluorescenceSmall], 128, 128, rng)
	a := cropOf(field, 0, 0, 128, 128)
	overlapping := cropOf(field, 41, 23, 128, 128)
	mirrored := imageio.NewImage(128, 128, 1)
	turned := imageio.NewImage(128, 128, 1)
	brighter := imageio.NewImage(128, 128, 1)
	recompressed := imageio.NewImage(128, 128, 1) // noise as of a lossy file
	for i, v := range a.Pix {
		recompressed.Pix[i] = v + float32(5*rng.NormFloat64())
	}
	for y := range 128 {
		for x := range 128 {
			v := a.Pix[y*128+x]
			mirrored.Pix[y*128+127-x] = v
			turned.Pix[x*128+127-y] = v
			brighter.Pix[y*128+x] = 1.3*v + 4
		}
	}
	if h, g := lookOf(a, "d").hashes[0], lookOf(recompressed, "e").hashes[0]; h == g {
		t.Error("noise does not change the hash: the test tests little")
	}
	for _, c := range []struct {
		name string
		b    *look
		want string
	}{
		{"same file", lookOf(a, "d"), relDuplicate},
		{"same pixels, other file", lookOf(a, "e"), relNear},
		{"overlapping crop", lookOf(overlapping, "e"), relOverlap},
		{"mirrored", lookOf(mirrored, "e"), relNear},
		{"turned", lookOf(turned, "e"), relNear},
		{"other levels", lookOf(brighter, "e"), relNear},
		{"noisy", lookOf(recompressed, "e"), relNear},
		{"another field", lookOf(other, "e"), ""},
	} {
		got := ""
		links := findLinks([]*look{lookOf(a, "d"), c.b})
		for _, l := range links {
			if l.kind == c.want {
				got = l.kind
			}
		}
		if got != c.want || c.want == "" && len(links) > 0 {
			t.Errorf("%s: %v, want %q", c.name, links, c.want)
		}
	}
}

// Orientation o of the hash is the hash of the turned thumbnail.
func TestTurnedHash(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m, _ := scene.Field(styles[FluorescenceLarge], 128, 128, rng)
	th := thumbOf(m.Pix, 128, 128)
	h := perceptualHash(th)
	for o := range 8 {
		img := make([]float32, len(th))
		for y := range thumbSide {
			for x := range thumbSide {
				ax, ay := x, y
				if o&4 != 0 {
					ax, ay = y, x
				}
				if o&1 != 0 {
					ax = thumbSide - 1 - ax
				}
				if o&2 != 0 {
					ay = thumbSide - 1 - ay
				}
				img[y*thumbSide+x] = th[ay*thumbSide+ax]
			}
		}
		if got, want := turned(h, o), perceptualHash(img); got != want {
			t.Errorf("orientation %d: %064b, want %064b", o, got, want)
		}
		if c := correlation(th, img, o); c < 0.9999 {
			t.Errorf("orientation %d: correlation %g", o, c)
		}
	}
}

// Flat images and dark edges prove nothing.
func TestNothingToCompare(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var looks []*look
	for range 6 {
		m := imageio.NewImage(64, 64, 1)
		for i := range m.Pix {
			m.Pix[i] = float32(rng.IntN(4))
		}
		m.Pix[rng.IntN(len(m.Pix))] = 100
		looks = append(looks, lookOf(m, ""))
	}
	for _, size := range []int{1, 2, 11} {
		m := imageio.NewImage(size, size, 1)
		m.Pix[0] = 9
		looks = append(looks, lookOf(m, ""))
	}
	if links := findLinks(looks); len(links) > 0 {
		t.Errorf("found %v", links)
	}
}

func TestGroupOf(t *testing.T) {
	got := groupOf(6, []link{{1, 4, ""}, {2, 3, ""}, {3, 4, ""}})
	if !slices.Equal(got, []int{0, 1, 1, 1, 1, 5}) {
		t.Error(got)
	}
}
