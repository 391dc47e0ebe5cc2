//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Exit statuses, as `unet --help` lists them.
const (
	done        = 0
	failure     = 1
	usage       = 2
	partial     = 3
	badInput    = 4
	badFormat   = 5
	resources   = 6
	interrupted = 130
)

// row is one probe. Its command runs in a folder that holds a copy of the base
// and what make adds.
type row struct {
	name  string
	line  string     // of the promise that it stands for
	make  func(*dir) // adds files; nil: none
	first []string   // command lines before the probe, which must succeed
	args  string     // the command line, split at blanks
	code  int        // exit status
	says  string     // within the output

	mib     int64    // bound of the peak memory; 0: usual
	changes []string // files and folders, of those before, that may change
	leaves  []string // what may appear though the command fails, besides the folder of results o

	appears string // pattern of a file that must be there afterwards

	copies int // of the command at the same time: one does the work, the others end with code; 0: one

	signal syscall.Signal // sent once when is there
	when   string         // pattern of a file

	limits string // commands of the shell before the program, such as ulimit
	disk   string // options of a small file system mounted at small
	user   bool   // runs as a user whom the modes of files stop
}

const (
	usual   = 700             // MiB, the bound where a row has none: the program on a tiny image takes 100 to 400
	limit   = 2 * time.Minute // ends what would never end
	nobody  = 65534
	longest = 1100 // characters of a message: a thousand and what stands around them
)

// try runs a row in folder and returns what is wrong.
func (b *base) try(folder string, r row) (faults []string, skipped bool) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	root := os.Geteuid() == 0
	if r.disk != "" && (!root || runtime.GOOS != "linux") {
		return nil, true
	}
	d := &dir{path: folder}
	d.check(os.CopyFS(folder, os.DirFS(b.path)))
	d.check(os.Mkdir(d.at("tmp"), 0o755))
	if r.disk != "" {
		d.check(os.Mkdir(d.at("small"), 0o755))
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", r.disk, "tmpfs", d.at("small")).CombinedOutput(); err != nil {
			fmt.Printf("skipped: %s: mount: %s\n", r.name, bytes.TrimSpace(out))
			return nil, true
		}
		defer exec.Command("umount", d.at("small")).Run()
	}
	if r.make != nil {
		r.make(d)
	}
	for _, args := range r.first {
		if out, err := b.command(context.Background(), folder, row{args: args}).CombinedOutput(); err != nil {
			d.check(fmt.Errorf("unet %s: %w: %s", args, err, out))
		}
	}
	if r.user && root {
		d.check(own(folder))
	}
	if d.err != nil {
		fault("before the probe: %v", d.err)
		return faults, false
	}
	before, err := snapshot(folder)
	if err != nil {
		fault("before the probe: %v", err)
		return faults, false
	}

	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if r.copies > 0 {
		return b.tryCopies(ctx, folder, r), false
	}
	c := b.command(ctx, folder, r)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr, c.WaitDelay = &stdout, &stderr, time.Second
	if err := c.Start(); err != nil {
		fault("start: %v", err)
		return faults, false
	}
	if r.signal != 0 {
		go func() {
			for ctx.Err() == nil {
				if m, _ := filepath.Glob(d.at(r.when)); len(m) > 0 {
					c.Process.Signal(r.signal)
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
	err = c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fault("%v", err)
	}
	if ctx.Err() != nil {
		fault("had not ended after %v", limit)
	}
	if code := c.ProcessState.ExitCode(); code != r.code {
		fault("exit status %d (%v), want %d", code, c.ProcessState, r.code)
	}
	if says := r.says; !strings.Contains(stdout.String()+stderr.String(), says) {
		fault("says nothing of %q", says)
	}
	if text := wrong(r.code, stderr.String()); text != "" {
		fault("%s", text)
	}
	bound := r.mib
	if bound == 0 {
		bound = usual
	}
	if peak := peakMiB(c.ProcessState); peak > bound {
		fault("peak memory %d MiB, bound %d MiB", peak, bound)
	}
	if m, _ := filepath.Glob(d.at(r.appears)); r.appears != "" && len(m) == 0 {
		fault("there is no %s afterwards", r.appears)
	}
	after, err := snapshot(folder)
	if err != nil {
		fault("after the probe: %v", err)
	}
	faults = append(faults, compare(r, before, after)...)
	if len(faults) > 0 && stderr.Len() > 0 {
		text := stderr.String()
		if len(text) > 2*longest {
			text = text[:2*longest] + " ..."
		}
		fault("stderr: %q", text)
	}
	return faults, false
}

// tryCopies runs a row's command several times at once.
func (b *base) tryCopies(ctx context.Context, folder string, r row) (faults []string) {
	type end struct {
		code   int
		stderr string
	}
	ends := make(chan end)
	for range r.copies {
		go func() {
			c := b.command(ctx, folder, r)
			var stderr bytes.Buffer
			c.Stderr = &stderr
			c.Run() // how it ended tells
			ends <- end{c.ProcessState.ExitCode(), stderr.String()}
		}()
	}
	winners := 0
	for range r.copies {
		switch e := <-ends; {
		case e.code == done:
			winners++
		case e.code != r.code || !strings.Contains(e.stderr, r.says) || wrong(e.code, e.stderr) != "":
			faults = append(faults, fmt.Sprintf("exit status %d, want %d: %q", e.code, r.code, e.stderr))
		}
	}
	if winners == 0 {
		faults = append(faults, "none of them did the work")
	}
	after, err := snapshot(folder)
	if err != nil {
		faults = append(faults, err.Error())
	}
	for name := range after {
		if strings.HasSuffix(name, ".tmp") || strings.HasPrefix(name, "tmp/") {
			faults = append(faults, name+" is left")
		}
	}
	return faults
}

// command is the program with a row's arguments in its surroundings.
func (b *base) command(ctx context.Context, folder string, r row) *exec.Cmd {
	args := strings.Fields(r.args)
	c := exec.CommandContext(ctx, b.unet, args...)
	if r.limits != "" {
		c = exec.CommandContext(ctx, "sh", append([]string{"-c", r.limits + `; exec "$0" "$@"`, b.unet}, args...)...)
	}
	c.Dir = folder
	c.Env = append(os.Environ(), "TMPDIR="+filepath.Join(folder, "tmp"), "UNET_THREADS=2", "LC_ALL=C.UTF-8")
	if r.user && os.Geteuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}}
	}
	return c
}

func peakMiB(p *os.ProcessState) int64 {
	peak := int64(p.SysUsage().(*syscall.Rusage).Maxrss)
	if runtime.GOOS == "darwin" {
		return peak >> 20
	}
	return peak >> 10
}

// wrong says what is wrong with the errors of a run, or nothing.
func wrong(code int, stderr string) string {
	if strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "panic: ") || strings.Contains(stderr, "SIG") {
		return "a crash"
	}
	for _, c := range stderr {
		if c != '\n' && unicode.IsControl(c) {
			return fmt.Sprintf("%q reaches the terminal", c)
		}
	}
	if code == done {
		return ""
	}
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if n := len(lines); n > 1 && strings.HasPrefix(lines[n-1], "hint: ") {
		lines = lines[:n-1]
	}
	last := lines[len(lines)-1]
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "warning: ") })
	switch {
	case !strings.HasPrefix(last, "unet: "):
		return "the last line is no error of the program"
	case code != partial && code != interrupted && len(lines) > 1:
		return "more than one line and a hint"
	}
	for _, line := range strings.Split(stderr, "\n") {
		if len([]rune(line)) > longest {
			return fmt.Sprintf("a message of %d characters", len([]rune(line)))
		}
	}
	return ""
}

// snapshot maps what is below a folder to what it is.
func snapshot(folder string) (map[string]string, error) {
	files := map[string]string{}
	return files, filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		what := e.Type().String()
		switch e.Type() {
		case 0:
			st, err := e.Info()
			if err != nil {
				return err
			}
			if st.Size() > 16<<20 { // a hole, or too long to read twice
				what += fmt.Sprintf("%d %v", st.Size(), st.ModTime())
				break
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf("%x", sha256.Sum256(b))
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += to
		}
		files[name] = what
		return nil
	})
}

// compare returns what a run did to files that it may not.
func compare(r row, before, after map[string]string) (faults []string) {
	for name, was := range before {
		if now, there := after[name]; !there {
			faults = append(faults, name+" is gone")
		} else if now != was && !within(name, r.changes) {
			faults = append(faults, name+" has changed")
		}
	}
	refused := r.code != done && r.code != partial && r.code != interrupted
	for name := range after {
		if _, there := before[name]; there {
			continue
		}
		switch {
		case strings.HasSuffix(name, ".tmp"):
			faults = append(faults, name+" is left half written")
		case strings.HasPrefix(name, "tmp/"):
			faults = append(faults, name+" is left among temporary files")
		case refused && !within(name, r.leaves) && !within(name, []string{"o"}):
			faults = append(faults, name+" has appeared")
		}
	}
	return faults
}

// within reports whether a file is one of the list or below it.
func within(name string, list []string) bool {
	for _, l := range list {
		if name == l || strings.HasPrefix(name, l+"/") {
			return true
		}
	}
	return false
}

// own gives a folder and all below it to nobody.
func own(folder string) error {
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
}

// remove removes a folder, whatever modes a row gave to what is in it.
func remove(folder string) {
	filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			os.Chmod(path, 0o755)
		}
		return nil
	})
	os.RemoveAll(folder)
}
