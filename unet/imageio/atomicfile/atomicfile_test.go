package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteFileKeepsOldOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	write := func(s string, fail error) error {
		return WriteFile(path, func(w io.Writer) error {
			io.WriteString(w, s)
			return fail
		})
	}
	if err := write("one", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := write("two", broken); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	b, _ := os.ReadFile(path)
	if string(b) != "one" {
		t.Fatalf("content %q", b)
	}
	func() {
		defer func() { recover() }()
		WriteFile(path, func(io.Writer) error { panic("x") })
	}()
	left, _ := os.ReadDir(dir)
	if len(left) != 1 {
		t.Fatalf("temporary files left: %v", left)
	}
	if err := WriteFile(filepath.Join(dir, "no", "a"), func(io.Writer) error { return nil }); err == nil {
		t.Fatal("missing folder accepted")
	}
}

// TestLongNames: a name as long as file systems allow can be written.
func TestLongNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("a", 255), strings.Repeat("a", 216), strings.Repeat("核", 85), strings.Repeat("é", 100) + ".labels.tif", "a"} {
		path := filepath.Join(t.TempDir(), name)
		if err := WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "x" {
			t.Error(err)
		}
		if len(name) > 101 {
			f, err := os.CreateTemp(t.TempDir(), temporaryPattern(name))
			if err != nil {
				t.Fatal(err)
			}
			f.Close() // Windows removes no open files
			if got := filepath.Base(f.Name()); len(got) > len(name) {
				t.Errorf("%s is longer than %s", got, name)
			}
		}
	}
}
