package cli

import (
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
)

// TestLanes: which planes are computed side by side, and on how many threads.
func TestLanes(t *testing.T) {
	nuclei, err := unet.LoadModel(brightnessModel(t, unet.Nuclei))
	if err != nil {
		t.Fatal(err)
	}
	defer nuclei.Params.Free()
	paper, err := unet.LoadModel(brightnessModel(t, unet.Paper))
	if err != nil {
		t.Fatal(err)
	}
	defer paper.Params.Free()
	paper.Card.Input.Size = 32
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
		p := unet.NewPredictor(e, c.model)
		p.Flips = true
		r := &predictRun{engine: e, predictor: p, team: make(chan *unet.Predictor, 1), model: c.model, jobs: c.jobs, budget: c.budget}
		r.team <- p
		plane := &task{job: planeJob{info: imageio.PlaneInfo{W: c.w, H: c.h, C: 1}}, last: c.last}
		from, err := r.take(plane, c.scale)
		if err != nil {
			t.Fatal(c.name, err)
		}
		got := <-from
		if (got != p) != c.beside {
			t.Errorf("%s: beside others: %v", c.name, got != p)
		}
		if c.beside && !got.Flips {
			t.Errorf("%s: the lane does not mirror", c.name)
		}
		if n := len(r.lanes.all); n != c.lanes {
			t.Errorf("%s: %d lanes", c.name, n)
		}
		for _, e := range r.lanes.engines {
			if e.Threads() != c.threads/c.lanes {
				t.Errorf("%s: a lane of %d threads", c.name, e.Threads())
			}
		}
		if c.name == "large" {
			for i := range 6 {
				from, err := r.take(plane, c.scale)
				if err != nil {
					t.Fatal(err)
				}
				if (from == r.team) != (i < fewLarge*c.lanes-1) {
					t.Errorf("large image %d: by all threads: %v", i+2, from == r.team)
				}
			}
		}
		if c.lanes > 0 {
			if from, err := r.take(&task{last: true}, 1); err != nil || from != r.lanes.idle {
				t.Errorf("%s: the last image waits for all lanes (%v)", c.name, err)
			}
		}
		if c.lanes > 0 {
			huge := &task{job: planeJob{info: imageio.PlaneInfo{W: 1 << 16, H: 1 << 16, C: 1}}, last: true}
			if from, err := r.take(huge, 1); err != nil || (from != r.team) != (c.model == paper) {
				t.Errorf("%s: the last image takes a lane's memory (%v)", c.name, err)
			}
		}
		r.lanes.close()
		p.Close()
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
