// Peers times our U-Net against the same network in other programs, in one
// run: the same weights and input, outputs compared, steps interleaved so that
// noise of the machine hits all alike.
//
//	go run ./bench/peers [-python build/peers/bin/python] [-rounds 7]
//
// Without -python it makes a virtual environment under build/peers and
// installs what the package index has; peers that cannot be installed are
// named and left out.
//
// Each program is a process that is asked, line by line, to do a step
// ("step" -> seconds), write its probabilities ("output FILE") or tell its
// peak memory ("memory" -> bytes).
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/instance"
)

var (
	python = flag.String("python", "", "Python with the peers installed")
	rounds = flag.Int("rounds", 7, "interleaved measurements, of which the median counts")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	if len(os.Args) == 7 && os.Args[1] == "worker" {
		worker(os.Args[2:])
		return
	}
	dir, err := os.MkdirTemp("", "peers")
	check(err)
	defer os.RemoveAll(dir)
	if *python == "" {
		*python = install("build/peers")
	}
	fmt.Printf("%s\nkernels %s, %s\n\n", core.CPU(), core.ISAs()[0], time.Now().Format(time.DateOnly))
	for _, s := range []struct{ width, side, batch int }{{16, 128, 16}, {32, 256, 4}} {
		model := filepath.Join(dir, fmt.Sprintf("w%d.safetensors", s.width))
		check(makeModel(model, s.width))
		for _, threads := range []int{1, 2} {
			fmt.Printf("width %d, %dx%d, batch %d, %d threads\n", s.width, s.side, s.side, s.batch, threads)
			args := []string{model, strconv.Itoa(s.side), strconv.Itoa(s.batch), strconv.Itoa(threads)}
			onnx := filepath.Join(dir, fmt.Sprintf("w%d.onnx", s.width))
			compare("forward", args, onnx, s.batch, dir)
			compare("train", args, "", s.batch, dir)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal("peers: ", err)
	}
}

// install makes a virtual environment and returns its Python.
func install(dir string) string {
	py := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(py); err != nil {
		check(exec.Command("python3", "-m", "venv", dir).Run())
	}
	for _, p := range []string{"numpy", "torch", "onnx", "onnxscript", "onnxruntime", "openvino"} {
		if out, err := exec.Command(py, "-m", "pip", "install", "-q", p).CombinedOutput(); err != nil {
			log.Printf("%s cannot be installed: %.200s", p, out)
		}
	}
	return py
}

func makeModel(path string, width int) error {
	m, err := unet.NewModel(unet.Card{
		Kind: unet.Paper, Threshold: 0.5, Instance: instance.DefaultParams(),
		Arch:  unet.Arch{Channels: 3, Depth: 4, Width: width, Norm: "batch", Heads: []string{unet.HeadForeground}},
		Input: unet.Input{Normalise: "range"},
	}, 1, false)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	return m.Save(path, false)
}

// peer is a running program.
type peer struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	times []float64
}

func start(args ...string) (*peer, error) {
	p := &peer{cmd: exec.Command(args[0], args[1:]...)}
	p.cmd.Stderr = io.Discard
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			p.cmd.Wait()
			return nil, fmt.Errorf("does not start")
		}
		if rest, ok := strings.CutPrefix(line, "ready "); ok {
			p.name = strings.TrimSpace(rest)
			return p, nil
		}
	}
}

func (p *peer) ask(command string) (string, error) {
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		return "", err
	}
	line, err := p.out.ReadString('\n')
	return strings.TrimSpace(line), err
}

func (p *peer) number(command string) float64 {
	line, err := p.ask(command)
	check(err)
	v, err := strconv.ParseFloat(line, 64)
	check(err)
	return v
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait()
}

// compare runs one mode in every program that can do it.
func compare(mode string, args []string, onnx string, batch int, dir string) {
	self, err := os.Executable()
	check(err)
	here := "bench/peers/"
	commands := [][]string{
		append([]string{self, "worker", mode}, args...),
		append([]string{*python, here + "torch_worker.py", mode}, args...),
		append(append([]string{*python, here + "torch_worker.py", mode}, args...), "channels_last"),
	}
	if mode == "forward" {
		for _, name := range []string{"onnxruntime", "openvino"} {
			commands = append(commands, append([]string{*python, here + "session_worker.py", name, onnx}, args[1:]...))
		}
	}
	var peers []*peer
	for i, c := range commands {
		p, err := start(c...)
		if err != nil {
			log.Printf("  %s: %v", strings.Join(c[1:4], " "), err)
			continue
		}
		defer p.stop()
		if c[len(c)-1] == "channels_last" {
			p.name += " channels_last"
		}
		if i == 1 && onnx != "" {
			if _, err := os.Stat(onnx); err != nil {
				if answer, err := p.ask("export " + onnx); err != nil || answer != "ok" {
					log.Printf("  the model cannot be exported to ONNX: %v", err)
				}
				// Exporting takes memory that inference does not.
				p.stop()
				p, err = start(c...)
				check(err)
			}
		}
		peers = append(peers, p)
	}
	for range 2 {
		for _, p := range peers {
			p.number("step")
		}
	}
	for range *rounds {
		for _, p := range peers {
			p.times = append(p.times, p.number("step"))
		}
	}
	var want []float32
	for i, p := range peers {
		note := ""
		if mode == "forward" {
			got := output(p, filepath.Join(dir, "out"))
			if i == 0 {
				want = got
			} else {
				note = fmt.Sprintf("  differs by %.1e", maxDiff(got, want))
			}
		}
		sort.Float64s(p.times)
		t := p.times[len(p.times)/2]
		base := peers[0].times[len(peers[0].times)/2]
		fmt.Printf("  %-8s %-34s %8.2f ms/image  %5.2fx  %6.0f MiB%s\n", mode, p.name,
			t*1e3/float64(batch), t/base, p.number("memory")/(1<<20), note)
	}
}

func output(p *peer, path string) []float32 {
	if answer, err := p.ask("output " + path); err != nil || answer != "ok" {
		log.Fatalf("peers: %s gives no output", p.name)
	}
	b, err := os.ReadFile(path)
	check(err)
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
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

// worker is our side of the protocol.
func worker(args []string) {
	mode := args[0]
	var n [3]int
	for i := range n {
		v, err := strconv.Atoi(args[2+i])
		check(err)
		n[i] = v
	}
	b, err := unet.NewBench(args[1], n[0], n[1], n[2], mode == "train")
	check(err)
	defer b.Close()
	fmt.Println("ready unet")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch f := strings.Fields(in.Text()); f[0] {
		case "step":
			start := time.Now()
			check(b.Step())
			fmt.Println(time.Since(start).Seconds())
		case "output":
			check(b.Step())
			var buf []byte
			for _, v := range b.Probabilities() {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			check(os.WriteFile(f[1], buf, 0o666))
			fmt.Println("ok")
		case "memory":
			fmt.Println(peakMemory())
		}
	}
}

// peakMemory returns the process's largest resident size in bytes, 0 where
// the system does not tell.
func peakMemory() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			v, _ := strconv.ParseInt(f[1], 10, 64)
			return v << 10
		}
	}
	return 0
}
