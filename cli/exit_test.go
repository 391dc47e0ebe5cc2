package cli

import (
	"fmt"
	"testing"

	"unet/unet/imageio/owned"
	"unet/unet/segment"
)

// TestHintsNameOptions: packages speak of options in words, the program adds the
// name on its command line.
func TestHintsNameOptions(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&segment.InputError{Advice: "say how large its pixels are", Option: "pixel-size"}, "say how large its pixels are (--pixel-size)"},
		{fmt.Errorf("writing: %w", &owned.RefusedError{Advice: "have it replaced", Option: "force"}), "have it replaced (--force)"},
		{&segment.InputError{Advice: "check the name"}, "check the name"},
	} {
		if got := hintOf(c.err); got != c.want {
			t.Errorf("hint %q, want %q", got, c.want)
		}
	}
}
