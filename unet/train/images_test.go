package train

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/dataset/augment"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"

	"github.com/google/go-cmp/cmp"
)

// TestImages: what is read again of an image is, bit for bit, what normalising it
// gives, whatever its samples and labels are, from memory and from a file.
func TestImages(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var samples []*dataset.Sample
	for _, c := range []struct {
		w, h, channels, bits int
		most                 uint32 // label
		sample               func() float32
	}{
		{31, 17, 1, 8, 3, func() float32 { return float32(rng.IntN(256)) }},
		{20, 44, 3, 8, 255, func() float32 { return float32(rng.IntN(256)) }},
		{20, 9, 4, 8, 256, func() float32 { return float32(rng.IntN(256)) }},
		{33, 40, 1, 16, 65535, func() float32 { return float32(rng.IntN(65536)) }},
		{16, 16, 1, 16, 65536, func() float32 { return float32(rng.IntN(65536) - 300) }},
		{50, 3, 1, 32, 1 << 31, func() float32 { return rng.Float32() - 0.5 }},
		{1, 1, 1, 8, 0, func() float32 { return 7 }},
	} {
		img := imageio.NewImage(c.w, c.h, c.channels)
		img.Bits, img.Float = c.bits, c.bits == 32
		img.PixelSize = imageio.PixelSize{X: 0.5, Y: 0.5}
		for i := range img.Pix {
			img.Pix[i] = c.sample()
		}
		l := imageio.NewLabels(c.w, c.h)
		for i := range l.ID {
			if rng.IntN(2) == 0 {
				l.ID[i] = []uint32{1, c.most / 2, c.most}[rng.IntN(3)]
			}
		}
		samples = append(samples, &dataset.Sample{ID: "x", Kind: "k", Group: "g", Image: img, Labels: l})
	}
	float := samples[5].Image.Pix
	float[3], float[4] = float32(math.NaN()), float32(math.Copysign(0, -1))
	for _, in := range []unet.Input{{Normalise: "range"}, {Normalise: "percentile", Low: 1, High: 99.8, Outliers: 2}} {
		memory, err := NewImages(in, samples)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "new", "run")
		file := &Images{input: in, store: atomicfile.NewScratch(filepath.Join(dir, "images"), 2000)}
		for _, s := range samples {
			if err := file.add(s); err != nil {
				t.Fatal(err)
			}
		}
		buffer := new(loaded)
		for i, s := range samples {
			img, err := in.Apply(s.Image)
			if err != nil {
				t.Fatal(err)
			}
			want, err := augment.NewLabelled(img, s.Labels)
			if err != nil {
				t.Fatal(err)
			}
			for name, images := range map[string]*Images{"memory": memory, "file": file} {
				got, err := images.item(i, buffer)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(bits(want), bits(got)); d != "" {
					t.Errorf("image %d from %s: %.500s", i, name, d)
				}
			}
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("%d temporary files, %v", len(list), err)
		}
		file.Close()
		if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
			t.Errorf("%d temporary files after Close, %v", len(list), err)
		}
	}
}

// TestImagesOfOneSize: a network of one size takes images of it alone, in width and
// height.
func TestImagesOfOneSize(t *testing.T) {
	for _, c := range []struct {
		w, h int
		fine bool
	}{{32, 32, true}, {32, 24, false}, {24, 32, false}} {
		s := &dataset.Sample{ID: "x", Image: imageio.NewImage(c.w, c.h, 1), Labels: imageio.NewLabels(c.w, c.h)}
		images, err := NewImages(paperConfig(32).Input, []*dataset.Sample{s})
		if err == nil {
			images.Close()
		}
		if (err == nil) != c.fine {
			t.Errorf("%d x %d: %v", c.w, c.h, err)
		}
	}
}

// bits has numbers in a form that compares NaN and -0.
func bits(l augment.Labelled) any {
	var pix []uint32
	for _, v := range l.Image.Pix {
		pix = append(pix, math.Float32bits(v))
	}
	img := *l.Image
	img.Pix = nil
	nuclei := append([]augment.Nucleus(nil), l.Nuclei...)
	return []any{pix, img, *l.Labels, nuclei, math.Float64bits(l.Contrast)}
}
