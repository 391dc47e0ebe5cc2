package core

import "testing"

// TestPackedOnce: a program that needs some weights packed another way leaves
// those alone that programs beside it may be reading.
func TestPackedOnce(t *testing.T) {
	e, err := NewEngine("", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := NewParams()
	network := func(b *Builder, size int) (Planar, *Maps) {
		x := b.Input(1, size, size)
		a, c := b.Tensor("a", 16, size, size), b.Tensor("c", 16, size, size)
		b.FirstConv(Layer{Conv: "first"}, x, a)
		b.Conv(Layer{Conv: "conv", Norm: "norm"}, a, c)
		return x, b.Head("head", c, 1)
	}
	network(NewDeclarer(p, Options{}), 1)
	if err := p.Alloc(false); err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	for _, q := range p.All() {
		for i := range q.Value {
			q.Value[i] = 1
		}
	}
	var one Shared
	two := one.Fork()
	defer one.Free()
	defer two.Free()
	run := func(s *Shared, size int, direct bool) {
		b := NewBuilder(e, p, Options{Batch: 1, Shared: s, Direct: direct})
		_, m := network(b, size)
		m.Sigmoid()
		prog, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		if err := prog.Run(t.Context(), Forward); err != nil {
			t.Fatal(err)
		}
	}
	weights := func() []*float32 {
		var list []*float32
		for _, v := range one.weights.byKey {
			list = append(list, (*float32)(v.mem))
		}
		return list
	}
	run(&one, 24, false)
	before := weights()
	for _, w := range before {
		*w = 42
	}
	run(&two, 24, true)
	if n := len(weights()); n != len(before)+1 {
		t.Errorf("%d weights became %d: not one more", len(before), n)
	}
	for _, w := range before {
		if *w != 42 {
			t.Errorf("a weight was packed again: %v", *w)
		}
	}
	one.Stale()
	run(&two, 24, true)
	packed := 0
	for _, w := range before {
		if *w != 42 {
			packed++
		}
	}
	if packed != len(before)-1 { // but the one that only the other program has
		t.Errorf("%d of %d stale weights were packed again", packed, len(before))
	}
}

// TestFreeLeavesOthers: a program goes on with a shared arena that moves after
// another program was freed.
func TestFreeLeavesOthers(t *testing.T) {
	e, err := NewEngine("", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := NewParams()
	NewDeclarer(p, Options{}).Head("head", Tensor{C: 16}, 1)
	if err := p.Alloc(false); err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	var s Shared
	defer s.Free()
	build := func(size int) *Program {
		b := NewBuilder(e, p, Options{Batch: 1, Shared: &s})
		b.Head("head", b.Tensor("in", 16, size, size), 1).Sigmoid()
		prog, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return prog
	}
	stays := build(8)
	build(8).Free()
	for size := 16; size <= 512; size *= 2 { // until the arena has moved
		build(size).Free()
		if stays.mem != s.mem {
			t.Fatalf("with an arena for %d x %d pixels the program keeps the old one", size, size)
		}
	}
}
