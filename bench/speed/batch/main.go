//go:build unix

// Command batch measures how much `unet predict` on a folder of images costs
// beyond the network alone, and what nuclei cost on one large image.
//
//	go run ./bench/speed/batch IMAGES...
//	go run ./bench/speed/batch -format labels,csv,geojson -rounds 9 IMAGES...
//
// The network alone is the forward passes of the same images, decoded and
// normalised beforehand: image after image by all threads, and on each thread an
// image, side by side. Predict is the program from its start to its end. All
// take turns, and medians and those of predict's ratios are printed: of processor
// time, which other work on the machine disturbs least, and of time. Below stands
// what the program does besides the network, by its parts: their processor time
// bounds the ratio where the network alone keeps all processors busy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"unet/bench/program"
	"unet/core"
	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/instance"
	"unet/unet/report"
	"unet/unet/weights"
)

func main() {
	formats := flag.String("format", "labels,overlay,csv", "results to write; the default is predict's")
	model := flag.String("model", "", "model file (default: the built-in one)")
	rounds := flag.Int("rounds", 5, "measurements of each")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "batch: give images or folders")
		os.Exit(2)
	}
	if err := run(flag.Args(), *formats, *model, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "batch:", err)
		os.Exit(1)
	}
}

// bench holds the network and the folder of one measurement.
type bench struct {
	predictor *unet.Predictor
	single    []*unet.Predictor // of one thread each
	input     unet.Input
	program   string
	model     string
	formats   string
	out       string
}

func run(args []string, formats, modelFile string, rounds int) error {
	out, err := os.MkdirTemp("", "unet-batch")
	if err != nil {
		return err
	}
	defer os.RemoveAll(out)
	m, err := weights.Default()
	if modelFile != "" {
		m, err = unet.LoadModel(modelFile)
	}
	if err != nil {
		return err
	}
	defer m.Params.Free()
	core.SpareProcs()
	e, err := core.NewEngine("", 0)
	if err != nil {
		return err
	}
	defer e.Close()
	predict, err := program.Build(out)
	if err != nil {
		return err
	}
	b := &bench{program: predict, input: m.Card.Input, model: modelFile, formats: formats, out: out}
	// Normalised images pass through unchanged.
	m.Card.Input.Normalise = "range"
	b.predictor = unet.NewPredictor(e, m)
	defer b.predictor.Close()
	for range e.Threads() {
		one, err := core.NewEngine("", 1)
		if err != nil {
			return err
		}
		defer one.Close()
		p := b.predictor.Fork(one)
		defer p.Close()
		b.single = append(b.single, p)
	}

	images, err := b.decode(args)
	if err != nil {
		return err
	}
	pixels := 0
	for _, m := range images {
		pixels += m.W * m.H
	}
	fmt.Printf("%d images, %.1f Mpixel, formats %s, %d rounds, medians\n", len(images), float64(pixels)/1e6, formats, rounds)
	if err := b.compare(images, args, rounds); err != nil {
		return err
	}
	if err := b.parts(m.Card, args, images); err != nil {
		return err
	}
	return b.large(m.Card, rounds)
}

// compare times the network alone and predict in turns.
func (b *bench) compare(images []*imageio.Image, args []string, rounds int) error {
	largest := slices.MaxFunc(images, func(a, b *imageio.Image) int { return a.W*a.H - b.W*b.H })
	ways := []struct {
		name       string
		predictors []*unet.Predictor
	}{
		{"network alone", []*unet.Predictor{b.predictor}},
		{"network alone, side by side", b.single},
		{"unet predict", nil},
	}
	predict := len(ways) - 1
	costs, ratios := make([]series, len(ways)), make([]series, len(ways))
	for i := range rounds + 1 {
		round := make([]cost, len(ways))
		for k, w := range ways {
			for _, p := range w.predictors { // has its memory when the time begins
				if _, err := p.Maps(context.Background(), largest); err != nil {
					return err
				}
			}
			do := func() error { return network(w.predictors, images) }
			if k == predict {
				do = func() error { return b.predict(args) }
			}
			var err error
			if round[k], err = measure(do); err != nil {
				return err
			}
			for _, p := range w.predictors { // and leaves it to the next
				p.Close()
			}
		}
		if i == 0 {
			continue // memory and caches are cold
		}
		for k, c := range round {
			costs[k] = append(costs[k], c)
			ratios[k] = append(ratios[k], cost{round[predict].cpu / c.cpu, round[predict].wall / c.wall})
		}
	}
	for k, w := range ways {
		c, r := costs[k].median(), ratios[k].median()
		fmt.Printf("%-30s processor %7.3f s   time %7.3f s", w.name, c.cpu, c.wall)
		if k != predict {
			fmt.Printf("   predict takes %.3f and %.3f times that", r.cpu, r.wall)
		}
		fmt.Println()
	}
	return nil
}

// parts prints the processor time of what is done for every image besides the
// network, each part by itself.
func (b *bench) parts(card unet.Card, args []string, images []*imageio.Image) error {
	var raw []*imageio.Image
	var maps []instance.Maps
	var labels []*imageio.Labels
	var nuclei [][]instance.Nucleus
	var overlays []*image.RGBA
	for i := range images {
		m, err := b.predictor.Maps(context.Background(), images[i])
		if err != nil {
			return err
		}
		maps = append(maps, m)
	}
	each := func(do func(i int) error) func() error {
		return func() error {
			for i := range images {
				if err := do(i); err != nil {
					return err
				}
			}
			return nil
		}
	}
	file := filepath.Join(b.out, "part")
	for _, p := range []struct {
		name string
		do   func() error
	}{
		{"read", func() (err error) { raw, err = read(args); return err }},
		{"separate nuclei", each(func(i int) error {
			labels = append(labels, instance.Separate(maps[i], card.Instance))
			return nil
		})},
		{"measure", each(func(i int) error {
			nuclei = append(nuclei, instance.Measure(labels[i], raw[i]))
			return nil
		})},
		{"labels: file", each(func(i int) error { return imageio.WriteLabels(file+".tif", labels[i]) })},
		{"overlay: picture", each(func(i int) error {
			m, err := report.Overlay(raw[i], labels[i], report.OverlayOptions{})
			overlays = append(overlays, m)
			return err
		})},
		{"overlay: file", each(func(i int) error { return imageio.WritePNG(file+".png", overlays[i]) })},
		{"csv: file", each(func(i int) error {
			return atomicfile.WriteFile(file+".csv", func(w io.Writer) error {
				return formats.WriteAll(formats.NewTable(w), formats.Source{W: images[i].W, H: images[i].H, Channels: formats.ChannelNames(raw[i])}, nuclei[i])
			})
		})},
		{"all of one small image", func() error { return b.predict([]string{file + ".png"}) }},
	} {
		c, err := measure(p.do)
		if err != nil {
			return err
		}
		fmt.Printf("  %-30s processor %7.3f s   time %7.3f s\n", p.name, c.cpu, c.wall)
	}
	return nil
}

// large times one image of 1024 x 1024 pixels with some 900 nuclei from file
// to files, and on its maps what comes after the network.
func (b *bench) large(card unet.Card, rounds int) error {
	file := filepath.Join(b.out, "large.tif")
	if err := drawLarge(file); err != nil {
		return err
	}
	img, err := b.decode([]string{file})
	if err != nil {
		return err
	}
	maps, err := b.predictor.Maps(context.Background(), img[0])
	if err != nil {
		return err
	}
	raw, err := imageio.Read(file)
	if err != nil {
		return err
	}
	var all, post, share series
	nuclei := 0
	for range rounds {
		a, err := measure(func() error { return b.predict([]string{file}) })
		if err != nil {
			return err
		}
		p, err := measure(func() error {
			nuclei = len(instance.Measure(instance.Separate(maps, card.Instance), raw))
			return nil
		})
		if err != nil {
			return err
		}
		all, post = append(all, a), append(post, p)
		share = append(share, cost{p.cpu / a.cpu, p.wall / a.wall})
	}
	a, p, s := all.median(), post.median(), share.median()
	fmt.Printf("1024 x 1024 pixels, %d nuclei: file to files %.3f s (processor %.3f s), of it maps to measured nuclei %.3f s (%.1f %%; processor %.1f %%)\n",
		nuclei, a.wall, a.cpu, p.wall, 100*s.wall, 100*s.cpu)
	return nil
}

// decode is read with normalised samples.
func (b *bench) decode(args []string) ([]*imageio.Image, error) {
	images, err := read(args)
	if err != nil {
		return nil, err
	}
	for i, m := range images {
		if images[i], err = b.input.Apply(m); err != nil {
			return nil, err
		}
		images[i].Float = true
	}
	return images, nil
}

// read decodes the first plane of every image.
func read(args []string) (images []*imageio.Image, err error) {
	for _, a := range args {
		err := filepath.WalkDir(a, func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			m, err := imageio.Read(name)
			if err == nil {
				images = append(images, m.Gray())
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(images) == 0 {
		return nil, errors.New("no images")
	}
	return images, nil
}

// network computes images on predictors that work side by side.
func network(predictors []*unet.Predictor, images []*imageio.Image) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, len(predictors))
	for i, p := range predictors {
		group.Go(func() {
			for k := int(next.Add(1)) - 1; k < len(images) && errs[i] == nil; k = int(next.Add(1)) - 1 {
				_, errs[i] = p.Maps(context.Background(), images[k])
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func (b *bench) predict(args []string) error {
	line := append([]string{"predict", "--quiet", "--diameter", "native", "--format", b.formats, "--out", filepath.Join(b.out, "results")}, args...)
	if b.model != "" {
		line = append(line, "--model", b.model)
	}
	if out, err := exec.Command(b.program, line...).CombinedOutput(); err != nil {
		return fmt.Errorf("unet predict: %w\n%s", err, out)
	}
	return nil
}

// cost is what something took, in seconds.
type cost struct{ cpu, wall float64 }

func measure(do func() error) (cost, error) {
	start, cpu := time.Now(), processor()
	err := do()
	return cost{processor() - cpu, time.Since(start).Seconds()}, err
}

// processor is the processor time used so far, here and by ended programs.
func processor() float64 {
	sum := 0.0
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		syscall.Getrusage(who, &u)
		sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return sum
}

type series []cost

func (s series) median() cost {
	var cpu, wall []float64
	for _, c := range s {
		cpu, wall = append(cpu, c.cpu), append(wall, c.wall)
	}
	slices.Sort(cpu)
	slices.Sort(wall)
	return cost{cpu[len(cpu)/2], wall[len(wall)/2]}
}

// drawLarge writes bright discs on a dark noisy ground.
func drawLarge(file string) error {
	const side = 1024
	rng := rand.New(rand.NewPCG(1, 2))
	m := imageio.NewLabels(side, side)
	for i := range m.ID {
		m.ID[i] = uint32(12 + rng.IntN(10))
	}
	for range 900 {
		cx, cy, r, light := rng.IntN(side), rng.IntN(side), 7+rng.IntN(8), uint32(80+rng.IntN(120))
		for y := max(0, cy-r); y < min(side, cy+r); y++ {
			for x := max(0, cx-r); x < min(side, cx+r); x++ {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) < r*r {
					m.ID[y*side+x] = light
				}
			}
		}
	}
	return imageio.WriteLabels(file, m)
}
