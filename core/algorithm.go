package core

import "unet/csrc"

// algorithm is one way to compute a 3x3 convolution.
type algorithm struct {
	conv, pack csrc.Op
	taps       int // packed floats per pair of channels
}

func (a algorithm) size(ic, oc int) int { return a.taps * ic * oc }

type wgradAlgorithm struct{ conv, reduce csrc.Op }

var (
	direct        = algorithm{csrc.OpConv3x3, csrc.OpPackConv3x3, 9}
	winograd      = algorithm{csrc.OpWino43, csrc.OpPackWino43, 36}
	directWgrad   = wgradAlgorithm{csrc.OpWgrad3x3, csrc.OpWgrad3x3Reduce}
	winogradWgrad = wgradAlgorithm{csrc.OpWgradWino43, csrc.OpWgradWino43Reduce}
)

// winogradFits says whether Winograd beats direct convolution at h x w pixels.
// From two tiles each way on it does, for any number of channels: measured on
// Zen 4 with AVX2 and AVX-512, 1.5 to 2 times at 16 channels and 8x8 pixels, 2
// times at 16 channels and 3 times and more at 64 to 512 for larger images.
func winogradFits(h, w int) bool { return min(h, w) >= 8 }

// algorithm chooses how to convolve at h x w pixels.
func (b *Builder) algorithm(h, w int) algorithm {
	if !b.direct && b.prog.engine.backend.has(csrc.OpWino43) && winogradFits(h, w) {
		return winograd
	}
	return direct
}

func (b *Builder) wgradAlgorithm(h, w int) wgradAlgorithm {
	if !b.direct && b.prog.engine.backend.has(csrc.OpWgradWino43) && winogradFits(h, w) {
		return winogradWgrad
	}
	return directWgrad
}
