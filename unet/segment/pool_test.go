package segment

import (
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// smallModel is a model of random weights, which sees images at a size of its
// own unless size is 0.
func smallModel(t *testing.T, kind string, size int) *unet.Model {
	t.Helper()
	m, err := unet.NewModel(unet.Card{Kind: kind, Arch: unet.Arch{Channels: 3, Depth: 1, Width: 16, Norm: "none", Heads: []string{instance.Foreground}},
		Input: unet.Input{Normalise: "range", Size: size}, Threshold: 0.5, Instance: instance.DefaultParams(), Diameter: [3]float64{8, 11, 14}}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Params.Free)
	return m
}

// TestPool: which planes are computed side by side, and on how many threads.
func TestPool(t *testing.T) {
	nuclei, paper := smallModel(t, unet.Nuclei, 0), smallModel(t, unet.Paper, 32)
	for _, c := range []struct {
		name                 string
		model                *unet.Model
		threads, jobs, lanes int
		budget               int64
		w, h                 int
		scale                float64
		last, beside         bool
	}{
		{"small", nuclei, 5, 2, 2, 4 << 30, 256, 256, 1, false, true},
		{"more jobs than threads", nuclei, 3, 9, 3, 4 << 30, 256, 256, 1, false, true},
		{"large", nuclei, 2, 2, 2, 4 << 30, 1024, 1024, 1, false, false},
		{"large, but scaled down", nuclei, 2, 2, 2, 4 << 30, 1024, 1024, 0.5, false, true},
		{"small, but scaled up", nuclei, 2, 2, 2, 4 << 30, 256, 256, 4, false, false},
		{"last", nuclei, 2, 2, 0, 4 << 30, 256, 256, 1, true, false},
		{"little memory", nuclei, 2, 2, 2, 32 << 20, 256, 256, 1, false, false},
		{"one thread", nuclei, 1, 4, 0, 4 << 30, 256, 256, 1, false, false},
		{"one job", nuclei, 4, 1, 0, 4 << 30, 256, 256, 1, false, false},
		{"size of its own", paper, 2, 2, 2, 4 << 30, 4000, 4000, 1, false, true},
	} {
		e, err := core.NewEngine("", c.threads)
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(e, c.model, Options{TTA: true, Memory: c.budget})
		if err != nil {
			t.Fatal(err)
		}
		lent := newPool(s, c.jobs)
		p := &plane{info: imageio.PlaneInfo{W: c.w, H: c.h, C: 1}, last: c.last}
		from, err := lent.from(p, c.scale)
		if err != nil {
			t.Fatal(c.name, err)
		}
		got := <-from
		if (got != s.predictor) != c.beside {
			t.Errorf("%s: beside others: %v", c.name, got != s.predictor)
		}
		if c.beside && !got.TTA {
			t.Errorf("%s: the lane does not mirror", c.name)
		}
		if n := len(lent.lanes); n != c.lanes {
			t.Errorf("%s: %d lanes", c.name, n)
		}
		for _, e := range lent.engines {
			if e.Threads() != c.threads/c.lanes {
				t.Errorf("%s: a lane of %d threads", c.name, e.Threads())
			}
		}
		if c.name == "large" {
			for i := range 6 {
				from, err := lent.from(p, c.scale)
				if err != nil {
					t.Fatal(err)
				}
				if (from == lent.team) != (i < fewLarge*c.lanes-1) {
					t.Errorf("large image %d: by all threads: %v", i+2, from == lent.team)
				}
			}
		}
		if c.lanes > 0 {
			if from, err := lent.from(&plane{last: true}, 1); err != nil || from != lent.idle {
				t.Errorf("%s: the last image waits for all lanes (%v)", c.name, err)
			}
		}
		if c.lanes > 0 {
			huge := &plane{info: imageio.PlaneInfo{W: 1 << 16, H: 1 << 16, C: 1}, last: true}
			if from, err := lent.from(huge, 1); err != nil || (from != lent.team) != (c.model == paper) {
				t.Errorf("%s: the last image takes a lane's memory (%v)", c.name, err)
			}
		}
		lent.close()
		s.Close()
		e.Close()
	}
}

func TestDefaultJobs(t *testing.T) {
	for _, c := range []struct {
		threads int
		budget  int64
		want    int
	}{{1, 8 << 30, 2}, {4, 8 << 30, 4}, {64, 1 << 40, 16}, {64, 4 << 30, 8}, {8, 1 << 20, 2}} {
		if got := defaultJobs(c.threads, c.budget); got != c.want {
			t.Errorf("%d threads, %d MiB: %d", c.threads, c.budget>>20, got)
		}
	}
}

// TestTileWarning: group norm is warned of where it does not see the whole image.
func TestTileWarning(t *testing.T) {
	for _, c := range []struct {
		norm  string
		w, h  int
		scale float64
		warns bool
	}{
		{"group", 1536, 1536, 1, false},
		{"group", 1537, 1536, 1, true},
		{"group", 1537, 1536, 0.5, false},
		{"group", 900, 900, 2, true},
		{"none", 4000, 4000, 1, false},
	} {
		m := smallModel(t, unet.Nuclei, 0)
		m.Card.Arch.Norm = c.norm
		s := &Segmenter{model: m, predictor: unet.NewPredictor(nil, m)}
		if got := s.tileWarning(imageio.PlaneInfo{W: c.w, H: c.h}, c.scale); (got != "") != c.warns {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
