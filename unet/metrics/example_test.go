package metrics_test

import (
	"fmt"
	"log"

	"unet/unet/imageio"
	"unet/unet/metrics"
)

// Scores a segmentation that finds one of two nuclei.
func ExampleMatch() {
	truth, found := imageio.NewLabels(6, 2), imageio.NewLabels(6, 2)
	copy(truth.ID, []uint32{1, 1, 0, 0, 2, 2, 1, 1, 0, 0, 2, 2})
	copy(found.ID, []uint32{7, 7, 0, 0, 0, 0, 7, 7, 0, 0, 0, 0})
	r, err := metrics.Match(truth, found, []float64{0.5})
	if err != nil {
		log.Fatal(err)
	}
	s := r.At[0].Scores(0.5)
	fmt.Println(r.Truth, "nuclei,", r.Pred, "found, AP", s.AP)
	// Output: 2 nuclei, 1 found, AP 0.5
}
