// Package chunk decompresses the pieces that TIFF and Zarr store images in,
// keeps the last ones for regions that share them, and has new ones compressed
// side by side.
package chunk
