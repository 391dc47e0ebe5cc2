package unet

import (
	"slices"
	"testing"

	"unet/core/coretest"
	"unet/unet/imageio"
)

// TestTTASymmetric says that with test-time augmentation the maps of a mirror image are the
// mirror images of the maps, which a network alone does not give.
func TestTTASymmetric(t *testing.T) {
	p := NewPredictor(coretest.Engine(t, "", 2), smallModel(t))
	defer p.Close()
	img := randomImage(44, 36, 3)
	turned := &imageio.Image{W: img.W, H: img.H, C: img.C, Bits: img.Bits, Float: img.Float, Pix: mirror(img.Pix, img.W, img.H, true, true)}
	difference := func() float64 {
		a, err := p.Maps(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Maps(t.Context(), turned)
		if err != nil {
			t.Fatal(err)
		}
		return maxDiff(a.Pix, mirror(b.Pix, img.W, img.H, true, true))
	}
	if d := difference(); d < 1e-4 {
		t.Fatalf("the network alone is symmetric (%v): the test says nothing", d)
	}
	p.TTA = true
	if d := difference(); d > 1e-6 {
		t.Errorf("maps of mirror images differ by %v", d)
	}
}

func TestMirror(t *testing.T) {
	pix := []float32{1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60} // two planes of 3 x 2
	for _, c := range []struct {
		x, y bool
		want []float32
	}{
		{false, false, pix},
		{true, false, []float32{3, 2, 1, 6, 5, 4, 30, 20, 10, 60, 50, 40}},
		{false, true, []float32{4, 5, 6, 1, 2, 3, 40, 50, 60, 10, 20, 30}},
		{true, true, []float32{6, 5, 4, 3, 2, 1, 60, 50, 40, 30, 20, 10}},
	} {
		if got := mirror(pix, 3, 2, c.x, c.y); !slices.Equal(got, c.want) {
			t.Errorf("mirror %v %v: %v, want %v", c.x, c.y, got, c.want)
		}
	}
}
