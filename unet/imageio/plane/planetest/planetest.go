// Package planetest checks what readers of image files make of hostile ones; the
// fuzz tests of all formats use it.
package planetest

import (
	"strings"
	"testing"

	"unet/unet/imageio/plane"
)

// Name is what fuzzed files are called; every error must name it.
const Name = "fuzz"

// Read reads what a file that was opened offers, in pieces of bounded size, unless
// err tells in one line that it cannot be.
func Read(t *testing.T, f *plane.File, err error) {
	OneLine(t, err)
	if err != nil {
		return
	}
	defer f.Close()
	for i, p := range f.Planes {
		if i == 8 {
			break
		}
		if p.W <= 0 || p.H <= 0 || p.C <= 0 {
			t.Fatalf("plane %d is %d x %d x %d", i, p.W, p.H, p.C)
		}
		w, h := min(p.W, 300), min(p.H, 300)
		for _, at := range [][2]int{{0, 0}, {p.W - w, p.H - h}} {
			m, err := f.ReadRegion(i, at[0], at[1], w, h)
			OneLine(t, err)
			if err == nil && (m.W != w || m.H != h || m.C != p.C || len(m.Pix) != w*h*p.C) {
				t.Fatalf("plane %+v gave an image of %d x %d x %d", p, m.W, m.H, m.C)
			}
			l, err := f.ReadLabelsRegion(i, at[0], at[1], w, h)
			OneLine(t, err)
			if err == nil && len(l.ID) != w*h {
				t.Fatalf("%d labels for %d x %d", len(l.ID), w, h)
			}
		}
	}
}

// OneLine checks that an error is a line which names the file.
func OneLine(t *testing.T, err error) {
	if err != nil && (strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), Name)) {
		t.Fatalf("message %q", err)
	}
}
