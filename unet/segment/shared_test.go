package segment

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestPartsOfChangedImage: parts of an image go together as long as its file is the same.
// One of the same size, written since, is another.
func TestPartsOfChangedImage(t *testing.T) {
	dir := t.TempDir()
	in := &Input{Path: filepath.Join(dir, "a.png"), Base: "a", span: span{0, 1, 2}}
	r := &run{results: results{batch: Batch{Out: dir}, observer: Quiet{}, plan: &plan{Hash: "plan"}}}
	written := time.Unix(1e9, 0)
	put := func(text string, at time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(in.Path, []byte(text), 0o644), os.Chtimes(in.Path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	put("one", written)
	sum, err := r.hash(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.hash(t.Context(), in); err != nil || again != sum {
		t.Errorf("another part: %s, %v; want %s", again, err, sum)
	}
	for name, change := range map[string]func(){
		"longer":        func() { put("three", written) },
		"written since": func() { put("two", written.Add(time.Second)) },
	} {
		change()
		var changed *InputError
		if _, err := r.hash(t.Context(), in); !errors.As(err, &changed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
