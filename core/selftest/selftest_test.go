package selftest

import (
	"testing"

	"unet/csrc"
)

// TestChecks checks every kernel on a few layers and sees to it that a wrong result
// would be found.
func TestChecks(t *testing.T) {
	isas := ISAs()
	if len(isas) == 0 {
		t.Skip("built without cgo: no C kernels")
	}
	layers := []Shape{{N: 2, IC: 3, OC: 16, H: 7, W: 9}, {N: 1, IC: 35, OC: 20, H: 9, W: 13}, {N: 2, IC: 20, OC: 20, H: 9, W: 7}, {N: 2, IC: 32, OC: 32, H: 5, W: 7}, {N: 1, IC: 32, OC: 16, H: 5, W: 6, TConv: true}}
	for _, isa := range isas {
		for _, k := range Kernels {
			checked := false
			for _, l := range layers {
				if k.Fits(l) && k.On(isa) {
					checked = true
					if v := k.Check(isa, l); !v.OK() {
						t.Errorf("%s, %s on %s: %s, allowed %g", isa, k.Name, l, v, v.Allowed)
					}
				}
			}
			if k.On(isa) && !checked {
				t.Errorf("%s, %s: no layer fits", isa, k.Name)
			}
		}
	}
	used := map[csrc.Op]bool{}
	for _, k := range Kernels {
		for _, l := range layers {
			if k.Fits(l) {
				b := newBench(csrc.C)
				k.setup(b, l)
				for _, op := range b.used {
					used[op] = true
				}
				b.free()
			}
		}
	}
	for op := range csrc.Ops {
		if !used[op] && csrc.Has(csrc.C, op) {
			t.Errorf("no kernel here uses operation %d", op)
		}
	}
	strict := Kernels[0]
	strict.Allowed = 0
	if v := strict.Check(isas[0], layers[1]); v.OK() || v.Err == 0 {
		t.Errorf("float32 sums should differ from float64 ones, error %g", v.Err)
	}
}
