// Package zarr reads OME-Zarr images (0.4 on Zarr 2, 0.5 on Zarr 3), and bare
// Zarr arrays, chunk by chunk, and writes label images with pyramids, row by row.
package zarr
