// Command peers times our U-Net against the same network in PyTorch, ONNX Runtime,
// OpenVINO and TensorFlow, in one run: the same weights and input, outputs
// compared, steps interleaved so that noise of the machine hits all alike.
//
//	go run ./bench/speed/peers [-venv build/peers] [-rounds 7] [-run 'w16.*2 threads']
//
// It makes a virtual environment (or uses the one that is there) and installs
// what it lacks from the package index; peers that cannot be installed are
// named and left out. It prints Markdown; RESULTS.md holds the tables of the
// last release and says how they were made.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"unet/bench/program"
	"unet/core"
	"unet/unet"
	"unet/unet/instance"
)

// A job is one table.
type job struct {
	mode                 string // forward, train or start
	network              string // of networks
	width, side, batch   int
	threads              int
	model, onnx, scratch string // files, and a folder for more
}

func (j job) String() string {
	if j.mode == "start" {
		return fmt.Sprintf("start to first mask, w%d, one %dx%d image, %d threads", j.width, j.side, j.side, j.threads)
	}
	mode := j.mode
	if j.network != usual {
		mode += ", " + j.network
	}
	return fmt.Sprintf("%s, w%d, %dx%d, batch %d, %d threads", mode, j.width, j.side, j.side, j.batch, j.threads)
}

// args are what a worker is told.
func (j job) args(model string) []string {
	return []string{model, strconv.Itoa(j.side), strconv.Itoa(j.batch), strconv.Itoa(j.threads)}
}

// way is one way to run the network. Its command ends where the mode comes.
type way struct {
	command  []string
	sessions bool // reads ONNX and cannot train
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("peers: ")
	if len(os.Args) == 7 && os.Args[1] == "worker" {
		worker(os.Args[2:])
		return
	}
	venv := flag.String("venv", "build/peers", "`FOLDER` of the virtual environment with the peers")
	rounds := flag.Int("rounds", 7, "interleaved measurements, of which the median counts")
	only := flag.String("run", "", "do only the tables whose title matches this regular `EXPRESSION`")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	check(err)
	if *rounds < 1 {
		log.Fatalf("-rounds %d: need at least 1", *rounds)
	}
	dir, err := os.MkdirTemp("", "peers")
	check(err)
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	check(err)
	python := install(*venv)
	py := func(script, variant string) []string { return []string{python, "bench/speed/peers/" + script, variant} }
	programs := []way{
		{command: []string{self, "worker"}},
		{command: py("torch_worker.py", "plain")},
		{command: py("torch_worker.py", "channels_last")},
		{command: py("torch_worker.py", "compiled")},
		{command: py("session_worker.py", "onnxruntime"), sessions: true},
		{command: py("session_worker.py", "openvino"), sessions: true},
		{command: py("tensorflow_worker.py", "plain")},
		{command: py("tensorflow_worker.py", "xla")},
	}
	fmt.Printf("%s, kernels %s, %s\n", core.CPU(), core.ISAs()[0], time.Now().Format(time.DateOnly))
	for _, j := range jobs() {
		if !pattern.MatchString(j.String()) {
			continue
		}
		j.scratch = dir
		name := fmt.Sprintf("%s-w%d", strings.ReplaceAll(j.network, " ", "-"), j.width)
		j.model = filepath.Join(dir, name+".safetensors")
		check(makeModel(j))
		if j.mode != "train" {
			j.onnx = filepath.Join(dir, fmt.Sprintf("%s-%d-%d.onnx", name, j.side, j.batch))
			export(py("torch_worker.py", "plain"), j)
		}
		fmt.Printf("\n### %s\n\n", j)
		if j.mode == "start" {
			compareStart(programs, j, *rounds)
		} else {
			compare(programs, j, *rounds)
		}
	}
}

// networks are those that are compared.
var networks = map[string]unet.Arch{
	usual:                      {Norm: "batch"},
	"residual U-Net":           {Norm: "batch", Block: "residual"},
	"attention U-Net":          {Norm: "batch", Attention: true},
	"attention residual U-Net": {Norm: "batch", Block: "residual", Attention: true},
	"attention residual U-Net with nearest upsampling and group norm": {Norm: "group", Block: "residual", Attention: true, Up: "nearest"},
}

const usual = "U-Net"

func jobs() []job {
	var list []job
	for _, j := range []job{{width: 16, side: 128, batch: 16}, {width: 32, side: 256, batch: 4}} {
		for _, j.network = range slices.Sorted(maps.Keys(networks)) {
			for _, j.threads = range []int{1, 2} {
				for _, j.mode = range []string{"forward", "train"} {
					list = append(list, j)
				}
			}
		}
	}
	return append(list, job{mode: "start", network: usual, width: 32, side: 256, batch: 1, threads: 2})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// install makes dir a virtual environment with the peers, as far as they are
// to be had, and returns its Python.
func install(dir string) string {
	py := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(py); err != nil {
		if out, err := exec.Command("python3", "-m", "venv", "--system-site-packages", dir).CombinedOutput(); err != nil {
			log.Fatalf("no virtual environment in %s: %v: %s", dir, err, bytes.TrimSpace(out))
		}
	}
	for _, names := range [][]string{{"numpy"}, {"pillow"}, {"torch"}, {"onnx"}, {"onnxscript"}, {"onnxruntime"}, {"openvino"}, {"tensorflow-cpu", "tensorflow"}} {
		have := func(name string) bool {
			return exec.Command(py, "-c", "import importlib.metadata as m, sys; m.version(sys.argv[1])", name).Run() == nil
		}
		if slices.ContainsFunc(names, have) {
			continue
		}
		var out []byte
		installed := slices.ContainsFunc(names, func(name string) (ok bool) {
			var err error
			out, err = exec.Command(py, "-m", "pip", "install", "-q", name).CombinedOutput()
			return err == nil
		})
		if !installed {
			log.Printf("%s is missing: %s", names[0], lastLine(out))
		}
	}
	return py
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// makeModel writes a model of the paper's kind with random weights.
func makeModel(j job) error {
	a := networks[j.network]
	a.Channels, a.Depth, a.Width, a.Heads = 3, 4, j.width, []string{unet.HeadForeground}
	m, err := unet.NewModel(unet.Card{
		Kind: unet.Paper, Threshold: 0.5, Instance: instance.DefaultParams(),
		Arch: a, Input: unet.Input{Normalise: "range", Size: j.side},
	}, 1, false)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	// A sum of two has twice the variance of each: without its half every block would
	// double it, to logits of 50, where the maps of any two programs differ by 1e-5.
	for _, p := range m.Params.All() {
		if a.Block == "residual" && (strings.HasSuffix(p.Name, ".norm0.weight") || strings.HasSuffix(p.Name, ".norm2.weight")) {
			for i := range p.Value {
				p.Value[i] *= math.Sqrt2 / 2
			}
		}
	}
	return m.Save(j.model, false)
}

// export writes the model as ONNX, if PyTorch is there.
func export(torch []string, j job) {
	if _, err := os.Stat(j.onnx); err == nil {
		return
	}
	args := append(append(slices.Clone(torch[1:]), "export"), append(j.args(j.model), j.onnx)...)
	if out, err := quiet(torch[0], args...).CombinedOutput(); err != nil {
		log.Printf("no ONNX file of the model: %s", lastLine(out))
	}
}

// quiet is a command whose libraries keep their banners to themselves.
func quiet(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TF_CPP_MIN_LOG_LEVEL=3")
	return cmd
}

// compare times forward passes or training steps.
func compare(programs []way, j job, rounds int) {
	const rest = time.Second / 2 // threads of the program before may wait for work by spinning
	var peers []*peer
	for _, p := range programs {
		model := j.model
		if p.sessions {
			if j.mode == "train" {
				continue
			}
			model = j.onnx
		}
		peer, err := start(append(append(slices.Clone(p.command), j.mode), j.args(model)...))
		if err != nil {
			log.Printf("%s %s is missing: %v", filepath.Base(p.command[1]), p.command[len(p.command)-1], err)
			continue
		}
		defer peer.stop()
		peers = append(peers, peer)
	}
	// The steps that warm up are the ones compared: the second forward pass of
	// training shows the first update. Later ones show chaos, as Adam's first
	// steps are the sign of the gradient however small it is.
	outputs := map[*peer][]float32{}
	for round := range 2 + rounds {
		for i := 0; i < len(peers); i++ {
			p := peers[i]
			var t float64
			var err error
			if round < 2 {
				outputs[p], err = p.output(filepath.Join(j.scratch, "out"))
			} else {
				time.Sleep(rest)
				if _, err = p.number("step"); err == nil { // warms caches and threads up
					t, err = p.number("step")
				}
				p.times = append(p.times, t)
			}
			if err != nil { // as a compiler may, on the first step
				log.Printf("%s fails: %v", p.name, err)
				peers = slices.Delete(peers, i, i+1)
				i--
			}
		}
	}
	fmt.Println("| program | ms per image | ours is | peak memory, MiB | of theirs | greatest difference |")
	fmt.Println("|---|--:|--:|--:|--:|--:|")
	var ourTime, ourMemory float64
	for i, p := range peers {
		memory, err := p.number("memory")
		check(err)
		t := median(p.times)
		if i == 0 {
			ourTime, ourMemory = t, memory
			fmt.Printf("| %s | %.2f | | %.0f | | |\n", p.name, t*1e3/float64(j.batch), memory/(1<<20))
			continue
		}
		fmt.Printf("| %s | %.2f | %.2fx faster | %.0f | %.2f | %.1e |\n", p.name, t*1e3/float64(j.batch),
			t/ourTime, memory/(1<<20), ourMemory/memory, maxDiff(outputs[p], outputs[peers[0]]))
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func maxDiff(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

// compareStart times whole processes that read one picture and write its mask.
func compareStart(programs []way, j job, rounds int) {
	picture := filepath.Join(j.scratch, "picture.png")
	check(writePicture(picture, j.side))
	ours, err := program.Build(j.scratch)
	check(err)
	type run struct {
		name    string
		command []string
		mask    string
		times   []float64
		memory  float64
	}
	var runs []*run
	for i, p := range programs {
		out := filepath.Join(j.scratch, fmt.Sprintf("mask%d", i))
		r := &run{name: "unet predict", mask: filepath.Join(out, "picture.mask.png"), command: []string{ours, "predict", picture,
			"--threads", strconv.Itoa(j.threads), "--quiet", "--model", j.model, "--format", "mask", "--out", out}}
		if i > 0 {
			model := j.model
			if p.sessions {
				model = j.onnx
			}
			r.name, r.mask = strings.TrimSuffix(filepath.Base(p.command[1]), "_worker.py")+" "+p.command[2], out+".png"
			r.command = append(append(append(slices.Clone(p.command), "mask"), j.args(model)...), picture, r.mask)
		}
		runs = append(runs, r)
	}
	for round := range 1 + rounds {
		for i := 0; i < len(runs); i++ {
			r := runs[i]
			cmd := quiet(r.command[0], r.command[1:]...)
			begun := time.Now()
			out, err := cmd.CombinedOutput()
			t := time.Since(begun).Seconds()
			if err != nil {
				if r.command[0] == ours {
					log.Fatalf("unet predict fails: %s", out)
				}
				log.Printf("%s is missing: %s", r.name, lastLine(out))
				runs = slices.Delete(runs, i, i+1)
				i--
				continue
			}
			r.memory = max(r.memory, float64(program.MaxRSS(cmd.ProcessState)))
			if round > 0 { // the first reads files from disk
				r.times = append(r.times, t)
			}
		}
	}
	fmt.Println("| program | seconds | ours is | peak memory, MiB | of theirs | pixels that differ |")
	fmt.Println("|---|--:|--:|--:|--:|--:|")
	want, err := readMask(runs[0].mask)
	check(err)
	for i, r := range runs {
		t := median(r.times)
		if i == 0 {
			fmt.Printf("| %s | %.3f | | %.0f | | |\n", r.name, t, r.memory/(1<<20))
			continue
		}
		got, err := readMask(r.mask)
		check(err)
		differ := 0
		for k := range want {
			if k >= len(got) || want[k] != got[k] {
				differ++
			}
		}
		fmt.Printf("| %s | %.3f | %.1fx faster | %.0f | %.2f | %d of %d |\n", r.name, t, t/median(runs[0].times),
			r.memory/(1<<20), runs[0].memory/r.memory, differ, len(want))
	}
}

func writePicture(path string, side int) error {
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x * y), uint8(x + 3*y), uint8(x ^ y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}

// readMask returns for each pixel of a PNG whether it is not black.
func readMask(path string) ([]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var mask []bool
	r := img.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			v, _, _, _ := img.At(x, y).RGBA()
			mask = append(mask, v > 0)
		}
	}
	return mask, nil
}
