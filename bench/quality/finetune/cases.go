package main

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"unet/unet/dataset"
	"unet/unet/imageio"
)

// trial is images that are annotated, unseen ones like them, and those of other
// sources, for what it costs there.
type trial struct{ own, unseen, elsewhere []*dataset.Sample }

// choose returns the images of a case, at most n of them annotated.
func choose(set *dataset.Set, name string, n int) (c trial, err error) {
	load := func(which func(e *dataset.Entry) bool) []*dataset.Sample {
		var list []*dataset.Sample
		for i := range set.Entries {
			if !which(&set.Entries[i]) || err != nil {
				continue
			}
			var s *dataset.Sample
			if s, err = set.Load(i); err == nil {
				list = append(list, s)
			}
		}
		slices.SortStableFunc(list, func(a, b *dataset.Sample) int { return cmp.Compare(a.Group, b.Group) })
		return list
	}
	kind := func(split, kind string) []*dataset.Sample {
		return load(func(e *dataset.Entry) bool { return e.Split == split && e.Kind == kind })
	}
	switch name {
	case "microscope":
		fields := kind(dataset.Val, dataset.FluorescenceSmall)
		c.own = slices.CompactFunc(fields, func(a, b *dataset.Sample) bool { return a.Group == b.Group })
		c.own = c.own[:min(n, len(c.own))] // before the noise, which follows their number
		c.unseen = kind(dataset.Test, dataset.FluorescenceSmall)
		for i, s := range slices.Concat(c.own, c.unseen) {
			relief(s, uint64(i))
		}
	case "slides":
		for i, s := range append(kind(dataset.Val, dataset.HistologyPurple), kind(dataset.Test, dataset.HistologyPurple)...) {
			if i%2 == 0 {
				c.own = append(c.own, s)
			} else {
				c.unseen = append(c.unseen, s)
			}
		}
	case "others":
		c.own, c.unseen = kind(dataset.Val, dataset.HistologyPurple), kind(dataset.Test, dataset.HistologyPurple)
	default:
		c.own, c.unseen = spread(load(func(e *dataset.Entry) bool { return e.Source == name }), n)
		c.elsewhere = load(func(e *dataset.Entry) bool { return e.Split == dataset.Val && e.Source != name })
		if err == nil && len(c.unseen) == 0 {
			return c, fmt.Errorf("case %q: microscope, slides, others or a source of more than %d images, such as %s", name, n, set.Entries[0].Source)
		}
	}
	c.own = c.own[:min(n, len(c.own))]
	return c, err
}

// spread chooses n images to annotate, of as many fields as can be, and returns those
// of other fields as unseen. One group of a set shows one field; of a source that is one
// group, the first n images are annotated.
func spread(list []*dataset.Sample, n int) (own, unseen []*dataset.Sample) {
	var fields [][]*dataset.Sample
	for i, s := range list {
		if i == 0 || s.Group != list[i-1].Group {
			fields = append(fields, nil)
		}
		fields[len(fields)-1] = append(fields[len(fields)-1], s)
	}
	if len(fields) < 2 {
		n = min(n, len(list))
		return list[:n], list[n:]
	}
	used := min(n, len(fields)-1)
	for k, more := 0, true; more; k++ {
		more = false
		for _, f := range fields[:used] {
			if k < len(f) && len(own) < n {
				own, more = append(own, f[k]), true
			}
		}
	}
	return own, slices.Concat(fields[used:]...)
}

// relief replaces an image by the slope of its blurred intensity along the
// diagonal, as 8-bit gray with noise.
func relief(s *dataset.Sample, seed uint64) {
	const sigma, strength, noise = 1.5, 90, 6
	m := s.Image.Gray()
	w, h := m.W, m.H
	smooth := blur(m.Plane(0), w, h, sigma)
	slope, size := make([]float32, w*h), make([]float64, w*h)
	for y := range h {
		for x := range w {
			d := smooth[min(y+1, h-1)*w+min(x+1, w-1)] - smooth[max(y-1, 0)*w+max(x-1, 0)]
			slope[y*w+x], size[y*w+x] = d, math.Abs(float64(d))
		}
	}
	slices.Sort(size)
	unit := max(size[len(size)*99/100], 0.5)
	rng := rand.New(rand.NewPCG(seed, 7))
	for i, d := range slope {
		v := 128 + float64(d)/unit*strength + rng.NormFloat64()*noise
		slope[i] = float32(math.Round(min(max(v, 0), 255)))
	}
	s.Image = &imageio.Image{W: w, H: h, C: 1, Bits: 8, Pix: slope}
}

// blur is a Gaussian one, the edge continued.
func blur(p []float32, w, h int, sigma float64) []float32 {
	r := int(math.Ceil(3 * sigma))
	kernel := make([]float32, 2*r+1)
	var sum float32
	for i := range kernel {
		kernel[i] = float32(math.Exp(-float64((i-r)*(i-r)) / 2 / sigma / sigma))
		sum += kernel[i]
	}
	pass := func(p []float32, at func(x, y, d int) int) []float32 {
		out := make([]float32, w*h)
		for y := range h {
			for x := range w {
				for i, k := range kernel {
					out[y*w+x] += float32(k / sum * p[at(x, y, i-r)])
				}
			}
		}
		return out
	}
	p = pass(p, func(x, y, d int) int { return y*w + min(max(x+d, 0), w-1) })
	return pass(p, func(x, y, d int) int { return min(max(y+d, 0), h-1)*w + x })
}

// write makes a folder of images and label images that `unet prepare` reads.
func write(dir string, samples []*dataset.Sample) error {
	for _, folder := range []string{"images", "labels"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o777); err != nil {
			return err
		}
	}
	for _, s := range samples {
		m := s.Image
		pic := image.NewNRGBA(image.Rect(0, 0, m.W, m.H))
		for i := range m.W * m.H {
			for c := range 3 {
				pic.Pix[4*i+c] = uint8(m.Pix[min(c, m.C-1)*m.W*m.H+i])
			}
			pic.Pix[4*i+3] = 255
		}
		if err := imageio.WritePNG(filepath.Join(dir, "images", s.ID+".png"), pic); err != nil {
			return err
		}
		if err := imageio.WriteLabels(filepath.Join(dir, "labels", s.ID+".png"), s.Labels); err != nil {
			return err
		}
	}
	return nil
}
