// Package core runs networks of convolutions on the CPU: it picks the
// instruction set, owns the worker threads, plans memory, and strings the
// kernels of package csrc into programs of forward, backward and update steps.
// It knows layers and gradients but no particular network.
//
// A Program is built once for a batch shape with a Builder and then run any
// number of times without allocating. Results depend on the inputs and the
// instruction set only, never on the number of threads.
//
// Tensors lie in blocks of 16 channels (NCHW16c) on every instruction set, one
// 64-byte vector for each pixel of a block. One image of 32 channels, 2 rows and
// 3 columns, a box for each vector:
//
//	block 0 (channels 0-15)    block 1 (channels 16-31)
//	┌──────┬──────┬──────┐     ┌──────┬──────┬──────┐
//	│ y0x0 │ y0x1 │ y0x2 │     │ y0x0 │ y0x1 │ y0x2 │
//	├──────┼──────┼──────┤     ├──────┼──────┼──────┤
//	│ y1x0 │ y1x1 │ y1x2 │     │ y1x0 │ y1x1 │ y1x2 │
//	└──────┴──────┴──────┘     └──────┴──────┴──────┘
//
// Memory holds block 0 row by row, then block 1, then the next image. A Tensor
// is a view of some blocks of a buffer: the halves of a skip connection are two
// writers into one buffer. Inputs, logits and targets are Planar: plain NCHW.
package core
