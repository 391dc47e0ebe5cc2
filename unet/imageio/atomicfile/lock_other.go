//go:build !unix && !windows

package atomicfile

import (
	"errors"
	"os"
)

// TryLock fails: package os has no locks here.
func TryLock(*os.File) error { return errors.ErrUnsupported }
