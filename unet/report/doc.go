// Package report turns numbers and maps into things people look at: plots,
// pictures, contact sheets, HTML pages and terminal tables.
//
// Its inputs are plain: images and label images of package imageio, float32
// maps in row order, and the small structs defined here. Nothing is read from
// or written to files. Four kinds of result come out, each described once and
// rendered by two back-ends:
//
//   - Drawing: a plot or a figure of several plots, as SVG and as pixels.
//   - *image.RGBA: overlays, error pictures and heat maps.
//   - Sheet: a grid of tiles with captions, as one picture and as HTML.
//   - Table: rows of text, for the terminal and as HTML.
//
// A Page collects them in one self-contained HTML file: inline style, inline
// SVG, pictures as data URIs, no scripts and no links outside. InspectionPage,
// TrainingPage and EvaluationPage lay out the three reports of the program.
//
// NaN means "not measured" everywhere and is shown as an en dash or a gap.
package report
