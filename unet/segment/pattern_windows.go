package segment

import (
	"path/filepath"
	"strings"
	"unicode"
)

// anyCase is a pattern that does not tell capitals from small letters, as on Windows
// names do not. What stands before the first folder with a wildcard means itself.
func anyCase(pattern string) string {
	at := strings.IndexAny(pattern, "*?[")
	from := strings.LastIndexAny(pattern[:at], `/\`) + 1
	from = max(from, len(filepath.VolumeName(pattern)))
	var b strings.Builder
	class := false
	for _, r := range pattern[from:] {
		lower, upper := unicode.ToLower(r), unicode.ToUpper(r)
		switch {
		case r == '[':
			class = true
		case r == ']':
			class = false
		case lower != upper && !class:
			b.WriteString("[" + string(lower) + string(upper) + "]")
			continue
		}
		b.WriteRune(r)
	}
	return pattern[:from] + b.String()
}
