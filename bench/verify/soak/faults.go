//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// fullDisks trains and predicts into file systems too small for the results,
// then gives them room: the same folders must go on to the same bytes.
func (s *soak) fullDisks() error {
	mount := s.path("small")
	if err := os.Mkdir(mount, 0o755); err != nil {
		return err
	}
	if err := tmpfs(mount, "size=1m"); err != nil {
		fmt.Printf("full disk: skipped, a small file system cannot be mounted (%v)\n", err)
		return nil
	}
	defer exec.Command("umount", mount).Run()
	run, nuclei := filepath.Join(mount, "run"), filepath.Join(mount, "nuclei")
	if err := s.fullDisk("training", mount, run, []string{"1m", "3m", "4m", "5m", "6m"}, func() []string { return s.trainArgs(run) }); err != nil {
		return err
	}
	for _, name := range []string{"model.safetensors", "best.safetensors"} {
		if ok, err := same(filepath.Join(s.path("straight"), name), filepath.Join(run, name)); err != nil || !ok {
			s.fault("after the disk had room again, %s differs (%v)", name, err)
		}
	}
	os.RemoveAll(run)
	if err := s.fullDisk("prediction", mount, nuclei, []string{"40k", "80k", "160k"}, func() []string { return s.predictArgs(nuclei) }); err != nil {
		return err
	}
	if err := folders(s.path("whole"), nuclei); err != nil {
		s.fault("after the disk had room again, a prediction differs: %v", err)
	}
	fmt.Printf("full disk: met %d times, then went on to the same bytes\n", s.full)
	return nil
}

// fullDisk runs the program into out on file systems of the sizes at mount, and
// then on one that suffices.
func (s *soak) fullDisk(what, mount, out string, sizes []string, args func() []string) error {
	full := 0
	for _, size := range sizes {
		if err := tmpfs(mount, "remount,size="+size); err != nil {
			return err
		}
		code, stderr, err := s.run(args()...)
		if err != nil {
			return err
		}
		if code == 0 {
			break
		}
		full++
		if code != 6 || !strings.Contains(stderr, "no space") {
			s.fault("%s on a full disk of %s: exit status %d\n%s", what, size, code, stderr)
		}
		s.swept(what+" on a full disk", out)
	}
	if full == 0 {
		s.fault("%s met no full disk", what)
	}
	s.full += full
	if err := tmpfs(mount, "remount,size=64m"); err != nil {
		return err
	}
	if err := s.must(args()...); err != nil {
		s.fault("after the disk had room again: %v", err)
	}
	s.swept(what+" after the disk had room again", out)
	return nil
}

// tmpfs mounts a file system in memory with the options.
func tmpfs(mount, options string) error {
	if b, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", mount).CombinedOutput(); err != nil {
		return fmt.Errorf("mount -o %s: %w: %s", options, err, strings.TrimSpace(string(b)))
	}
	return nil
}

// nobody is a user without rights, for whom a folder's mode counts.
const nobody = 65534

// permissions trains into a folder without permission to write, and withdraws
// it in the middle of a training: given back, the run goes on to the same bytes.
func (s *soak) permissions() error {
	if os.Geteuid() == 0 { // whom no mode stops
		if err := os.Chmod(s.dir, 0o755); err != nil {
			return err
		}
		s.user = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}}
		defer func() { s.user = nil }()
	}
	dir := s.path("folder")
	out := filepath.Join(dir, "run")
	if err := os.Mkdir(dir, 0o555); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			return err
		}
	}
	if err := s.refused("read-only folder", 4, s.trainArgs(out)...); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for try := range 10 {
		c := s.command(s.trainArgs(out)...)
		var errs bytes.Buffer
		c.Stderr = &errs
		if err := c.Start(); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		for !resumable(out) && len(ended) == 0 {
			time.Sleep(100 * time.Microsecond)
		}
		os.Chmod(out, 0o555)
		err := <-ended
		os.Chmod(out, 0o755)
		switch code := c.ProcessState.ExitCode(); {
		case err == nil && try < 9:
			os.RemoveAll(out) // it was faster
			continue
		case code != 4 || strings.Count("\n"+errs.String(), "\nunet: ") != 1: // after a warning, perhaps
			s.fault("permission withdrawn: exit status %d\n%s", code, &errs)
		default:
			s.refusals++
			fmt.Println("permission withdrawn from a training: ended with exit status 4")
		}
		break
	}
	if err := s.must(s.trainArgs(out)...); err != nil {
		s.fault("after permission was given back: %v", err)
	}
	s.swept("training with permission given back", out)
	for _, name := range []string{"model.safetensors", "best.safetensors"} {
		if ok, err := same(filepath.Join(s.path("straight"), name), filepath.Join(out, name)); err != nil || !ok {
			s.fault("after permission was given back, %s differs (%v)", name, err)
		}
	}
	s.compared++
	return nil
}

// vanished resumes without the set, and without its images.
func (s *soak) vanished() error {
	if err := s.refused("vanished set", 4, "train", s.path("no such set"), "--out", s.path("straight"), "--resume"); err != nil {
		return err
	}
	images := filepath.Join(s.path("set"), "images")
	if err := os.Rename(images, images+".away"); err != nil {
		return err
	}
	defer os.Rename(images+".away", images)
	return s.refused("vanished images", 4, "train", s.path("set"), "--out", s.path("straight"), "--resume")
}

// refused runs the program, which must end with the exit status and an error
// in a line or two.
func (s *soak) refused(what string, want int, args ...string) error {
	code, stderr, err := s.run(args...)
	if err != nil {
		return err
	}
	if code != want || strings.Count(stderr, "\n") > 2 || !strings.Contains(stderr, "unet: ") {
		s.fault("%s: exit status %d, want %d\n%s", what, code, want, stderr)
		return nil
	}
	s.refusals++
	fmt.Printf("%s: refused with exit status %d\n", what, code)
	return nil
}
