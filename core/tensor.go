package core

import (
	"math"
	"unsafe"
)

// block is the number of channels that lie together in memory (NCHW16c).
const block = 16

// Tensor is an activation of a program under construction: C channels of
// H x W for every image of the batch, or a slice of the channels of a larger
// one. Where batch-norm and ReLU are pending, its readers apply them, so
// tensors hold what convolutions wrote.
type Tensor struct {
	C, H, W int
	root    *root
	at      int // first channel block within root
}

// root is the memory behind a tensor and its slices.
type root struct {
	name      string
	cb, h, w  int
	data      *buffer
	grad      *buffer    // gradient of the activated value; training only
	act       *buffer    // scale, shift, lo: 3*cb*16 floats, nil: data is final
	recompute *recompute // nil: what the forward pass wrote is kept
}

// recompute is how to compute a tensor a second time, from another one.
type recompute struct {
	from *root // nil: the input
	run  func()
}

func (t Tensor) cb() int { return t.C / block }

func (r *root) image() int64 { return int64(r.cb * r.h * r.w * block) }

func (t Tensor) offset() int { return t.at * t.root.h * t.root.w * block }

// Slice returns channels from..to-1 of t, both multiples of 16.
func (t Tensor) Slice(from, to int) Tensor {
	t.at += from / block
	t.C = to - from
	return t
}

// Planar is a batch of planar maps, [n][C][H*W] floats: network input, logits,
// probabilities, targets.
type Planar struct {
	C, H, W int
	buf     *buffer
}

const noClamp = -math.MaxFloat32

func int32s(f []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(f))), len(f))
}

func float64s(f []float32) []float64 {
	return unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(f))), len(f)/2)
}
