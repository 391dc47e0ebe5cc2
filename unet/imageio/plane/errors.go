package plane

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// FormatError says that a file is damaged, truncated or not what its header
// claims. Retrying does not help; another copy of the file may.
type FormatError struct {
	Name   string // the file
	Format string // "PNG", "TIFF", …; "" when it is not even known
	Reason string // one line
}

func (e *FormatError) Error() string {
	if e.Format == "" {
		return fmt.Sprintf("%s: not an image this program knows: %s (known: PNG, JPEG, BMP, GIF, WebP, TIFF, OME-TIFF, OME-Zarr)", e.Name, e.Reason)
	}
	return fmt.Sprintf("%s: damaged %s: %s (copy or export the file again)", e.Name, e.Format, e.Reason)
}

// UnsupportedError says that a file is sound as far as read but uses a feature
// that this package does not carry.
type UnsupportedError struct {
	Name    string // the file
	Format  string // "TIFF", "Zarr", …
	Feature string // what it uses; "" when the whole format is not read
	Hint    string // what to do about it
}

func (e *UnsupportedError) Error() string {
	s := fmt.Sprintf("%s: unsupported %s feature: %s", e.Name, e.Format, e.Feature)
	if e.Feature == "" {
		s = fmt.Sprintf("%s: unsupported format: %s", e.Name, e.Format)
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// LimitError says that reading the file as asked would take more memory than
// this package's limits allow.
type LimitError struct {
	Name string // the file
	What string // what is too large, with figures
	Hint string // what to do about it
}

func (e *LimitError) Error() string {
	s := fmt.Sprintf("%s: too large: %s", e.Name, e.What)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Wrap turns a decoder's error into a FormatError on one line.
func Wrap(name, format string, err error) error {
	var fe *FormatError
	var ue *UnsupportedError
	var le *LimitError
	if nl := (*notLabels)(nil); errors.As(err, &nl) {
		return &UnsupportedError{Name: name, Format: "label image", Feature: nl.Error(), Hint: labelHint}
	}
	if errors.As(err, &fe) || errors.As(err, &ue) || errors.As(err, &le) {
		return err
	}
	reason := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		reason = "the file ends too early"
	}
	return &FormatError{Name: name, Format: format, Reason: strings.ReplaceAll(reason, "\n", " ")}
}
