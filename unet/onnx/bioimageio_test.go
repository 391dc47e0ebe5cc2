package onnx

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
)

// packaged writes a package of m without its card in the graph, as another
// program would, its description changed by replacing text.
func packaged(t *testing.T, m *unet.Model, replace ...string) string {
	t.Helper()
	side := ExampleSize(m.Card.Arch)
	img := imageio.NewImage(side, side, 1)
	for i := range img.Pix {
		img.Pix[i] = float32(i * 31 % 251)
	}
	e, err := core.NewEngine("", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	mm, err := p.Maps(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WritePackage(&b, m, Package{Authors: []string{"A"}, Licence: "CC0-1.0", Example: img, Maps: mm, Documentation: "# Validation"}); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var to bytes.Buffer
	w := zip.NewWriter(&to)
	for _, f := range z.File {
		data, err := member(z, maxFile, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		switch f.Name {
		case "rdf.yaml":
			data = []byte(strings.NewReplacer(replace...).Replace(string(data)))
		case "model.onnx":
			var p modelProto
			if err := decode(data, &p); err != nil {
				t.Fatal(err)
			}
			p.metadata = nil
			data = encode(&p)
		}
		(&packer{zip: w}).add(f.Name, data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "package.zip")
	if err := os.WriteFile(file, to.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPackage: what a package says of an image's normalisation is taken over,
// or refused.
func TestPackage(t *testing.T) {
	m := model(t, small("batch", 3, "foreground", "distance"))
	m.Card.Input = unet.Input{Normalise: "percentile", Low: 1, High: 99}
	x := make([]float32, 40*56)
	for i := range x {
		x[i] = float32(i * 17 % 255)
	}
	back, _, err := ReadPackage(packaged(t, m), Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Params.Free()
	if back.Card.Input != m.Card.Input || back.Card.Training.License != "CC0-1.0" {
		t.Errorf("card %+v", back.Card)
	}
	if d := furthest(t, mapsOf(t, back, 1, 40, 56, x), mapsOf(t, m, 1, 40, 56, x)); !(d <= 1e-5) {
		t.Errorf("maps differ by %g", d)
	}
	for name, c := range map[string]struct {
		replace []string
		want    string
	}{
		"mean and variance": {[]string{"id: scale_range", "id: zero_mean_unit_variance"}, "zero_mean_unit_variance"},
		"each channel":      {[]string{"- channel\n", "\n"}, "as a whole"},
		"other weights":     {[]string{"onnx:", "pytorch_state_dict:"}, "no ONNX weights, but pytorch_state_dict"},
		"no file":           {[]string{"source: model.onnx", "source: other.onnx"}, "no other.onnx"},
		"no model":          {[]string{"type: model", "type: dataset"}, "not a package of a model"},
		"no YAML":           {[]string{"type: model", "type: ["}, "yaml"},
	} {
		got, _, err := ReadPackage(packaged(t, m, c.replace...), Options{}, false)
		if err == nil {
			got.Params.Free()
			t.Errorf("%s: it was read", name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %q, want %q", name, err, c.want)
		}
	}
}
