package onnx

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
)

// exported is where graphs lie that other programs wrote, with an input and the
// maps that those programs compute from it: NAME.WRITER.onnx, NAME.x.npy,
// NAME.y.npy. bench/verify/onnx makes large sets of them.
var exported = flag.String("exported", "testdata/exported", "folder of exported graphs")

// readNPY reads a float32 array of version 1.
func readNPY(t *testing.T, path string) (shape []int, values []float32) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 10 + int(binary.LittleEndian.Uint16(b[8:]))
	header := string(b[10:n])
	if !strings.Contains(header, "'<f4'") || !strings.Contains(header, "'fortran_order': False") {
		t.Fatalf("%s: header %s", path, header)
	}
	_, dims, _ := strings.Cut(header, "(")
	dims, _, _ = strings.Cut(dims, ")")
	for _, d := range strings.Split(dims, ",") {
		var v int
		if _, err := fmt.Sscan(d, &v); err == nil {
			shape = append(shape, v)
		}
	}
	values = make([]float32, len(b[n:])/4)
	if err := binary.Read(bytes.NewReader(b[n:]), binary.LittleEndian, values); err != nil {
		t.Fatal(err)
	}
	return shape, values
}

// planar brings [1,H,W,C] into the order of [1,C,H,W].
func planar(name string, shape []int, v []float32) (c, h, w int, out []float32) {
	if !strings.HasPrefix(name, "keras") {
		return shape[1], shape[2], shape[3], v
	}
	h, w, c = shape[1], shape[2], shape[3]
	out = make([]float32, len(v))
	for i := range h * w {
		for j := range c {
			out[j*h*w+i] = v[i*c+j]
		}
	}
	return c, h, w, out
}

// raw takes samples as they are.
var raw = unet.Input{Normalise: "range"}

// mapsOf computes all maps of a normalised image of c planes.
func mapsOf(t *testing.T, m *unet.Model, c, h, w int, x []float32) []float32 {
	t.Helper()
	e, err := core.NewEngine("", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	got, err := p.Maps(t.Context(), &imageio.Image{W: w, H: h, C: c, Pix: x, Float: true, Bits: 32})
	if err != nil {
		t.Fatal(err)
	}
	var list []float32
	for _, name := range m.Card.Arch.Heads {
		list = append(list, got.Plane(name)...)
	}
	return list
}

// furthest is the largest difference, NaN counting as infinite.
func furthest(t *testing.T, a, b []float32) (d float64) {
	t.Helper()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("%d values, want %d", len(a), len(b))
	}
	for i := range a {
		if e := math.Abs(float64(a[i]) - float64(b[i])); !(e <= d) {
			d = e
		}
	}
	return d
}

// refusals are parts of what is said of graphs that cannot be taken over.
var refusals = map[string]string{
	"bilinear": "upsampling: the network here has",
	"logits":   "no sigmoid or softmax follows",
	"three":    "a softmax of 3 classes",
	"valid":    "padding",
	"stride":   "kernels of 2 x 2",
	"leaky":    "LeakyRelu",
	"bnlast":   "it follows a ReLU",
	"group8":   "group norm in groups of 8 channels",
}

// TestExported: graphs written by PyTorch and Keras predict here what they
// predict there, or are refused with a word on what does not fit.
func TestExported(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(*exported, "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no graphs in %s (%v)", *exported, err)
	}
	for _, file := range files {
		base := filepath.Base(file)
		name, _, _ := strings.Cut(base, ".")
		t.Run(base, func(t *testing.T) {
			o := Options{Input: raw}
			if strings.HasSuffix(name, "rgb3") {
				o.Heads = []string{"foreground", "border", "distance"}
			}
			m, s, err := Read(file, o)
			if want := refusals[strings.TrimPrefix(name, "keras_")]; want != "" {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("error %v, want %q", err, want)
				}
				t.Log(err)
				if name != "logits" {
					return
				}
				o.Logits = true
				m, s, err = Read(file, o)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer m.Params.Free()
			stem := filepath.Join(*exported, name)
			xs, x := readNPY(t, stem+".x.npy")
			ys, y := readNPY(t, stem+".y.npy")
			c, h, w, x := planar(name, xs, x)
			_, _, _, y = planar(name, ys, y)
			d := furthest(t, mapsOf(t, m, c, h, w, x), y)
			if !(d <= 1e-5) {
				t.Errorf("maps differ by %g", d)
			}
			t.Logf("maps within %.1e; depth %d, width %d, norm %s; %q", d, s.Arch.Depth, s.Arch.Width, s.Arch.Norm, s.Notes)
		})
	}
}
