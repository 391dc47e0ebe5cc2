package cli

import "testing"

// TestParseSize: units of 1024 have an i or are single letters, those of 1000
// have none (IEC 80000-13), in small or capital letters.
func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1024": 1024, "10b": 10, "2KB": 2000, "2KiB": 2048, "2k": 2048, "500MB": 500e6, "500MiB": 500 << 20, "1.5m": 3 << 19,
		"2GB": 2e9, "2GiB": 2 << 30, " 2 gib ": 2 << 30, "1TB": 1e12, "1tib": 1 << 40, "1T": 1 << 40,
	} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%q is %d bytes (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "0", "-1GB", "1 2", "two", "NaN", "Inf", "1e30", "5000TiB", "1GBB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %d bytes", text, got)
		}
	}
}
