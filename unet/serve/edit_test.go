package serve

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"unet/unet/imageio"
)

// two is a label image of two touching squares.
func two() *imageio.Labels {
	l := imageio.NewLabels(20, 10)
	for y := 2; y < 8; y++ {
		for x := 2; x < 14; x++ {
			l.ID[y*20+x] = 1 + uint32((x-2)/6)
		}
	}
	return l
}

func count(l *imageio.Labels) map[uint32]int {
	n := map[uint32]int{}
	for _, id := range l.ID {
		if id != 0 {
			n[id]++
		}
	}
	return n
}

func TestTools(t *testing.T) {
	for _, c := range []struct {
		command Command
		want    map[uint32]int
	}{
		{Command{Tool: "delete", IDs: []uint32{1}}, map[uint32]int{2: 36}},
		{Command{Tool: "join", IDs: []uint32{2, 1}}, map[uint32]int{1: 72}},
		{Command{Tool: "split", IDs: []uint32{1}, Points: [][2]float64{{5, 0}, {5, 10}}}, map[uint32]int{1: 18, 2: 36, 3: 18}},
		{Command{Tool: "grow", IDs: []uint32{1}}, map[uint32]int{1: 36 + 18, 2: 36}},
		{Command{Tool: "shrink", IDs: []uint32{1}}, map[uint32]int{1: 16, 2: 36}},
		{Command{Tool: "draw", Points: [][2]float64{{15, 1}, {19, 1}, {19, 5}, {15, 5}}}, map[uint32]int{1: 36, 2: 36, 3: 16}},
		{Command{Tool: "draw", Points: [][2]float64{{12, 2}, {16, 2}, {16, 4}, {12, 4}}}, map[uint32]int{1: 36, 2: 36, 3: 4}},
		{Command{Tool: "paint", Points: [][2]float64{{17.5, 5.5}}, Radius: 1}, map[uint32]int{1: 36, 2: 36, 3: 5}},
		{Command{Tool: "paint", IDs: []uint32{2}, Points: [][2]float64{{14.5, 5.5}, {16.5, 5.5}}, Radius: 0.5}, map[uint32]int{1: 36, 2: 39}},
		{Command{Tool: "erase", Points: [][2]float64{{8, 5.5}}, Radius: 0.6}, map[uint32]int{1: 35, 2: 35}},
		{Command{Tool: "erase", IDs: []uint32{1}, Points: [][2]float64{{8, 5.5}}, Radius: 0.6}, map[uint32]int{1: 35, 2: 36}},
	} {
		l := two()
		spans, err := plan(l, c.command)
		if err != nil {
			t.Errorf("%+v: %v", c.command, err)
			continue
		}
		before := slices.Clone(l.ID)
		back := apply(l, spans)
		got := count(l)
		for id, n := range c.want {
			if got[id] != n {
				t.Errorf("%+v: nucleus %d has %d pixels, want %d", c.command, id, got[id], n)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%+v: nuclei %v", c.command, got)
		}
		if apply(l, back); !slices.Equal(l.ID, before) {
			t.Errorf("%+v is not taken back", c.command)
		}
	}
	for _, bad := range []Command{{Tool: "delete"}, {Tool: "delete", IDs: []uint32{9}}, {Tool: "join", IDs: []uint32{1}}, {Tool: "nothing"},
		{Tool: "split", IDs: []uint32{1}, Points: [][2]float64{{19, 0}, {19, 10}}}, {Tool: "paint", Points: [][2]float64{{1, 1}}},
		{Tool: "draw", Points: [][2]float64{{1e9, 0}, {0, 0}, {0, 1e9}}}} {
		if _, err := plan(two(), bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestJournal: whatever is done, a journal read again gives the same labels, and
// so does one whose last line was cut off by a kill, less that line.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		name := filepath.Join(dir, "j")
		os.Remove(name)
		h, err := openHistory(name, two())
		if err != nil {
			t.Fatal(err)
		}
		states := [][]uint32{slices.Clone(h.labels.ID)}
		for range rapid.IntRange(1, 12).Draw(t, "edits") {
			x, y := rapid.Float64Range(0, 20).Draw(t, "x"), rapid.Float64Range(0, 10).Draw(t, "y")
			id := rapid.Uint32Range(1, 4).Draw(t, "id")
			c := Command{Tool: rapid.SampledFrom(Tools).Draw(t, "tool"), IDs: []uint32{id, 1 + id%4},
				Points: [][2]float64{{x, y}, {y, x}, {x, 0}}, Radius: 1.5}
			if h.edit(c) == nil {
				states = append(states, slices.Clone(h.labels.ID))
			}
		}
		h.close()
		again, err := openHistory(name, two())
		if err != nil {
			t.Fatal(err)
		}
		again.close()
		if !slices.Equal(again.labels.ID, states[len(states)-1]) || again.revision != len(states)-1 {
			t.Fatal("the journal gives other labels")
		}
		b, _ := os.ReadFile(name)
		if len(states) < 2 {
			return
		}
		cut := rapid.IntRange(1, 8).Draw(t, "cut")
		os.WriteFile(name, b[:len(b)-cut], 0o644)
		if again, err = openHistory(name, two()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(again.labels.ID, states[len(states)-2]) {
			t.Fatal("a line cut off does not leave the edits before it")
		}
		if err := again.edit(Command{Tool: "draw", Points: [][2]float64{{15, 0}, {19, 0}, {19, 3}}}); err != nil && len(b) == 0 {
			t.Fatal(err)
		}
		again.close()
	})
}
