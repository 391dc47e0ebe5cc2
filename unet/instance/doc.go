// Package instance turns the probability maps of the network into nuclei:
// label images, measurements and outlines. It knows no files; package formats
// reads and writes them.
//
// Nuclei are sets of pixels joined by their four edges (4-connectivity), which
// makes the outline of every nucleus a valid polygon.
package instance
