package core

import "unet/csrc"

// Inference with products of bfloat16 numbers, float32 with a significand of 8
// bits: values of Winograd's tiles, inputs of transposed convolutions and all
// their weights are rounded to it as they are multiplied, and the products
// summed as float32. It needs no calibration. The first layer, the head and
// maps too small for Winograd, which are cheap, multiply float32.

// FastBFloat16 reports whether the engine's CPU has instructions for products of
// bfloat16 numbers. Without them they give the same results, but take longer
// than those of float32.
func (e *Engine) FastBFloat16() bool { return e.backend == native(csrc.AVX512BF16) }

// packedBFloat16 returns the floats per pair of channels that weights of taps values
// take as bfloat16.
func (e *Engine) packedBFloat16(taps int) int {
	if e.FastBFloat16() {
		return taps / 2
	}
	return taps
}

func (b *Builder) bfloat16Winograd() algorithm {
	return algorithm{conv: csrc.OpBWino43, pack: csrc.OpPackBWino43, taps: b.prog.engine.packedBFloat16(winoTaps)}
}

// tconvAlgorithm is the way to compute a transposed convolution.
func (b *Builder) tconvAlgorithm() algorithm {
	if b.bfloat16 {
		return algorithm{conv: csrc.OpBTConv, pack: csrc.OpPackBTConv, taps: b.prog.engine.packedBFloat16(4)}
	}
	return algorithm{conv: csrc.OpTConv, pack: csrc.OpPackTConv, taps: 4}
}
