package dataset

import (
	"fmt"

	"unet/unet/imageio"
)

// Split names of a prepared set.
const (
	Train = "train"
	Val   = "val"
	Test  = "test"
)

// Sample is one annotated image.
type Sample struct {
	// ID is the image's name, unique in its set and usable as a file name.
	ID string
	// Kind is the class of microscopy image, one of Kinds.
	Kind string
	// Group is shared by images that show the same field or its neighbours.
	Group string
	// Source names the laboratory the image comes from.
	Source string
	// Split is Train, Val, Test or empty when not assigned yet.
	Split string
	// Image has one channel when all colour channels of the file are equal,
	// else three; other channel counts are kept.
	Image *imageio.Image
	// Labels has the size of Image; nuclei are numbered 1..n without gaps.
	Labels *imageio.Labels
}

// Level says how bad a finding is.
type Level string

const (
	// Info findings need no action; applied fixes are among them.
	Info Level = "info"
	// Warning findings are probable annotation or image errors.
	Warning Level = "warning"
	// Error findings leave the image out of a prepared set.
	Error Level = "error"
)

// Finding is one thing worth knowing about an image of a source.
type Finding struct {
	Level Level  `json:"level"`          // info, warning or error; images with errors are left out
	ID    string `json:"id"`             // image; empty when it concerns the whole source
	File  string `json:"file,omitempty"` // file inside the source, where one is to blame
	Code  string `json:"code"`           // stable name of the check, such as "overlap"
	Text  string `json:"text"`           // what was found, in a sentence
}

// String is the finding in one line.
func (f Finding) String() string {
	where := f.ID
	if f.File != "" {
		where = f.File
	}
	if where == "" {
		return fmt.Sprintf("%s: %s: %s", f.Level, f.Code, f.Text)
	}
	return fmt.Sprintf("%s: %s: %s: %s", f.Level, where, f.Code, f.Text)
}

// InputError says that an archive, a folder or a file in it cannot be used:
// what it is, what is wrong with it and what to do about it.
type InputError struct {
	Name    string // file
	Problem string
	Advice  string // what to do about it
	// Option is that which Advice speaks of, as programs name it; "" for none.
	Option string
}

func (e *InputError) Error() string { return e.Name + ": " + e.Problem }

// Hint says what to do about it.
func (e *InputError) Hint() string { return e.Advice }

// Adjust names the option that the hint speaks of.
func (e *InputError) Adjust() string { return e.Option }
