package atomicfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockedByte is far behind the end of any file: what Windows locks, nobody else can
// read.
const lockedByte = 1 << 30 // times 2^32

// TryLock takes a lock on an open file, which ends when f is closed or the process
// ends, however that ends. It fails with ErrLocked when another holds it, and with
// other errors for folders and where the file system knows no locks.
func TryLock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: lockedByte})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}
