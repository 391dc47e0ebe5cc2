package instance

import (
	"errors"
	"testing"

	"unet/unet/imageio"

	"github.com/google/go-cmp/cmp"
)

// Rows of any number at a time give what the whole label image gives.
func TestMeasureRows(t *testing.T) {
	const w, h = 60, 47
	l := imageio.NewLabels(w, h)
	next := uint32(0)
	paint := func(x0, y0, x1, y1 int) {
		next += 1 + next%3 // gaps between numbers
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				l.ID[y*w+x] = next
			}
		}
	}
	paint(0, 0, 3, h) // from edge to edge: holds all others back
	paint(10, 0, 12, 5)
	paint(20, 2, 21, 3) // a pixel
	paint(30, 2, 60, 40)
	paint(5, 20, 20, 21)
	paint(22, 46, 25, 47)
	want := Measure(l, nil)
	rows := func(n int) func(y int) (*imageio.Labels, error) {
		return func(y int) (*imageio.Labels, error) {
			k := min(n, h-y)
			return &imageio.Labels{W: w, H: k, ID: l.ID[y*w:][:k*w]}, nil
		}
	}
	for _, n := range []int{1, 2, 7, 46, 47} {
		var got []Nucleus
		if err := MeasureRows(w, h, imageio.PixelSize{}, true, rows(n), func(n *Nucleus) error { got = append(got, *n); return nil }); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d rows at a time: %s", n, d)
		}
	}
	full := errors.New("full")
	if err := MeasureRows(w, h, imageio.PixelSize{}, true, rows(5), func(*Nucleus) error { return full }); !errors.Is(err, full) {
		t.Errorf("an error of emit became %v", err)
	}
	if err := MeasureRows(w, h, imageio.PixelSize{}, true, rows(5), func(*Nucleus) error { return nil }); err != nil {
		t.Error(err)
	}
	// Another order of numbers, and an object of two parts, are told, unless they are
	// to be expected.
	for _, at := range []int{45*w + 50, 30*w + 11, 0} {
		old := l.ID[at]
		l.ID[at] = 2
		if err := MeasureRows(w, h, imageio.PixelSize{}, true, rows(5), func(*Nucleus) error { return nil }); err == nil {
			t.Errorf("label 2 again at %d: no error", at)
		}
		var got []Nucleus
		if err := MeasureRows(w, h, imageio.PixelSize{}, false, rows(5), func(n *Nucleus) error { got = append(got, *n); return nil }); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(Measure(l, nil), got); d != "" {
			t.Errorf("label 2 again at %d: %s", at, d)
		}
		l.ID[at] = old
	}
}
