//go:build linux

// Command mpi measures what a training by several processes gains, and tells from what
// network on a second machine helps. It needs Open MPI and a prepared set.
//
//	go run ./bench/speed/mpi -set DIR [-micros 8] [-steps 20] [-rates 0,10gbit,1gbit]
//
// It first lets one process do the share of one of 2, 4 and 8, whose peers are made
// up: they answer at once with the bytes they are sent. That is the time of computing,
// and counts the exchanges of a step that a process waits for, their bytes and those of
// gradients, which go on beside the backward pass. From them the model is
//
//	step = computing + exchanges * latency + bytes / bandwidth
//
// as if nothing went on beside: what a process waits for comes after gradients in the
// queue of a network that has much to carry.
//
// Then it runs mpirun on this machine, over TCP on a loopback of its own whose bandwidth
// `tc` bounds (tbf; where the kernel has netem, -delay adds a latency, too), and compares.
// A loopback carries what all processes send. They have one thread each; more of them
// than cores is oversubscribed.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"unet/core"
	"unet/unet/dataset"
	"unet/unet/train"
)

func main() {
	log.SetFlags(0)
	var b bench
	flag.StringVar(&b.set, "set", "", "a prepared set")
	flag.IntVar(&b.micros, "micros", 8, "micro-batches of a step")
	flag.IntVar(&b.steps, "steps", 20, "of a training that is measured")
	flag.IntVar(&b.turns, "turns", 3, "measurements, of which the median counts")
	rates := flag.String("rates", "0,10gbit,1gbit", "bandwidths of the loopback, as tc has them; 0: unbounded")
	flag.StringVar(&b.delay, "delay", "", "latency of the loopback, such as 50us, where the kernel has netem")
	flag.Parse()
	if err := b.run(strings.Split(*rates, ",")); err != nil {
		log.Fatal("mpi: ", err)
	}
}

type bench struct {
	set, delay           string
	micros, steps, turns int
	dir                  string
	shares               []share
}

// share is what one of some processes does in a step.
type share struct {
	processes int
	seconds   float64
	exchanges float64 // that it waits for
	waited    float64 // bytes of them
	beside    float64 // bytes of gradients
}

func (b *bench) run(rates []string) (err error) {
	if b.dir, err = os.MkdirTemp("", "mpi"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	fmt.Printf("%s\n\none thread doing the share of one of several processes, %d micro-batches\n", core.CPU(), b.micros)
	fmt.Println("processes  ms a step  exchanges  KiB waited for  MiB beside")
	for n := 1; n <= b.micros; n *= 2 {
		s, err := b.share(n)
		if err != nil {
			return err
		}
		b.shares = append(b.shares, s)
		fmt.Printf("%9d  %9.1f  %9.0f  %14.1f  %10.2f\n", n, s.seconds*1e3, s.exchanges, s.waited/1024, s.beside/(1<<20))
	}
	fmt.Println("\nmodel: times as fast as one process, one a machine")
	fmt.Print("processes")
	for _, n := range networks {
		fmt.Printf("  %10s", n.name)
	}
	fmt.Println()
	for _, s := range b.shares[1:] {
		fmt.Printf("%9d", s.processes)
		for _, n := range networks {
			fmt.Printf("  %10.2f", b.shares[0].seconds/s.step(n))
		}
		fmt.Println()
	}
	fmt.Println("\na second machine makes steps 1.2 and 1.8 times as fast if one takes them at least")
	for _, n := range networks {
		fmt.Printf("%10s  %6.1f and %6.1f ms\n", n.name, b.shares[1].least(n, 1.2)*1e3, b.shares[1].least(n, 1.8)*1e3)
	}
	return b.measure(rates)
}

// network is between the processes: the latency of a short message, one way, and what
// it carries.
type network struct {
	name    string
	latency float64 // s
	rate    float64 // bytes/s
}

// The latencies are what TCP takes between two machines of a rack.
var networks = []network{
	{"1 Gb/s", 50e-6, 1e9 / 8}, {"10 Gb/s", 30e-6, 10e9 / 8}, {"100 Gb/s", 15e-6, 100e9 / 8},
}

func (s share) bytes() float64 { return s.waited + s.beside }

// step is the model.
func (s share) step(n network) float64 {
	return s.seconds + s.exchanges*n.latency + s.bytes()/n.rate
}

// least is how long a step of one machine takes at least, where a share of it on
// each machine makes it so many times as fast.
func (s share) least(n network, times float64) float64 {
	for s.seconds = 1e-4; ; s.seconds *= 1.01 {
		if one := s.seconds * float64(s.processes); one >= times*s.step(n) {
			return one
		}
	}
}

// mirror stands for the peers of process 0: they answer with what they are sent.
type mirror struct {
	size          int
	calls, waited atomic.Int64
	beside        atomic.Int64
}

func (m *mirror) Rank() int { return 0 }
func (m *mirror) Size() int { return m.size }

func (m *mirror) Exchange(_, stream int, send, receive []byte) error {
	copy(receive, send)
	bytes := int64(max(len(send), len(receive)))
	if stream == core.Gradients {
		m.beside.Add(bytes)
		return nil
	}
	m.calls.Add(1)
	m.waited.Add(bytes)
	return nil
}

// watch is an observer that times steps.
type watch struct {
	mirror *mirror
	times  []time.Time
	counts [][3]int64
}

func (*watch) Started(train.Plan)           {}
func (*watch) EpochDone([]train.Epoch, int) {}
func (*watch) Note(string)                  {}
func (*watch) Warn(text string)             { log.Print(text) }

func (w *watch) Progress(train.Progress) {
	w.times = append(w.times, time.Now())
	w.counts = append(w.counts, [3]int64{w.mirror.calls.Load(), w.mirror.waited.Load(), w.mirror.beside.Load()})
}

// share measures process 0 of n.
func (b *bench) share(n int) (s share, err error) {
	set, err := dataset.Open(b.set)
	if err != nil {
		return s, err
	}
	engine, err := core.NewEngine("", 1)
	if err != nil {
		return s, err
	}
	defer engine.Close()
	c, err := train.NucleiConfig("quick")
	if err != nil {
		return s, err
	}
	c.Epochs, c.Steps, c.MicroBatches, c.Scenes = 1, b.steps*b.turns, b.micros, 0
	t := &train.Trainer{Config: c, Engine: engine, Dir: filepath.Join(b.dir, fmt.Sprint("share", n))}
	w := &watch{mirror: &mirror{size: n}}
	t.Peers, t.Observer = w.mirror, w
	for split, images := range map[string]**train.Images{dataset.Train: &t.Train, dataset.Val: &t.Val} {
		var list []*dataset.Sample
		for _, i := range set.Split(split) {
			sample, err := set.Load(i)
			if err != nil {
				return s, err
			}
			list = append(list, sample)
		}
		if *images, err = train.NewImages(c.Input, list); err != nil {
			return s, err
		}
	}
	r, err := t.Run(context.Background())
	if err != nil {
		return s, err
	}
	r.Model.Params.Free()
	var steps []float64
	for i := 1; i < len(w.times); i++ {
		steps = append(steps, w.times[i].Sub(w.times[i-1]).Seconds())
	}
	last, of := len(w.counts)-1, float64(len(w.counts)-1)
	count := func(k int) float64 { return float64(w.counts[last][k]-w.counts[0][k]) / of }
	s = share{processes: n, seconds: median(steps), exchanges: count(0), waited: count(1), beside: count(2)}
	return s, nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// measure runs trainings, of threads and of processes.
func (b *bench) measure(rates []string) error {
	unet := filepath.Join(b.dir, "unet")
	if out, err := exec.Command("go", "build", "-tags", "mpi", "-o", unet, "unet/cli/unet").CombinedOutput(); err != nil {
		return fmt.Errorf("build unet: %w\n%s", err, out)
	}
	kinds := []kind{
		{"1 thread, steps undivided", 1, 1, 1, "0"}, {"2 threads, steps undivided", 1, 2, 1, "0"},
		{"1 thread", 1, 1, b.micros, "0"}, {"2 threads", 1, 2, b.micros, "0"},
	}
	for _, rate := range rates {
		for _, n := range []int{2, 4} {
			kinds = append(kinds, kind{fmt.Sprintf("%d processes, loopback %s %s", n, rate, b.delay), n, 1, b.micros, rate})
		}
	}
	times := make([][]float64, len(kinds))
	for range b.turns { // in turns, as what else runs changes
		for i, k := range kinds {
			t, err := b.train(unet, k)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			times[i] = append(times[i], t)
		}
	}
	fmt.Printf("\nms a step, medians of %d turns of %d steps; the model from what an unbounded loopback takes\n", b.turns, b.steps)
	unbounded := map[int]float64{}
	for i, k := range kinds {
		t := median(times[i])
		fmt.Printf("%-36s  %7.1f", k.name, t*1e3)
		if k.rate == "0" {
			unbounded[k.processes] = t
		} else if rate := bits(k.rate); unbounded[k.processes] > 0 && rate > 0 {
			s := b.shares[slices.IndexFunc(b.shares, func(s share) bool { return s.processes == k.processes })]
			fmt.Printf("  model %7.1f", (unbounded[k.processes]+8*float64(k.processes)*s.bytes()/rate)*1e3)
		}
		fmt.Println()
	}
	return nil
}

// bits reads a rate such as 10gbit or 500mbit.
func bits(rate string) (v float64) {
	var unit string
	fmt.Sscanf(rate, "%f%s", &v, &unit)
	return v * map[string]float64{"gbit": 1e9, "mbit": 1e6}[unit]
}

// kind is a way to train.
type kind struct {
	name                       string
	processes, threads, micros int
	rate                       string
}

// train returns the seconds of a step.
func (b *bench) train(unet string, k kind) (float64, error) {
	out := filepath.Join(b.dir, "run")
	if err := os.RemoveAll(out); err != nil {
		return 0, err
	}
	settings := filepath.Join(b.dir, "settings.yaml")
	// The last epoch is validated: its time does not count.
	text := fmt.Sprintf("batch: 8\nmicro-batches: %d\nepochs: 2\nsteps: %d\nscenes: 0\nvalidate-every: 1000\n", k.micros, b.steps)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return 0, err
	}
	line := fmt.Sprintf("%s train %s --out %s --config %s --threads %d --quiet", unet, b.set, out, settings, k.threads)
	if k.processes > 1 {
		line = fmt.Sprintf("mpirun --oversubscribe --bind-to none --mca btl tcp,self --mca btl_tcp_if_include lo -n %d %s", k.processes, line)
	}
	if k.rate != "0" {
		line = fmt.Sprintf("tc qdisc add dev lo root handle 1: tbf rate %s burst 1mb latency 100ms && ", k.rate) + line
	}
	if b.delay != "" && k.processes > 1 {
		line = fmt.Sprintf("tc qdisc add dev lo %s netem delay %s && ", map[bool]string{true: "root", false: "parent 1:1"}[k.rate == "0"], b.delay) + line
	}
	cmd := exec.Command("unshare", "--net", "sh", "-c", "ip link set lo up && "+line)
	cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
	if text, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, text)
	}
	raw, err := os.ReadFile(filepath.Join(out, "history.json"))
	if err != nil {
		return 0, err
	}
	var history train.History
	if err := json.Unmarshal(raw, &history); err != nil {
		return 0, err
	}
	return history.Epochs[0].Seconds / float64(b.steps), nil
}
