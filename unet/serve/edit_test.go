package serve

import (
	"errors"
	stdimage "image"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/segment"
)

// side is that of the tiles of labels here.
const side = 16

// two is a label image of two touching squares, at the corner of four tiles.
func two() *imageio.Labels {
	l := imageio.NewLabels(side+20, side+10)
	for y := side - 3; y < side+3; y++ {
		for x := side - 6; x < side+6; x++ {
			l.ID[y*l.W+x] = 1 + uint32((x-side+6)/6)
		}
	}
	return l
}

// corner is the corner of the tiles less what the points of commands are given by.
var corner = [2]float64{side - 8, side - 5}

// at moves the points of a command to the squares.
func (c Command) at() Command {
	for i, q := range c.Points {
		c.Points[i] = [2]float64{q[0] + corner[0], q[1] + corner[1]}
	}
	return c
}

// onDisk opens labels as the server does, with a journal in a folder.
func onDisk(t interface{ Fatal(...any) }, dir string, l *imageio.Labels) (*history, *catalogue) {
	name := filepath.Join(dir, "own.tif")
	if _, err := os.Stat(name); err != nil {
		if err := imageio.WriteLabels(name, l); err != nil {
			t.Fatal(err)
		}
	}
	open, err := openLabels(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	open.side = side
	h, err := openHistory(filepath.Join(dir, "journal"), open)
	if err != nil {
		t.Fatal(err)
	}
	c, err := scan(open)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := open.changes()
	if err == nil {
		err = c.look(open, changed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h, c
}

// do does a command as a document does.
func do(h *history, c *catalogue, command Command) error {
	d := &document{s: &Server{}, history: h, nuclei: c}
	_, err := d.change(command)
	return err
}

// all reads the labels whole.
func all(t interface{ Fatal(...any) }, h *history) *imageio.Labels {
	l, err := h.region(stdimage.Rect(0, 0, h.w, h.h))
	if err != nil {
		t.Fatal(err)
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
		h, places := onDisk(t, t.TempDir(), two())
		before := all(t, h)
		if err := do(h, places, c.command.at()); err != nil {
			t.Errorf("%+v: %v", c.command, err)
			continue
		}
		got := count(all(t, h))
		for id, n := range c.want {
			if got[id] != n {
				t.Errorf("%+v: nucleus %d has %d pixels, want %d", c.command, id, got[id], n)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%+v: nuclei %v", c.command, got)
		}
		if err := do(h, places, Command{Tool: "undo"}); err != nil || !slices.Equal(all(t, h).ID, before.ID) {
			t.Errorf("%+v is not taken back: %v", c.command, err)
		}
		h.close()
	}
	h, places := onDisk(t, t.TempDir(), two())
	defer h.close()
	for _, bad := range []Command{{Tool: "delete"}, {Tool: "delete", IDs: []uint32{9}}, {Tool: "join", IDs: []uint32{1}}, {Tool: "nothing"},
		{Tool: "split", IDs: []uint32{1}, Points: [][2]float64{{19, 0}, {19, 10}}}, {Tool: "paint", Points: [][2]float64{{1, 1}}},
		{Tool: "draw", Points: [][2]float64{{1e9, 0}, {0, 0}, {0, 1e9}}}, {Tool: "undo"}, {Tool: "redo"}, {Tool: "reset"}} {
		if err := do(h, places, bad.at()); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// tools are those of a Command.
var tools = []string{"delete", "draw", "join", "split", "grow", "shrink", "paint", "erase", "undo", "redo", "reset"}

// TestJournal: whatever is done, the catalogue of nuclei is what the labels say, a
// journal read again gives the same of both, and so does one whose last line was
// cut off by a kill, less that line.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		name := filepath.Join(dir, "journal")
		os.Remove(name)
		h, places := onDisk(t, dir, two())
		states := [][]uint32{two().ID}
		for range rapid.IntRange(1, 12).Draw(t, "edits") {
			x, y := rapid.Float64Range(0, 20).Draw(t, "x"), rapid.Float64Range(0, 10).Draw(t, "y")
			id := rapid.Uint32Range(1, 4).Draw(t, "id")
			c := Command{Tool: rapid.SampledFrom(tools).Draw(t, "tool"), IDs: []uint32{id, 1 + id%4},
				Points: [][2]float64{{x, y}, {y, x}, {x, 0}}, Radius: 1.5}
			if do(h, places, c.at()) != nil {
				continue
			}
			now := all(t, h)
			states = append(states, now.ID)
			same(t, places, now)
			if h.corrected() == slices.Equal(now.ID, states[0]) && h.edits[max(0, h.done-1)].reset {
				t.Fatal("the model's own labels count as corrected")
			}
		}
		h.close()
		h, places = onDisk(t, dir, two())
		now := all(t, h)
		if !slices.Equal(now.ID, states[len(states)-1]) || h.revision != len(states)-1 {
			t.Fatal("the journal gives other labels")
		}
		same(t, places, now)
		h.close()
		if len(states) < 2 {
			return
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(name, b[:len(b)-rapid.IntRange(1, 8).Draw(t, "cut")], 0o644)
		h, places = onDisk(t, dir, two())
		if !slices.Equal(all(t, h).ID, states[len(states)-2]) {
			t.Fatal("a line cut off does not leave the edits before it")
		}
		if err := do(h, places, Command{Tool: "draw", Points: [][2]float64{{0, 0}, {9, 0}, {9, 9}}}); err != nil {
			t.Fatal(err)
		}
		want := all(t, h).ID
		h.close()
		h, _ = onDisk(t, dir, two())
		if !slices.Equal(all(t, h).ID, want) {
			t.Fatal("an edit after a line cut off is lost")
		}
		h.close()
	})
}

// same compares a catalogue with labels.
func same(t *rapid.T, c *catalogue, l *imageio.Labels) {
	want := instance.Measure(l, nil)
	if len(c.at) != len(want) {
		t.Fatalf("%d nuclei in the catalogue, %d in the labels", len(c.at), len(want))
	}
	for i := range want {
		n := &want[i]
		if p := c.at[n.ID]; p.rect() != stdimage.Rect(n.X0, n.Y0, n.X1, n.Y1) || int(p.area) != n.Area {
			t.Fatalf("nucleus %d is %+v in the catalogue, %+v in the labels", n.ID, p, n)
		}
	}
}

// TestMedianDiameter: of an even number the mean of the two in the middle.
func TestMedianDiameter(t *testing.T) {
	unit := 2 / math.Sqrt(math.Pi) // the diameter of a disc of one pixel
	for _, v := range []struct {
		areas []int32
		want  float64
	}{{nil, 0}, {[]int32{9}, 3 * unit}, {[]int32{4, 1}, 1.5 * unit}, {[]int32{16, 1, 9}, 3 * unit}, {[]int32{16, 1, 9, 4}, 2.5 * unit}} {
		c := &catalogue{at: map[uint32]place{}}
		for i, a := range v.areas {
			c.at[uint32(i+1)] = place{area: a}
		}
		if n, d := c.numbers(); n != len(v.areas) || math.Abs(d-v.want) > 1e-12 {
			t.Errorf("areas %v: %d nuclei, diameter %v, want %v", v.areas, n, d, v.want)
		}
	}
}

// TestBehind: a journal that somebody else has gone on with is not written over.
func TestBehind(t *testing.T) {
	dir := t.TempDir()
	l := two()
	first, c := onDisk(t, dir, l)
	second, _ := onDisk(t, dir, l)
	defer first.close()
	defer second.close()
	if err := do(first, c, Command{Tool: "delete", IDs: []uint32{1}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := second.write("delete", []span{{side, side, side + 1, 0}}); !errors.Is(err, errBehind) {
			t.Fatalf("the second: %v", err)
		}
	}
	third, _ := onDisk(t, dir, l)
	defer third.close()
	if third.revision != 1 {
		t.Errorf("revision %d", third.revision)
	}
}

// beside adds an image that differs from another in the extension alone, which changes
// the names of the results of both.
func (w *site) beside(name string) {
	w.t.Helper()
	file := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, discs(w.t, 5), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// named is an image of the list by its name.
func (w *site) named(name string) listed {
	w.t.Helper()
	list := w.images()
	i := slices.IndexFunc(list, func(m listed) bool { return m.Name == name })
	if i < 0 {
		w.t.Fatalf("%s is not among %+v", name, list)
	}
	return list[i]
}

// TestCorrectionsOfNeighbours: corrections stay with their image when another one comes
// or goes that differs from it in the extension alone.
func TestCorrectionsOfNeighbours(t *testing.T) {
	w := newSite(t)
	const name = "day 1/0.png"
	w.beside(name)
	noise(t, filepath.Join(w.dir, "day 1", "pages.tif"), 64, 64, 2)
	w.segment()
	before := w.named(name)
	labels := filepath.Join(w.dir, "unet", "day 1", "0.labels.tif")
	own, err := os.ReadFile(labels)
	if err != nil {
		t.Fatal(err)
	}
	w.edit(before, `{"tool":"delete","ids":[1]}`, 200)
	draw := `{"tool":"draw","points":[[2,2],[20,2],[20,20],[2,20]]}`
	if status, body := w.do("POST", "/api/v1/images/"+w.named("day 1/pages.tif").ID+"/edits?plane=1", draw); status != 200 {
		t.Fatal(status, body)
	}
	corrected := func(when string) {
		t.Helper()
		if got := w.named(name); !got.Corrected || got.Count != before.Count-1 || !w.named("day 1/pages.tif").Corrected {
			t.Errorf("%s: %+v, before the correction %+v", when, got, before)
		}
	}
	w.beside("day 1/0.jpg")
	w.beside("day 1/pages.gif")
	corrected("another image came")
	w.edit(before, `{"tool":"undo","revision":1}`, 200)
	if err := w.s.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(labels); err != nil || !slices.Equal(b, own) {
		t.Errorf("the model's own labels are not back: %v", err)
	}
	w.edit(before, `{"tool":"redo","revision":2}`, 200)
	if status, body := w.do("POST", "/api/v1/segment", `{"again":true,"images":["`+before.ID+`"]}`); status != 409 {
		t.Errorf("segmented again: %d %s", status, body)
	}
	image := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.Rename(image, image+".away"); err != nil {
		t.Fatal(err)
	}
	if got := w.named("day 1/0.jpg"); got.Corrected {
		t.Errorf("the other image has its corrections: %+v", got)
	}
	if err := os.Rename(image+".away", image); err != nil {
		t.Fatal(err)
	}
	corrected("the image is back")
}

// TestSameLabels: files of labels are compared to the last byte, and not in memory.
func TestSameLabels(t *testing.T) {
	s := &Server{out: t.TempDir()}
	im := &image{Name: "a.png", record: &segment.ImageRecord{Planes: []segment.PlaneRecord{{Outputs: []string{"a.labels.tif"}}}}}
	file := s.output(im, "", segment.Labels)
	const size = 32 << 20
	for _, name := range []string{file, s.own(im, "", segment.Labels)} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, nil, 0o644), os.Truncate(name, size)); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if !s.sameLabels(im, "") {
		t.Error("equal files differ")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/4 {
		t.Errorf("%d MiB were taken", grown>>20)
	}
	for _, c := range []struct {
		what   string
		change func() error
	}{
		{"another size", func() error { return os.Truncate(file, size-1) }},
		{"another byte", func() error { return os.WriteFile(file, append(make([]byte, size-1), 1), 0o644) }},
		{"no file", func() error { return os.Remove(file) }},
	} {
		if err := c.change(); err != nil || s.sameLabels(im, "") {
			t.Errorf("%s: %v, or not noticed", c.what, err)
		}
	}
}

// TestResultsOfAnother: results that a run has written under the names of those of an
// image that is no part of it are not that image's.
func TestResultsOfAnother(t *testing.T) {
	w := newSite(t)
	w.segment()
	w.beside("2.png")
	k := w.s.records()["0.png"]
	record := *k.Record
	record.Name = "2.png"
	if err := w.s.writeEarlier([]keptRecord{{Origin: k.Origin, Record: &record}}); err != nil {
		t.Fatal(err)
	}
	if got := w.named("2.png"); got.Status != "new" {
		t.Errorf("%+v has the results of 0.png", got)
	}
}

// TestEarlierCorrections: corrections of a version that named them without the
// extension of the image are found, and never taken for another's.
func TestEarlierCorrections(t *testing.T) {
	w := newSite(t)
	w.beside("day 1/0.png")
	w.segment()
	before := w.named("day 1/0.png")
	w.edit(before, `{"tool":"delete","ids":[1]}`, 200)
	if err := w.s.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(w.dir, "unet", "corrections")
	files, _ := filepath.Glob(filepath.Join(folder, "day 1", "0.png.*"))
	for _, file := range files {
		old := strings.Replace(file, "0.png.", "0.", 1)
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, filepath.Base(old)), b, 0o644) // as if of 0.png
		}
		if err == nil {
			err = os.Rename(file, old)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.beside("day 1/0.jpg")
	w.again()
	if got := w.named("day 1/0.png"); !got.Corrected || got.Count != before.Count-1 {
		t.Errorf("%+v, before %+v", got, before)
	}
	if w.named("0.png").Corrected || w.named("day 1/0.jpg").Corrected {
		t.Error("another image is corrected")
	}
	if now, _ := filepath.Glob(filepath.Join(folder, "day 1", "0.png.*")); len(now) != len(files) {
		t.Errorf("%d files of %d have their new names", len(now), len(files))
	}
}
