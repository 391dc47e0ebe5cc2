package segment

import (
	"strings"
	"testing"
)

func TestCutWarning(t *testing.T) {
	for times, want := range map[int]string{0: "", 1: "once a clump", 2: "2 times a clump"} {
		if got := cutWarning(times, 500); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%d cuts: %q", times, got)
		}
	}
}
