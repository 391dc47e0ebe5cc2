package formats

import (
	"bytes"
	"encoding/csv"
	"flag"
	"math"
	"os"
	"strings"
	"testing"

	"unet/unet/instance"
)

var update = flag.Bool("update-readme", false, "write the tables of columns into README.md")

func names(columns []Column) string {
	var list []string
	for _, c := range columns {
		list = append(list, c.Name)
	}
	return strings.Join(list, ",")
}

// TestColumns: the table of nuclei has the columns that are described, in their
// order.
func TestColumns(t *testing.T) {
	var b bytes.Buffer
	w := NewTable(&b)
	src := Source{Name: "a", W: 1, H: 1, Channels: []string{instance.ChannelPlaceholder}, Rings: true}
	if err := w.Begin(src); err != nil {
		t.Fatal(err)
	}
	n := instance.Nucleus{ID: 1, Runs: []instance.Run{{Y: 0, X0: 0, X1: 1}}, X1: 1, Y1: 1, Area: 1}
	if err := w.Write(&n); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll() // as many cells in each
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(Columns), strings.Join(rows[0], ",")+","+names(batchColumns); got != want {
		t.Errorf("described are %s, the table has %s", got, want)
	}
	if got, want := len(SummaryRow(src, instance.Summary{})), len(SummaryColumns(src)); got != want {
		t.Errorf("a row of images has %d cells, and %d columns", got, want)
	}
}

// TestNumber: no digit that means something is lost, none is there that does not.
func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 12: "12", 123456789: "123456789", 1.0 / 3: "0.333333", 2.0 / 3e5: "6.66667e-06",
		100.0 / 3: "33.3333", 100000.0 / 3: "33333.33", 1e7 / 3: "3333333.33", -2.5: "-2.5", 9.99999999: "10", math.NaN(): "", math.Inf(1): "+Inf"} {
		if got := Number(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

// columnsTable is a description of columns as a table of Markdown.
func columnsTable(columns []Column) string {
	var b strings.Builder
	b.WriteString("| column | meaning | unit | scikit-image |\n|---|---|---|---|\n")
	for _, c := range columns {
		formula := ""
		if c.Formula != "" {
			formula = "`" + c.Formula + "`"
		}
		b.WriteString("| `" + c.Name + "` | " + c.Meaning + " | " + c.Unit + " | " + formula + " |\n")
	}
	return b.String()
}

// TestColumnsInREADME compares README.md with the columns; -update-readme writes
// them.
func TestColumnsInREADME(t *testing.T) {
	const file, end = "../../README.md", "<!-- end of columns -->"
	for begin, columns := range map[string][]Column{
		"<!-- columns of nuclei, from unet/instance/sheet.go -->\n":  Columns,
		"<!-- columns of images, from unet/formats/summary.go -->\n": ImageColumns(),
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(b), begin)
		table, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatal("README.md has no place for the " + begin)
		}
		if table == columnsTable(columns) {
			continue
		}
		if !*update {
			t.Error("README.md lists other columns: go test ./unet/formats -run README -update-readme")
			continue
		}
		if err := os.WriteFile(file, []byte(before+begin+columnsTable(columns)+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
