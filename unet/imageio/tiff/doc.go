// Package tiff reads TIFF and BigTIFF files of microscopes, slide scanners and
// other programs, with what ImageJ and OME descriptions say about their planes,
// and writes tiled or stripped TIFF files of labels and maps, row by row.
package tiff
