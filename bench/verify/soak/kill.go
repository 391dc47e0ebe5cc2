//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"unet/unet/imageio/tiff"
)

// killed starts the program and kills it after a random time up to most or, if
// writing is not empty, while it writes the next file into dir whose name
// contains that (a dot: any). It returns the files that were being written, and
// whether the kill hit a running process.
func (s *soak) killed(dir string, most time.Duration, writing string, args ...string) (half []string, hit bool, err error) {
	stale := temporary(dir) // of the kill before
	written := func() []string {
		return slices.DeleteFunc(temporary(dir), func(f string) bool { return slices.Contains(stale, f) })
	}
	c := s.command(args...)
	if err := c.Start(); err != nil {
		return nil, false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	moment := time.After(time.Duration(s.rng.Int64N(int64(most))))
	select {
	case <-moment:
	case err := <-ended:
		ended <- err
	}
	for writing != "" && len(ended) == 0 && !strings.Contains(strings.Join(written(), " "), writing) {
		time.Sleep(20 * time.Microsecond)
	}
	c.Process.Kill()
	err = <-ended
	if err == nil {
		return nil, false, nil // it was faster
	}
	if c.ProcessState.Exited() {
		return nil, false, fmt.Errorf("unet %s ended by itself: %w", strings.Join(args, " "), err)
	}
	return written(), true, nil
}

// temporary lists the files in and below a folder that are, or were, being
// written.
func temporary(dir string) (list []string) {
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".tmp") {
			list = append(list, path)
		}
		return nil // files come and go
	})
	return list
}

// swept checks that a completed run has removed what the killed ones before it
// left half written.
func (s *soak) swept(what, dir string) {
	if list := temporary(dir); len(list) > 0 {
		s.fault("%s: %v left behind", what, list)
	}
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
			writing := []string{"", ".", "", ".checkpoint"}[s.trainKills%4]
			start := time.Now()
			half, hit, err := s.killed(out, s.took*2/3, writing, args...)
			if err != nil {
				s.fault("after %d kills: %v", s.trainKills, err)
				break
			}
			if hit {
				s.trainKills++
			}
			if len(half) > 0 {
				s.writes++
				if strings.Contains(strings.Join(half, " "), "checkpoint") {
					checkpoints++
				}
			}
			finished = !hit
			if finished && fresh { // the machine is less busy than it was
				s.took = min(s.took, time.Since(start))
			}
		}
		runs++
		s.swept("training", out)
		for _, name := range []string{"model.safetensors", "best.safetensors"} {
			ok, err := same(filepath.Join(s.path("straight"), name), filepath.Join(out, name))
			if err != nil || !ok {
				s.fault("%s of run %d differs from that of the uninterrupted run (%v)", name, runs, err)
			}
		}
		os.RemoveAll(out)
	}
	s.compared += runs
	fmt.Printf("training: killed at %d moments, %d of them within a write (%d of the checkpoint); %d runs completed and compared byte by byte, no temporary file left; %d starts without a checkpoint yet\n",
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
		half, hit, err := s.killed(out, took, []string{"", "."}[try%2], s.predictArgs(out)...)
		if err != nil {
			return err
		}
		if hit {
			s.predictKills++
		}
		if len(half) > 0 {
			writes++
		}
		// What has its final name is whole: equal to that of the complete run.
		list, _ := os.ReadDir(out)
		for _, e := range list {
			name := e.Name()
			if final := !strings.HasSuffix(name, ".tmp"); final && (strings.Contains(name, ".labels.") || strings.Contains(name, ".overlay.") || strings.HasSuffix(name, ".nuclei.csv")) {
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
		s.swept("prediction", out)
		os.RemoveAll(out)
		s.compared++
	}
	s.writes += writes
	fmt.Printf("prediction: killed at %d moments, %d of them within a write; each completed and compared byte by byte, no temporary file left\n", s.predictKills, writes)
	return nil
}

// parts divides predictions into 1 to 7 parts in any order, kills each of them and
// the gathering, some again and again, and compares what is gathered with the
// complete run. One image is too large for the memory that is allowed: its rows are
// divided, too.
func (s *soak) parts(kills int) error {
	if err := s.large(); err != nil {
		return err
	}
	start := time.Now()
	if err := s.must(s.partArgs(s.path("once"))...); err != nil {
		return err
	}
	took := time.Since(start)
	tries, divided := 0, 0
	for ; s.partKills < kills && tries < 3*kills && !s.late(); tries++ {
		out := s.path(fmt.Sprintf("parts%d", tries))
		n := 1 + s.rng.IntN(7)
		var steps [][]string
		for _, i := range s.rng.Perm(n) {
			steps = append(steps, append(s.partArgs(out), "--shard", fmt.Sprintf("%d/%d", i+1, n)))
		}
		steps = append(steps, steps[s.rng.IntN(n)], []string{"gather", out, "--quiet"}) // one is repeated
		for _, args := range steps {
			for range s.rng.IntN(3) {
				if _, err := os.Stat(filepath.Join(out, ".unet-parts")); args[0] == "gather" && err != nil {
					break // the kill before came when all was done
				}
				half, hit, err := s.killed(out, took/2, []string{"", "."}[s.rng.IntN(2)], args...)
				if err != nil {
					return err
				}
				if len(half) > 0 {
					s.writes++
				}
				if !hit {
					break
				}
				s.partKills++
			}
			if args[0] == "gather" {
				if _, err := os.Stat(filepath.Join(out, ".unet-parts")); err != nil {
					break // done before it was killed
				}
				if pieces, _ := filepath.Glob(filepath.Join(out, ".unet-parts", "pieces", "large.*-*-*")); len(pieces) > 1 {
					divided++
				}
			}
			if err := s.must(args...); err != nil {
				s.fault("a killed part does not go on: %v", err)
			}
		}
		if err := folders(s.path("once"), out); err != nil {
			s.fault("%d parts, gathered: %v", n, err)
		}
		s.swept("parts", out)
		os.RemoveAll(out)
		s.compared++
	}
	if divided == 0 && tries > 3 {
		s.fault("the rows of the large image were never divided")
	}
	fmt.Printf("parts: killed at %d moments; %d predictions in parts, %d of them with a divided image, gathered and compared byte by byte, no temporary file left\n",
		s.partKills, tries, divided)
	return nil
}

// large makes the images that parts predict: those of the set, and one that is too
// large for memory, a TIFF, of which bands can be read.
func (s *soak) large() error {
	if err := os.CopyFS(s.path("images"), os.DirFS(filepath.Join(s.path("set"), "images"))); err != nil {
		return err
	}
	const side = 1024
	f, err := tiff.Create(filepath.Join(s.path("images"), "large.tif"), tiff.Options{W: side, H: side, Bits: 8, Tiled: true})
	if err != nil {
		return err
	}
	defer f.Abort()
	row := make([]uint32, side)
	for y := range side {
		for x := range row { // discs
			row[x] = uint32(10 + s.rng.IntN(10))
			if dx, dy := x%29-14, y%31-15; dx*dx+dy*dy < 60+(x/29*7+y/31*5)%60 {
				row[x] += 150
			}
		}
		if err := f.WriteLabels(row); err != nil {
			return err
		}
	}
	return f.Close()
}

// partArgs predicts the images with little memory into out, or completes what is there.
func (s *soak) partArgs(out string) []string {
	args := s.predictArgs(out)
	args[1] = s.path("images")
	return append(args, "--diameter", "native", "--max-memory", "400MiB", "--jobs", "16")
}
