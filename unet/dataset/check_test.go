package dataset

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"unet/unet/imageio"
)

func TestCheckAndFix(t *testing.T) {
	for _, c := range []struct {
		name       string
		in, out    []string
		found, log string
	}{
		{"sound", []string{
			"..........",
			".1111.222.",
			".1111.222.",
			".1111.222.",
		}, nil, "", ""},
		{"hole", []string{
			"..........",
			".11111....",
			".1...1....",
			".11111....",
		}, []string{
			"..........",
			".11111....",
			".11111....",
			".11111....",
		}, "hole", "fixed-hole"},
		{"a gap open by its corner is a hole: background is 4-connected", []string{
			".1111.....",
			"11..1.....",
			"1..1......",
			"111.......",
		}, []string{
			".1111.....",
			"11111.....",
			"1111......",
			"111.......",
		}, "hole", "fixed-hole"},
		{"a gap at the image's edge is none", []string{
			"11..11....",
			"11..11....",
			"111111....",
			"111111....",
		}, nil, "", ""},
		{"a nucleus inside another's ring is none", []string{
			"1111111...",
			"1.....1...",
			"1.222.1...",
			"1.222.1...",
			"1.222.1...",
			"1.....1...",
			"1111111...",
		}, nil, "", ""},
		{"stray", []string{
			"1111.....1",
			"1111......",
			"1111......",
			"..........",
		}, []string{
			"1111......",
			"1111......",
			"1111......",
			"..........",
		}, "stray", "fixed-stray"},
		{"diagonal pixels are connected", []string{
			"1111......",
			"1111......",
			"1111......",
			"....1.....",
		}, nil, "", ""},
		{"two nuclei in one mask", []string{
			"1111..1111",
			"1111..1111",
			"1111..1111",
			"..........",
		}, []string{
			"1111..2222",
			"1111..2222",
			"1111..2222",
			"..........",
		}, "disconnected", "fixed-disconnected"},
		{"sliver by itself", []string{
			"1111....2.",
			"1111....2.",
			"1111....2.",
			"1111....2.",
			"1111....2.",
			"1111....2.",
		}, []string{
			"1111......",
			"1111......",
			"1111......",
			"1111......",
			"1111......",
			"1111......",
		}, "sliver", "fixed-sliver"},
		{"sliver along a nucleus", []string{
			"11112.....",
			"11112.....",
			"11112.....",
			"11112.....",
			"11112.....",
			"11112.....",
		}, []string{
			"11111.....",
			"11111.....",
			"11111.....",
			"11111.....",
			"11111.....",
			"11111.....",
		}, "sliver", "fixed-sliver"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := drawn(c.in...)
			fs := checkLabels("x", l)
			if got := codes(fs); got != c.found {
				t.Errorf("found %q, want %q", got, c.found)
			}
			log := Fix("x", l)
			if got := strings.Join(slices.Compact(strings.Fields(codes(log))), " "); got != c.log {
				t.Errorf("fixed %q, want %q", got, c.log)
			}
			if c.out != nil && undraw(l) != strings.Join(c.out, "\n")+"\n" {
				t.Errorf("became\n%s", undraw(l))
			}
			if c.log == "" && undraw(l) != strings.Join(c.in, "\n")+"\n" {
				t.Errorf("changed to\n%s", undraw(l))
			}
		})
	}
}

// findParts against flood filling, and Fix leaves nothing to fix, on random
// labels.
func TestPartsAgainstFlood(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		w, h := 1+rng.IntN(20), 1+rng.IntN(20)
		l := imageio.NewLabels(w, h)
		for i := range l.ID {
			l.ID[i] = uint32(max(0, rng.IntN(5)-2))
		}
		p := findParts(l)
		seen := make([]bool, w*h)
		n := 0
		for start := range l.ID {
			if seen[start] {
				continue
			}
			// The parts are numbered in the order of their first pixels.
			var got part
			got.area = 0
			todo := []int{start}
			seen[start] = true
			for len(todo) > 0 {
				i := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				got.area++
				if int(p.of[i]) != n {
					t.Fatalf("pixel %d is in part %d, want %d\n%s", i, p.of[i], n, undraw(l))
				}
				for dy := -1; dy <= 1; dy++ {
					for dx := -1; dx <= 1; dx++ {
						x, y := i%w+dx, i/w+dy
						if x < 0 || y < 0 || x >= w || y >= h || l.ID[start] == 0 && dx != 0 && dy != 0 {
							continue
						}
						if j := y*w + x; !seen[j] && l.ID[j] == l.ID[start] {
							seen[j] = true
							todo = append(todo, j)
						}
					}
				}
			}
			if q := p.list[n]; q.area != got.area || q.label != l.ID[start] || q.firstPix != start {
				t.Fatalf("part %d is %+v, flooded area %d\n%s", n, q, got.area, undraw(l))
			}
			n++
		}
		if n != len(p.list) {
			t.Fatalf("%d parts, want %d", len(p.list), n)
		}
		compact(l)
		before := undraw(l)
		Fix("x", l)
		if fs := checkLabels("x", l); len(fs) > 0 {
			t.Fatalf("still %v\n%s\n%s", fs, before, undraw(l))
		}
	}
}
