package unet

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
)

// BenchmarkStep measures a training step and a forward pass; with
// UNET_PROFILE=1 it prints where the time goes.
func BenchmarkStep(b *testing.B) {
	for _, s := range []struct {
		width, side, batch int
		block              string
	}{{16, 128, 16, "plain"}, {16, 128, 16, "residual"}, {32, 256, 4, "plain"}} {
		for _, training := range []bool{true, false} {
			name := fmt.Sprintf("block=%s/width=%d/side=%d/batch=%d/training=%v", s.block, s.width, s.side, s.batch, training)
			arch := archOf(4, s.width, 1)
			arch.Block = s.block
			b.Run(name, func(b *testing.B) { benchmarkStep(b, arch, s.side, s.batch, training) })
		}
	}
}

func benchmarkStep(b *testing.B, arch Arch, side, batch int, training bool) {
	st := newStepper(b, arch, side, batch, 0, training)
	if os.Getenv("UNET_PROFILE") != "" {
		best := st.profile()
		for range 50 { // what else the machine does only adds
			for i, s := range st.profile() {
				best[i].Time = min(best[i].Time, s.Time)
			}
		}
		byKind := map[string]float64{}
		total := 0.0
		for _, s := range best {
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
		fmt.Printf("%8.2f ms, arena %d MiB\n", total, st.net.prog.Memory()>>20)
	}
	for b.Loop() {
		if err := st.step(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N*batch), "ms/image")
}
