// Package onnx carries models to other programs and back.
//
// Write stores a model as an ONNX graph (opset 17) that runs wherever ONNX
// does, on images of any height and width. Read takes U-Net-shaped graphs as
// PyTorch and Keras export them: it follows the graph from its outputs back to
// the image and recognises the network by its structure, not by names.
// ReadState takes the bare weights of a network of known shape, and
// WritePackage and ReadPackage model packages of bioimage.io.
//
// What is read predicts as the original does, up to rounding: channels are
// filled up with zeros where the network here needs more of them, kernels of
// 1x1 with a rim of zeros. A graph that cannot be carried over exactly is
// refused, with the first node that does not fit.
package onnx
