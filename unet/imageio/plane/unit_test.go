package plane

import "testing"

// TestParsePixelSize: a width, or width and height, in µm.
func TestParsePixelSize(t *testing.T) {
	for text, want := range map[string]PixelSize{ // the zero value: an error
		"0.5": {X: 0.5, Y: 0.5}, " 0.5 x 1 ": {X: 0.5, Y: 1}, "0.25X0.5": {X: 0.25, Y: 0.5}, "9999": {X: 9999, Y: 9999},
		"": {}, "0": {}, "-1": {}, "10000": {}, "NaN": {}, "Inf": {}, "0.5x": {}, "0.5x0": {}, "0.5x-1": {}, "0.5x20000": {}, "1x2x3": {}, "0.5um": {},
	} {
		got, err := ParsePixelSize(text)
		if got != want || (err == nil) != want.Known() {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}

// TestBytesText: no size is rounded to nothing.
func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1: "1 B", 1e6: "977 KiB", 1 << 20: "1.0 MiB", 558 << 20: "558 MiB", 3 << 29: "1.5 GiB"} {
		if got := BytesText(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}
