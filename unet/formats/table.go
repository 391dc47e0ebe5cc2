package formats

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Table reads a table that people have made, as spreadsheets save it: cells apart by
// commas, semicolons or tabs, whichever comes first, in UTF-8, UTF-16 with a mark of byte
// order, or Windows-1252.
func Table(r io.Reader) (*csv.Reader, error) {
	b, err := io.ReadAll(limited(r))
	if err != nil {
		return nil, err
	}
	text := decodeText(b)
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

// decodeText is the text of a file, without a mark of byte order.
func decodeText(b []byte) string {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		b = b[3:]
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		order = binary.BigEndian
	}
	if order != nil {
		var units []uint16
		for i := 2; i+1 < len(b); i += 2 {
			units = append(units, order.Uint16(b[i:]))
		}
		return string(utf16.Decode(units))
	}
	if utf8.Valid(b) {
		return string(b)
	}
	text := make([]rune, len(b))
	for i, c := range b {
		text[i] = rune(c)
		if c >= 0x80 && c < 0xa0 {
			text[i] = windows1252[c-0x80]
		}
	}
	return string(text)
}

// windows1252 are the characters from 0x80 to 0x9f, where it differs from Latin-1;
// those that it has no character for stand for themselves.
var windows1252 = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")
