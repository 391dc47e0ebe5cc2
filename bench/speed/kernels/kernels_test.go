package main

import (
	"testing"

	"unet/core/selftest"
)

// BenchmarkKernels times every kernel on the layers of the paper's network,
// on every instruction set; its output is for benchstat.
func BenchmarkKernels(b *testing.B) {
	for _, isa := range selftest.ISAs() {
		for _, k := range selftest.Kernels {
			for _, s := range unetShapes(1, 16, 128) {
				if !k.Fits(s) || !k.On(isa) {
					continue
				}
				b.Run(isa.String()+"/"+k.Name+"/"+s.String(), func(b *testing.B) {
					run, free := k.Prepare(isa, s)
					defer free()
					for b.Loop() {
						run()
					}
					unit := "GFLOP/s"
					if k.Memory {
						unit = "GB/s"
					}
					b.ReportMetric(k.Work(s)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), unit)
				})
			}
		}
	}
}

func TestParseShapes(t *testing.T) {
	for _, bad := range []string{"", "unet", "3x16x8", "0x1x1x1", "3x16x8x8x8", "3x16x8x8,", "99999x1x1x1", "ax1x1x1"} {
		if s, err := parseShapes(bad, 1); err == nil {
			t.Errorf("parseShapes(%q) = %v, want an error", bad, s)
		}
	}
	got, err := parseShapes("3x16x8x9,16x32x4x4", 2)
	if err != nil || len(got) != 2 || got[0] != (selftest.Shape{N: 2, IC: 3, OC: 16, H: 8, W: 9}) {
		t.Errorf("parseShapes = %v, %v", got, err)
	}
	if n := len(unetShapes(1, 16, 128)); n != 18 {
		t.Errorf("the U-Net of depth 4 has %d different layers, want 18", n)
	}
}
