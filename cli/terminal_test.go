package cli

import (
	"strings"
	"testing"
)

// TestProgressFollowsWidth resizes the terminal between two progress lines.
func TestProgressFollowsWidth(t *testing.T) {
	var out strings.Builder
	width := 40
	term := &terminal{err: &out, width: func() int { return width }}
	for _, w := range []int{40, 25, 60} {
		width = w
		out.Reset()
		term.show(strings.Repeat("é", 50) + strings.Repeat("x", w))
		line := strings.TrimPrefix(out.String(), "\r\x1b[K")
		if n := len([]rune(line)); n != w-1 {
			t.Errorf("%d columns: a line of %d", w, n)
		}
	}
}
