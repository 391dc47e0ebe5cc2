// Package formats reads and writes nuclei as other programs do: ImageJ ROI
// archives, GeoJSON, COCO, Kaggle's run lengths, and tables of measurements.
//
// A Writer takes nuclei one at a time, so that a file of any size needs little
// memory. The readers return shapes (Encoded), which are drawn into a label
// image; what a hostile file can cost is bounded.
package formats
