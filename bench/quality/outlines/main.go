// Command outlines tells how much of a score hangs on where laboratories draw the
// outlines of nuclei: it moves those of a model's nuclei by -2 to +2 pixels and
// prints the KaggleScore of every source at each, and what a model that knew the
// best one for each source would reach. No choice of nuclei changes meanwhile. The
// last column is where each laboratory draws: by how many pixels the true outlines lie
// outside the steepest edge of the image.
//
//	unet prepare stage1_test_57.zip --out set --size native --fix
//	go run ./bench/quality/outlines set model.safetensors
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/metrics"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "outlines: give a set, prepared at native scale, and a nuclei model")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "outlines:", err)
		os.Exit(1)
	}
}

// shifts are by how many pixels outlines move outwards.
var shifts = []int{-2, -1, 0, 1, 2}

// source is what is known of the images of one.
type source struct {
	at    []metrics.Aggregate // at each of shifts
	steep slopes              // summed over images
}

func run(dir, file string) error {
	set, err := dataset.Open(dir)
	if err != nil {
		return err
	}
	core.SpareProcs()
	e, err := core.NewEngine("", 0)
	if err != nil {
		return err
	}
	defer e.Close()
	m, err := unet.LoadModel(file)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	sources := map[string]*source{}
	for i, entry := range set.Entries {
		s, err := set.Load(i)
		if err != nil {
			return err
		}
		found, err := p.Maps(context.Background(), s.Image)
		if err != nil {
			return err
		}
		labels := m.Card.Separate(found)
		of := sources[entry.Source]
		if of == nil {
			of = &source{at: make([]metrics.Aggregate, len(shifts))}
			sources[entry.Source] = of
		}
		of.steep.add(s.Image, s.Labels)
		for k, d := range shifts {
			r, err := metrics.Match(s.Labels, moved(labels, d), metrics.Taus())
			if err != nil {
				return err
			}
			of.at[k].Add(r)
		}
	}
	table(sources)
	return nil
}

// table prints the scores: a row for each source, and the means over all images.
func table(sources map[string]*source) {
	fmt.Println("| source | images | -2 | -1 | 0 | +1 | +2 | best | outside the edge |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	sums, best, images := make([]float64, len(shifts)), 0.0, 0
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		of := sources[name]
		n := of.at[0].Images
		images += n
		fmt.Printf("| %s | %d |", name, n)
		top := 0.0
		for k := range of.at {
			v := of.at[k].Score()
			fmt.Printf(" %.3f |", v)
			sums[k] += v * float64(n)
			top = max(top, v)
		}
		best += top * float64(n)
		fmt.Printf(" %.3f | %.1f |\n", top, of.steep.outside())
	}
	fmt.Printf("| all | %d |", images)
	for _, v := range sums {
		fmt.Printf(" %.3f |", v/float64(images))
	}
	fmt.Printf(" %.3f | |\n", best/float64(images))
}

// moved returns the nuclei with outlines d pixels further out. A pixel between two
// that grow goes to the nearest.
func moved(l *imageio.Labels, d int) *imageio.Labels {
	out := &imageio.Labels{W: l.W, H: l.H, ID: slices.Clone(l.ID)}
	r := max(d, -d)
	for y := range l.H {
		for x := range l.W {
			i, nearest := y*l.W+x, r*r+1
			own := l.ID[i]
			if d > 0 && own != 0 {
				continue
			}
			for v := max(y-r, 0); v <= min(y+r, l.H-1); v++ {
				for u := max(x-r, 0); u <= min(x+r, l.W-1); u++ {
					other, far := l.ID[v*l.W+u], (v-y)*(v-y)+(u-x)*(u-x)
					switch {
					case other == own || far >= nearest:
					case d > 0:
						out.ID[i], nearest = other, far
					default:
						out.ID[i] = 0
					}
				}
			}
		}
	}
	return out
}
