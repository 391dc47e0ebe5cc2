// Package chunk decompresses the pieces that TIFF and Zarr store images in,
// and keeps the last ones for regions that share them.
package chunk
