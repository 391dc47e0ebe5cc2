package core

import "testing"

// TestMixIsSplitMix64 compares with the first numbers that SplitMix64 draws from the
// seed 1234567, as its authors' C program prints them.
func TestMixIsSplitMix64(t *testing.T) {
	const golden = 0x9e3779b97f4a7c15
	state := uint64(1234567)
	for _, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423} {
		if state += golden; mix(state) != want {
			t.Errorf("%d, want %d", mix(state), want)
		}
	}
}
