package atomicfile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What was appended is read back, from memory or from a file, which is made when there
// is more than memory is to hold, and goes on Close.
func TestScratch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	s := NewScratch(filepath.Join(dir, "bytes"), 10)
	var all []byte
	for i, files := range []int{0, 0, 1, 1} {
		part := bytes.Repeat([]byte{byte(i)}, 5)
		if err := s.Append(part); err != nil {
			t.Fatal(err)
		}
		all = append(all, part...)
		for at := range all {
			b, err := s.Read(make([]byte, len(all)-at), int64(at))
			if err != nil || !bytes.Equal(b, all[at:]) {
				t.Errorf("from %d: %v, %v", at, b, err)
			}
		}
		if list, _ := os.ReadDir(dir); len(list) != files || s.Size() != int64(len(all)) {
			t.Errorf("%d bytes: %d files, size %d", len(all), len(list), s.Size())
		}
	}
	s.Close()
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("%d files after Close, %v", len(list), err)
	}
}
