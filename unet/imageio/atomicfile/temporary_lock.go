//go:build !windows

package atomicfile

import (
	"errors"
	"os"
)

// A temporary is held by a lock on it. An open file can be renamed and removed, so
// the lock lasts until it has its name.

// hold opens what is called name, for itself alone. It fails with ErrLocked where
// another process holds or has removed it.
func hold(name string, folder bool) (*temporary, error) {
	flag := os.O_RDWR // some network file systems lock nothing less
	if folder {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(name, flag, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	if err := TryLock(f); errors.Is(err, ErrLocked) || !sameFile(f) {
		f.Close()
		return nil, ErrLocked
	}
	return &temporary{File: f}, nil
}

// sameFile reports whether the name of an open file still means that file.
func sameFile(f *os.File) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(a, b)
}

// removeUnheld removes a temporary that no process holds, as far as can be told.
func removeUnheld(name string, folder bool) {
	t, err := hold(name, folder)
	if err != nil {
		return
	}
	defer t.Close()
	if TryLock(t.File) == nil { // the file system knows locks
		t.remove()
	}
}

func (t *temporary) rename(path string) error {
	err := os.Rename(t.Name(), path)
	t.renamed = err == nil
	return err
}

// remove ends the hold last.
func (t *temporary) remove() {
	if sameFile(t.File) {
		os.RemoveAll(t.Name())
	}
	t.Close()
}
