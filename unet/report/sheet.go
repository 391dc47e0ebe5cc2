package report

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
)

// Tile is one picture of a sheet with a line of text under it.
type Tile struct {
	Image   image.Image
	Caption string
}

// Row is a line of tiles with a title, left, and a note such as scores, right.
type Row struct {
	Title, Note string
	Tiles       []Tile
	// Link, unless empty, is the file that the tiles lead to, relative to the
	// page.
	Link string
}

// Sheet is a grid of equal tiles. Pictures keep their shape and stand in the
// middle of their tile.
type Sheet struct {
	Title, Note string
	// Headings names the columns; it may be empty.
	Headings []string
	Rows     []Row
	// Tile is the side of a tile in pixels; 0 means 224.
	Tile int
	// Keys explains the colours.
	Keys []Key
}

// ContactSheet sets tiles out in rows of columns.
func ContactSheet(title string, columns int, tiles []Tile) *Sheet {
	s := &Sheet{Title: title}
	columns = max(columns, 1)
	for i := 0; i < len(tiles); i += columns {
		s.Rows = append(s.Rows, Row{Tiles: tiles[i:min(i+columns, len(tiles))]})
	}
	return s
}

func (s *Sheet) tile() int {
	if s.Tile <= 0 {
		return 224
	}
	return min(max(s.Tile, 32), 2048)
}

func (s *Sheet) columns() int {
	n := len(s.Headings)
	for _, r := range s.Rows {
		n = max(n, len(r.Tiles))
	}
	return max(n, 1)
}

var (
	sheetInk   = inkStrong.c
	sheetSoft  = inkSoft.c
	letterbox  = color.RGBA{238, 241, 244, 255}
	sheetRules = gridStroke.c
)

const (
	sheetMargin = 20
	sheetGap    = 8
)

// Image draws the sheet on white, pixel for pixel.
func (s *Sheet) Image() *image.RGBA {
	side, columns := s.tile(), s.columns()
	w := 2*sheetMargin + columns*side + (columns-1)*sheetGap
	inner := float64(w - 2*sheetMargin)

	// The first pass measures, the second draws.
	var dst *image.RGBA
	for pass := range 2 {
		text := func(x, y float64, str string, size float64, c color.RGBA, at anchor, bold bool) {
			if pass == 1 && str != "" {
				drawText(dst, x, y, str, size, c, at, bold)
			}
		}
		y := sheetMargin
		if s.Title != "" {
			text(sheetMargin, float64(y+15), fit(s.Title, inner, 18, true), 18, sheetInk, start, true)
			y += 26
		}
		if s.Note != "" {
			text(sheetMargin, float64(y+11), fit(s.Note, inner, 12, false), 12, sheetSoft, start, false)
			y += 20
		}
		if len(s.Keys) > 0 {
			y = s.drawKeys(dst, y, w)
		}
		if len(s.Headings) > 0 {
			y += 4
			for i, h := range s.Headings {
				text(float64(sheetMargin+i*(side+sheetGap)), float64(y+12), fit(h, float64(side), 13, true), 13, sheetInk, start, true)
			}
			y += 20
		}
		for i, r := range s.Rows {
			if r.Title != "" || r.Note != "" {
				if i > 0 {
					y += 6
				}
				note := fit(r.Note, inner*0.75, 12, false)
				room := inner - textWidth(note, 12, false) - 16
				text(sheetMargin, float64(y+12), fit(r.Title, room, 12, true), 12, sheetInk, start, true)
				text(float64(w-sheetMargin), float64(y+12), note, 12, sheetSoft, end, false)
				y += 18
			}
			captions := false
			for k, t := range r.Tiles {
				x := sheetMargin + k*(side+sheetGap)
				if pass == 1 {
					drawTile(dst, t.Image, image.Rect(x, y, x+side, y+side))
				}
				text(float64(x), float64(y+side+13), fit(t.Caption, float64(side), 11, false), 11, sheetSoft, start, false)
				captions = captions || t.Caption != ""
			}
			y += side + sheetGap
			if captions {
				y += 16
			}
		}
		if pass == 0 {
			dst = image.NewRGBA(image.Rect(0, 0, w, y-sheetGap+sheetMargin))
			draw.Draw(dst, dst.Rect, image.White, image.Point{}, draw.Src)
		}
	}
	return dst
}

// drawKeys draws the colour keys in lines and returns the new top; with a nil
// dst it only measures.
func (s *Sheet) drawKeys(dst *image.RGBA, y, w int) int {
	x := sheetMargin
	for i, k := range s.Keys {
		name := fit(k.Text, float64(w-2*sheetMargin-18), 12, false)
		kw := 18 + int(math.Ceil(textWidth(name, 12, false)))
		if i > 0 && x+kw > w-sheetMargin {
			x, y = sheetMargin, y+18
		}
		if dst != nil {
			box := image.Rect(x, y+1, x+12, y+13)
			draw.Draw(dst, box, image.NewUniform(sheetRules), image.Point{}, draw.Src)
			draw.Draw(dst, box.Inset(1), image.NewUniform(k.Colour), image.Point{}, draw.Src)
			drawText(dst, float64(x+18), float64(y+11), name, 12, sheetSoft, start, false)
		}
		x += kw + 16
	}
	return y + 22
}

func drawTile(dst *image.RGBA, img image.Image, box image.Rectangle) {
	draw.Draw(dst, box, image.NewUniform(letterbox), image.Point{}, draw.Src)
	if img == nil || img.Bounds().Empty() {
		return
	}
	w, h := fitSize(img.Bounds().Dx(), img.Bounds().Dy(), box.Dx())
	at := box.Min.Add(image.Pt((box.Dx()-w)/2, (box.Dy()-h)/2))
	draw.Draw(dst, image.Rectangle{at, at.Add(image.Pt(w, h))}, resize(img, w, h), image.Point{}, draw.Over)
}

// fitSize returns the largest size of the same shape that fits a square tile.
func fitSize(w, h, side int) (int, int) {
	if w >= h {
		return side, min(side, max(1, (h*side+w/2)/w))
	}
	return min(side, max(1, (w*side+h/2)/h)), side
}
