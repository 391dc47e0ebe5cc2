package core

import "unet/csrc"

// algorithm is one way to compute a 3x3 convolution.
type algorithm struct {
	conv, pack csrc.Op
	taps       int   // packed floats per pair of channels
	compact    int32 // of csrc.Conv3x3
}

func (a algorithm) size(ic, oc int) int { return a.taps * ic * oc }

type wgradAlgorithm struct{ conv, reduce csrc.Op }

var (
	direct          = algorithm{csrc.OpConv3x3, csrc.OpPackConv3x3, 9, 0}
	winograd        = algorithm{csrc.OpWino43, csrc.OpPackWino43, 36, 0}
	compactWinograd = algorithm{csrc.OpWino43, csrc.OpPackConv3x3, 9, 1}
	directWgrad     = wgradAlgorithm{csrc.OpWgrad3x3, csrc.OpWgrad3x3Reduce}
	winogradWgrad   = wgradAlgorithm{csrc.OpWgradWino43, csrc.OpWgradWino43Reduce}
)

// winogradFits reports whether Winograd beats direct convolution at h x w pixels.
// It is the whole table of costs: by `go run ./bench/speed/kernels -choose` two tiles
// each way decide for AVX-512, AVX2 and plain C alike and for 16 to 512
// channels (1.1 to 5 times faster; as fast at 512 channels with AVX2).
func winogradFits(h, w int) bool { return min(h, w) >= 8 }

// compactFrom is the number of pairs of channels from which transformed weights
// take more memory, four times the size of the kernels, than making them in
// every run takes time: at width 32 70 MiB of 112 for 2 % more time (Zen 4).
const compactFrom = 1 << 15

// algorithm chooses how to convolve ic channels to oc at h x w pixels.
func (b *Builder) algorithm(h, w, ic, oc int) algorithm {
	switch {
	case b.direct || !b.prog.engine.backend.has(csrc.OpWino43) || !winogradFits(h, w):
		return direct
	case b.bfloat16:
		return b.bfloat16Winograd()
	case ic*oc >= compactFrom:
		return compactWinograd
	}
	return winograd
}

func (b *Builder) wgradAlgorithm(h, w int) wgradAlgorithm {
	if !b.direct && b.prog.engine.backend.has(csrc.OpWgradWino43) && winogradFits(h, w) {
		return winogradWgrad
	}
	return directWgrad
}
