// Package dataset turns archives and folders of annotated microscopy images
// into checked, split samples.
//
// The way of the data: OpenSource finds the images and their annotations in a
// zip or a folder, Source.Read decodes one of them into a Sample and reports
// what is wrong with it, Prepare writes the resized and split set, Open and
// Set.Load read it back. Generate makes synthetic sources.
//
// # Groups
//
// Published sets are often cut from larger images, and crops of one field in
// both training and validation hide overfitting. Images therefore join one
// group, which Split keeps together, when the pixels show that they belong
// together: when one continues where another ends (adjacent crops), when they
// share patches equal to the bit at one displacement (overlapping crops), or
// when they are equal, as files or in looks, mirrored and turned ones included
// (duplicates). group.go has the rules. They see fields, not slides or
// experiments: images of one slide that share no edge are separate groups.
package dataset
