package segment

import (
	"errors"
	"math"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
)

// TestDiameterOfPixelsThatAreNotSquare: a diameter in µm makes pixels square for
// the network, and nuclei as large as in training, by the size of the file or of
// the options.
func TestDiameterOfPixelsThatAreNotSquare(t *testing.T) {
	model := &unet.Model{}
	model.Card.Diameter = [3]float64{10, 20, 40}
	for _, c := range []struct {
		file, option imageio.PixelSize
		w, h         int
	}{
		{imageio.PixelSize{X: 0.5, Y: 0.5}, imageio.PixelSize{}, 1000, 600},
		{imageio.PixelSize{X: 0.5, Y: 1}, imageio.PixelSize{}, 1000, 1200},
		{imageio.PixelSize{X: 1, Y: 0.5}, imageio.PixelSize{}, 2000, 600},
		{imageio.PixelSize{}, imageio.PixelSize{X: 0.5, Y: 1}, 1000, 1200},
	} {
		s := &Segmenter{model: model, diameter: Diameter{Micrometres: 10}, options: Options{PixelSize: c.option}}
		p := &plane{name: "a.tif", info: imageio.PlaneInfo{W: 1000, H: 600, C: 1, PixelSize: c.file}}
		scale, err := s.givenScale(p)
		if err != nil {
			t.Fatal(err)
		}
		if w, h := s.scaled(p.info, scale); w != c.w || h != c.h {
			t.Errorf("%v, %v: %d x %d, want %d x %d", c.file, c.option, w, h, c.w, c.h)
		}
		// The smallest area of the model, in pixels of the image.
		s.params.MinArea = 100
		if got, want := s.paramsAt(scale).MinArea, math.Round(100*1000*600/float64(c.w*c.h)); float64(got) != want {
			t.Errorf("%v: smallest area %d, want %v", c.file, got, want)
		}
	}
	s := &Segmenter{model: model, diameter: Diameter{Micrometres: 10}}
	var input *InputError
	if _, err := s.givenScale(&plane{name: "a.tif", info: imageio.PlaneInfo{W: 9, H: 9}}); !errors.As(err, &input) {
		t.Errorf("a file that does not say: %v", err)
	}
}
