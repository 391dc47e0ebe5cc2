package train

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"unet/core"
	"unet/core/coretest"
	"unet/unet"
	"unet/unet/dataset"
)

// BenchmarkTrainingShare tells where the time of training goes, everything on
// one thread: network-ms is the network's forward and backward pass, and of the
// whole step data-% is drawing and augmenting patches and copying them in,
// pack-% packing weights, adam-% the update with the norm of the gradient,
// metrics-% losses and scores, other-% all four.
func BenchmarkTrainingShare(b *testing.B) {
	coretest.NeedsKernels(b)
	samples, err := dataset.Synthesise(dataset.Synthesis{Count: 8, Size: 256, Seed: 5})
	if err != nil {
		b.Fatal(err)
	}
	nuclei, err := NucleiConfig("best")
	if err != nil {
		b.Fatal(err)
	}
	narrow := nuclei
	narrow.Arch.Width, narrow.Arch.Depth = 16, 4
	for _, s := range []struct {
		name string
		c    Config
	}{{"nuclei", nuclei}, {"depth4-width16", narrow}} {
		b.Run(s.name, func(b *testing.B) { benchmarkShare(b, s.c, samples) })
	}
}

func benchmarkShare(b *testing.B, c Config, samples []*dataset.Sample) {
	images, err := NewImages(c.Input, samples)
	if err != nil {
		b.Fatal(err)
	}
	f, err := newFeed(c, images)
	if err != nil {
		b.Fatal(err)
	}
	e := coretest.Engine(b, "", 1)
	m, err := unet.NewModel(unet.Card{Kind: unet.Nuclei, Arch: c.Arch}, 1, true)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Params.Free()
	side := c.Augment.Size
	net, err := m.Network(e, side, side, core.Options{Batch: c.Batch, Training: true}, c.losses())
	if err != nil {
		b.Fatal(err)
	}
	defer net.Free()
	adam := core.NewAdam(1e-4)
	drawn := &batch{
		input:   make([]float32, len(net.Input())),
		targets: make([]float32, len(net.Targets())),
		weights: make([]float32, len(net.Weights())),
	}
	parts := map[string][]float64{}
	timed := func(part string, f func()) {
		start := time.Now()
		f()
		parts[part] = append(parts[part], time.Since(start).Seconds())
	}
	draws := 0
	for range b.N {
		timed("data", func() {
			f.fill(context.Background(), drawn, 0, draws%c.Steps, nil, 1)
			draws++
			copy(net.Input(), drawn.input)
			copy(net.Targets(), drawn.targets)
			copy(net.Weights(), drawn.weights)
		})
		var network, pack, metrics float64
		for _, t := range net.Profile(core.Forward, core.Backward) {
			switch seconds := t.Time.Seconds(); {
			case strings.HasSuffix(t.Name, ".pack"):
				pack += seconds
			case strings.HasPrefix(t.Name, "loss"):
				metrics += seconds
			default:
				network += seconds
			}
		}
		parts["network"] = append(parts["network"], network)
		parts["pack"] = append(parts["pack"], pack)
		parts["metrics"] = append(parts["metrics"], metrics)
		timed("adam", func() {
			adam.Update(e, m.Params, adam.GradNorm(e, m.Params))
		})
	}
	median := map[string]float64{}
	step := 0.0
	for part, v := range parts {
		slices.Sort(v)
		median[part] = v[len(v)/2]
		step += median[part]
	}
	for part, v := range median {
		if part != "network" {
			b.ReportMetric(100*v/step, part+"-%")
		}
	}
	b.ReportMetric(median["network"]*1e3, "network-ms")
	b.ReportMetric(100*(1-median["network"]/step), "other-%")
}
