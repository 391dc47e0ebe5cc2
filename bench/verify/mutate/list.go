//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// mutation is a fault: old, which stands once in file, becomes new.
type mutation struct {
	file, old, new string
	reason         string     // what is wrong with it
	tests          [][]string // packages whose tests ought to notice, each with flags of the test program
	equivalent     string     // why no test can notice, if none can
}

// pkg returns the folder of the faulty file.
func (m *mutation) pkg() string { return path.Dir(m.file) }

// parse reads a list. A mutation is a block of lines; blank lines and lines that
// begin with # stand between:
//
//	= unet/metrics/errors.go: half a nucleus counts as covered
//	- if 2*covered > area {
//	+ if 2*covered >= area {
//	@ ./unet/metrics -test.run Errors
//	~ why no test can notice, for one that is equivalent
//
// Several lines of - or + are several lines of the file. Without a line of @ the
// tests of the file's own package ought to notice.
func parse(text string) ([]*mutation, error) {
	var all []*mutation
	var m *mutation
	for i, line := range strings.Split(text, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		if kind == "" && rest == "" || kind == "#" {
			continue
		}
		if kind == "=" {
			file, reason, ok := strings.Cut(rest, ": ")
			if !ok {
				return nil, fmt.Errorf("line %d: want = FILE: REASON", i+1)
			}
			m = &mutation{file: file, reason: reason}
			all = append(all, m)
			continue
		}
		if m == nil {
			return nil, fmt.Errorf("line %d: a mutation begins with =", i+1)
		}
		switch kind {
		case "-":
			m.old = join(m.old, rest)
		case "+":
			m.new = join(m.new, rest)
		case "@":
			m.tests = append(m.tests, strings.Fields(rest))
		case "~":
			m.equivalent = rest
		default:
			return nil, fmt.Errorf("line %d: begins with %q", i+1, kind)
		}
	}
	for _, m := range all {
		if m.old == "" || m.old == m.new {
			return nil, fmt.Errorf("%s: %s: nothing changes", m.file, m.reason)
		}
		if len(m.tests) == 0 {
			m.tests = [][]string{{"./" + m.pkg()}}
		}
	}
	return all, nil
}

// check tells of all mutations whose lines do not stand once in their file, which
// lies under root: the code has moved or changed since.
func check(root string, all []*mutation) error {
	var errs []error
	for _, m := range all {
		text, err := os.ReadFile(filepath.Join(root, m.file))
		if err == nil {
			_, err = m.apply(string(text))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", m.file, m.reason, err))
		}
	}
	return errors.Join(errs...)
}

func join(lines, line string) string {
	if lines == "" {
		return line
	}
	return lines + "\n" + line
}

// apply returns the file with the fault in it. White space at the beginnings of
// lines does not count.
func (m *mutation) apply(text string) (string, error) {
	old := strings.Split(m.old, "\n")
	lines := strings.Split(text, "\n")
	found := -1
	for i := range lines {
		if !match(lines[i:], old) {
			continue
		}
		if found >= 0 {
			return "", fmt.Errorf("lines %d and %d both read %q", found+1, i+1, old[0])
		}
		found = i
	}
	if found < 0 {
		return "", fmt.Errorf("no line reads %q: has the code moved?", old[0])
	}
	out := append([]string{}, lines[:found]...)
	if len(old) == 1 { // part of a line
		out = append(out, strings.Replace(lines[found], old[0], m.new, 1))
	} else {
		out = append(out, m.new)
	}
	return strings.Join(append(out, lines[found+len(old):]...), "\n"), nil
}

// match reports whether lines begin with want: one line may be a part.
func match(lines, want []string) bool {
	if len(want) == 1 {
		return strings.Contains(lines[0], want[0])
	}
	if len(lines) < len(want) {
		return false
	}
	for i := range want {
		if strings.TrimSpace(lines[i]) != strings.TrimSpace(want[i]) {
			return false
		}
	}
	return true
}
