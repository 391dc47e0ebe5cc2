package main

import (
	"errors"
	"fmt"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/segment"
)

// TestStatus: errors have the status that unet.h gives them.
func TestStatus(t *testing.T) {
	for want, list := range map[int][]error{
		1: {errors.New("disk")},
		2: {mistake("no image")},
		4: {&segment.InputError{}, &imageio.LimitError{}, &imageio.FormatError{}, &imageio.UnsupportedError{}},
		5: {&unet.ModelError{}},
	} {
		for _, err := range list {
			if got := int(statusOf(fmt.Errorf("image: %w", err))); got != want {
				t.Errorf("%T: %d, want %d", err, got, want)
			}
		}
	}
}
