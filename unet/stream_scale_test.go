package unet

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"unet/core/coretest"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// TestScaledBandsEqualWhole: an image that the network sees at another size has
// the same maps by bands, from any row on, with its own samples beside them.
func TestScaledBandsEqualWhole(t *testing.T) {
	coretest.NeedsKernels(t)
	ctx := context.Background()
	for _, k := range []struct {
		w, h, c, toW, toH int
		heads             []string
		gray              bool // its channels are alike, so that one counts
	}{
		{333, 417, 1, 150, 188, []string{HeadForeground, HeadBorder, HeadDistance}, false},
		{210, 160, 3, 500, 381, []string{HeadForeground, HeadDistance, HeadBorder}, false},
		{900, 1000, 1, 70, 63, []string{HeadForeground, HeadDistance}, false},
		{60, 40, 1, 960, 640, []string{HeadForeground}, false},
		{120, 390, 1, 120, 390, []string{HeadForeground}, false},
		{90, 70, 3, 130, 100, []string{HeadForeground}, true},
	} {
		t.Run(fmt.Sprintf("%dx%dx%d at %dx%d", k.w, k.h, k.c, k.toW, k.toH), func(t *testing.T) {
			p := testPredictor(t, 2, k.heads...)
			p.whole, p.tileW, p.tileH = 0, 192, 192
			img, channels := blobs(k.w, k.h, k.c, 9), k.c
			if k.gray {
				copy(img.Plane(1), img.Plane(0))
				copy(img.Plane(2), img.Plane(0))
				channels = 1
			}
			want, err := p.MapsAt(ctx, img, k.toW, k.toH)
			if err != nil {
				t.Fatal(err)
			}
			levels, err := p.model.Card.Input.Levels(ctx, rowsOf(img))
			if err != nil {
				t.Fatal(err)
			}
			for _, from := range []int{0, k.h / 3, k.h - 1} {
				src, next := rowsOf(img), from
				src.From = from
				err = p.BandsAt(ctx, src, levels, k.toW, k.toH, func(y int, m instance.Maps, rows *imageio.Image) error {
					if y != next || rows.H != m.H || m.H > streamRows {
						t.Fatalf("band at row %d of %d rows with %d of the image, want row %d", y, m.H, rows.H, next)
					}
					next += m.H
					cut := func(v []float32) []float32 { return v[y*k.w : next*k.w] }
					for _, name := range want.Names {
						if !slices.Equal(m.Plane(name), cut(want.Plane(name))) {
							t.Errorf("%s at row %d differs from the whole image's", name, y)
						}
					}
					if rows.C != channels {
						t.Fatalf("%d channels, want %d", rows.C, channels)
					}
					for c := range channels {
						if !slices.Equal(rows.Plane(c), cut(img.Plane(c))) {
							t.Errorf("samples of channel %d at row %d are not the image's", c, y)
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if next != k.h {
					t.Errorf("%d rows of %d", next, k.h)
				}
			}
		})
	}
}
