package dataset

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"unet/unet/dataset/scene"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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

// findLinks finds the links of images with these digests, or with none. However the
// looks are divided among blocks and files, and in whatever order they come, the
// links are the same.
func findLinks(t *testing.T, list []*look, digests []string) []link {
	t.Helper()
	if digests == nil {
		digests = make([]string, len(list))
	}
	var found [][]link
	for _, tiny := range []bool{false, true} {
		dir := t.TempDir()
		s := newLooks(dir)
		if tiny {
			s.block, s.part = int64(3*len(list[0].encode(0))), int64(8*rowBytes)
			for _, scratch := range []**atomicfile.Scratch{&s.records, &s.patches.rows, &s.votes.rows} {
				*scratch = atomicfile.NewScratch(filepath.Join(dir, "scratch"), 1)
			}
		}
		for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(len(list)) {
			if err := s.add(i, list[i]); err != nil {
				t.Fatal(err)
			}
		}
		links, err := s.links(t.Context(), digests)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, links)
		s.close()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%d files left, %v", len(left), err)
		}
	}
	if !slices.Equal(found[0], found[1]) {
		t.Errorf("links %v in one block, %v in several", found[0], found[1])
	}
	return found[0]
}

// A patch counts at its first patchImages places in the order of images, so that a
// pattern that many images share joins few of them.
func TestPatternsAreNoPlaces(t *testing.T) {
	var list []*look
	for range 2 * patchImages {
		l := &look{w: 99, h: 98, c: 1, thumb: make([]float32, thumbSide*thumbSide)}
		for k := range patchMatches {
			l.patches = append(l.patches, patch{uint64(k) << 40, int32(k), 7})
		}
		list = append(list, l)
	}
	seen := map[int]bool{}
	for _, l := range findLinks(t, list, nil) {
		if l.kind != relOverlap {
			t.Errorf("%v", l)
		}
		seen[l.i], seen[l.j] = true, true
	}
	for i := range list {
		if seen[i] != (i < patchImages) {
			t.Errorf("image %d is linked: %v", i, seen[i])
		}
	}
}

// A look comes back as it was stored.
func TestLookEncoding(t *testing.T) {
	m, _ := scene.Field(styles[FluorescenceLarge], 40, 30, rand.New(rand.NewPCG(1, 2)))
	for _, m := range []*imageio.Image{m, cropOf(m, 0, 0, 12, 30)} { // one without edges
		want := lookOf(m)
		got, img := decodeLook(want.encode(7))
		want.patches = nil
		if d := cmp.Diff(want, got, cmp.AllowUnexported(look{}, edge{}), cmpopts.EquateEmpty()); d != "" || img != 7 {
			t.Errorf("image %d: %s", img, d)
		}
	}
}

// Crops of one field are found; images of other fields are not.
func TestGroups(t *testing.T) {
	var looks []*look
	var want []int // field of each image
	for f, kind := range []string{FluorescenceSmall, FluorescenceLarge, HistologyPurple, PinkPurple, GrayTissue} {
		rng := rand.New(rand.NewPCG(5, uint64(f)))
		field, _ := scene.Field(styles[kind], 384, 384, rng)
		for _, at := range [][2]int{{0, 0}, {192, 0}, {0, 192}, {192, 192}} {
			looks = append(looks, lookOf(cropOf(field, at[0], at[1], 192, 192)))
			want = append(want, f)
		}
	}
	links := findLinks(t, looks, nil)
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
	if h, g := lookOf(a).hashes[0], lookOf(recompressed).hashes[0]; h == g {
		t.Error("noise does not change the hash: the test tests little")
	}
	for _, c := range []struct {
		name string
		b    *look
		want string
	}{
		{"same file", lookOf(a), relDuplicate},
		{"same pixels, other file", lookOf(a), relNear},
		{"overlapping crop", lookOf(overlapping), relOverlap},
		{"mirrored", lookOf(mirrored), relNear},
		{"turned", lookOf(turned), relNear},
		{"other levels", lookOf(brighter), relNear},
		{"noisy", lookOf(recompressed), relNear},
		{"another field", lookOf(other), ""},
	} {
		got := ""
		digest := "e"
		if c.want == relDuplicate {
			digest = "d"
		}
		links := findLinks(t, []*look{lookOf(a), c.b}, []string{"d", digest})
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
		looks = append(looks, lookOf(m))
	}
	for _, size := range []int{1, 2, 11} {
		m := imageio.NewImage(size, size, 1)
		m.Pix[0] = 9
		looks = append(looks, lookOf(m))
	}
	if links := findLinks(t, looks, nil); len(links) > 0 {
		t.Errorf("found %v", links)
	}
}

func TestGroupOf(t *testing.T) {
	got := groupOf(6, []link{{1, 4, ""}, {2, 3, ""}, {3, 4, ""}})
	if !slices.Equal(got, []int{0, 1, 1, 1, 1, 5}) {
		t.Error(got)
	}
}
