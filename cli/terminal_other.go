//go:build !windows

package cli

import "os"

// redraws reports whether a terminal understands what clears a line: all do.
func redraws(*os.File) bool { return true }
