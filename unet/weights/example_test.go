package weights_test

import (
	"context"
	"fmt"
	"log"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/weights"
)

// Counts the nuclei of an image with the built-in model.
func Example() {
	engine, err := core.NewEngine("", 0)
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	model, err := weights.Default()
	if err != nil {
		log.Fatal(err)
	}
	defer model.Params.Free()
	predictor := unet.NewPredictor(engine, model)
	defer predictor.Close()

	img := twoDiscs() // or imageio.Read("nuclei.tif")
	maps, err := predictor.Maps(context.Background(), img)
	if err != nil {
		log.Fatal(err)
	}
	nuclei := instance.Measure(predictor.Segment(maps), img)
	fmt.Println(len(nuclei), "nuclei")
	// Output: 2 nuclei
}

func twoDiscs() *imageio.Image {
	img := imageio.NewImage(128, 96, 1)
	for y := range img.H {
		for x := range img.W {
			v := 20 + (x*7+y*13)%9
			if (x-35)*(x-35)+(y-40)*(y-40) < 150 || (x-90)*(x-90)+(y-55)*(y-55) < 180 {
				v += 120
			}
			img.Pix[y*img.W+x] = float32(v)
		}
	}
	return img
}
