package report

import (
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Column heads a column of a Table; numeric columns are aligned right.
type Column struct {
	Name    string
	Numeric bool
}

// Table is rows of text, for the terminal and for pages. Rows may be shorter
// than Columns.
type Table struct {
	Title   string
	Columns []Column
	Rows    [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Number prints v with digits after the point; "–" where it is not a number.
func Number(v float64, digits int) string {
	if math.IsNaN(v) {
		return "–"
	}
	if math.IsInf(v, 0) {
		return minus(strings.TrimPrefix(strconv.FormatFloat(v, 'f', -1, 64), "+"))
	}
	return minus(strconv.FormatFloat(v, 'f', digits, 64))
}

// WriteText writes the table for a terminal, columns aligned by the width
// their characters take there. Where width is positive and too small, the
// widest text columns are cut with an ellipsis. Control characters in cells
// are replaced, so that a file name cannot steer the terminal.
func (t *Table) WriteText(w io.Writer, width int) error {
	n := len(t.Columns)
	cells := make([][]string, 0, len(t.Rows)+1)
	head := make([]string, n)
	for i, c := range t.Columns {
		head[i] = clean(c.Name)
	}
	cells = append(cells, head)
	for _, r := range t.Rows {
		row := make([]string, n)
		for i := range min(n, len(r)) {
			row[i] = clean(r[i])
		}
		cells = append(cells, row)
	}
	widths := make([]int, n)
	for _, row := range cells {
		for i, c := range row {
			widths[i] = max(widths[i], textCells(c))
		}
	}
	t.narrow(widths, width)

	var b strings.Builder
	if t.Title != "" {
		b.WriteString(clean(t.Title) + "\n")
	}
	line := func(cell func(i int) string) {
		var s strings.Builder
		for i := range n {
			if i > 0 {
				s.WriteString("  ")
			}
			c := cut(cell(i), widths[i])
			pad := strings.Repeat(" ", widths[i]-textCells(c))
			if t.Columns[i].Numeric {
				s.WriteString(pad + c)
			} else {
				s.WriteString(c + pad)
			}
		}
		b.WriteString(strings.TrimRight(s.String(), " ") + "\n")
	}
	for i, row := range cells {
		line(func(k int) string { return row[k] })
		if i == 0 {
			line(func(k int) string { return strings.Repeat("─", widths[k]) })
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// narrow takes columns off the widest text column until the table fits.
func (t *Table) narrow(widths []int, width int) {
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; width > 0 && total > width; total-- {
		widest := -1
		for i, w := range widths {
			if !t.Columns[i].Numeric && w > 8 && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

// clean makes text safe for one line of a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		// Cf holds the marks that reverse the direction of text.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// cut shortens s to width terminal cells.
func cut(s string, width int) string {
	if textCells(s) <= width {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeCells(r); n > width-1 {
			return s[:i] + "…"
		}
	}
	return s
}

func textCells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

// wide holds the blocks that terminals draw two cells wide: the ranges of
// class W and F in Unicode's EastAsianWidth.txt, joined where only unassigned
// or rare characters lie between.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, {Lo: 0x2e80, Hi: 0x303e, Stride: 1}, {Lo: 0x3041, Hi: 0xa4cf, Stride: 1},
		{Lo: 0xa960, Hi: 0xa97f, Stride: 1}, {Lo: 0xac00, Hi: 0xd7a3, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1},
		{Lo: 0xfe30, Hi: 0xfe6f, Stride: 1}, {Lo: 0xff00, Hi: 0xff60, Stride: 1}, {Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x16fe0, Hi: 0x18aff, Stride: 1}, {Lo: 0x1b000, Hi: 0x1b2ff, Stride: 1}, {Lo: 0x1f300, Hi: 0x1f64f, Stride: 1},
		{Lo: 0x1f680, Hi: 0x1f6ff, Stride: 1}, {Lo: 0x1f900, Hi: 0x1f9ff, Stride: 1}, {Lo: 0x1fa70, Hi: 0x1faff, Stride: 1},
		{Lo: 0x20000, Hi: 0x3fffd, Stride: 1},
	},
}

func runeCells(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// Numeric returns columns of numbers.
func Numeric(names ...string) []Column {
	var list []Column
	for _, n := range names {
		list = append(list, Column{Name: n, Numeric: true})
	}
	return list
}
