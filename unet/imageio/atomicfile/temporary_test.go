package atomicfile

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Beginnings and far ends of time that clocks have shown.
var moments = []time.Time{time.Unix(0, 0), time.Now(), time.Now().Add(100 * 365 * 24 * time.Hour)}

// entries lists a folder.
func entries(t *testing.T, dir string) (list []string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		list = append(list, e.Name())
	}
	return list
}

// TestStaleTemporaries: the first file written into a folder takes away what
// killed processes left there, whatever the clock said then, and nothing else.
func TestStaleTemporaries(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var want []string
	age := func(name string, i int) {
		if err := os.Chtimes(at(name), moments[i], moments[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range moments {
		stale, live, folder, inUse := ".a.tif.1"+string(rune('0'+i))+temporarySuffix, ".b.tif.2"+string(rune('0'+i))+temporarySuffix,
			".set.3"+string(rune('0'+i))+temporarySuffix, ".set.4"+string(rune('0'+i))+temporarySuffix
		for _, name := range []string{folder, inUse} {
			if err := os.MkdirAll(filepath.Join(dir, name, "images"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{stale, live, filepath.Join(folder, "images", "a.png")} {
			if err := os.WriteFile(at(name), []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{stale, live, folder, inUse} {
			age(name, i)
		}
		for _, name := range []string{live, inUse} {
			held, err := hold(at(name), name == inUse)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			want = append(want, name)
		}
	}
	// Names that look alike, and a link to a file of another folder.
	other := filepath.Join(t.TempDir(), "other")
	for _, name := range []string{".x.1.tmp", "x.1" + temporarySuffix, ".a.tif.5" + temporarySuffix + ".bak"} {
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := ".link.6" + temporarySuffix
	// Windows may not let us make links, and Wine does not list them.
	if err := os.Symlink(other, at(link)); err == nil && slices.Contains(entries(t, dir), link) {
		want = append(want, link)
	}
	want = append(want, "new.txt")
	if err := WriteFile(at("new.txt"), func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if got := entries(t, dir); !slices.Equal(got, want) {
		t.Errorf("left:\n%q, want:\n%q", got, want)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// TestLiveTemporaries: what is being written is safe from other processes.
func TestLiveTemporaries(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	folder, err := TemporaryFolder(filepath.Join(dir, "set"))
	if err != nil {
		t.Fatal(err)
	}
	err = WriteFile(path, func(w io.Writer) error {
		removeStale(dir) // as another process would
		_, err := io.WriteString(w, "whole")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	removeStale(dir)
	if got := entries(t, dir); len(got) != 2 || got[0] != filepath.Base(folder.Name()) || got[1] != "a.txt" {
		t.Errorf("%q", got)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "whole" {
		t.Errorf("%q, %v", b, err)
	}
	folder.Release()
	if got := entries(t, dir); len(got) != 1 {
		t.Errorf("%q after release", got)
	}
	// A folder that got its name stays.
	if folder, err = TemporaryFolder(filepath.Join(dir, "set")); err != nil {
		t.Fatal(err)
	}
	if err := folder.Rename(filepath.Join(dir, "set")); err != nil {
		t.Fatal(err)
	}
	folder.Release()
	if got := entries(t, dir); len(got) != 2 || got[1] != "set" {
		t.Errorf("%q after renaming", got)
	}
}
