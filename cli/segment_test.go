package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/segment"
)

// TestSegmentCountsAsPredict: a program that calls package segment finds the
// nuclei that the command finds, to the pixel, scaled images included.
func TestSegmentCountsAsPredict(t *testing.T) {
	file, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	model, err := unet.LoadModel(file)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Params.Free()
	e, err := core.NewEngine("", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	images := map[string]*imageio.Image{}
	for i, radius := range []int{3, 5, 14, 20} {
		var list []disc
		for k := range 9 {
			list = append(list, disc{30 + k%3*60 + i, 30 + k/3*60 - i, radius})
		}
		images[fmt.Sprintf("%d.png", i)] = discs(200, 190, list...)
	}
	images["none.png"] = discs(40, 50)
	gray := images["1.png"]
	images["rgb.png"] = &imageio.Image{W: gray.W, H: gray.H, C: 3, Bits: gray.Bits, Pix: slices.Concat(gray.Pix, gray.Pix, gray.Pix)}
	area := 60
	for _, k := range []struct {
		options segment.Options
		args    []string
	}{
		{segment.Options{}, nil},
		{segment.Options{Diameter: segment.Diameter{Native: true}}, []string{"--diameter", "native"}},
		{segment.Options{Diameter: segment.Diameter{Pixels: 30}, TTA: true}, []string{"--diameter", "30", "--tta"}},
		{segment.Options{Diameter: segment.Diameter{Micrometres: 5}, PixelSize: imageio.PixelSize{X: 0.25, Y: 0.25}}, []string{"--diameter", "5um", "--pixel-size", "0.25"}},
		{segment.Options{Threshold: 0.9, MinArea: &area, RemoveEdge: true}, []string{"--threshold", "0.9", "--min-area", "60", "--remove-edge"}},
	} {
		in, out := filepath.Join(dir, "in"), t.TempDir()
		for name, m := range images {
			writeImage(t, filepath.Join(in, name), m)
		}
		stdout, _ := mustRun(t, exitOK, append([]string{"predict", in, "--model", file, "--out", out, "--format", "labels", "--json"}, k.args...)...)
		var summary segment.Summary
		if err := json.Unmarshal([]byte(stdout), &summary); err != nil {
			t.Fatal(err)
		}
		s, err := segment.New(e, model, k.options)
		if err != nil {
			t.Fatal(err)
		}
		scaled := 0
		for _, im := range summary.Images {
			img, err := imageio.Read(im.Input)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Image(t.Context(), img)
			if err != nil {
				t.Fatal(err)
			}
			want, err := imageio.ReadLabels(filepath.Join(out, im.Planes[0].Outputs[0]))
			if err != nil {
				t.Fatal(err)
			}
			p := im.Planes[0]
			if !slices.Equal(got.Labels.ID, want.ID) || len(got.Nuclei) != p.Nuclei || got.Scale != p.Scale || got.Estimate != p.Estimate || len(got.Notes) != len(p.Notes) {
				t.Errorf("%v, %s: %d nuclei at scale %v, the command finds %d at %v", k.args, im.Name, len(got.Nuclei), got.Scale, p.Nuclei, p.Scale)
			}
			if p.Scale != 1 {
				scaled++
			}
		}
		if k.args == nil && scaled < 2 {
			t.Errorf("%d images were scaled: the test tests little", scaled)
		}
		s.Close()
	}
}
