package instance_test

import (
	"fmt"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// Measures the nuclei of a label image of any origin.
func Example() {
	labels := imageio.NewLabels(12, 8)
	for y := 2; y < 6; y++ {
		for x := 1; x < 5; x++ {
			labels.ID[y*labels.W+x] = 1
			labels.ID[y*labels.W+x+6] = 2
		}
	}
	img := imageio.NewImage(12, 8, 1)
	for i := range img.Pix {
		img.Pix[i] = float32(i % 12)
	}
	nuclei := instance.Measure(labels, img)
	for _, n := range nuclei {
		fmt.Println("nucleus", n.ID, "of", n.Area, "pixels at", n.X, n.Y, "mean", n.Channels[0].Mean)
	}
	// Output:
	// nucleus 1 of 16 pixels at 2.5 3.5 mean 2.5
	// nucleus 2 of 16 pixels at 8.5 3.5 mean 8.5
}
