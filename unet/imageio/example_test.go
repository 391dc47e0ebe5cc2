package imageio_test

import (
	"fmt"
	"log"

	"unet/unet/imageio"
)

// A hyperstack is read plane by plane.
func ExampleOpen() {
	f, err := imageio.Open("testdata/ome-tzcyx.ome.tif")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(f.Format, len(f.Planes), "planes")
	for i, p := range f.Planes[:3] {
		m, err := f.ReadPlane(i)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v: %s, %d x %d, %d bits, %v, first sample %g\n", p, p.Name, m.W, m.H, m.Bits, m.PixelSize, m.Pix[0])
	}
	// Output:
	// OME-TIFF 12 planes
	// page 0, channel 0, z 0, t 0: DAPI, 21 x 19, 16 bits, 0.325 µm, first sample 0
	// page 1, channel 1, z 0, t 0: GFP, 21 x 19, 16 bits, 0.325 µm, first sample 14649
	// page 2, channel 0, z 1, t 0: DAPI, 21 x 19, 16 bits, 0.325 µm, first sample 29298
}
