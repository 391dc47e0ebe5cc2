package formats

import (
	"bytes"
	"encoding/csv"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update-readme", false, "write the table of columns into README.md")

// TestColumns: the table of nuclei has the columns that are described, in their
// order.
func TestColumns(t *testing.T) {
	var b bytes.Buffer
	w := NewTable(&b)
	if err := w.Begin(Source{Name: "a", W: 1, H: 1, Channels: []string{"CHANNEL"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	header, err := csv.NewReader(&b).Read()
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, c := range Columns {
		described = append(described, c.Name)
	}
	if got, want := strings.Join(described, ","), strings.Join(header, ","); got != want {
		t.Errorf("described are %s, the table has %s", got, want)
	}
}

// TestColumnsInREADME compares README.md with Columns; -update-readme writes it.
func TestColumnsInREADME(t *testing.T) {
	const file, begin, end = "../../README.md", "<!-- columns, from unet/formats/columns.go -->\n", "<!-- end of columns -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("README.md has no place for the columns")
	}
	if table == ColumnsTable() {
		return
	}
	if !*update {
		t.Fatal("README.md lists other columns: go test ./unet/formats -run README -update-readme")
	}
	if err := os.WriteFile(file, []byte(before+begin+ColumnsTable()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
