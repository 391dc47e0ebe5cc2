package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"
)

// What is being written has a name of its own, .NAME.NUMBER.unet.tmp, until it
// is whole, and its process holds it for as long. Where a process was killed the
// name stays and the hold does not: that, and no age by some clock, tells what may
// be removed.

// ErrLocked says that a lock is held by another process or file.
var ErrLocked = errors.New("locked by another process")

const temporarySuffix = ".unet.tmp"

// swept are the folders in which this process has removed what killed ones
// left; once is enough, and reading a folder for each of its files is slow.
var swept sync.Map

// temporary is a file or folder that its process holds under a temporary name.
type temporary struct {
	*os.File
	renamed bool
}

// createTemporary makes the temporary file of path, or folder, open and held.
func createTemporary(path string, folder bool) (*temporary, error) {
	dir, base := filepath.Dir(path), filepath.Base(path)
	key, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, again := swept.LoadOrStore(key, true); !again {
		removeStale(dir)
	}
	pattern := temporaryPattern(base)
	for range 100 {
		name, err := newName(dir, pattern, folder)
		if err != nil {
			return nil, err
		}
		// Before it is held, another process may take it for a stale one.
		t, err := hold(name, folder)
		if !errors.Is(err, ErrLocked) {
			return t, err
		}
	}
	return nil, fmt.Errorf("temporary files in %s vanish at once", dir)
}

func newName(dir, pattern string, folder bool) (string, error) {
	if folder {
		return os.MkdirTemp(dir, pattern)
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// removeStale removes the temporary files and folders in dir that no process
// holds. What it cannot open stays.
func removeStale(dir string) {
	list, _ := os.ReadDir(dir) // as far as it can be read
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") && strings.HasSuffix(e.Name(), temporarySuffix) && (e.IsDir() || e.Type().IsRegular()) {
			removeUnheld(filepath.Join(dir, e.Name()), e.IsDir())
		}
	}
}

// Folder is a folder beside its final place, in which something can be prepared
// that appears there as a whole.
type Folder struct{ t *temporary }

// TemporaryFolder makes the Folder that is to become path.
func TemporaryFolder(path string) (*Folder, error) {
	t, err := createTemporary(path, true)
	if err != nil {
		return nil, err
	}
	return &Folder{t}, nil
}

// Name returns the path of the folder as long as it is temporary.
func (f *Folder) Name() string { return f.t.Name() }

// Rename gives the folder its place. Nothing, or on Unix an empty folder, may be
// there.
func (f *Folder) Rename(path string) error { return f.t.rename(path) }

// Release removes the folder unless it has been renamed.
func (f *Folder) Release() { f.t.release() }

// release ends the hold and removes what has not been renamed.
func (t *temporary) release() {
	if t.renamed {
		t.Close()
		return
	}
	t.remove()
}

// temporaryPattern is the name of the temporary file of base, * for a number. It
// is no longer than base where that is long: file systems bound names.
func temporaryPattern(base string) string {
	const more = len("..") + len("0123456789") + len(temporarySuffix)
	if keep := len(base) - more; keep > 80 {
		for keep > 0 && !utf8.RuneStart(base[keep]) {
			keep--
		}
		base = base[:keep]
	}
	return "." + base + ".*" + temporarySuffix
}
