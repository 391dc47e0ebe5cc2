//go:build !windows

package endtoend

import (
	"os"
	"os/exec"
)

func apart(*exec.Cmd) {}

// interrupt does what Ctrl-C does.
func interrupt(cmd *exec.Cmd) error { return cmd.Process.Signal(os.Interrupt) }
