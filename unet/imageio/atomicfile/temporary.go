package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// What is being written has a name of its own, .NAME.NUMBER.unet.tmp, until it
// is whole, and is locked for as long. Where a process was killed the name
// stays and the lock does not: that, and no age by some clock, tells what may
// be removed.

// ErrLocked says that a lock is held by another process or file.
var ErrLocked = errors.New("locked by another process")

const temporarySuffix = ".unet.tmp"

// swept are the folders in which this process has removed what killed ones
// left; once is enough, and reading a folder for each of its files is slow.
var swept sync.Map

// createTemporary makes the temporary file of path, or folder, open and
// locked.
func createTemporary(path string, folder bool) (*os.File, error) {
	dir, base := filepath.Dir(path), filepath.Base(path)
	key, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, again := swept.LoadOrStore(key, true); !again {
		removeStale(dir)
	}
	pattern := "." + base + ".*" + temporarySuffix
	for range 100 {
		f, err := openTemporary(dir, pattern, folder)
		if err != nil {
			return nil, err
		}
		// Between its making and its locking, another process may have
		// taken it for a stale one.
		if err := TryLock(f); !errors.Is(err, ErrLocked) && sameFile(f) {
			return f, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("temporary files in %s vanish at once", dir)
}

func openTemporary(dir, pattern string, folder bool) (*os.File, error) {
	if !folder {
		return os.CreateTemp(dir, pattern)
	}
	name, err := os.MkdirTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		os.Remove(name)
	}
	return f, err
}

// sameFile says that the name of an open file still means that file.
func sameFile(f *os.File) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(a, b)
}

// removeStale removes the temporary files and folders in dir that no process
// holds. What it cannot open or lock stays.
func removeStale(dir string) {
	list, _ := os.ReadDir(dir) // as far as it can be read
	for _, e := range list {
		flag := os.O_RDWR // some network file systems lock nothing less
		if e.IsDir() {
			flag = os.O_RDONLY
		}
		if !strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), temporarySuffix) || !e.IsDir() && !e.Type().IsRegular() {
			continue
		}
		name := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(name, flag, 0)
		if err != nil {
			continue
		}
		if TryLock(f) == nil && sameFile(f) {
			os.RemoveAll(name)
		}
		f.Close()
	}
}

// TemporaryFolder makes a folder beside path, in which something can be
// prepared that appears under its name by renaming. Release ends that: it
// removes the folder unless it has been renamed.
func TemporaryFolder(path string) (dir string, release func(), err error) {
	f, err := createTemporary(path, true)
	if err != nil {
		return "", nil, err
	}
	return f.Name(), func() {
		if sameFile(f) {
			os.RemoveAll(f.Name())
		}
		f.Close()
	}, nil
}
