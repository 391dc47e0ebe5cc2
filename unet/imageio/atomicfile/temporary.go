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

// open are the temporaries that this process holds. Its lock is held from before a
// name is made until it is in the set, and while one is renamed or removed, so that
// Abandon finds each of them.
var open struct {
	sync.Mutex
	set       map[*temporary]bool
	abandoned bool
}

// errAbandoned is what is left to do after Abandon.
var errAbandoned = errors.New("the process is ending")

// Abandon removes what this process has under temporary names, and lets nothing
// take its name any more: for a process that ends while others of its goroutines
// are still writing.
func Abandon() {
	open.Lock()
	defer open.Unlock()
	open.abandoned = true
	for t := range open.set {
		t.remove()
	}
}

// takeName renames t unless the process is ending.
func (t *temporary) takeName(path string) error {
	open.Lock()
	defer open.Unlock()
	if open.abandoned {
		return errAbandoned
	}
	return t.rename(path)
}

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
	for range 100 {
		t, err := tryTemporary(dir, temporaryPattern(base), folder)
		if !errors.Is(err, ErrLocked) {
			return t, err
		}
	}
	return nil, fmt.Errorf("temporary files in %s vanish at once", dir)
}

// tryTemporary makes one. Before it is held, another process may take it for a
// stale one, which is ErrLocked.
func tryTemporary(dir, pattern string, folder bool) (*temporary, error) {
	open.Lock()
	defer open.Unlock()
	if open.abandoned {
		return nil, errAbandoned
	}
	name, err := newName(dir, pattern, folder)
	if err != nil {
		return nil, err
	}
	t, err := hold(name, folder)
	if err != nil {
		return nil, err
	}
	if open.set == nil {
		open.set = map[*temporary]bool{}
	}
	open.set[t] = true
	return t, nil
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

// IsTemporary reports whether a name is one that files and folders have here until
// they are whole.
func IsTemporary(name string) bool {
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, temporarySuffix)
}

// removeStale removes the temporary files and folders in dir that no process
// holds. What it cannot open stays.
func removeStale(dir string) {
	list, _ := os.ReadDir(dir) // as far as it can be read
	for _, e := range list {
		if IsTemporary(e.Name()) && (e.IsDir() || e.Type().IsRegular()) {
			removeUnheld(filepath.Join(dir, e.Name()), e.IsDir())
		}
	}
}

// Lock takes a lock that stands for path, which need not be there, and fails with
// ErrLocked where another holds it. Where the file system knows no locks, there is
// none. A killed process leaves a temporary file, which the next one takes away.
func Lock(path string) (unlock func(), err error) {
	name := filepath.Join(filepath.Dir(path), "."+lockBase(filepath.Base(path))+".lock"+temporarySuffix)
	for range 100 {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return nil, err
		}
		if err := TryLock(f); errors.Is(err, ErrLocked) {
			f.Close()
			return nil, ErrLocked
		}
		// Its last holder may have removed it in between.
		a, aerr := f.Stat()
		b, berr := os.Stat(name)
		if aerr == nil && berr == nil && os.SameFile(a, b) {
			return func() {
				// Before the lock ends, or it would be another's; where open files cannot
				// be removed, after it, which fails if another has it open.
				kept := os.Remove(name) != nil
				f.Close()
				if kept {
					os.Remove(name)
				}
			}, nil
		}
		f.Close()
	}
	return nil, ErrLocked
}

// lockBase keeps the name of a lock within what file systems allow.
func lockBase(base string) string {
	const most = 255 - len("..lock") - len(temporarySuffix)
	for len(base) > most {
		_, size := utf8.DecodeLastRuneInString(base)
		base = base[:len(base)-size]
	}
	return base
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
func (f *Folder) Rename(path string) error { return f.t.takeName(path) }

// Release removes the folder unless it has been renamed.
func (f *Folder) Release() { f.t.release() }

// release ends the hold and removes what has not been renamed.
func (t *temporary) release() {
	open.Lock()
	defer open.Unlock()
	delete(open.set, t)
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
