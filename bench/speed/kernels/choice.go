package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"unet/core/selftest"
	"unet/csrc"
)

// The sides and channels over which choose compares algorithms.
var (
	choiceSides    = []int{4, 6, 8, 10, 12, 16, 24, 32, 64}
	choiceChannels = []int{16, 32, 64, 128, 256, 512}
)

// choose prints, for every instruction set, how many times faster Winograd's
// algorithm is than direct convolution: what core/algorithm.go decides by. It
// chooses Winograd for a side of 8 pixels and more; a figure below 1 there, or
// one well above 1 to the left of it, would say that it should decide otherwise.
func choose(w io.Writer, isas string, n, count int) {
	find := func(name string) selftest.Kernel {
		for _, k := range selftest.Kernels {
			if k.Name == name {
				return k
			}
		}
		panic("no kernel " + name)
	}
	for _, isa := range selftest.ISAs() {
		if !chosen(isas, isa.String()) {
			continue
		}
		for _, pair := range [][2]string{{"conv3x3", "wino43"}, {"wgrad3x3", "wgrad_wino43"}} {
			direct, winograd := find(pair[0]), find(pair[1])
			if !csrc.Has(isa, winograd.Op) {
				continue
			}
			fmt.Fprintf(w, "\n%s: time of %s over that of %s, %d images\n", isa, direct.Name, winograd.Name, n)
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprint(t, "channels\t")
			for _, side := range choiceSides {
				fmt.Fprintf(t, "%dx%d\t", side, side)
			}
			fmt.Fprintln(t)
			for _, c := range choiceChannels {
				fmt.Fprintf(t, "%d\t", c)
				for _, side := range choiceSides {
					if c*side > 64*128 { // long, and never close
						fmt.Fprint(t, "\t")
						continue
					}
					s := selftest.Shape{N: n, IC: c, OC: c, H: side, W: side}
					d, _ := direct.Time(isa, s, count)
					v, _ := winograd.Time(isa, s, count)
					fmt.Fprintf(t, "%.2f\t", d.Seconds()/v.Seconds())
				}
				fmt.Fprintln(t)
			}
			t.Flush()
		}
	}
}
