package instance

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"unet/unet/imageio"
)

// Rule is what a measurement of a nucleus must fulfil for it to be kept.
type Rule struct {
	Column string
	Op     string // one of >= <= > <
	Value  float64
}

// String is the rule as ParseRules reads it.
func (r Rule) String() string { return r.Column + r.Op + strconv.FormatFloat(r.Value, 'g', -1, 64) }

// holds reports whether a value fulfils the rule; one that is not known does not.
func (r Rule) holds(v float64) bool {
	switch r.Op {
	case ">=":
		return v >= r.Value
	case "<=":
		return v <= r.Value
	case ">":
		return v > r.Value
	}
	return v < r.Value
}

// ParseRules reads rules separated by commas, such as "area>=30,circularity>0.5".
func ParseRules(text string) (rules []Rule, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		r, err := ParseRule(part)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// ParseRule reads one rule, such as "area>=30".
func ParseRule(text string) (r Rule, err error) {
	text = strings.TrimSpace(text)
	at := strings.IndexAny(text, "<>")
	if at < 1 {
		return r, fmt.Errorf("%q is not a rule such as area>=30", text)
	}
	r = Rule{Column: strings.TrimSpace(text[:at]), Op: text[at : at+1]}
	rest := text[at+1:]
	if strings.HasPrefix(rest, "=") {
		r.Op, rest = r.Op+"=", rest[1:]
	}
	if r.Value, err = strconv.ParseFloat(strings.TrimSpace(rest), 64); err != nil || math.IsNaN(r.Value) {
		return r, fmt.Errorf("%q does not end in a number", text)
	}
	return r, nil
}

// Dropped says how many nuclei were left out, and why.
type Dropped struct {
	Why    string `json:"why"`    // the rule that they do not fulfil, or that they lie outside the region
	Nuclei int    `json:"nuclei"` // how many
}

// Keeper decides which nuclei of an image count.
type Keeper struct {
	// Rules must all be fulfilled.
	Rules []Rule
	// Region is where centroids must lie: all that is not 0; nil: anywhere.
	Region *imageio.Labels
	// Renumber numbers those that count from 1; else they keep their numbers.
	Renumber bool
}

// OutsideRegion is why nuclei outside the region were left out.
const OutsideRegion = "outside the region"

// Keep takes the nuclei that do not count out of a label image and the list of
// its nuclei. It fails where a rule is about what
// is not measured.
func (k Keeper) Keep(l *imageio.Labels, nuclei []Nucleus, sheet *Sheet) (kept []Nucleus, dropped []Dropped, err error) {
	for i := range nuclei {
		n := &nuclei[i]
		why, err := k.Drop(n, sheet)
		if err != nil {
			return nil, nil, err
		}
		id := uint32(0)
		if why == "" {
			if k.Renumber {
				n.ID = uint32(len(kept) + 1)
			}
			id = n.ID
			kept = append(kept, *n)
		} else {
			dropped = Count(dropped, why, 1)
		}
		for _, run := range n.Runs {
			row := l.ID[run.Y*l.W:]
			for x := run.X0; x < run.X1; x++ {
				row[x] = id
			}
		}
	}
	return kept, dropped, nil
}

// Drop says why a nucleus does not count, "" if it does.
func (k Keeper) Drop(n *Nucleus, sheet *Sheet) (why string, err error) {
	if k.Region != nil && !inside(k.Region, n) {
		return OutsideRegion, nil
	}
	if len(k.Rules) == 0 {
		return "", nil
	}
	values := sheet.Append(nil, n)
	for _, r := range k.Rules {
		at := sheet.Index(r.Column)
		if at < 0 {
			return "", &UnknownColumnError{r.Column, sheet.Columns}
		}
		if math.IsNaN(values[at]) {
			return "", &UnknownValueError{sheet.Columns[at], r}
		}
		if !r.holds(values[at]) {
			return "not " + r.String(), nil
		}
	}
	return "", nil
}

// UnknownValueError says that a measurement that a rule needs is not known of a
// nucleus.
type UnknownValueError struct {
	Column Column
	Rule   Rule
}

// Error implements error.
func (e *UnknownValueError) Error() string {
	return fmt.Sprintf("%s of a nucleus is not known, which the rule %v needs", e.Column.Name, e.Rule)
}

// physical reports whether the measurement needs the size of a pixel.
func (e *UnknownValueError) physical() bool { return strings.Contains(e.Column.Unit, "µm") }

// Hint says what to do about it.
func (e *UnknownValueError) Hint() string {
	if e.physical() {
		return "say how large pixels are"
	}
	return ""
}

// Adjust names the option that the hint speaks of.
func (e *UnknownValueError) Adjust() string {
	if e.physical() {
		return "pixel-size"
	}
	return ""
}

// inside reports whether the centroid of a nucleus lies in a region.
func inside(region *imageio.Labels, n *Nucleus) bool {
	x, y := int(n.X+0.5), int(n.Y+0.5)
	return region.ID[y*region.W+x] != 0
}

// Count counts n more nuclei that were dropped.
func Count(list []Dropped, why string, n int) []Dropped {
	i := slices.IndexFunc(list, func(d Dropped) bool { return d.Why == why })
	if i < 0 {
		return append(list, Dropped{why, n})
	}
	list[i].Nuclei += n
	return list
}
