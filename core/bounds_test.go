package core

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"unet/csrc"
)

// everyLayer describes a network with every kind of layer, attention and
// upsampling without weights among them, and returns its inputs: image, targets
// and weights.
func everyLayer(b *Builder, seed *uint64) (inputs []Planar, m *Maps) {
	const h, w, c = 16, 24, 32
	layer := func(name string) Layer { return Layer{Conv: name, Norm: name + ".norm"} }
	x := b.Input(3, h, w)
	cat := b.Tensor("cat", 4*c, h, w)
	encoded, up, near, gated := cat.Slice(0, c), cat.Slice(c, 2*c), cat.Slice(2*c, 3*c), cat.Slice(3*c, 4*c)
	first := b.Tensor("first", c, h, w)
	b.FirstConv(layer("first"), x, first)
	b.Conv(layer("encoder"), first, encoded)
	pooled := b.Pool("pool", encoded)
	b.Dropout("dropout", pooled, 0.2, seed, 1)
	mid, deep := b.Tensor("mid", 2*c, h/2, w/2), b.Tensor("deep", 2*c, h/2, w/2)
	shortcut := b.Shortcut(layer("shortcut"), pooled, deep)
	b.Conv(layer("residual1"), pooled, mid)
	b.Residual(layer("residual2"), mid, shortcut, deep)
	b.TConv("up", deep, up)
	narrow := b.Tensor("narrow", c, h/2, w/2)
	b.Conv(layer("narrow"), deep, narrow)
	b.Conv(layer("near"), b.Upsample("upsample", narrow), near)
	b.Gate("gate", cat.Slice(0, 2*c), encoded, gated)
	out := b.Tensor("out", c, h, w)
	b.Conv(layer("decoder"), cat.Slice(c, 4*c), out)
	m = b.Head("head", out, 3)
	return []Planar{x, b.Input(3, h, w), b.Input(3, h, w)}, m
}

// spread gives each buffer of a program a place of its own, with a gap after it, in
// memory full of NaN but for the inputs, and returns the gaps.
func (p *Program) spread(inputs []Planar, rng *rand.Rand) (gaps [][]float32) {
	const gap = 256
	size := gap
	for _, b := range p.bufs {
		if b.shared == nil {
			b.offset = size
			size += (b.size+15)/16*16 + gap
		}
	}
	mem := csrc.Alloc(4 * size)
	all := unsafe.Slice((*float32)(mem), size)
	for i := range all {
		all[i] = float32(math.NaN())
	}
	csrc.Free(p.mem)
	p.place(mem)
	for _, b := range p.bufs {
		if b.shared == nil {
			gaps = append(gaps, all[b.offset+b.size:][:gap])
		}
	}
	for _, f := range p.init {
		f()
	}
	for _, in := range inputs {
		for i := range p.slice(in.buf) {
			p.slice(in.buf)[i] = rng.Float32()
		}
	}
	return gaps
}

// TestBuffersHoldAll: what kernels write lies in buffers that were reserved for it,
// and they read only what was written.
func TestBuffersHoldAll(t *testing.T) {
	for _, isa := range ISAs() {
		for _, o := range []Options{
			{Batch: 3, Training: true}, {Batch: 3, Training: true, GroupNorm: true}, {Batch: 3, Training: true, Recompute: true},
			{Batch: 2}, {Batch: 2, GroupNorm: true}, {Batch: 2, BFloat16: true},
		} {
			t.Run(fmt.Sprintf("%s/%+v", isa, o), func(t *testing.T) { testBuffersHoldAll(t, isa, o) })
		}
	}
}

func testBuffersHoldAll(t *testing.T, isa string, o Options) {
	e, err := NewEngine(isa, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p, rng, seed := NewParams(), rand.New(rand.NewPCG(1, 2)), uint64(3)
	everyLayer(NewDeclarer(p, o), &seed)
	if err := p.Alloc(o.Training); err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	for _, q := range p.All() {
		for i := range q.Value {
			q.Value[i] = 0.1 * rng.Float32()
		}
	}
	b := NewBuilder(e, p, o)
	inputs, m := everyLayer(b, &seed)
	if o.Training {
		m.Loss(inputs[1], inputs[2], []Loss{{1, 1, 1, 0}, {1, 1, 0, 1}, {1, 1, 1, 1}})
	} else {
		m.Sigmoid()
	}
	prog, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Free()
	gaps := prog.spread(inputs, rng)
	phases := []Phase{Pack, Forward}
	if o.Training {
		phases = append(phases, Backward)
	}
	if err := prog.Run(t.Context(), phases...); err != nil {
		t.Fatal(err)
	}
	for i, gap := range gaps {
		for _, v := range gap {
			if v == v {
				t.Fatalf("%s is smaller than what is written to it", prog.bufs[i].name)
			}
		}
	}
	for _, v := range m.Prob() {
		if v != v {
			t.Fatal("the maps are computed from what nothing has written")
		}
	}
	for _, q := range p.All() {
		for _, v := range q.Grad {
			if v != v {
				t.Fatalf("the gradient of %s is computed from what nothing has written", q.Name)
			}
		}
	}
}
