package unet

import (
	"context"
	"slices"
	"sync"
	"testing"

	"unet/core"
	"unet/core/coretest"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// TestSharedMemory predicts images of several sizes in turns, which move the
// arena that their programs share, take a cancelled run in between and changed
// weights. The maps must be those of predictors that know one size only.
func TestSharedMemory(t *testing.T) {
	models := map[string]*Model{"float": smallModel(t)}
	quantised, err := NewModel(Card{Kind: Nuclei, Arch: Arch{Channels: 3, Depth: 2, Width: 16, Norm: "batch", Heads: threeHeads},
		Input: Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.5, Instance: instance.DefaultParams(), Precision: Int8}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer quantised.Params.Free()
	for _, q := range quantised.Params.All() {
		if len(q.Name) > 12 && q.Name[len(q.Name)-12:] == ".input_range" {
			for i := range q.Value {
				q.Value[i] = 4
			}
		}
	}
	models["int8"] = quantised
	e := coretest.Engine(t, "", 2)
	// The second is so small that its deep layers take other algorithms.
	sizes := [][2]int{{96, 80}, {17, 20}, {200, 130}, {64, 64}}
	var images []*imageio.Image
	for _, s := range sizes {
		images = append(images, randomImage(s[0], s[1], 3))
	}
	for name, m := range models {
		maps := func(p *Predictor, img *imageio.Image) []float32 {
			t.Helper()
			got, err := p.Maps(context.Background(), img)
			if err != nil {
				t.Fatal(err)
			}
			return got.Pix
		}
		p := NewPredictor(e, m)
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := p.Maps(cancelled, images[0]); err == nil {
			t.Errorf("%s: a cancelled prediction gave a result", name)
		}
		for round := range 3 {
			for i, img := range images {
				single := NewPredictor(e, m)
				want := maps(single, img)
				single.Close()
				if got := maps(p, img); !slices.Equal(got, want) {
					t.Errorf("%s, round %d, %v: other maps than a predictor of its own gives", name, round, sizes[i])
				}
			}
			bias := m.Params.Get("head.bias").Value
			bias[0] += 0.5
			for i := range m.Params.Get("enc1.conv1.weight").Value {
				m.Params.Get("enc1.conv1.weight").Value[i] *= 1.25
			}
			p.Repack()
		}
		p.Close()
	}
}

// TestFork has predictors compute images side by side, with common weights, and
// in turns, with common memory, before and after the weights change and some of
// them are closed. The maps must be those of one predictor by itself.
func TestFork(t *testing.T) {
	m := smallModel(t)
	p := NewPredictor(coretest.Engine(t, "", 2), m)
	defer p.Close()
	all := []*Predictor{p, p.WithEngine(coretest.Engine(t, "", 1)), p.Fork(coretest.Engine(t, "", 1)), p.Fork(coretest.Engine(t, "", 2))}
	if isas := core.ISAs(); len(isas) > 1 {
		all = append(all, p.Fork(coretest.Engine(t, isas[len(isas)-2], 1)))
	}
	images := []*imageio.Image{randomImage(40, 30, 3), randomImage(96, 80, 3), randomImage(64, 64, 3)}
	for round := range 3 {
		want := map[string][][]float32{} // by instruction set
		for _, q := range all {
			if isa := q.engine.ISA(); want[isa] == nil {
				single := NewPredictor(coretest.Engine(t, isa, 1), m)
				for _, img := range images {
					maps, err := single.Maps(context.Background(), img)
					if err != nil {
						t.Fatal(err)
					}
					want[isa] = append(want[isa], maps.Pix)
				}
				single.Close()
			}
		}
		var group sync.WaitGroup
		for i, q := range all {
			group.Go(func() {
				for k, img := range images {
					got, err := q.Maps(context.Background(), img)
					if err != nil {
						t.Error(err)
					} else if !slices.Equal(got.Pix, want[q.engine.ISA()][k]) {
						t.Errorf("round %d, predictor %d, image %d: other maps", round, i, k)
					}
				}
			})
		}
		group.Wait()
		for i := range m.Params.Get("enc1.conv1.weight").Value {
			m.Params.Get("enc1.conv1.weight").Value[i] *= 1.25
		}
		p.Repack()
		if round == 1 { // all but one rest
			for _, q := range all {
				if q != all[2] {
					q.Close()
				}
			}
		}
	}
	for _, q := range all {
		q.Close()
	}
	for _, q := range all {
		if n := q.shared.Memory(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	}
}

// TestMemory: at its peak the first level of the decoder holds what it reads and
// what it writes, three times the network's width, and nothing else.
func TestMemory(t *testing.T) {
	e := coretest.Engine(t, "", 1)
	for _, a := range []Arch{archOf(3, 32, 3), archOf(4, 16, 1)} {
		m, err := NewModel(Card{Kind: Nuclei, Arch: a}, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Params.Free()
		const side = 256
		var shared core.Shared
		defer shared.Free()
		net, err := a.build(e, m.Params, side, side, core.Options{Batch: 1, Shared: &shared}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := net.prog.Memory(), 4*3*a.Width*side*side; got != want {
			t.Errorf("depth %d, width %d: %d bytes, not %d", a.Depth, a.Width, got, want)
		}
	}
}
