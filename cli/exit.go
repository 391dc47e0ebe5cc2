package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/train"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitPartial     = 3   // some inputs failed, the others are done
	exitInput       = 4   // an input is missing or unreadable
	exitFormat      = 5   // a model or other file of the wrong format
	exitResource    = 6   // memory or disk
	exitInterrupted = 130 // Ctrl-C
)

// usageErr is a wrong command line.
type usageErr struct{ problem, command, hint string }

func (e *usageErr) Error() string { return e.problem }

func usagef(format string, args ...any) error {
	return &usageErr{problem: fmt.Sprintf(format, args...)}
}

// partialErr says that some inputs failed; each has been reported.
type partialErr struct{ failed, total int }

func (e *partialErr) Error() string {
	return fmt.Sprintf("%d of %d inputs failed", e.failed, e.total)
}

// notOver refuses a result that would be written over a file it is made from,
// as `unet convert *.tif` would.
func notOver(out string, ins ...string) error {
	o, err := os.Stat(out)
	if err != nil || !o.Mode().IsRegular() {
		return nil
	}
	for _, in := range ins {
		if i, err := os.Stat(in); err == nil && os.SameFile(o, i) {
			return usagef("%s is an input and would be overwritten: give the result another name", out)
		}
	}
	return nil
}

// hinted adds advice to an error.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// badInput is an input that can be read but does not hold what it should.
type badInput struct{ error }

func (e badInput) Unwrap() error { return e.error }

// inputf reports a bad input with advice on what to do.
func inputf(hint, format string, args ...any) error {
	return withHint(badInput{fmt.Errorf(format, args...)}, hint)
}

// withHint adds advice to an error, which may be nil.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, hint}
}

// explain returns the exit code of an error and a hint on what to do.
func explain(err error) (code int, hint string) {
	var h *hinted
	if errors.As(err, &h) {
		hint = h.hint
	}
	var usage *usageErr
	var partial *partialErr
	var model *unet.ModelError
	var input *dataset.InputError
	var bad badInput
	var format *imageio.FormatError
	var unsupported *imageio.UnsupportedError
	var limit *imageio.LimitError
	or := func(s string) string {
		if hint != "" {
			return hint
		}
		return s
	}
	switch {
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted, hint
	case errors.As(err, &usage):
		h := usage.hint
		if h == "" {
			h = strings.TrimSpace("see `unet "+usage.command) + " --help`"
		}
		return exitUsage, or(h)
	case errors.As(err, &partial):
		return exitPartial, hint
	case errors.As(err, &model):
		return exitFormat, or(model.Hint)
	case errors.As(err, &input):
		return exitInput, or(input.Hint)
	case errors.As(err, &unsupported):
		return exitFormat, or(unsupported.Hint)
	case errors.As(err, &format):
		return exitInput, or("the file is damaged or of another type than its name says")
	case errors.As(err, &limit):
		return exitResource, or("cut the image, or give it as a tiled TIFF, which is read piece by piece")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return exitResource, or("the disk is full: make room and run the same command again")
	case errors.Is(err, syscall.ENOMEM):
		return exitResource, or("not enough memory")
	case errors.Is(err, fs.ErrNotExist):
		return exitInput, or("check the name; quote patterns so that the shell leaves them alone")
	case errors.Is(err, fs.ErrPermission):
		return exitInput, or("permission is missing: see who owns the file or its folder, and their modes")
	case errors.Is(err, train.ErrBusy):
		return exitFailure, or("wait for it to end, or train in another folder")
	case errors.As(err, &bad):
		return exitInput, hint
	}
	return exitFailure, hint
}
