package evaluate

import (
	"math/rand/v2"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// fields are images whose nuclei have the foreground probability that level
// gives for each image, on a ground that noise makes look like nuclei below.
func fields(n int, level func(i int) float32, ground float32) []tuneImage {
	rng := rand.New(rand.NewPCG(1, 1))
	list := make([]tuneImage, n)
	for i := range list {
		m, l := instance.NewMaps(96, 96, instance.Foreground), imageio.NewLabels(96, 96)
		for k := range 9 {
			cx, cy := 16+32*(k%3), 16+32*(k/3)
			for y := -8; y < 8; y++ {
				for x := -8; x < 8; x++ {
					at := (cy+y)*96 + cx + x
					m.Pix[at], l.ID[at] = level(i), uint32(k+1)
				}
			}
			for y := range 8 { // what is none
				for x := range 8 {
					m.Pix[(cy+y-16+2)*96+cx+x-16+2] = ground
				}
			}
		}
		for j := range m.Pix {
			m.Pix[j] += 0.01 * rng.Float32()
		}
		list[i] = tuneImage{m, l}
	}
	return list
}

// TestKeptText: why thresholds stay is said of one image and of several.
func TestKeptText(t *testing.T) {
	for n, want := range map[int]string{1: "one image is too few", 4: "of 4 images each was left out once"} {
		if got := keptText(n); !strings.Contains(got, want) {
			t.Errorf("%d images: %s", n, got)
		}
	}
}

// Thresholds that suit every image agree with what the others chose; those of
// images that have nothing in common do not.
func TestLeaveOneOut(t *testing.T) {
	card := unet.Card{Kind: unet.Nuclei, Arch: unet.Arch{Heads: []string{unet.HeadForeground}}}
	before := instance.Params{Foreground: 0.7, MinArea: 16, FillHoles: true}
	try := func(images []tuneImage) bool {
		tn := &tuner{card: card, threads: 1, images: images, seen: map[instance.Params]float64{}}
		better, err := tn.leaveOneOut(t.Context(), before)
		if err != nil {
			t.Fatal(err)
		}
		return better
	}
	if !try(fields(4, func(int) float32 { return 0.5 }, 0.1)) {
		t.Error("pale nuclei in every image, and the threshold above them stays")
	}
	if try(fields(4, func(int) float32 { return 0.9 }, 0.1)) {
		t.Error("a threshold that finds all gives way to another")
	}
	if try(fields(1, func(int) float32 { return 0.5 }, 0.1)) {
		t.Error("one image decides")
	}
}
