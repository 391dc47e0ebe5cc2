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
		return fmt.Sprintf("%s: not an image of a known format: %s", e.Name, e.Reason)
	}
	return fmt.Sprintf("%s: damaged %s: %s", e.Name, e.Format, e.Reason)
}

// Hint says what to do about the file.
func (e *FormatError) Hint() string {
	if e.Format == "" {
		return "known formats are PNG, JPEG, BMP, GIF, WebP, TIFF, OME-TIFF and OME-Zarr"
	}
	return "copy or export the file again"
}

// UnsupportedError says that a file is sound as far as read but uses a feature
// that this package does not carry.
type UnsupportedError struct {
	Name    string // the file
	Format  string // "TIFF", "Zarr", …
	Feature string // what it uses; "" when the whole format is not read
	Advice  string // what to do about it
}

func (e *UnsupportedError) Error() string {
	if e.Feature == "" {
		return fmt.Sprintf("%s: unsupported format: %s", e.Name, e.Format)
	}
	return fmt.Sprintf("%s: unsupported %s feature: %s", e.Name, e.Format, e.Feature)
}

// Hint says what to do about the file.
func (e *UnsupportedError) Hint() string { return e.Advice }

// LimitError says that reading the file as asked would take more memory than
// this package's limits allow.
type LimitError struct {
	Name   string // the file
	What   string // what is too large, with figures
	Advice string // what to do about it; a general one if empty
	Option string // that raises the limit, as programs name it, such as max-memory; "" for none
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: too large: %s", e.Name, e.What)
}

// Hint says what to do about the file.
func (e *LimitError) Hint() string {
	if e.Advice == "" {
		return "cut the image, or store it as a tiled TIFF, which is read in pieces"
	}
	return e.Advice
}

// Adjust names the option that the hint speaks of.
func (e *LimitError) Adjust() string { return e.Option }

// Wrap turns a decoder's error into a FormatError on one line.
func Wrap(name, format string, err error) error {
	var fe *FormatError
	var ue *UnsupportedError
	var le *LimitError
	if nl := (*notLabels)(nil); errors.As(err, &nl) {
		return &UnsupportedError{Name: name, Format: "label image", Feature: nl.Error(), Advice: labelHint}
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
