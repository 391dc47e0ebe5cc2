package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// FuzzList: a list of files is read, each line a name.
func FuzzList(f *testing.F) {
	f.Add([]byte("a.png\nb/a.png\r\n\n\ufeffc.tif\n/x/../b/a.PNG\n../a.png"))
	f.Add([]byte("a.ome.tif\na.tif\n.\n..\n/\n.png\n~\n"))
	f.Add([]byte("a\x00b\n\xff\xfe\n" + strings.Repeat("x", 300)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			return
		}
		list, err := readList(t.Context(), newTerminal(strings.NewReader(string(b)), io.Discard, io.Discard), "-")
		if bytes.IndexByte(b, 0) >= 0 {
			return // no name holds one
		}
		if err != nil {
			t.Fatalf("lines of less than a limit: %v", err)
		}
		for _, name := range list {
			if strings.TrimSpace(name) == "" || strings.Contains(name, "\n") {
				t.Errorf("name %q", name)
			}
		}
	})
}
