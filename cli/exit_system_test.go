//go:build unix

package cli

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestSystemErrors: what the system says has its exit status and a hint.
func TestSystemErrors(t *testing.T) {
	for errno, want := range map[syscall.Errno]int{syscall.ENOSPC: exitResource, syscall.ENOMEM: exitResource,
		syscall.EMFILE: exitResource, syscall.ENFILE: exitResource, syscall.EROFS: exitInput, syscall.EACCES: exitInput} {
		err := fmt.Errorf("writing: %w", &os.PathError{Op: "open", Path: "a", Err: errno})
		if code, hint := explain(err); code != want || hint == "" {
			t.Errorf("%v: exit status %d, want %d; hint %q", errno, code, want, hint)
		}
	}
	if s := clipped(strings.Repeat("é", 1<<20)); len([]rune(s)) > 1010 {
		t.Errorf("a message of %d characters", len([]rune(s)))
	}
}
