package augment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"unet/unet/imageio"
)

// Labelled is one training image with its label image.
//
// Image holds normalised samples (about 0 to 1, not clipped) in 1 or 3
// channels. Several goroutines may draw patches from one Labelled at once.
type Labelled struct {
	Image  *imageio.Image
	Labels *imageio.Labels
	// Nuclei lists the instances by number, for patches centred on a nucleus
	// and for copy-paste. NewLabelled fills it.
	Nuclei []Nucleus
	// Contrast is the mean sample on nuclei less that of the background: above
	// 0 for fluorescence, below for stained tissue, 0 where one is missing.
	// NewLabelled fills it.
	Contrast float64
}

// Nucleus is the place and size of one instance in a label image: the box of
// columns X0..X1-1 and rows Y0..Y1-1, and the number of pixels.
type Nucleus struct {
	ID             uint32
	X0, Y0, X1, Y1 int
	Area           int
}

// NewLabelled checks that img and lab fit together and finds the nuclei. It
// keeps both without copying them.
func NewLabelled(img *imageio.Image, lab *imageio.Labels) (Labelled, error) {
	switch {
	case img.C != 1 && img.C != 3:
		return Labelled{}, fmt.Errorf("augment: image has %d channels, want 1 (gray) or 3 (RGB)", img.C)
	case img.W < 1 || img.H < 1 || img.W > math.MaxInt32/img.H:
		return Labelled{}, fmt.Errorf("augment: image size %dx%d is out of range", img.W, img.H)
	case img.W != lab.W || img.H != lab.H:
		return Labelled{}, fmt.Errorf("augment: image is %dx%d but its labels are %dx%d", img.W, img.H, lab.W, lab.H)
	case len(img.Pix) != img.W*img.H*img.C || len(lab.ID) != img.W*img.H:
		return Labelled{}, fmt.Errorf("augment: %dx%dx%d image holds %d samples and %d labels", img.W, img.H, img.C, len(img.Pix), len(lab.ID))
	}
	return Labelled{Image: img, Labels: lab, Nuclei: nuclei(lab), Contrast: contrast(img, lab)}, nil
}

func contrast(img *imageio.Image, lab *imageio.Labels) float64 {
	var sum, count [2]float64 // background, nuclei
	for c := range img.C {
		for i, v := range img.Plane(c) {
			k := min(lab.ID[i], 1)
			sum[k] += float64(v)
			count[k]++
		}
	}
	if count[0] == 0 || count[1] == 0 {
		return 0
	}
	return sum[1]/count[1] - sum[0]/count[0]
}

// nuclei returns the instances of lab in the order of their first pixels.
func nuclei(lab *imageio.Labels) []Nucleus {
	var list []Nucleus
	place := make(map[uint32]int)
	for y := range lab.H {
		row := lab.ID[y*lab.W:][:lab.W]
		for x := 0; x < len(row); {
			id, x0 := row[x], x
			for x < len(row) && row[x] == id {
				x++
			}
			if id == 0 {
				continue
			}
			i, ok := place[id]
			if !ok {
				i = len(list)
				place[id] = i
				list = append(list, Nucleus{ID: id, X0: x0, Y0: y})
			}
			n := &list[i]
			n.X0, n.X1, n.Y1 = min(n.X0, x0), max(n.X1, x), y+1
			n.Area += x - x0
		}
	}
	return list
}

// scratch holds the buffers of one running Patch call.
type scratch struct {
	warp   warp
	paste  paste
	planes []float32
	line   []float32
	lut    [lutSize + 2]float32
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// grow returns s with length n, reallocated only when its capacity is short.
// The contents are unspecified.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Patch draws one training patch of p.Size × p.Size pixels from s.
//
// out receives channels planes (1 or 3) of Size rows of Size samples; a gray
// image is repeated in every plane and a colour image becomes luminance when
// one channel is asked for. ids receives the instance number of each pixel as
// in s.Labels; pasted nuclei get new numbers. The same nucleus can appear
// twice under one number where the image is reflected beyond its edge. donors are images to paste nuclei from,
// best of the same kind as s; with none, and for a donor of the opposite
// contrast, nuclei of s itself are pasted.
//
// An image of exactly Size × Size pixels is used whole, unless the policy
// scales it or centres on nuclei. Patch depends on nothing but its arguments
// and the state of rng, and may be called from several goroutines with an rng
// each. It panics when out or ids is too short for the policy, which is a
// programming error.
func (p Policy) Patch(rng *rand.Rand, s Labelled, donors []Labelled, out []float32, channels int, ids []uint32) {
	n := p.Size * p.Size
	if channels != 1 && channels != 3 {
		panic(fmt.Sprintf("augment: %d channels asked for, want 1 or 3", channels))
	}
	out, ids = out[:channels*n], ids[:n]
	t := scratches.Get().(*scratch)
	defer scratches.Put(t)

	buf := out
	if s.Image.C > channels {
		t.planes = grow(t.planes, s.Image.C*n)
		buf = t.planes
	}
	buf = buf[:s.Image.C*n]

	g := p.place(rng, s)
	t.warp.run(rng, p, g, s, buf, ids)
	if hit(rng, p.CopyPaste) {
		t.paste.run(rng, p.Size, g.zoom, s, donors, buf, ids)
	}
	if s.Image.C == 3 {
		p.colour(rng, buf, out, channels)
		p.intensity(rng, t, out, channels)
		return
	}
	p.intensity(rng, t, buf, 1)
	p.spread(rng, out, channels)
}

// hit is true with probability prob; it draws nothing for 0.
func hit(rng *rand.Rand, prob float64) bool { return prob > 0 && rng.Float64() < prob }

// between draws uniformly from lo to hi.
func between(rng *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*rng.Float64() }

// logBetween draws from lo to hi, uniformly in the logarithm.
func logBetween(rng *rand.Rand, lo, hi float64) float64 {
	return math.Exp(between(rng, math.Log(lo), math.Log(hi)))
}
