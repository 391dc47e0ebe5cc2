package formats

import (
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Table reads a table that people have made, as spreadsheets save it: cells apart by
// commas, semicolons or tabs, whichever comes first, in UTF-8, UTF-16 with a mark of byte
// order, or Windows-1252.
func Table(r io.Reader) (*csv.Reader, error) {
	b, err := io.ReadAll(limited(r))
	if err != nil {
		return nil, err
	}
	text, err := decodeText(b)
	if err != nil {
		return nil, err
	}
	c := csv.NewReader(strings.NewReader(text))
	quoted := false
	for _, r := range text {
		if r == '"' {
			quoted = !quoted
		}
		if !quoted && strings.ContainsRune(",;\t\n", r) {
			if r != '\n' {
				c.Comma = r
			}
			break
		}
	}
	return c, nil
}

// Heading is the place in a table's first line of the first heading that is one of names,
// which are in lower case, and -1 if none is.
func Heading(header []string, names ...string) int {
	return slices.IndexFunc(header, func(h string) bool {
		return slices.Contains(names, strings.ToLower(strings.TrimSpace(h)))
	})
}

// decodeText is the text of a file, without a mark of byte order.
func decodeText(b []byte) (string, error) {
	var unmarked encoding.Encoding = charmap.Windows1252
	if utf8.Valid(b) {
		unmarked = unicode.UTF8
	}
	text, _, err := transform.Bytes(unicode.BOMOverride(unmarked.NewDecoder()), b)
	return string(text), err
}
