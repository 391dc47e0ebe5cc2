// Package plane holds what readers and writers of all image formats share:
// images and label images in memory, files as lists of planes, conversion of
// samples, units of length, and the errors. It knows no format.
package plane
