// Package serve is a page on this computer to segment a folder of images, to
// correct what was found and to teach the model with it, and the HTTP interface
// that the page uses.
//
// Results lie in FOLDER/unet as `unet predict FOLDER --out FOLDER/unet` writes
// them: the page calls the same pipeline. Corrections lie beside them, in
// FOLDER/unet/corrections: a copy of the model's own labels and a journal with a
// line for each edit, which is on disk before the edit is answered. What an image
// shows is the copy with the journal's edits done to it (document.go, edit.go,
// journal.go). Neither pixels nor labels of a large image are held whole: they are
// read by tiles (picture.go, labels.go), from overviews in FOLDER/unet/overviews
// where the file has no smaller versions (overview.go), and what is known of every
// nucleus is where it lies (catalogue.go). A moment after the last edit the results
// follow: files, tables and pages tell of the nuclei as they are, and what the model
// found is kept among the corrections (follow.go).
//
// One table of routes (routes.go) makes both the handlers and the OpenAPI
// document. Everything passes one guard (guard.go): token, host, origin, limits.
package serve
