package owned

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func put(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if r := new(RefusedError); !errors.As(err, &r) || r.Hint() == "" {
		t.Errorf("%s: %v", what, err)
	}
}

// TestFolder claims files that are new, of an earlier run, foreign, and inputs.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	odd := "line\nbreak \xff"
	put(t, dir, "input", "foreign", "old")
	if err := os.Link(filepath.Join(dir, "input"), filepath.Join(dir, "hard")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("input", filepath.Join(dir, "soft")); err != nil {
		t.Fatal(err)
	}
	ins := []string{filepath.Join(dir, "input")}
	f, err := Open(dir, Options{Inputs: ins, Made: []string{"old"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"input", "hard", "soft", "foreign"} {
		refused(t, name, f.Claim(name))
	}
	if err := f.Claim("old", odd, "a", "#"); err != nil {
		t.Fatal(err)
	}
	if g, err := Open(dir, Options{}); err != nil || !errors.Is(g.Claim("b"), ErrBusy) {
		t.Error("two have the folder", err)
	}
	// Killed now, all that was claimed is in the list.
	text, err := os.ReadFile(filepath.Join(dir, ListFile))
	want := []string{"#", "a", odd, "old"}
	got := parse(append(text, "cut off"...))
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "a")
	g, err := Open(dir, Options{Inputs: ins, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, g.Made()); d != "" {
		t.Error(d)
	}
	if err := g.Claim("a", "foreign"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"input", "hard", "soft"} {
		refused(t, name, g.Claim(name))
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	known := map[string]bool{"a": true, "old": true}
	if list, err := Strangers(dir, known, 2); err != nil || !slices.Equal(list, []string{"foreign", "hard"}) {
		t.Error(list, err)
	}
}

// TestFile: a single result replaces a regular file that is no input, and only
// where the user says so.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, dir, "file", "input")
	for name, to := range map[string]string{"link": "file", "link to input": "input", "dangling": "nothing", "link to folder": "."} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"input", "link", "link to input", "dangling", "link to folder", "."} {
		refused(t, name, File(at(name), true, at("input")))
	}
	refused(t, "file", File(at("file"), false, at("input")))
	refused(t, "a device", File(os.DevNull, true))
	for name, force := range map[string]bool{"file": true, "new": false, "no/new": false} {
		if err := File(at(name), force, at("input")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestParts: parts write into a folder at the same time, each part once, and the
// next run that is no part knows what all of them made.
func TestParts(t *testing.T) {
	dir := t.TempDir()
	if err := Reserve(dir, Options{}, "before"); err != nil {
		t.Fatal(err)
	}
	open := func(part string) *Folder {
		f, err := Open(dir, Options{Part: part})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	one, two, again, all := open("1"), open("2"), open("1"), open("")
	if err := errors.Join(one.Claim("a"), two.Claim("b", "before")); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*Folder{"a part twice": again, "a run beside parts": all} {
		if err := f.Claim("a"); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	put(t, dir, "a", "b")
	// What the first process at a part made since, the second knows once it has the part.
	if err := errors.Join(one.Close(), two.Close(), again.Claim(), again.Claim("a"), again.Close()); err != nil {
		t.Fatal(err)
	}
	all = open("")
	if err := errors.Join(all.Claim("a"), all.Close()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "b", "before"}, open("").Made()); d != "" {
		t.Error(d)
	}
	if lists, err := partLists(dir); len(lists) > 0 || err != nil {
		t.Error(lists, err)
	}
}

// TestWrite writes a folder twice, and not over what came in between.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	file := func(s string) map[string]func(io.Writer) error {
		return map[string]func(io.Writer) error{s: func(w io.Writer) error { _, err := io.WriteString(w, s); return err }}
	}
	if err := errors.Join(Write(dir, Options{}, file("a")), Write(dir, Options{}, file("a"))); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "b")
	refused(t, "b", Write(dir, Options{}, file("b")))
	if b, _ := os.ReadFile(filepath.Join(dir, "b")); string(b) != "x" {
		t.Errorf("%q", b)
	}
}
