package formats

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestTable: the same table as Excel, LibreOffice and others save it.
func TestTable(t *testing.T) {
	units := func(text string, order binary.AppendByteOrder) (b []byte) {
		for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
			b = order.AppendUint16(b, u)
		}
		return b
	}
	const semicolons, tabs = "image;condition\r\n\"a,1.png\";5 µM – „x“\r\n", "image\tcondition\r\n\"a,1.png\"\t5 µM – „x“\r\n"
	for name, text := range map[string]string{
		"UTF-8":                     "image,condition\n\"a,1.png\",5 µM – „x“\n",
		"with a mark":               "\xef\xbb\xbfimage,condition\r\n\"a,1.png\",5 µM – „x“\r\n",
		"German Excel":              "image;condition\r\n\"a,1.png\";5 \xb5M \x96 \x84x\x93\r\n",
		"German Excel, UTF-8":       "\xef\xbb\xbf" + semicolons,
		"Unicode text":              string(units(tabs, binary.LittleEndian)),
		"Unicode text, big endian":  string(units(tabs, binary.BigEndian)),
		"tabs":                      tabs,
		"a semicolon in a name":     "\"image\",condition; dose\n\"a,1.png\",5 µM – „x“\n",
		"a comma in the first line": "image;condition, and dose\r\n\"a,1.png\";5 µM – „x“\r\n",
	} {
		c, err := Table(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := c.ReadAll()
		if err != nil || len(rows) != 2 || !strings.HasPrefix(strings.Join(rows[0], "|"), "image|condition") || !slices.Equal(rows[1], []string{"a,1.png", "5 µM – „x“"}) {
			t.Errorf("%s: %q %v", name, rows, err)
		}
	}
	if c, err := Table(strings.NewReader("")); err != nil {
		t.Error(err)
	} else if rows, err := c.ReadAll(); err != nil || len(rows) != 0 {
		t.Errorf("nothing: %q %v", rows, err)
	}
}
