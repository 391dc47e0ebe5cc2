package imageio

import (
	"io"
	"os"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/tiff"
)

// Names from before tiff and atomicfile were packages of their own.
type (
	TIFFOptions = tiff.Options
	TIFFWriter  = tiff.Writer
)

// ErrLocked is that of package atomicfile.
var ErrLocked = atomicfile.ErrLocked

// CreateTIFF is tiff.Create.
func CreateTIFF(path string, o TIFFOptions) (*TIFFWriter, error) { return tiff.Create(path, o) }

// WriteFile is that of package atomicfile.
func WriteFile(path string, write func(io.Writer) error) error {
	return atomicfile.WriteFile(path, write)
}

// TryLock is that of package atomicfile.
func TryLock(f *os.File) error { return atomicfile.TryLock(f) }
