package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// WriteFile writes path so that it holds either its old content or all of the
// new one, whatever happens in between: the bytes go to a temporary file in
// the same folder, which is synced and renamed over path, and removed when
// write or anything else fails. Missing parent folders are an error.
func WriteFile(path string, write func(io.Writer) error) error {
	a, err := Create(path)
	if err != nil {
		return err
	}
	defer a.Abort()
	b := bufio.NewWriterSize(a.f, 1<<16)
	if err := write(b); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return a.Commit()
}

// File is a temporary file that takes its name on Commit.
type File struct {
	f    *temporary
	path string
}

// Create starts the file path; see WriteFile. Call Commit or Abort.
func Create(path string) (*File, error) {
	f, err := createTemporary(path, false)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil, &folderError{path, err}
		}
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return &File{f: f, path: path}, nil
}

// folderError says that there is no folder to write into.
type folderError struct {
	path string
	err  error
}

func (e *folderError) Error() string {
	problem := "does not exist"
	if errors.Is(e.err, syscall.ENOTDIR) {
		problem = "is a file"
	}
	return fmt.Sprintf("writing %s: the folder %s %s", e.path, filepath.Dir(e.path), problem)
}

// Hint says what to do about it.
func (e *folderError) Hint() string { return "make the folder, or choose another" }

func (e *folderError) Unwrap() error { return e.err }

// Path is the name that the file will have.
func (a *File) Path() string { return a.path }

// Write appends to the file.
func (a *File) Write(b []byte) (int, error) { return a.f.Write(b) }

// WriteAt overwrites part of the file.
func (a *File) WriteAt(b []byte, off int64) (int, error) { return a.f.WriteAt(b, off) }

// ReadAt implements io.ReaderAt, of what was written.
func (a *File) ReadAt(b []byte, off int64) (int, error) { return a.f.ReadAt(b, off) }

// Commit makes the written bytes the file's content.
func (a *File) Commit() error {
	err := func() error {
		// CreateTemp makes files private; results are ordinary files.
		if err := a.f.Chmod(0o644); err != nil && runtime.GOOS != "windows" {
			return err
		}
		if err := a.f.Sync(); err != nil {
			return err
		}
		return a.f.takeName(a.path)
	}()
	if err != nil {
		return fmt.Errorf("writing %s: %w", a.path, err)
	}
	a.f.release() // its bytes are on disk
	// The rename itself is durable only once the folder is synced. Some file
	// systems refuse that; the content is safe either way.
	if d, err := os.Open(filepath.Dir(a.path)); err == nil {
		d.Sync()
		d.Close()
	}
	return nil
}

// Abort removes the temporary file unless it has been committed.
func (a *File) Abort() { a.f.release() }
