//go:build !unix

package atomicfile

import (
	"errors"
	"os"
)

// TryLock fails: there is no lock here that other processes respect and that
// does not keep the file from being renamed.
func TryLock(*os.File) error { return errors.ErrUnsupported }
