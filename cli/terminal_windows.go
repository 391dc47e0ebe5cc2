package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// redraws makes a console understand what clears a line, and reports whether it
// does: older ones show it as text.
func redraws(f *os.File) bool {
	h := windows.Handle(f.Fd())
	var mode uint32
	return windows.GetConsoleMode(h, &mode) == nil &&
		windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
