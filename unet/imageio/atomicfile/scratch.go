package atomicfile

import (
	"os"
	"path/filepath"
)

// Scratch keeps bytes that may be more than memory holds, until it is closed: in
// memory up to a number of them, and then all in a temporary file, which the system
// keeps in memory as far as there is any to spare.
type Scratch struct {
	path string
	most int64
	size int64
	mem  []byte
	file *File
}

// NewScratch returns a Scratch of at most that many bytes in memory. Its file is named
// after path; the folder is made when it is needed.
func NewScratch(path string, most int64) *Scratch { return &Scratch{path: path, most: most} }

// Size returns the number of bytes.
func (s *Scratch) Size() int64 { return s.size }

// Append adds bytes at the end.
func (s *Scratch) Append(b []byte) error {
	s.size += int64(len(b))
	if s.file == nil && s.size <= s.most {
		s.mem = append(s.mem, b...)
		return nil
	}
	if s.file == nil {
		if err := os.MkdirAll(filepath.Dir(s.path), 0o777); err != nil {
			return err
		}
		var err error
		if s.file, err = Create(s.path); err != nil {
			return err
		}
		if _, err := s.file.Write(s.mem); err != nil {
			return err
		}
		s.mem = nil
	}
	_, err := s.file.Write(b)
	return err
}

// Read returns the len(b) bytes at an offset, in b or where they are. Several
// goroutines may read at once while none appends.
func (s *Scratch) Read(b []byte, at int64) ([]byte, error) {
	if s.file == nil {
		return s.mem[at:][:len(b)], nil
	}
	_, err := s.file.ReadAt(b, at)
	return b, err
}

// Close removes the file.
func (s *Scratch) Close() {
	if s.file != nil {
		s.file.Abort()
	}
}
