package imageio

import (
	"image"
	"image/color"
	"os"
	"strings"
	"testing"
)

// The corpora start from the reference files. Run one target with, say,
//
//	go test -fuzz FuzzDecode -fuzztime 10m ./unet/imageio

// readAll reads what a file offers, in pieces of bounded size.
func readAll(t *testing.T, f *File) {
	defer f.Close()
	for i, p := range f.Planes {
		if i == 8 {
			break
		}
		if p.W <= 0 || p.H <= 0 || p.C <= 0 {
			t.Fatalf("plane %d is %d x %d x %d", i, p.W, p.H, p.C)
		}
		w, h := min(p.W, 300), min(p.H, 300)
		for _, at := range [][2]int{{0, 0}, {p.W - w, p.H - h}} {
			m, err := f.ReadRegion(i, at[0], at[1], w, h)
			oneLine(t, err)
			if err == nil && (m.W != w || m.H != h || m.C != p.C || len(m.Pix) != w*h*p.C) {
				t.Fatalf("plane %+v gave an image of %d x %d x %d", p, m.W, m.H, m.C)
			}
			l, err := f.ReadLabelsRegion(i, at[0], at[1], w, h)
			oneLine(t, err)
			if err == nil && len(l.ID) != w*h {
				t.Fatalf("%d labels for %d x %d", len(l.ID), w, h)
			}
		}
	}
}

func oneLine(t *testing.T, err error) {
	if err != nil && (strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "fuzz")) {
		t.Fatalf("message %q", err)
	}
}

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
		file, err := openData("fuzz", data)
		oneLine(t, err)
		if err == nil {
			readAll(t, file)
		}
	})
}
