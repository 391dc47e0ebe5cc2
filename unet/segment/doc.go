// Package segment is the pipeline from images to nuclei. The command line,
// pages and programs that embed unet call it, so that all of them count the
// same.
//
// A plane of an image passes these stages, in this order:
//
//	open     list the planes of a file and choose those to segment (open.go, choice.go)
//	load     read the samples of one plane and of the channels measured with it (load.go)
//	scale    how much to enlarge it, if the user says so (diameter.go)
//	compute  network, separation; where the size of nuclei is to be found,
//	         once more at the scale that suits them (compute.go, estimate.go)
//	nuclei   measure them, and leave out those that do not count (measure.go, region.go)
//	write    result files of the plane and of the batch (write.go, batch.go)
//
// Segmenter.Image runs the middle three on an image in memory. Segmenter.Run
// runs all of them on many files: read ahead, computed side by side, written
// behind (run.go joins the stages, dispatch.go starts planes, collect.go takes
// them in, in order). Planes too large for memory go through the same stages in
// bands of rows (bands.go). A batch may be divided into parts, which processes of
// their own do on many machines (plan.go, part.go); Gather joins them (gather.go).
//
// Nothing here prints: what a user should hear on the way goes to an Observer,
// what was done is returned as a Summary.
package segment
