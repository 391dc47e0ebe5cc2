package endtoend

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// apart gives the program a group of its own, so that the tests are not interrupted
// with it.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// interrupt does what Ctrl-Break does on the console.
func interrupt(cmd *exec.Cmd) error {
	return windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(cmd.Process.Pid))
}
