package unet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"unet/core"
	"unet/core/coretest"
)

// stepper is a network with an engine of its own, ready to take steps.
type stepper struct {
	engine *core.Engine
	model  *Model
	net    *Network
	adam   *core.Adam
	phases []core.Phase
}

func newStepper(t testing.TB, a Arch, side, batch, threads int, training bool) *stepper {
	e := coretest.Engine(t, "", threads)
	m, err := NewModel(Card{Kind: Nuclei, Arch: a}, 1, training)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Params.Free)
	losses := make([]core.Loss, len(a.Heads))
	for i := range losses {
		losses[i] = core.Loss{Scale: 1, BCE: 1}
	}
	net, err := a.build(e, m.Params, side, side, core.Options{Batch: batch, Training: training}, losses)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(net.prog.Free)
	s := &stepper{e, m, net, core.NewAdam(1e-4), []core.Phase{core.Forward}}
	if training {
		w := net.prog.Data(net.weights)
		for i := range w {
			w[i] = 1
		}
		s.phases = append(s.phases, core.Backward)
	} else {
		run(t, net, core.Pack)
	}
	return s
}

// fill draws the input, whose memory an inference program uses again.
func (s *stepper) fill() {
	in := s.net.prog.Data(s.net.input)
	for i := range in {
		in[i] = float32(i%251) / 251
	}
}

func (s *stepper) step() error {
	s.fill()
	if err := s.net.prog.Run(context.Background(), s.phases...); err != nil {
		return err
	}
	if len(s.phases) > 1 {
		s.adam.Update(s.engine, s.model.Params, s.adam.GradNorm(s.engine, s.model.Params))
	}
	return nil
}

func (s *stepper) profile() []core.StepTime {
	s.fill()
	return s.net.prog.Profile(s.phases...)
}

// archOf is a network of three channels and so many heads.
func archOf(depth, width, heads int) Arch {
	names := []string{HeadForeground, HeadBorder, HeadDistance}
	return Arch{Channels: 3, Depth: depth, Width: width, Norm: "batch", Heads: names[:heads]}
}

// TestBalance plays the schedule of a step with a made-up but fixed cost of
// every operation, about that of one Zen 4 core, and holds the share of time
// that threads compute against what the network should reach.
func TestBalance(t *testing.T) {
	if core.ISAs()[0] == "go" {
		t.Skip("the tasks of the C kernels")
	}
	cost := func(l core.Load) float64 { // seconds
		if l.Tasks == 0 {
			return 20e-6
		}
		return l.FLOPs/400e9 + l.Bytes/10e9
	}
	const meet = 10e-6
	for _, c := range []struct {
		name                       string
		arch                       Arch
		side, batch                int
		training                   bool
		two, eight, sixteen, sixty float64
	}{
		{"nuclei training", archOf(3, 32, 3), 128, 8, true, 0.98, 0.94, 0.86, 0.5},
		{"paper training", archOf(4, 16, 1), 128, 16, true, 0.98, 0.91, 0.83, 0.44},
		{"inference", archOf(4, 32, 1), 256, 4, false, 0.98, 0.95, 0.86, 0.52},
	} {
		s := newStepper(t, c.arch, c.side, c.batch, 1, c.training)
		one := s.net.prog.Makespan(1, cost, 0, s.phases...)
		for threads, least := range map[int]float64{2: c.two, 8: c.eight, 16: c.sixteen, 64: c.sixty} {
			got := one / s.net.prog.Makespan(threads, cost, meet, s.phases...) / float64(threads)
			t.Logf("%s, %d threads: efficiency %.3f", c.name, threads, got)
			if got < least {
				t.Errorf("%s: efficiency %.3f on %d threads, want %.2f", c.name, got, threads, least)
			}
		}
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkScaling compares one thread with two, in turns: "speedup" is what
// the second thread brings, "bound" what two independent networks of one
// thread each bring, side by side. "quiet" is the speedup of the sums of every
// operation's fastest run, which a busy machine disturbs least.
func BenchmarkScaling(b *testing.B) {
	for _, s := range []struct {
		depth, width, side, batch int
		training                  bool
	}{{4, 16, 128, 16, true}, {3, 32, 128, 8, true}, {4, 16, 128, 16, false}, {4, 32, 256, 4, false}} {
		b.Run(fmt.Sprintf("depth=%d/width=%d/side=%d/batch=%d/training=%v", s.depth, s.width, s.side, s.batch, s.training), func(b *testing.B) {
			arch := archOf(s.depth, s.width, 1)
			one := newStepper(b, arch, s.side, s.batch, 1, s.training)
			other := newStepper(b, arch, s.side, s.batch, 1, s.training)
			two := newStepper(b, arch, s.side, s.batch, 2, s.training)
			timed := func(f func()) float64 {
				start := time.Now()
				f()
				return time.Since(start).Seconds() * 1e3
			}
			step := func(s *stepper) {
				if err := s.step(); err != nil {
					b.Error(err)
				}
			}
			fastest := func(have []core.StepTime, s *stepper) []core.StepTime {
				now := s.profile()
				for i := range have {
					now[i].Time = min(now[i].Time, have[i].Time)
				}
				return now
			}
			sum := func(times []core.StepTime) (total float64) {
				for _, t := range times {
					total += t.Time.Seconds()
				}
				return total
			}
			var t1, t2, tb []float64
			var p1, p2 []core.StepTime
			for b.Loop() {
				t1 = append(t1, timed(func() { step(one) }))
				t2 = append(t2, timed(func() { step(two) }))
				tb = append(tb, timed(func() {
					var wg sync.WaitGroup
					wg.Go(func() { step(other) })
					step(one)
					wg.Wait()
				}))
				p1, p2 = fastest(p1, one), fastest(p2, two)
			}
			b.ReportMetric(median(t1)/float64(s.batch), "ms1/image")
			b.ReportMetric(median(t2)/float64(s.batch), "ms2/image")
			b.ReportMetric(median(t1)/median(t2), "speedup")
			b.ReportMetric(2*median(t1)/median(tb), "bound")
			b.ReportMetric(sum(p1)/sum(p2), "quiet")
		})
	}
}
