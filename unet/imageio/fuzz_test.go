package imageio

import (
	"image"
	"image/color"
	"os"
	"testing"
	"unet/unet/imageio/plane/planetest"
)

// The corpora start from the reference files. Run one target with, say,
//
//	go test -fuzz FuzzDecode -fuzztime 10m ./unet/imageio

func addReferences(f *testing.F, use func(format string) bool) {
	list, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range list {
		if e.IsDir() {
			continue
		}
		data, err := os.ReadFile(testdata(e.Name()))
		if err != nil {
			f.Fatal(err)
		}
		if use(sniff(data)) {
			f.Add(data)
		}
	}
}

// FuzzDecode covers the raster formats.
func FuzzDecode(f *testing.F) {
	addReferences(f, func(format string) bool { return format != "" && format != "TIFF" })
	f.Add(encodePNG(f, image.NewPaletted(image.Rect(0, 0, 5, 5), color.Palette{color.Black, color.White})))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Sizes that the limits allow and a fuzzer's memory does not.
		if s := sniff(data); s == "TIFF" || len(data) > 1<<14 {
			return
		}
		file, err := OpenData("fuzz", data)
		planetest.Read(t, file, err)
	})
}
