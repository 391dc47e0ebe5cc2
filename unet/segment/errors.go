package segment

import (
	"fmt"
	"strings"
)

// InputError says that an input cannot be segmented as asked.
type InputError struct {
	Name    string // the file
	Problem string
	Advice  string // what to do about it
	Err     error  // the cause, if another error is
	Option  string // that Advice speaks of, as programs name it, such as pixel-size; "" for none
}

func (e *InputError) Error() string { return fmt.Sprintf("%s: %s", e.Name, e.Problem) }

// Hint says what to do about it.
func (e *InputError) Hint() string { return e.Advice }

// Adjust names the option that the hint speaks of.
func (e *InputError) Adjust() string { return e.Option }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

// ChoiceError says that a choice of planes leaves none of a file, or too many.
type ChoiceError struct {
	Name    string // the file
	Problem string
	Has     string // what the file holds
}

func (e *ChoiceError) Error() string { return fmt.Sprintf("%s: %s", e.Name, e.Problem) }

// Hint tells what there is to choose from.
func (e *ChoiceError) Hint() string { return e.Has }

// UnknownMarkerError says that no image has the measurement a marker goes by.
type UnknownMarkerError struct {
	Name     string   // of the marker
	Channels []string // those that there are
}

func (e *UnknownMarkerError) Error() string {
	return fmt.Sprintf("there is no channel or measurement %s", e.Name)
}

// Hint tells what there is to choose from.
func (e *UnknownMarkerError) Hint() string {
	const most = 16
	switch n := len(e.Channels); {
	case n == 0:
		return "no channels are measured: give a measurement, such as area"
	case n > most:
		return fmt.Sprintf("the channels are %s and %d more; other measurements, such as area, do as well", strings.Join(e.Channels[:most], ", "), n-most)
	}
	return fmt.Sprintf("the channels are %s; other measurements, such as area, do as well", strings.Join(e.Channels, ", "))
}
