//go:build unix

package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/segment"
)

const benchImages, benchSide = 8, 1024

func benchImage(i int) *imageio.Image {
	var list []disc
	for k := range 900 {
		list = append(list, disc{(k*733 + 17*i) % benchSide, (k*k*31 + k*7) % benchSide, 7 + k%8})
	}
	m := imageio.NewImage(benchSide, benchSide, 1)
	m.Bits = 8
	for j := range m.Pix {
		m.Pix[j] = float32(15 + (j*7919>>3)%9)
	}
	for _, d := range list {
		for y := max(0, d.y-d.r); y < min(benchSide, d.y+d.r); y++ {
			for x := max(0, d.x-d.r); x < min(benchSide, d.x+d.r); x++ {
				if (x-d.x)*(x-d.x)+(y-d.y)*(y-d.y) < d.r*d.r {
					m.Pix[y*benchSide+x] = 200
				}
			}
		}
	}
	return m
}

// cpuTime is the processor time used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPredict is `unet predict` from files to files on images of 1024 x
// 1024 pixels with about 900 nuclei each; BenchmarkNetwork is what of it the
// network takes. Both run a network of depth 4 and width 16, half the work of the
// built-in one.
func BenchmarkPredict(b *testing.B) {
	model, dir := brightnessModelOf(b, unet.Nuclei, 4, unet.HeadForeground, unet.HeadBorder, unet.HeadDistance), b.TempDir()
	for i := range benchImages {
		writeImage(b, filepath.Join(dir, "in", fmt.Sprintf("%d.tif", i)), benchImage(i))
	}
	for _, formats := range []string{"labels,csv", "labels,csv,overlay", strings.Join(segment.Formats, ",")} {
		b.Run(formats, func(b *testing.B) {
			start := cpuTime()
			for range b.N {
				code := Main([]string{"unet", "predict", filepath.Join(dir, "in"), "--model", model, "--out", filepath.Join(dir, "out"), "--format", formats, "-q"},
					strings.NewReader(""), io.Discard, io.Discard)
				if code != 0 {
					b.Fatal(code)
				}
			}
			b.ReportMetric(float64((cpuTime()-start).Milliseconds())/float64(b.N*benchImages), "cpu-ms/image")
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*benchImages), "ms/image")
		})
	}
}

func BenchmarkNetwork(b *testing.B) {
	m, err := unet.LoadModel(brightnessModelOf(b, unet.Nuclei, 4, unet.HeadForeground, unet.HeadBorder, unet.HeadDistance))
	if err != nil {
		b.Fatal(err)
	}
	defer m.Params.Free()
	e, err := core.NewEngine("", 0)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	img := benchImage(0)
	if _, err := p.Maps(context.Background(), img); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	start := cpuTime()
	for range b.N {
		if _, err := p.Maps(context.Background(), img); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime()-start).Milliseconds())/float64(b.N), "cpu-ms/image")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/image")
}
