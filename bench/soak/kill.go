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
// writing, while it writes a file into dir. It returns whether the kill hit a
// running process, and whether that was writing a file.
func (s *soak) killed(dir string, most time.Duration, writing bool, args ...string) (hit, wrote bool, err error) {
	c := exec.Command(s.unet, args...)
	if err := c.Start(); err != nil {
		return false, false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	moment := time.After(time.Duration(s.rng.Int64N(int64(most))))
	if writing {
		<-moment // then the next file
		deadline := time.Now().Add(2 * most)
		for len(temporary(dir)) == 0 && time.Now().Before(deadline) && len(ended) == 0 {
			time.Sleep(20 * time.Microsecond)
		}
	} else {
		select {
		case <-moment:
		case err := <-ended:
			ended <- err
		}
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
	done, writes, checkpoints, runs, early := 0, 0, 0, 0, 0
	for done < kills && !s.late() {
		out := fmt.Sprintf("run%d", runs)
		runs++
		for finished := false; !finished; {
			args := s.trainArgs(out)
			if _, err := os.Stat(filepath.Join(s.path(out), "checkpoint.safetensors")); err == nil {
				args = []string{"train", s.path("set"), "--out", s.path(out), "--resume", "--quiet", "--threads", "1"}
			} else {
				early++
			}
			if done >= kills || s.late() {
				if err := s.must(args...); err != nil {
					s.fault("%v", err)
				}
				break
			}
			for _, f := range temporary(s.path(out)) { // of the kill before
				os.Remove(f)
			}
			hit, wrote, err := s.killed(s.path(out), s.took*2/3, done%2 == 1, args...)
			if err != nil {
				s.fault("after %d kills: %v", done, err)
				break
			}
			if hit {
				done++
			}
			if wrote {
				writes++
				if strings.Contains(strings.Join(temporary(s.path(out)), " "), "checkpoint") {
					checkpoints++
				}
			}
			finished = !hit
		}
		for _, name := range []string{"model.safetensors", "best.safetensors"} {
			ok, err := same(filepath.Join(s.path("straight"), name), filepath.Join(s.path(out), name))
			if err != nil || !ok {
				s.fault("%s of run %d differs from that of the uninterrupted run (%v)", name, runs, err)
			}
		}
		os.RemoveAll(s.path(out))
	}
	fmt.Printf("training: killed at %d moments, %d of them within a write (%d of the checkpoint); %d runs compared byte by byte; %d starts without a checkpoint yet\n",
		done, writes, checkpoints, runs, early)
	return nil
}

// predict kills predictions and completes each.
func (s *soak) predict(kills int) error {
	args := func(out string) []string {
		return []string{"predict", filepath.Join(s.path("set"), "images"), "--model", s.path("straight/model.safetensors"),
			"--out", s.path(out), "--format", "labels,csv,overlay,coco,rle-csv", "--skip-existing", "--quiet", "--threads", "1"}
	}
	start := time.Now()
	if err := s.must(args("whole")...); err != nil {
		return err
	}
	took := time.Since(start)
	done, writes := 0, 0
	for try := 0; done < kills && try < 3*kills && !s.late(); try++ {
		out := fmt.Sprintf("nuclei%d", try)
		hit, wrote, err := s.killed(s.path(out), took, try%2 == 1, args(out)...)
		if err != nil {
			return err
		}
		if hit {
			done++
		}
		if wrote {
			writes++
		}
		for _, f := range temporary(s.path(out)) {
			os.Remove(f)
		}
		// What has its final name is whole: equal to that of the complete run.
		list, _ := os.ReadDir(s.path(out))
		for _, e := range list {
			if name := e.Name(); strings.Contains(name, ".labels.") || strings.Contains(name, ".overlay.") || strings.HasSuffix(name, ".nuclei.csv") {
				if ok, err := same(filepath.Join(s.path("whole"), name), filepath.Join(s.path(out), name)); err != nil || !ok {
					s.fault("%s of a killed prediction is not whole (%v)", name, err)
				}
			}
		}
		if err := s.must(args(out)...); err != nil {
			s.fault("a killed prediction does not go on: %v", err)
		} else if err := folders(s.path("whole"), s.path(out)); err != nil {
			s.fault("a prediction completed after a kill: %v", err)
		}
		os.RemoveAll(s.path(out))
	}
	fmt.Printf("prediction: killed at %d moments, %d of them within a write; each completed and compared byte by byte\n", done, writes)
	return nil
}
