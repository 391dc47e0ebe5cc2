package unet

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"unet/core"
)

// BenchmarkStep measures a training step and a forward pass; with
// UNET_PROFILE=1 it prints where the time goes.
func BenchmarkStep(b *testing.B) {
	for _, s := range []struct{ width, side, batch int }{{16, 128, 16}, {32, 256, 4}} {
		for _, training := range []bool{true, false} {
			name := fmt.Sprintf("width=%d/side=%d/batch=%d/training=%v", s.width, s.side, s.batch, training)
			b.Run(name, func(b *testing.B) { benchmarkStep(b, s.width, s.side, s.batch, training) })
		}
	}
}

func benchmarkStep(b *testing.B, width, side, batch int, training bool) {
	e, err := core.NewEngine("", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	a := Arch{Channels: 3, Depth: 4, Width: width, Norm: "batch", Heads: []string{HeadForeground}}
	m, err := NewModel(Card{Kind: Paper, Arch: a}, 1, training)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Params.Free()
	net, err := a.build(e, m.Params, side, side, core.Options{Batch: batch, Training: training}, []core.Loss{{Scale: 1, BCE: 1}})
	if err != nil {
		b.Fatal(err)
	}
	defer net.prog.Free()
	in := net.prog.Data(net.input)
	for i := range in {
		in[i] = float32(i%251) / 251
	}
	phases := []core.Phase{core.Forward}
	adam := core.NewAdam(1e-4)
	if training {
		phases = append(phases, core.Backward)
	} else {
		net.prog.Run(context.Background(), core.Pack)
	}
	if os.Getenv("UNET_PROFILE") != "" {
		net.prog.Profile(phases...)
		byKind := map[string]float64{}
		total := 0.0
		for _, s := range net.prog.Profile(phases...) {
			ms := s.Time.Seconds() * 1e3
			gf := ""
			if s.FLOPs > 0 {
				gf = fmt.Sprintf("%7.0f GFLOP/s", s.FLOPs/s.Time.Seconds()/1e9)
			}
			fmt.Printf("%8.3f ms %-28s%s\n", ms, s.Name, gf)
			kind := s.Name[strings.LastIndex(s.Name, ".")+1:]
			byKind[strings.TrimRight(kind, "0123456789")] += ms
			total += ms
		}
		var kinds []string
		for k := range byKind {
			kinds = append(kinds, k)
		}
		sort.Slice(kinds, func(i, j int) bool { return byKind[kinds[i]] > byKind[kinds[j]] })
		for _, k := range kinds {
			fmt.Printf("%8.2f ms %5.1f%% %s\n", byKind[k], 100*byKind[k]/total, k)
		}
		fmt.Printf("%8.2f ms, arena %d MiB\n", total, net.prog.Memory()>>20)
	}
	for b.Loop() {
		if err := net.prog.Run(context.Background(), phases...); err != nil {
			b.Fatal(err)
		}
		if training {
			adam.Update(e, m.Params, adam.GradNorm(e, m.Params))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N*batch), "ms/image")
}
