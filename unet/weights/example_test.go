package weights_test

import (
	"context"
	"fmt"
	"log"

	"unet/core"
	"unet/unet/imageio"
	"unet/unet/segment"
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
	segmenter, err := segment.New(engine, model, segment.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer segmenter.Close()

	img := twoDiscs() // or imageio.Read("nuclei.tif")
	found, err := segmenter.Image(context.Background(), img)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(found.Nuclei), "nuclei")
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
