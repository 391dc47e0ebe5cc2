package unet

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"

	"unet/core"
	"unet/core/coretest"
)

// readDump reads the tensors that bench/verify/pytorch/dump.py wrote.
func readDump(t *testing.T, name string) (map[string]string, map[string]tensor) {
	t.Helper()
	f, err := os.Open("testdata/pytorch_" + name + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := readHeader(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	list, err := file.read(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]tensor{}
	for _, x := range list {
		all[x.name] = x
	}
	return file.metadata, all
}

// group compares tensors as one long vector.
type group struct{ d, n float64 }

func (g *group) add(got, want []float32) {
	for i := range want {
		g.d += float64(got[i]-want[i]) * float64(got[i]-want[i])
		g.n += float64(want[i]) * float64(want[i])
	}
}

// TestPyTorch repeats ten steps of training that PyTorch did in float64: the
// same logits, gradients, losses, weights and running statistics. The dump says
// how far PyTorch's own float32 strays; ours may stray a few times as far.
func TestPyTorch(t *testing.T) {
	for name, a := range map[string]Arch{
		"small":  Arch{Norm: "batch"}.sized(3, 2, 16, []string{HeadForeground}),
		"blocks": Arch{Norm: "batch", Block: "residual", Up: "nearest", Attention: true}.sized(3, 1, 16, []string{HeadForeground}),
		"group":  Arch{Norm: "group", Block: "residual", Up: "nearest", Attention: true}.sized(3, 1, 16, []string{HeadForeground}),
	} {
		t.Run(name, func(t *testing.T) { testPyTorch(t, name, a) })
	}
}

func testPyTorch(t *testing.T, name string, a Arch) {
	meta, dump := readDump(t, name)
	for _, isa := range core.ISAs() {
		for _, direct := range []bool{true, false} {
			if isa == "go" && !direct {
				continue // the reference has one algorithm
			}
			t.Run(fmt.Sprintf("%s/direct=%v", isa, direct), func(t *testing.T) {
				for name, g := range comparePyTorch(t, a, isa, direct, meta, dump) {
					own, err := strconv.ParseFloat(meta["float32."+name], 64)
					if err != nil {
						t.Fatal(err)
					}
					r := math.Sqrt(g.d / g.n)
					t.Logf("%-12s off by %.2g of its size, PyTorch's float32 by %.2g", name, r, own)
					if !(r <= 4*own) {
						t.Errorf("%s: off by %.2g of its size, PyTorch's float32 by %.2g", name, r, own)
					}
				}
			})
		}
	}
}

func comparePyTorch(t *testing.T, a Arch, isa string, direct bool, meta map[string]string, dump map[string]tensor) map[string]*group {
	rate, err := strconv.ParseFloat(meta["rate"], 64)
	if err != nil {
		t.Fatal(err)
	}
	e := coretest.Engine(t, isa, 2)
	m, err := NewModel(Card{Kind: Paper, Arch: a}, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	start := map[string][]float32{}
	for _, q := range m.Params.All() {
		if q.Grad == nil {
			continue
		}
		p, ok := dump["param."+q.Name]
		if !ok || len(p.data) != len(q.Value) {
			t.Fatalf("the dump has no parameter %s of %d values", q.Name, len(q.Value))
		}
		copy(q.Value, p.data)
		start[q.Name] = p.data
	}
	shape := dump["input"].shape
	n, h, w := shape[0], shape[2], shape[3]
	net, err := a.build(e, m.Params, h, w, core.Options{Batch: n, Training: true, Direct: direct}, []core.Loss{{Scale: 1, BCE: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer net.prog.Free()
	copy(net.prog.Data(net.input), dump["input"].data)
	copy(net.prog.Data(net.targets), dump["target"].data)
	for i := range net.prog.Data(net.weights) {
		net.prog.Data(net.weights)[i] = 1
	}
	groups := map[string]*group{}
	add := func(name string, got, want []float32) {
		if len(want) == 0 || len(got) != len(want) {
			t.Fatalf("%s: %d values, the dump has %d", name, len(got), len(want))
		}
		if groups[name] == nil {
			groups[name] = &group{}
		}
		groups[name].add(got, want)
	}
	adam := core.NewAdam(rate)
	if adam.Epsilon, err = strconv.ParseFloat(meta["epsilon"], 64); err != nil {
		t.Fatal(err)
	}
	var losses []float32
	for step := range dump["losses"].data {
		if step == len(dump["losses"].data)-1 { // trained: compare before the statistics move on
			for _, q := range m.Params.All() {
				if q.Grad == nil {
					add("running", q.Value, dump["running."+q.Name].data)
					continue
				}
				delta := make([]float32, len(q.Value))
				for i := range delta {
					delta[i] = float32(float64(q.Value[i]-start[q.Name][i]) / rate)
				}
				add("delta", delta, dump["delta."+q.Name].data)
			}
			inf, err := a.build(e, m.Params, h, w, core.Options{Batch: n, Direct: direct}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer inf.prog.Free()
			copy(inf.prog.Data(inf.input), dump["input"].data)
			run(t, inf, core.Pack, core.Forward)
			add("eval_logits", inf.maps.Logits(), dump["eval_logits"].data)
		}
		run(t, net, core.Forward, core.Backward)
		losses = append(losses, float32(totalLoss(net)))
		if step == 0 {
			add("logits", net.maps.Logits(), dump["logits"].data)
			for _, q := range m.Params.All() {
				if q.Grad != nil {
					add("grad", q.Grad, dump["grad."+q.Name].data)
				}
			}
		}
		adam.Update(e, m.Params, adam.GradNorm(e, m.Params))
	}
	add("losses", losses, dump["losses"].data)
	return groups
}
