package segment

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Selection picks pages, channels, slices or time points by number, from 0, or
// by name. The zero value picks all; so does an empty choice of channels, but
// for a nuclear stain (see Choice).
type Selection struct {
	text   string
	ranges [][2]int
	names  []string
}

// All picks everything: of channels each one by itself.
var All = Selection{text: "all"}

// ParseSelection reads "all", "3", "0,2-5" or, with names, "DAPI".
func ParseSelection(text string, names bool) (Selection, error) {
	s := Selection{text: text}
	if text == "" || text == "all" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(to)
		}
		switch {
		case err == nil && a >= 0 && b >= a:
			s.ranges = append(s.ranges, [2]int{a, b})
		case names && part != "":
			s.names = append(s.names, part)
		default:
			return s, fmt.Errorf("give all, or numbers from 0 such as 2 or 0,3-5")
		}
	}
	return s, nil
}

// String is the text that ParseSelection reads.
func (s Selection) String() string { return s.text }

func (s Selection) all() bool { return len(s.ranges) == 0 && len(s.names) == 0 }

func (s Selection) has(n int, name string) bool {
	return s.all() || slices.ContainsFunc(s.ranges, func(r [2]int) bool { return n >= r[0] && n <= r[1] }) ||
		slices.ContainsFunc(s.names, func(v string) bool { return strings.EqualFold(v, name) })
}
