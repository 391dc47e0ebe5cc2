package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"io"
	"strings"
)

// Page is one self-contained HTML file: sections in order, each with its
// blocks. It needs no other file and no script, and follows the light or dark
// setting of the reader.
type Page struct {
	Title, Subtitle string
	// Footer says how the page was made.
	Footer string

	Sections []*Section
}

// Section is a titled part of a Page.
type Section struct {
	Title  string
	blocks []block
}

// Fact is one line of a list of settings or properties. Link, unless empty,
// is the file to open, relative to the page.
type Fact struct{ Name, Value, Link string }

// Level is the tone of a note.
type Level uint8

// The tones, from neutral to bad news.
const (
	Info Level = iota
	Good
	Warning
	Bad
)

func (l Level) name() string {
	return [...]string{"info", "good", "warning", "error"}[min(l, Bad)]
}

// block holds one of its fields.
type block struct {
	Text   string
	Code   string
	Note   *note
	Facts  []Fact
	Table  *Table
	Folded string // heads a table that is shown on demand
	Figure *figure
	Sheet  *sheetHTML
}

type note struct{ Class, Text string }

type figure struct {
	SVG          template.HTML
	Src          template.URL
	W, H         int
	Alt, Caption string
}

type sheetHTML struct {
	*Sheet
	Cols, Side int
	Body       []rowHTML
}

type rowHTML struct {
	Row
	Cells []cellHTML
}

type cellHTML struct {
	Src     template.URL
	W, H    int
	Heading string
	Caption string
}

// Section starts a new section.
func (p *Page) Section(title string) *Section {
	s := &Section{Title: title}
	p.Sections = append(p.Sections, s)
	return s
}

// Text adds paragraphs, separated by empty lines.
func (s *Section) Text(text string) {
	for _, t := range strings.Split(text, "\n\n") {
		s.blocks = append(s.blocks, block{Text: t})
	}
}

// Code adds a line to type or to read as it is.
func (s *Section) Code(text string) { s.blocks = append(s.blocks, block{Code: text}) }

// Note adds a line that stands out.
func (s *Section) Note(level Level, text string) {
	s.blocks = append(s.blocks, block{Note: &note{level.name(), text}})
}

// Facts adds a list of names and values; an empty list adds nothing.
func (s *Section) Facts(facts []Fact) {
	if len(facts) > 0 {
		s.blocks = append(s.blocks, block{Facts: facts})
	}
}

// Table adds a table; one without columns adds nothing.
func (s *Section) Table(t *Table) {
	if t != nil && len(t.Columns) > 0 {
		s.blocks = append(s.blocks, block{Table: t})
	}
}

// Details adds a table that stays folded under its summary until opened.
func (s *Section) Details(summary string, t *Table) {
	s.blocks = append(s.blocks, block{Folded: summary, Table: t})
}

// Drawing adds a figure with an inline SVG.
func (s *Section) Drawing(d *Drawing, caption string) {
	var b bytes.Buffer
	d.svg(&b, false)
	// svg escapes every text it writes.
	s.blocks = append(s.blocks, block{Figure: &figure{SVG: template.HTML(b.String()), Caption: caption}})
}

// Picture adds a figure with an embedded PNG.
func (s *Section) Picture(img image.Image, alt, caption string) error {
	src, err := dataURI(img)
	if err != nil {
		return fmt.Errorf("picture %q: %w", alt, err)
	}
	s.blocks = append(s.blocks, block{Figure: &figure{
		Src: src, W: img.Bounds().Dx(), H: img.Bounds().Dy(), Alt: alt, Caption: caption,
	}})
	return nil
}

// Sheet adds a grid of tiles as HTML with embedded PNGs; a sheet without rows
// adds nothing.
func (s *Section) Sheet(sheet *Sheet) error {
	if sheet == nil || len(sheet.Rows) == 0 {
		return nil
	}
	out := &sheetHTML{Sheet: sheet, Cols: sheet.columns(), Side: sheet.tile()}
	side := sheet.tile()
	for _, r := range sheet.Rows {
		row := rowHTML{Row: r}
		for k, t := range r.Tiles {
			c := cellHTML{Caption: t.Caption}
			if k < len(sheet.Headings) {
				c.Heading = sheet.Headings[k]
			}
			if t.Image != nil && !t.Image.Bounds().Empty() {
				c.W, c.H = fitSize(t.Image.Bounds().Dx(), t.Image.Bounds().Dy(), side)
				var err error
				if c.Src, err = dataURI(resize(t.Image, c.W, c.H)); err != nil {
					return fmt.Errorf("sheet %q: %w", sheet.Title, err)
				}
			}
			row.Cells = append(row.Cells, c)
		}
		out.Body = append(out.Body, row)
	}
	s.blocks = append(s.blocks, block{Sheet: out})
	return nil
}

func dataURI(img image.Image) (template.URL, error) {
	data, err := pngBytes(img)
	if err != nil {
		return "", fmt.Errorf("encode PNG: %w", err)
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(data)), nil
}

//go:embed page.html
var pageHTML string

//go:embed parts.html
var partsHTML string

var pageTemplate = template.Must(template.Must(partsTemplate.Clone()).New("page").Parse(pageHTML))

// partsTemplate holds what all pages have in common: the style, and sections.
var partsTemplate = template.Must(template.New("parts").Funcs(template.FuncMap{
	"hex": func(k Key) template.CSS { return template.CSS(hexColour(k.Colour)) },
	"numeric": func(t *Table, i int) bool {
		return i < len(t.Columns) && t.Columns[i].Numeric
	},
	"blocks": func(s *Section) []block { return s.blocks },
}).Parse(partsHTML))

// HTML writes the page.
func (p *Page) HTML(w io.Writer) error {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("page %q: %w", p.Title, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
