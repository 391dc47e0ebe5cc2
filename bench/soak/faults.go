package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fullDisk trains into a file system too small for the run, then gives it
// room: the same folder must go on to the same bytes.
func (s *soak) fullDisk() error {
	mount := s.path("small")
	if err := os.Mkdir(mount, 0o755); err != nil {
		return err
	}
	if b, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount).CombinedOutput(); err != nil {
		fmt.Printf("full disk: skipped, a small file system cannot be mounted (%s)\n", strings.TrimSpace(string(b)))
		return nil
	}
	defer exec.Command("umount", mount).Run()
	out := filepath.Join(mount, "run")
	args := []string{"train", s.path("set"), "--config", s.path("config.yaml"), "--out", out, "--quiet", "--threads", "1"}
	sizes := []int{1, 3, 4, 5, 6} // MiB; the run needs several
	full := 0
	for _, size := range sizes {
		if b, err := exec.Command("mount", "-o", fmt.Sprintf("remount,size=%dm", size), mount).CombinedOutput(); err != nil {
			return fmt.Errorf("remounting: %s", b)
		}
		try := args
		if _, err := os.Stat(filepath.Join(out, "checkpoint.safetensors")); err == nil {
			try = []string{"train", s.path("set"), "--out", out, "--resume", "--quiet", "--threads", "1"}
		}
		code, stderr, err := s.run(try...)
		if err != nil {
			return err
		}
		if code == 0 {
			break
		}
		full++
		if code != 6 || !strings.Contains(stderr, "no space") {
			s.fault("full disk of %d MiB: exit status %d\n%s", size, code, stderr)
		}
		if list := temporary(out); len(list) > 0 {
			s.fault("full disk: %v left behind", list)
		}
	}
	if b, err := exec.Command("mount", "-o", "remount,size=64m", mount).CombinedOutput(); err != nil {
		return fmt.Errorf("remounting: %s", b)
	}
	if _, err := os.Stat(filepath.Join(out, "checkpoint.safetensors")); err == nil {
		args = []string{"train", s.path("set"), "--out", out, "--resume", "--quiet", "--threads", "1"}
	}
	if err := s.must(args...); err != nil {
		s.fault("after the disk had room again: %v", err)
	} else if ok, err := same(s.path("straight/model.safetensors"), filepath.Join(out, "model.safetensors")); err != nil || !ok {
		s.fault("after the disk had room again, the model differs (%v)", err)
	}
	fmt.Printf("full disk: met %d times, then went on to the same bytes\n", full)
	return nil
}

// readOnly trains into a folder without permission to write.
func (s *soak) readOnly() error {
	if os.Geteuid() == 0 {
		fmt.Println("read-only folder: skipped, root may write everywhere")
		return nil
	}
	dir := s.path("readonly")
	if err := os.Mkdir(dir, 0o555); err != nil {
		return err
	}
	return s.refused("read-only folder", 4, s.trainArgs("readonly/run")...)
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
	fmt.Printf("%s: refused with exit status %d\n", what, code)
	return nil
}
