package main

import (
	"io"
	"testing"
)

// BenchmarkKernels times every kernel on the layers of the paper's network,
// on every instruction set; its output is for benchstat.
func BenchmarkKernels(b *testing.B) {
	for _, isa := range nativeISAs() {
		for _, k := range kernels {
			for _, s := range unetShapes(1, 16, 128) {
				if !k.fits(s) || !k.on(isa) {
					continue
				}
				b.Run(isa.String()+"/"+k.name+"/"+s.String(), func(b *testing.B) {
					m := newBench(isa)
					defer m.free()
					k.setup(m, s)
					for b.Loop() {
						m.run()
					}
					unit := "GFLOP/s"
					if k.memory {
						unit = "GB/s"
					}
					b.ReportMetric(k.work(s)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), unit)
				})
			}
		}
	}
}

// TestChecks runs the tool's checks on a few layers and sees to it that a
// wrong result would be found.
func TestChecks(t *testing.T) {
	isas := nativeISAs()
	if len(isas) == 0 {
		t.Skip("built without cgo: no C kernels")
	}
	layers := []shape{{n: 2, ic: 3, oc: 16, h: 7, w: 9}, {n: 1, ic: 35, oc: 20, h: 9, w: 13}, {n: 2, ic: 20, oc: 20, h: 9, w: 7}, {n: 1, ic: 32, oc: 16, h: 5, w: 6, tconv: true}}
	if !check(io.Discard, "", "", layers) {
		t.Error("a kernel differs from its reference; see `go run ./bench/speed/kernels -check`")
	}
	strict := kernels[0]
	strict.allowed = 0
	if v := strict.check(isas[0], layers[1]); v.ok() || v.err == 0 {
		t.Errorf("float32 sums should differ from float64 ones, error %g", v.err)
	}
}

func TestParseShapes(t *testing.T) {
	for _, bad := range []string{"", "unet", "3x16x8", "0x1x1x1", "3x16x8x8x8", "3x16x8x8,", "99999x1x1x1", "ax1x1x1"} {
		if s, err := parseShapes(bad, 1); err == nil {
			t.Errorf("parseShapes(%q) = %v, want an error", bad, s)
		}
	}
	got, err := parseShapes("3x16x8x9,16x32x4x4", 2)
	if err != nil || len(got) != 2 || got[0] != (shape{n: 2, ic: 3, oc: 16, h: 8, w: 9}) {
		t.Errorf("parseShapes = %v, %v", got, err)
	}
	if n := len(unetShapes(1, 16, 128)); n != 18 {
		t.Errorf("the U-Net of depth 4 has %d different layers, want 18", n)
	}
}
