// Package unet is a U-Net for nuclei segmentation: the network, its model files,
// and prediction on images of any size. Package train trains models.
//
// Two kinds of model come from the same code. A "paper" model sees images
// resized to a fixed square and answers with one foreground map. A "nuclei"
// model works at native scale and answers with the maps from which package
// instance separates touching nuclei.
package unet
