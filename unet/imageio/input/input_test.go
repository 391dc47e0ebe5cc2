//go:build unix

package input

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestOpen opens one of every kind of file; none makes it wait.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("file"), []byte("text"), 0o666))
	must(os.Symlink("file", at("link")))
	must(os.Mkdir(at("dir"), 0o777))
	must(syscall.Mkfifo(at("pipe"), 0o666))
	must(os.Symlink("pipe", at("link to a pipe")))
	must(os.Symlink("/dev/zero", at("link to a device")))
	l, err := net.Listen("unix", at("socket"))
	must(err)
	defer l.Close()
	root, err := os.OpenRoot(dir)
	must(err)
	defer root.Close()
	for name, kind := range map[string]string{"file": "", "link": "", "dir": "a folder", "pipe": "a pipe",
		"link to a pipe": "a pipe", "link to a device": "a device", "socket": "a socket"} {
		open := map[string]func() (*os.File, error){"Open": func() (*os.File, error) { return Open(at(name)) }}
		if kind != "a device" { // links do not lead out of a root
			open["OpenIn"] = func() (*os.File, error) { return OpenIn(root, name) }
		}
		for what, open := range open {
			f, err := open()
			var wrong *KindError
			switch {
			case kind == "" && err != nil:
				t.Errorf("%s %s: %v", what, name, err)
			case kind == "":
				f.Close()
			case !errors.As(err, &wrong) || wrong.Kind != kind:
				t.Errorf("%s %s: %v, want %s", what, name, err, kind)
			}
		}
	}
	if b, err := ReadFile(at("file"), 4); err != nil || string(b) != "text" {
		t.Errorf("%q %v", b, err)
	}
	if _, err := ReadFile(at("file"), 3); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if _, err := ReadFileIn(root, "file", 3); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if _, err := Open(at("none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
