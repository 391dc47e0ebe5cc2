//go:build !linux && !windows

package selftest

import "time"

var start = time.Now()

// now returns wall time where the thread's CPU time is not at hand.
func now() time.Duration { return time.Since(start) }
