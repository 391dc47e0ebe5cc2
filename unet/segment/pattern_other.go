//go:build !windows

package segment

// anyCase is a pattern as it is: names tell capitals from small letters.
func anyCase(pattern string) string { return pattern }
