//go:build unix

// Command soak breaks trainings and predictions at random moments and checks that
// nothing is lost: it kills `unet train` again and again, also in the middle of
// writing a checkpoint, until the run is complete, and compares the model with
// that of an uninterrupted run, byte by byte; it kills `unet predict` and
// completes it; it kills parts of predictions and gathers them; it kills `unet serve` during edits and teaching; it fills a disk, and
// withdraws permissions and inputs.
//
//	go build -o unet ./cli/unet && go run ./bench/verify/soak -unet ./unet -kills 200
//
// It prints the figures and ends with status 1 if anything was lost. A full
// disk can be tried by root on Linux only.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"unet/bench/program"
)

// soak is one session of torture.
type soak struct {
	unet  string // the program
	dir   string
	rng   *rand.Rand
	until time.Time
	took  time.Duration        // by an uninterrupted training
	user  *syscall.SysProcAttr // who runs the program; nil: who runs soak

	// Moments at which a process was killed.
	trainKills, predictKills, partKills, pageKills int

	writes   int // kills that left a half-written file
	compared int // completed results compared byte by byte
	full     int // ends because a disk was full
	refusals int // errors said as documented
	lost     int // faults that were not survived
}

func main() {
	unet := flag.String("unet", "unet", "the program to break")
	kills := flag.Int("kills", 200, "moments at which training is killed")
	parts := flag.Int("part-kills", 100, "moments at which parts of predictions and their gathering are killed")
	predictions := flag.Int("predict-kills", 20, "moments at which prediction is killed")
	pages := flag.Int("page-kills", 100, "moments at which the server of the page is killed, during edits and teaching")
	limit := flag.Duration("time", 2*time.Hour, "end after so long, with what was tried by then")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the moments")
	flag.Parse()
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
	defer os.RemoveAll(dir)
	path, err := program.Bring(*unet, dir)
	if err != nil {
		os.RemoveAll(dir)
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
	s := &soak{unet: path, dir: dir, rng: rand.New(rand.NewPCG(*seed, 1)), until: time.Now().Add(*limit)}
	fmt.Printf("seed %d\n", *seed)
	for _, part := range []func() error{
		s.prepare,
		func() error { return s.train(*kills) },
		func() error { return s.predict(*predictions) },
		func() error { return s.parts(*parts) },
		func() error { return s.serve(*pages) },
		s.fullDisks, s.permissions, s.vanished,
	} {
		if err := part(); err != nil {
			os.RemoveAll(dir)
			fmt.Fprintln(os.Stderr, "soak:", err)
			os.Exit(1)
		}
	}
	fmt.Printf("%d kills (%d within a write), %d full disks and %d other faults; %d results compared byte by byte\n",
		s.trainKills+s.predictKills+s.partKills+s.pageKills, s.writes, s.full, s.refusals, s.compared)
	if s.lost > 0 {
		os.RemoveAll(dir)
		fmt.Printf("%d faults were not survived\n", s.lost)
		os.Exit(1)
	}
	fmt.Println("nothing was lost")
}

func (s *soak) path(name string) string { return filepath.Join(s.dir, name) }

func (s *soak) late() bool { return time.Now().After(s.until) }

// fault counts what was not survived.
func (s *soak) fault(format string, args ...any) {
	s.lost++
	fmt.Printf("LOST: "+format+"\n", args...)
}

// command is the program with arguments.
func (s *soak) command(args ...string) *exec.Cmd {
	c := exec.Command(s.unet, args...)
	c.SysProcAttr = s.user
	return c
}

// run runs the program to its end.
func (s *soak) run(args ...string) (code int, stderr string, err error) {
	var errs bytes.Buffer
	c := s.command(args...)
	c.Stderr = &errs
	err = c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), errs.String(), nil
	}
	return 0, errs.String(), err
}

// must runs the program, which must succeed.
func (s *soak) must(args ...string) error {
	code, stderr, err := s.run(args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("unet %s: exit status %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return err
}

func (s *soak) prepare() error {
	if err := os.WriteFile(s.path("config.yaml"), []byte(program.Settings(12, 3)), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"sample", "--out", s.path("images.zip"), "--count", "12", "--size", "64"},
		{"prepare", s.path("images.zip"), "--out", s.path("set"), "--size", "native", "--quiet"},
	} {
		if err := s.must(args...); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := s.must(s.trainArgs(s.path("straight"))...); err != nil {
		return err
	}
	s.took = time.Since(start)
	fmt.Printf("uninterrupted training: %.2fs\n", s.took.Seconds())
	return nil
}

// resumable says that out holds a checkpoint.
func resumable(out string) bool {
	_, err := os.Stat(filepath.Join(out, "checkpoint.safetensors"))
	return err == nil
}

// trainArgs begins a training in out, or goes on with what is there.
func (s *soak) trainArgs(out string) []string {
	args := []string{"train", s.path("set"), "--out", out, "--quiet", "--threads", "1"}
	if resumable(out) {
		return append(args, "--resume")
	}
	return append(args, "--config", s.path("config.yaml"))
}

// predictArgs predicts the set's images into out, or completes what is there.
func (s *soak) predictArgs(out string) []string {
	return []string{"predict", filepath.Join(s.path("set"), "images"), "--model", s.path("straight/model.safetensors"),
		"--out", out, "--format", "labels,csv,overlay,coco,rle-csv", "--skip-existing", "--quiet", "--threads", "1"}
}

// same says that two files are equal.
func same(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return bytes.Equal(x, y), err
}

// folders compares the results in two folders; the manifest holds times.
func folders(a, b string) error {
	list, err := os.ReadDir(a)
	if err != nil {
		return err
	}
	other, err := os.ReadDir(b)
	if err != nil {
		return err
	}
	if len(list) != len(other) {
		return fmt.Errorf("%d files instead of %d", len(other), len(list))
	}
	for _, e := range list {
		if e.Name() == "manifest.json" {
			continue
		}
		if e.IsDir() {
			if err := folders(filepath.Join(a, e.Name()), filepath.Join(b, e.Name())); err != nil {
				return err
			}
			continue
		}
		if ok, err := same(filepath.Join(a, e.Name()), filepath.Join(b, e.Name())); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("%s differs", e.Name())
		}
	}
	return nil
}
