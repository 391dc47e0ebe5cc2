package segment

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio/input"
)

// Condition tells which condition of an experiment an image belongs to. The zero
// value tells nothing.
type Condition struct {
	text    string
	pattern *regexp.Regexp
	table   map[string]string // by name of the image, with and without extension
}

// ParseCondition reads "folder" (the folder that an image lies in), "well", the
// name of a CSV file with the columns image or well, and condition, or a regular
// expression whose groups are the condition.
func ParseCondition(text string) (c Condition, err error) {
	c.text = text
	switch {
	case text == "", text == "folder", text == "well":
		return c, nil
	case IsConditionTable(text):
		c.table, err = readConditions(text)
		return c, err
	}
	if c.pattern, err = regexp.Compile(text); err != nil {
		return c, fmt.Errorf("neither folder nor a CSV file nor a regular expression: %w", err)
	}
	if c.pattern.NumSubexp() == 0 {
		return c, errors.New("the regular expression has no group, such as (control|treated)")
	}
	return c, nil
}

// IsConditionTable reports whether what ParseCondition reads names a file, by its
// extension.
func IsConditionTable(text string) bool {
	return slices.Contains([]string{".csv", ".tsv", ".txt"}, strings.ToLower(path.Ext(text)))
}

// readConditions reads a table; errors name it.
func readConditions(name string) (map[string]string, error) {
	f, err := input.Open(name) // which waits for no pipe
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var rows [][]string
	c, err := formats.Table(f)
	if err == nil {
		rows, err = c.ReadAll()
	}
	if err != nil {
		return nil, &InputError{Name: name, Problem: err.Error(), Err: err}
	}
	wrong := func(format string, args ...any) error {
		return &InputError{Name: name, Problem: fmt.Sprintf(format, args...), Advice: "correct the table of conditions"}
	}
	if len(rows) == 0 {
		return nil, wrong("it is empty")
	}
	of, condition := formats.Heading(rows[0], "image"), formats.Heading(rows[0], "condition")
	wells := of < 0
	if wells {
		of = formats.Heading(rows[0], "well")
	}
	if of < 0 || condition < 0 {
		return nil, wrong("its first line must name the columns image and condition, or well and condition")
	}
	table := map[string]string{}
	for i, row := range rows[1:] {
		key := row[of]
		if wells {
			if key = wellText(key); key == "" {
				return nil, wrong("line %d: %q is not a well such as B03", i+2, row[of])
			}
		}
		if old, ok := table[key]; ok && old != row[condition] {
			return nil, wrong("line %d: %q has two conditions", i+2, row[of])
		}
		table[key] = row[condition]
	}
	return table, nil
}

// Of returns the condition of an image in a well, which may be "" for none; "" if
// it has no condition.
func (c Condition) Of(image, well string) string {
	switch {
	case c.table != nil:
		for _, name := range []string{image, Stem(image), path.Base(image), path.Base(Stem(image)), well} {
			if v, ok := c.table[name]; ok {
				return v
			}
		}
	case c.pattern != nil:
		m := c.pattern.FindStringSubmatch(image)
		var parts []string
		for i := 1; i < len(m); i++ {
			if name := c.pattern.SubexpNames()[i]; name != "" && name != "condition" {
				parts = append(parts, name+" "+m[i])
			} else if m[i] != "" {
				parts = append(parts, m[i])
			}
		}
		return strings.Join(parts, ", ")
	case c.text == "well":
		return well
	case c.text == "folder":
		if dir := path.Dir(image); dir != "." {
			return dir
		}
	}
	return ""
}
