//go:build unix

package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"unet/unet"
	"unet/unet/train"
)

// user runs the program in a process as somebody whom the modes of files and
// folders stop: root is not.
type user struct {
	dir, program string
	credential   *syscall.SysProcAttr
}

const nobody = 65534

// unprivileged returns that user, with a folder of its own, or skips.
func unprivileged(t *testing.T) *user {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return &user{dir: t.TempDir(), program: self}
	}
	// Neither the tests' folder nor their program can be reached by others.
	dir, err := os.MkdirTemp("", "unet-nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	u := &user{dir: dir, program: filepath.Join(dir, "unet"),
		credential: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}}}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(u.program, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(u.program, "version")
	c.Env, c.SysProcAttr = append(os.Environ(), "UNET_TEST_MAIN=1"), u.credential
	if b, err := c.CombinedOutput(); err != nil {
		t.Skipf("the program cannot be run as another user than root here: %v %s", err, b)
	}
	return u
}

func (u *user) at(name ...string) string {
	return filepath.Join(append([]string{u.dir}, name...)...)
}

// own gives a file or folder and all below it to the user.
func (u *user) own(t *testing.T, path string) {
	t.Helper()
	if u.credential == nil {
		return
	}
	for _, f := range append(tree(t, path), ".") {
		if err := os.Chown(filepath.Join(path, f), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
}

func (u *user) command(ctx context.Context, args ...string) (c *exec.Cmd, stdout, stderr *bytes.Buffer) {
	c, stdout, stderr = exec.CommandContext(ctx, u.program, args...), new(bytes.Buffer), new(bytes.Buffer)
	c.Env, c.SysProcAttr = append(os.Environ(), "UNET_TEST_MAIN=1", "TMPDIR="+os.TempDir()), u.credential
	c.Dir, c.Stdout, c.Stderr = u.dir, stdout, stderr
	return c, stdout, stderr
}

// refused runs the program, which must end with an error as documented.
func (u *user) refused(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // ends what would never end
	defer cancel()
	c, stdout, stderr := u.command(ctx, args...)
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	complaint := checkErrorText(stderr.String(), misuse{code: code, says: says})
	if got := c.ProcessState.ExitCode(); got != code || complaint != "" || code != exitPartial && stdout.Len() > 0 {
		t.Errorf("unet %s\nstatus %d, want %d: %s\n%s--\n%s", strings.Join(args, " "), got, code, complaint, stdout, stderr)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestPermissions: what may not be read or written is said, in one line, and
// nothing else is touched.
func TestPermissions(t *testing.T) {
	u := unprivileged(t)
	mustRun(t, exitOK, "sample", "--out", u.at("images.zip"), "--count", "10", "--size", "64", "--quiet")
	mustRun(t, exitOK, "prepare", u.at("images.zip"), "--out", u.at("set"), "--size", "native", "--quiet")
	writeImage(t, u.at("good.png"), discs(64, 48, threeDiscs...))
	writeImage(t, u.at("secret.png"), discs(64, 48, threeDiscs...))
	writeImage(t, u.at("labels.tif"), numbered(64, 48, threeDiscs...))
	for name, from := range map[string]string{"model.safetensors": brightnessModel(t, unet.Nuclei), "secret.safetensors": brightnessModel(t, unet.Nuclei)} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(u.at(name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"locked", "closed"} {
		if err := os.Mkdir(u.at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	u.own(t, u.dir)
	for _, f := range []string{"secret.png", "secret.safetensors", "closed"} {
		chmod(t, u.at(f), 0)
		defer os.Chmod(u.at(f), 0o755) // so that it can be removed
	}
	chmod(t, u.at("locked"), 0o555)
	defer os.Chmod(u.at("locked"), 0o755)

	u.refused(t, exitInput, "locked", "predict", "good.png", "--model", "model.safetensors", "--out", "locked")
	u.refused(t, exitInput, "locked", "predict", "good.png", "--model", "model.safetensors", "--out", "locked/nuclei")
	u.refused(t, exitInput, "locked", "train", "set", "--out", "locked/run")
	u.refused(t, exitInput, "locked", "prepare", "images.zip", "--out", "locked/set")
	u.refused(t, exitInput, "locked", "sample", "--out", "locked/images.zip")
	u.refused(t, exitInput, "locked", "evaluate", "set", "--model", "model.safetensors", "--out", "locked/evaluation")
	u.refused(t, exitInput, "locked", "convert", "labels.tif", "locked/labels.geojson")
	u.refused(t, exitInput, "locked", "view", "labels.tif", "--out", "locked/labels.png")
	if list := tree(t, u.at("locked")); len(list) > 0 {
		t.Errorf("the read-only folder holds %q", list)
	}
	u.refused(t, exitInput, "secret.png", "predict", "secret.png", "--model", "model.safetensors", "--out", "out1")
	u.refused(t, exitInput, "secret.safetensors", "predict", "good.png", "--model", "secret.safetensors", "--out", "out2")
	u.refused(t, exitInput, "closed", "predict", "closed", "--model", "model.safetensors", "--out", "out3")
	u.refused(t, exitInput, "closed", "inspect", "closed")
	u.refused(t, exitPartial, "secret.png", "predict", "secret.png", "good.png", "--model", "model.safetensors", "--out", "out4")
	if _, err := os.Stat(u.at("out4", "good.labels.tif")); err != nil {
		t.Errorf("one image that cannot be read costs the others: %v", err)
	}
}

// TestFaultsOfTraining: a training that may no longer write, or whose input is
// gone, says so and leaves its last checkpoint, from which it goes on.
func TestFaultsOfTraining(t *testing.T) {
	u := unprivileged(t)
	mustRun(t, exitOK, "sample", "--out", u.at("images.zip"), "--count", "10", "--size", "64", "--quiet")
	mustRun(t, exitOK, "prepare", u.at("images.zip"), "--out", u.at("set"), "--size", "native", "--quiet")
	u.own(t, u.dir)
	checkpoint, images := u.at("run", train.CheckpointFile), u.at("set", "images")
	read := func() []byte {
		b, err := os.ReadFile(checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// interrupt runs the program until there is another checkpoint than before.
	interrupt := func(before []byte, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		c, _, stderr := u.command(ctx, args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for {
			if b, err := os.ReadFile(checkpoint); err == nil && !bytes.Equal(b, before) || ctx.Err() != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		c.Process.Signal(syscall.SIGINT)
		c.Wait()
		if c.ProcessState.ExitCode() != exitInterrupted {
			t.Fatalf("status %d\n%s", c.ProcessState.ExitCode(), stderr)
		}
	}
	interrupt(nil, "train", "set", "--out", "run", "--preset", "quick", "--depth", "1", "--batch", "1", "--steps", "1", "--epochs", "100000", "--threads", "1")
	before := read()
	resume := []string{"train", "set", "--out", "run", "--resume", "--quiet"}
	for _, fault := range []struct {
		says       string
		make, mend func() error
	}{
		{"run", func() error { return os.Chmod(u.at("run"), 0o555) }, func() error { return os.Chmod(u.at("run"), 0o755) }},
		{"checkpoint", func() error { return os.Chmod(checkpoint, 0) }, func() error { return os.Chmod(checkpoint, 0o644) }},
		{"images", func() error { return os.Rename(images, images+".away") }, func() error { return os.Rename(images+".away", images) }},
		{"set", func() error { return os.Rename(u.at("set"), u.at("moved")) }, func() error { return os.Rename(u.at("moved"), u.at("set")) }},
	} {
		if err := fault.make(); err != nil {
			t.Fatal(err)
		}
		u.refused(t, exitInput, fault.says, resume...)
		if err := fault.mend(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, read()) {
			t.Errorf("%s: the checkpoint has changed", fault.says)
		}
		for _, f := range tree(t, u.at("run")) {
			if strings.HasSuffix(f, ".tmp") {
				t.Errorf("%s: %s was left behind", fault.says, f)
			}
		}
	}
	interrupt(before, resume...)
}

// TestOddModelFiles: a pipe, which would be waited for, and a file with a hole
// of a tebibyte, which would be read, are no models.
func TestOddModelFiles(t *testing.T) {
	dir := t.TempDir()
	writeImage(t, filepath.Join(dir, "good.png"), discs(64, 48, threeDiscs...))
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.safetensors"), 0o644); err != nil {
		t.Skip("no pipes here: ", err)
	}
	b, err := os.ReadFile(brightnessModel(t, unet.Nuclei))
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(b)
	end, hole := int64(len(b))-8-int64(n), int64(1)<<40
	header := fmt.Sprintf(`{"z":{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]},%s`, hole/4, end, end+hole, b[9:8+n])
	sparse := filepath.Join(dir, "sparse.safetensors")
	b = append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), b[8+n:]...)
	if err := os.WriteFile(sparse, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(sparse, int64(len(b))+hole); err != nil {
		t.Skip("no sparse files here: ", err)
	}
	for _, name := range []string{"pipe.safetensors", "sparse.safetensors"} {
		for _, args := range [][]string{{"info", name}, {"predict", "good.png", "--out", "out", "--model", name}} {
			code, stdout, stderr := process(t, dir, nil, args...)
			if complaint := checkErrorText(stderr, misuse{code: exitFormat, says: name}); code != exitFormat || complaint != "" || stdout != "" {
				t.Errorf("unet %q: status %d, %s\n%s--\n%s", args, code, complaint, stdout, stderr)
			}
		}
	}
}
