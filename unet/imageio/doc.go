// Package imageio decodes microscopy images and reads and writes label images.
//
// Everything the rest of the program sees is one of two types: Image, planar
// float32 samples in the units of the file, and Labels, one instance number
// per pixel. Files hold planes, 2-D images told apart by page, channel, z and
// t. Read and ReadLabels take a file's first plane; Open lists them all and
// reads any of them whole or by regions. WriteLabels and WriteMaps write;
// every file appears whole or not at all (package atomicfile).
//
// PNG, JPEG, BMP, GIF and WebP are decoded by the standard library and
// golang.org/x/image. Packages tiff and zarr read what microscopes write, since
// no Go library does. Files are not trusted: sizes are checked before memory is
// taken for them, against the limits named Max… and against what the file could
// hold, and errors are a FormatError, UnsupportedError or LimitError of one
// line that names the file.
package imageio
