package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// killed starts the program and kills it after a random time up to most or, if
// writing is not empty, while it writes the next file into dir whose name
// contains that (a dot: any). It returns whether the kill hit a running process,
// and whether that was writing a file.
func (s *soak) killed(dir string, most time.Duration, writing string, args ...string) (hit, wrote bool, err error) {
	c := exec.Command(s.unet, args...)
	if err := c.Start(); err != nil {
		return false, false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	moment := time.After(time.Duration(s.rng.Int64N(int64(most))))
	select {
	case <-moment:
	case err := <-ended:
		ended <- err
	}
	for writing != "" && len(ended) == 0 && !strings.Contains(strings.Join(temporary(dir), " "), writing) {
		time.Sleep(20 * time.Microsecond)
	}
	c.Process.Kill()
	err = <-ended
	if err == nil {
		return false, false, nil // it was faster
	}
	if c.ProcessState.Exited() {
		return false, false, fmt.Errorf("unet %s ended by itself: %w", strings.Join(args, " "), err)
	}
	return true, len(temporary(dir)) > 0, nil
}

// temporary lists the files that are being written in a folder.
func temporary(dir string) []string {
	list, _ := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	return list
}

// train kills trainings until kills moments are reached, finishing a run and
// beginning another whenever one is complete.
func (s *soak) train(kills int) error {
	runs, early, checkpoints := 0, 0, 0
	for s.trainKills < kills && !s.late() {
		out := s.path(fmt.Sprintf("run%d", runs))
		for finished := false; !finished; {
			args := s.trainArgs(out)
			fresh := !resumable(out)
			if fresh {
				early++
			}
			if s.trainKills >= kills || s.late() {
				if err := s.must(args...); err != nil {
					s.fault("%v", err)
				}
				break
			}
			for _, f := range temporary(out) { // of the kill before
				os.Remove(f)
			}
			writing := []string{"", ".", "", ".checkpoint"}[s.trainKills%4]
			start := time.Now()
			hit, wrote, err := s.killed(out, s.took*2/3, writing, args...)
			if err != nil {
				s.fault("after %d kills: %v", s.trainKills, err)
				break
			}
			if hit {
				s.trainKills++
			}
			if wrote {
				s.writes++
				if strings.Contains(strings.Join(temporary(out), " "), "checkpoint") {
					checkpoints++
				}
			}
			finished = !hit
			if finished && fresh { // the machine is less busy than it was
				s.took = min(s.took, time.Since(start))
			}
		}
		runs++
		for _, name := range []string{"model.safetensors", "best.safetensors"} {
			ok, err := same(filepath.Join(s.path("straight"), name), filepath.Join(out, name))
			if err != nil || !ok {
				s.fault("%s of run %d differs from that of the uninterrupted run (%v)", name, runs, err)
			}
		}
		os.RemoveAll(out)
	}
	s.compared += runs
	fmt.Printf("training: killed at %d moments, %d of them within a write (%d of the checkpoint); %d runs completed and compared byte by byte; %d starts without a checkpoint yet\n",
		s.trainKills, s.writes, checkpoints, runs, early)
	return nil
}

// predict kills predictions and completes each.
func (s *soak) predict(kills int) error {
	start := time.Now()
	if err := s.must(s.predictArgs(s.path("whole"))...); err != nil {
		return err
	}
	took := time.Since(start)
	writes := 0
	for try := 0; s.predictKills < kills && try < 3*kills && !s.late(); try++ {
		out := s.path(fmt.Sprintf("nuclei%d", try))
		hit, wrote, err := s.killed(out, took, []string{"", "."}[try%2], s.predictArgs(out)...)
		if err != nil {
			return err
		}
		if hit {
			s.predictKills++
		}
		if wrote {
			writes++
		}
		for _, f := range temporary(out) {
			os.Remove(f)
		}
		// What has its final name is whole: equal to that of the complete run.
		list, _ := os.ReadDir(out)
		for _, e := range list {
			if name := e.Name(); strings.Contains(name, ".labels.") || strings.Contains(name, ".overlay.") || strings.HasSuffix(name, ".nuclei.csv") {
				if ok, err := same(filepath.Join(s.path("whole"), name), filepath.Join(out, name)); err != nil || !ok {
					s.fault("%s of a killed prediction is not whole (%v)", name, err)
				}
			}
		}
		if err := s.must(s.predictArgs(out)...); err != nil {
			s.fault("a killed prediction does not go on: %v", err)
		} else if err := folders(s.path("whole"), out); err != nil {
			s.fault("a prediction completed after a kill: %v", err)
		}
		os.RemoveAll(out)
		s.compared++
	}
	s.writes += writes
	fmt.Printf("prediction: killed at %d moments, %d of them within a write; each completed and compared byte by byte\n", s.predictKills, writes)
	return nil
}
