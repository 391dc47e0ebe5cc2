// Command onnx checks models that travel as ONNX against the programs they
// come from and go to.
//
//	go run ./bench/verify/onnx -python venv/bin/python               # exports, in ONNX Runtime and OpenVINO
//	go run ./bench/verify/onnx -python venv/bin/python -torch        # imports from PyTorch, too
//	go run ./bench/verify/onnx -python venv/bin/python -keras venv2/bin/python
//
// It exports the built-in models and one of each kind of network, has onnx.checker look at them and compares
// the maps of images of several sizes with ONNX Runtime's and OpenVINO's. With
// -torch and -keras, networks are made in PyTorch (both of its exporters) and
// Keras (tf2onnx), imported, and their maps compared; those that cannot be
// taken over must be refused; bare weights of one of each are matched to the paper's
// network; one of each is trained further. Needed are the
// packages named in compare.py, torch_models.py and keras_models.py.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"unet/bench/program"
	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/weights"
)

func main() {
	python := flag.String("python", "python3", "Python with onnx, onnxruntime and openvino")
	torch := flag.Bool("torch", false, "check imports from PyTorch, which is installed beside")
	keras := flag.String("keras", "", "Python with tensorflow-cpu and tf2onnx, to check imports from Keras")
	flag.Parse()
	if err := run(*python, *torch, *keras); err != nil {
		fmt.Fprintln(os.Stderr, "onnx:", err)
		os.Exit(1)
	}
}

func run(python string, torch bool, keras string) error {
	dir, err := os.MkdirTemp("", "unet-onnx")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	prog, err := program.Build(dir)
	if err != nil {
		return err
	}
	for _, name := range weights.Names() {
		m, err := weights.Load(name)
		if err == nil {
			err = exports(python, prog, filepath.Join(dir, name), m)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for i, a := range variants {
		m, err := random(a)
		if err == nil {
			err = exports(python, prog, filepath.Join(dir, fmt.Sprint("variant", i)), m)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", a.Variant(), err)
		}
	}
	imports := filepath.Join(dir, "imports")
	if err := os.Mkdir(imports, 0o755); err != nil {
		return err
	}
	var made []string
	var states []state
	if torch {
		made = append(made, "bn.train")
		states = append(states, state{"paper", "script", "skip,up"})
		if err := show(python, "bench/verify/onnx/torch_models.py", imports); err != nil {
			return err
		}
	}
	if keras != "" {
		made = append(made, "keras_bn.tf2onnx")
		states = append(states, state{"keras_paper", "tf2onnx", "up,skip"})
		if err := show(keras, "bench/verify/onnx/keras_models.py", imports); err != nil {
			return err
		}
	}
	if made == nil {
		return nil
	}
	if err := show("go", "test", "./unet/onnx", "-count=1", "-run", "TestExported", "-v", "-args", "-exported", imports); err != nil {
		return err
	}
	for _, s := range states {
		if err := s.check(prog, imports); err != nil {
			return err
		}
	}
	return tuned(prog, imports, made)
}

// state is a network whose bare weights lie beside its graph: the exporter of that,
// and what its decoders' input begins with.
type state struct{ name, exporter, concat string }

// check imports the bare weights and compares their maps with those of the graph, which
// TestExported compares with the program's that made both.
func (s state) check(prog, dir string) error {
	weights, graph := filepath.Join(dir, s.name+".bare.model"), filepath.Join(dir, s.name+".graph.model")
	if err := show(prog, "import", "--like", "paper", "--concat", s.concat, filepath.Join(dir, s.name+".safetensors"), "--out", weights, "--quiet"); err != nil {
		return err
	}
	if err := show(prog, "import", filepath.Join(dir, s.name+"."+s.exporter+".onnx"), "--out", graph, "--quiet"); err != nil {
		return err
	}
	a, err := foregroundOf(weights)
	if err != nil {
		return err
	}
	b, err := foregroundOf(graph)
	if err != nil {
		return err
	}
	furthest := 0.0
	for i := range a {
		furthest = max(furthest, math.Abs(float64(a[i])-float64(b[i])))
	}
	if !(furthest <= 1e-5) {
		return fmt.Errorf("%s: maps of bare weights are %g from those of the graph", s.name, furthest)
	}
	fmt.Printf("%s: bare weights, maps within %.1e of those of the graph\n", s.name, furthest)
	return nil
}

// foregroundOf is the map of a model file for some image.
func foregroundOf(file string) ([]float32, error) {
	m, err := unet.LoadModel(file)
	if err != nil {
		return nil, err
	}
	defer m.Params.Free()
	m.Card.Input = unet.Input{Normalise: "range"}
	e, err := core.NewEngine("", 0)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	img := &imageio.Image{H: 96, W: 128, C: 3, Float: true, Bits: 32}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 3 * img.H * img.W {
		img.Pix = append(img.Pix, rng.Float32())
	}
	maps, err := p.Maps(context.Background(), img)
	if err != nil {
		return nil, err
	}
	return maps.Plane(unet.HeadForeground), nil
}

// show runs a command whose output is part of the result.
func show(name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "TF_CPP_MIN_LOG_LEVEL=3")
	c.Stdout = os.Stdout
	var text bytes.Buffer
	c.Stderr = &text
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, text.Bytes())
	}
	return nil
}

// variants of the network, together all that there is a choice of.
var variants = []unet.Arch{
	{Channels: 1, Depth: 2, Width: 16, Norm: "batch", Block: "residual", Heads: []string{"foreground"}},
	{Channels: 3, Depth: 2, Width: 16, Norm: "none", Up: "nearest", Attention: true, Heads: []string{"foreground", "distance"}},
	{Channels: 1, Depth: 3, Width: 32, Norm: "group", Block: "residual", Up: "nearest", Attention: true, Heads: []string{"foreground", "border"}},
}

// random is a network of random weights, scales, shifts and statistics.
func random(a unet.Arch) (*unet.Model, error) {
	card := unet.Card{Kind: unet.Nuclei, Name: "variant", Arch: a, Threshold: 0.5, Instance: instance.DefaultParams(), Input: unet.Input{Normalise: "range"}}
	m, err := unet.NewModel(card, 1, false)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, q := range m.Params.All() {
		if len(q.Shape) > 1 {
			continue
		}
		for i := range q.Value {
			q.Value[i] += 0.5 * (rng.Float32() - 0.5)
		}
	}
	return m, nil
}

// exports compares a model's maps with those of its ONNX file.
func exports(python, prog, dir string, m *unet.Model) error {
	defer m.Params.Free()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	model, file := filepath.Join(dir, "model.safetensors"), filepath.Join(dir, "model.onnx")
	if err := m.Save(model, false); err != nil {
		return err
	}
	if err := show(prog, "export", model, "--onnx", file); err != nil {
		return err
	}
	m.Card.Input = unet.Input{Normalise: "range"} // samples are given as the network takes them
	e, err := core.NewEngine("", 0)
	if err != nil {
		return err
	}
	defer e.Close()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for i, size := range [][2]int{{64, 64}, {128, 96}, {100, 77}, {33, 250}, {520, 696}} {
		img := &imageio.Image{H: size[0], W: size[1], C: 1, Float: true, Bits: 32}
		for range img.H * img.W {
			img.Pix = append(img.Pix, rng.Float32())
		}
		maps, err := p.Maps(context.Background(), img)
		if err != nil {
			return err
		}
		stem := filepath.Join(dir, fmt.Sprintf("case%d", i))
		channels := m.Card.Arch.Channels
		var x []float32
		for range channels { // gray images fill every channel
			x = append(x, img.Pix...)
		}
		if err := write(stem+".image.f32", x); err != nil {
			return err
		}
		for _, head := range m.Card.Arch.Heads {
			if err := write(stem+"."+head+".f32", maps.Plane(head)); err != nil {
				return err
			}
		}
		if err := os.WriteFile(stem+".txt", fmt.Appendf(nil, "%d %d %d\n", channels, img.H, img.W), 0o644); err != nil {
			return err
		}
	}
	tolerance := "1e-5"
	if m.Card.Arch.Norm == "group" {
		// Its statistics are sums over the whole image, which the others take
		// in float32: they differ from each other by as much.
		tolerance = "1e-3"
	}
	return show(python, "bench/verify/onnx/compare.py", file, dir, tolerance)
}

func write(path string, v []float32) error {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// tuned trains imported models for an epoch on made-up images.
func tuned(prog, dir string, names []string) error {
	set := filepath.Join(dir, "set")
	if err := show(prog, "sample", "--out", filepath.Join(dir, "images.zip"), "--count", "12", "--size", "128", "--quiet"); err != nil {
		return err
	}
	if err := show(prog, "prepare", filepath.Join(dir, "images.zip"), "--out", set, "--size", "128", "--quiet"); err != nil {
		return err
	}
	for _, name := range names {
		model := filepath.Join(dir, name+".safetensors")
		if err := show(prog, "import", filepath.Join(dir, name+".onnx"), "--out", model, "--quiet"); err != nil {
			return err
		}
		if err := show(prog, "train", set, "--from", model, "--out", filepath.Join(dir, name+".run"), "--epochs", "1", "--quiet"); err != nil {
			return err
		}
		fmt.Println(name, "trained further")
	}
	return nil
}
