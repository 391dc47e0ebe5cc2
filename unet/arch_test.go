package unet

import "testing"

// TestFits: weights fit a network of the same layers. Dropout has none, and what is the
// default is the same by its name.
func TestFits(t *testing.T) {
	a := Arch{Channels: 3, Depth: 3, Width: 16, Norm: "batch", Heads: []string{HeadForeground, HeadBorder}}
	for _, c := range []struct {
		name   string
		change func(*Arch)
		fits   bool
	}{
		{"the same", func(*Arch) {}, true},
		{"dropout", func(b *Arch) { b.Dropout = 0.2 }, true},
		{"defaults named", func(b *Arch) { b.Block, b.Up = plain, transposed }, true},
		{"a map more", func(b *Arch) { b.Heads = threeHeads }, false},
		{"a map less", func(b *Arch) { b.Heads = b.Heads[:1] }, false},
		{"channels", func(b *Arch) { b.Channels = 1 }, false},
		{"depth", func(b *Arch) { b.Depth++ }, false},
		{"width", func(b *Arch) { b.Width *= 2 }, false},
		{"normalisation", func(b *Arch) { b.Norm = "group" }, false},
		{"blocks", func(b *Arch) { b.Block = "residual" }, false},
		{"attention", func(b *Arch) { b.Attention = true }, false},
		{"way up", func(b *Arch) { b.Up = "nearest" }, false},
	} {
		b := a
		c.change(&b)
		if a.Fits(b) != c.fits || b.Fits(a) != c.fits {
			t.Errorf("%s: %v and %v, want %v", c.name, a.Fits(b), b.Fits(a), c.fits)
		}
	}
}
