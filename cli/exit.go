package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/imageio/input"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
	"unet/unet/segment"
	"unet/unet/train"

	"github.com/urfave/cli/v2"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitPartial     = 3   // some inputs or variants failed, the others are done
	exitInput       = 4   // an input is missing or unreadable
	exitFormat      = 5   // a model or other file of the wrong format
	exitResource    = 6   // memory or disk
	exitInterrupted = 130 // Ctrl-C
)

// usageErr is a wrong command line.
type usageErr struct{ problem, command, hint string }

func (e *usageErr) Error() string { return e.problem }

// Hint points to the help where there is no better advice.
func (e *usageErr) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	return strings.TrimSpace("see `unet "+e.command) + " --help`"
}

func usagef(format string, args ...any) error {
	return &usageErr{problem: fmt.Sprintf(format, args...)}
}

// partialErr says that some inputs failed; each has been reported.
type partialErr struct {
	failed, total int
	what          string // they are: inputs, variants
}

func (e *partialErr) Error() string {
	if e.failed == e.total {
		return fmt.Sprintf("all %d %s failed", e.total, e.what)
	}
	return fmt.Sprintf("%d of %d %s failed", e.failed, e.total, e.what)
}

// forceFlag is the option that lets results replace files.
func forceFlag(category string) cli.Flag {
	return &cli.BoolFlag{Name: "force", Usage: "replace files that no earlier run made; never an input", DisableDefaultText: true, Category: category}
}

// hinted adds advice to an error.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

func (h *hinted) Hint() string { return h.hint }

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

// errorText is what an error says. Names that mean nothing are told of in the same
// words wherever the system said so.
func errorText(err error) string {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return err.Error()
	}
	what := ""
	switch {
	case errors.Is(p.Err, syscall.ENOTDIR) && p.Op == "mkdir":
		what = "not a folder"
	case errors.Is(p.Err, syscall.ENOTDIR):
		what = "not in a folder"
	case errors.Is(p.Err, fs.ErrNotExist):
		what = "no such file or folder"
	default:
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), p.Error(), p.Path+": "+what)
}

// explain returns the exit code of an error and a hint on what to do.
func explain(err error) (code int, hint string) {
	return exitCode(err), hintOf(err)
}

// exitCode says what kind of failure an error is.
func exitCode(err error) int {
	as := func(target any) bool { return errors.As(err, target) }
	is := func(targets ...error) bool {
		return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
	}
	var partial *partialErr
	switch {
	case is(errInterrupted, context.Canceled):
		return exitInterrupted
	case as(new(*usageErr)), as(new(*owned.RefusedError)), as(new(*segment.ChoiceError)), as(new(*segment.DividedError)), as(new(*segment.UnknownMarkerError)), as(new(*instance.UnknownColumnError)), as(new(*train.SettingError)):
		return exitUsage
	case errors.As(err, &partial) && partial.failed == partial.total:
		return exitInput
	case partial != nil:
		return exitPartial
	case as(new(*unet.ModelError)):
		return exitFormat
	case as(new(*dataset.InputError)), as(new(*segment.InputError)), as(new(*segment.PartsError)), as(new(*instance.UnknownValueError)), is(segment.ErrNoParts), as(new(*input.KindError)):
		return exitInput
	case as(new(*imageio.UnsupportedError)):
		return exitFormat
	case as(new(*imageio.FormatError)):
		return exitInput
	case as(new(*imageio.LimitError)), as(new(*core.MemoryError)), is(diskFull...), is(tooLong...), is(noMemory...), is(noFiles...):
		return exitResource
	case is(fs.ErrNotExist, fs.ErrPermission), is(readOnly...), is(badPaths...), is(input.ErrTooLong), as(new(badInput)):
		return exitInput
	}
	return exitFailure
}

// systemHints are for errors of the system, which have no hint of their own.
var systemHints = []struct {
	errs []error
	hint string
}{
	{diskFull, "the disk is full: make room and run the same command again"},
	{tooLong, "files may not be that large here: allow more (`ulimit -f`), or write to another file system"},
	{noMemory, "close other programs, or use smaller images"},
	{noFiles, "too many files are open: allow more (`ulimit -n`), or use fewer --jobs"},
	{readOnly, "nothing can be written there: choose another place"},
	{[]error{fs.ErrNotExist}, "check the name"},
	{[]error{fs.ErrPermission}, permissionHint},
	{[]error{owned.ErrBusy}, "wait for it to end, or choose another --out"},
	{[]error{train.ErrBusy}, "wait for it to end, or train in another folder"},
}

// hintOf returns the outermost hint of an error and those it wraps, or "".
func hintOf(err error) string {
	for e := err; e != nil; {
		var h interface {
			error
			Hint() string
		}
		if !errors.As(e, &h) {
			break
		}
		if hint := h.Hint(); hint != "" {
			if a, ok := h.(interface{ Adjust() string }); ok && a.Adjust() != "" {
				hint += " (--" + a.Adjust() + ")" // packages do not know the command line
			}
			return hint
		}
		e = errors.Unwrap(h)
	}
	for _, s := range systemHints {
		if slices.ContainsFunc(s.errs, func(e error) bool { return errors.Is(err, e) }) {
			return s.hint
		}
	}
	return ""
}
