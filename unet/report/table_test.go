package report

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTableText(t *testing.T) {
	table := &Table{Title: "Scores", Columns: []Column{{Name: "kind"}, {"images", true}, {"F1", true}}}
	table.Add("fluorescence", "12", Number(0.91234, 3))
	table.Add("細胞核", "7", Number(math.NaN(), 3))
	table.Add("e\u0301 café", "103")
	table.Add("evil\x1b[31m\u202e\n", "1", "2", "beyond the columns")
	var b strings.Builder
	if err := table.WriteText(&b, 0); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"Scores",
		"kind          images     F1",
		"────────────  ──────  ─────",
		"fluorescence      12  0.912",
		"細胞核             7      –",
		"e\u0301 café           103",
		"evil\ufffd[31m\ufffd\ufffd        1      2",
		"",
	}, "\n")
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	table := &Table{Columns: []Column{{Name: "name"}, {"n", true}, {Name: "finding"}}}
	table.Add(strings.Repeat("n", 60), "12345", strings.Repeat("細", 40))
	var b strings.Builder
	if err := table.WriteText(&b, 50); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if w := textCells(line); w > 50 {
			t.Errorf("line is %d wide: %s", w, line)
		}
	}
	if !strings.Contains(b.String(), "…") || !strings.Contains(b.String(), "12345") {
		t.Errorf("numbers must stay whole and text be cut:\n%s", b.String())
	}
}

func TestAnyTableIsAligned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := &Table{Columns: []Column{{rapid.String().Draw(t, "a"), true}, {rapid.String().Draw(t, "b"), true}}}
		n := rapid.IntRange(0, 4).Draw(t, "rows")
		for range n {
			table.Add(rapid.String().Draw(t, "x"), rapid.String().Draw(t, "y")+"|")
		}
		var b strings.Builder
		if err := table.WriteText(&b, 0); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != n+2 {
			t.Fatalf("%d lines for %d rows: %q", len(lines), n, b.String())
		}
		for _, l := range lines[2:] {
			if textCells(l) != textCells(lines[1]) {
				t.Fatalf("right edges differ: %q", b.String())
			}
		}
		if !utf8.ValidString(b.String()) {
			t.Fatalf("not UTF-8: %q", b.String())
		}
	})
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v      float64
		digits int
		want   string
	}{{0.12345, 3, "0.123"}, {-2, 1, "−2.0"}, {math.NaN(), 2, "–"}, {math.Inf(1), 2, "Inf"}, {math.Inf(-1), 2, "−Inf"}, {1234, 0, "1234"}} {
		if got := Number(c.v, c.digits); got != c.want {
			t.Errorf("Number(%g, %d) = %q, want %q", c.v, c.digits, got, c.want)
		}
	}
}
