package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A temporary is held by its handle, which lets nobody else open it for removing
// or renaming. Its own process renames it by that handle.

// hold opens what is called name, for itself alone. It fails with ErrLocked where
// another process holds or has removed it.
func hold(name string, _ bool) (*temporary, error) {
	h, err := openHandle(name, windows.GENERIC_READ|windows.GENERIC_WRITE|windows.DELETE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE)
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, os.ErrNotExist) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return &temporary{File: os.NewFile(uintptr(h), name)}, nil
}

// openHandle opens a file or folder that exists.
func openHandle(name string, access, share uint32) (windows.Handle, error) {
	long, err := longPath(name)
	if err != nil {
		return 0, err
	}
	p, err := windows.UTF16PtrFromString(long)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(p, access, share, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
}

// longPath is name as Windows takes it at any length, which package os sees to
// for its own calls.
func longPath(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil || strings.HasPrefix(abs, `\\?\`) {
		return abs, err
	}
	if share, ok := strings.CutPrefix(abs, `\\`); ok {
		return `\\?\UNC\` + share, nil
	}
	return `\\?\` + abs, nil
}

// removeUnheld removes a temporary that no process holds.
func removeUnheld(name string, _ bool) {
	h, err := openHandle(name, windows.DELETE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE)
	if err != nil {
		return
	}
	os.RemoveAll(name) // while h keeps others from holding it
	windows.CloseHandle(h)
}

// rename waits a little for programs that look into every new file, such as virus
// scanners, to let go of path.
func (t *temporary) rename(path string) error {
	var err error
	for wait := time.Millisecond; wait < time.Second; wait *= 2 {
		if err = renameHandle(windows.Handle(t.Fd()), path); err == nil {
			t.renamed = true
			return nil
		}
		if !errors.Is(err, windows.ERROR_SHARING_VIOLATION) && !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
			break
		}
		time.Sleep(wait)
	}
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		err = windows.ERROR_ACCESS_DENIED // which fs.ErrPermission stands for
	}
	return &os.LinkError{Op: "rename", Old: t.Name(), New: path, Err: err}
}

// renameHandle moves an open file to path, over a file that is there.
func renameHandle(h windows.Handle, path string) error {
	long, err := longPath(path)
	if err != nil {
		return err
	}
	name, err := windows.UTF16FromString(long)
	if err != nil {
		return err
	}
	type renameInfo struct { // FILE_RENAME_INFO
		replace uint32
		root    windows.Handle
		length  uint32 // of name in bytes, without the end
		name    [1]uint16
	}
	at := unsafe.Offsetof(renameInfo{}.name)
	buffer := make([]byte, max(at+2*uintptr(len(name)), unsafe.Sizeof(renameInfo{})))
	info := (*renameInfo)(unsafe.Pointer(unsafe.SliceData(buffer)))
	info.replace, info.length = 1, uint32(2*(len(name)-1))
	copy(unsafe.Slice((*uint16)(unsafe.Pointer(&buffer[at])), len(name)), name)
	return windows.SetFileInformationByHandle(h, windows.FileRenameInfo, &buffer[0], uint32(len(buffer)))
}

// remove ends the hold first: nobody can remove the contents of a folder that is
// open for removing elsewhere.
func (t *temporary) remove() {
	t.Close()
	os.RemoveAll(t.Name())
}
