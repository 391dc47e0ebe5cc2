package cli

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestListErrors: what is wrong with a list is told as it is.
func TestListErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		in   io.Reader
		says string
	}{
		{"a line too long", strings.NewReader("a.png\n" + strings.Repeat("x", 1<<16)), "a line is longer than any file name"},
		{"unreadable", io.MultiReader(strings.NewReader("a.png\n"), iotest.ErrReader(errors.New("the disk is gone"))), "the disk is gone"},
		{"a zero byte", strings.NewReader("a.png\n\x00"), "line 2 holds a zero byte"},
	} {
		_, err := readList(t.Context(), newTerminal(c.in, io.Discard, io.Discard), "-")
		if err == nil || !strings.Contains(err.Error(), "list -: "+c.says) {
			t.Errorf("%s: %v, want one with %q", c.name, err, c.says)
		}
	}
}
