package augment

import (
	"fmt"
	"math"
)

// Policy says how a patch is drawn from an image. The zero value of every
// field but Size switches that transformation off. Probabilities are per
// patch, from 0 to 1; intensities are in units of the normalised image, where
// 1 is about the range from background to the brightest structures.
type Policy struct {
	// Size is the side of the square patch in pixels.
	Size int `yaml:"size"`

	// Scale is the range of magnification, drawn uniformly in its logarithm;
	// 0.5 shows nuclei at half their size. Zero means [1, 1].
	Scale [2]float64 `yaml:"scale,flow"`
	// Flip mirrors and turns by quarter turns, all eight equally often.
	Flip bool `yaml:"flip"`
	// Rotate is the probability of a turn by any angle.
	Rotate float64 `yaml:"rotate"`
	// Elastic is the probability of a smooth random deformation, whose
	// control points, 32 pixels apart, move by ElasticPixels (standard
	// deviation, patch pixels).
	Elastic       float64 `yaml:"elastic"`
	ElasticPixels float64 `yaml:"elastic-pixels"`
	// Foreground is the probability that the patch is centred near a nucleus
	// picked at random; else its place is uniform.
	Foreground float64 `yaml:"foreground"`
	// CopyPaste is the probability that 1 to 5 nuclei are pasted in,
	// less those for which no place is found.
	CopyPaste float64 `yaml:"copy-paste"`

	// Gray is the probability that a colour image becomes gray.
	Gray float64 `yaml:"gray"`
	// ChannelShuffle is the probability that the colour channels are permuted.
	ChannelShuffle float64 `yaml:"channel-shuffle"`
	// Colour is the probability that a colour image is turned by up to ±Hue
	// (turns, 0.5 is the complement) around the gray axis and has its
	// saturation multiplied by 1 ± Saturation.
	Colour     float64 `yaml:"colour"`
	Hue        float64 `yaml:"hue"`
	Saturation float64 `yaml:"saturation"`
	// Tint is the probability that a gray image is shown in one colour, as
	// fluorescence often is, when the patch has 3 channels.
	Tint float64 `yaml:"tint"`
	// Invert is the probability that v becomes 1 - v.
	Invert float64 `yaml:"invert"`
	// Intensity is the probability that v becomes Gain·v^Gamma + Offset, with
	// Gain and Gamma drawn from their ranges (uniformly in the logarithm, zero
	// means [1, 1]) and the offset from ±Offset.
	Intensity float64    `yaml:"intensity"`
	Gain      [2]float64 `yaml:"gain,flow"`
	Gamma     [2]float64 `yaml:"gamma,flow"`
	Offset    float64    `yaml:"offset"`
	// Blur is the probability of a Gaussian blur of up to BlurSigma pixels.
	Blur      float64 `yaml:"blur"`
	BlurSigma float64 `yaml:"blur-sigma"`
	// Noise is the probability of noise, additive or growing with the root of
	// the signal (as photon noise does), of standard deviation up to
	// NoiseSigma.
	Noise      float64 `yaml:"noise"`
	NoiseSigma float64 `yaml:"noise-sigma"`
}

// None returns the policy that only crops: a patch at a uniform place.
func None(size int) Policy { return Policy{Size: size} }

// Flips returns the policy of the paper model: crops, mirrored and turned by
// quarter turns.
func Flips(size int) Policy { return Policy{Size: size, Flip: true} }

// Strong returns the policy of the nuclei model: everything, with nuclei from
// half to twice their size.
func Strong(size int) Policy {
	return Policy{
		Size:  size,
		Scale: [2]float64{0.5, 2}, Flip: true, Rotate: 0.5,
		Elastic: 0.3, ElasticPixels: 4,
		Foreground: 0.8, CopyPaste: 0.25,
		Gray: 0.2, ChannelShuffle: 0.15,
		Colour: 0.5, Hue: 0.06, Saturation: 0.4,
		Tint: 0.1, Invert: 0.15,
		Intensity: 0.7, Gain: [2]float64{0.6, 1.6}, Gamma: [2]float64{0.7, 1.5}, Offset: 0.1,
		Blur: 0.2, BlurSigma: 1.5,
		Noise: 0.5, NoiseSigma: 0.06,
	}
}

// Limits of a policy: beyond them patches stop looking like microscopy, or
// take unbounded time.
const (
	maxSize  = 8192
	maxScale = 8
	maxBlur  = 4
)

// Validate reports the first field that is out of range.
func (p Policy) Validate() error {
	if p.Size < 8 || p.Size > maxSize {
		return fmt.Errorf("augment: size is %d, want 8 to %d pixels", p.Size, maxSize)
	}
	for _, f := range []struct {
		name string
		v    float64
	}{
		{"rotate", p.Rotate}, {"elastic", p.Elastic}, {"foreground", p.Foreground}, {"copy-paste", p.CopyPaste},
		{"gray", p.Gray}, {"channel-shuffle", p.ChannelShuffle}, {"colour", p.Colour}, {"tint", p.Tint},
		{"invert", p.Invert}, {"intensity", p.Intensity}, {"blur", p.Blur}, {"noise", p.Noise},
		{"hue", p.Hue}, {"saturation", p.Saturation}, {"offset", p.Offset}, {"noise-sigma", p.NoiseSigma},
	} {
		if !(f.v >= 0 && f.v <= 1) {
			return fmt.Errorf("augment: %s is %v, want 0 to 1", f.name, f.v)
		}
	}
	for _, f := range []struct {
		name string
		r    [2]float64
	}{{"scale", p.Scale}, {"gain", p.Gain}, {"gamma", p.Gamma}} {
		lo, hi := bounds(f.r)
		if !(lo >= 1.0/maxScale && lo <= hi && hi <= maxScale) {
			return fmt.Errorf("augment: %s is %v, want a range [low, high] within %v to %d", f.name, f.r, 1.0/maxScale, maxScale)
		}
	}
	if !(p.ElasticPixels >= 0 && p.ElasticPixels <= elasticSpacing/4) {
		return fmt.Errorf("augment: elastic-pixels is %v, want 0 to %d", p.ElasticPixels, elasticSpacing/4)
	}
	if !(p.BlurSigma >= 0 && p.BlurSigma <= maxBlur) {
		return fmt.Errorf("augment: blur-sigma is %v, want 0 to %d pixels", p.BlurSigma, maxBlur)
	}
	return nil
}

// bounds returns the ends of a range whose zero value means [1, 1].
func bounds(r [2]float64) (lo, hi float64) {
	if r == [2]float64{} {
		return 1, 1
	}
	return r[0], r[1]
}

// quarter holds cosine and sine of the quarter turns, exactly.
var quarter = [4][2]float64{{1, 0}, {0, 1}, {-1, 0}, {0, -1}}

// turn returns cosine and sine of a turn by angle radians.
func turn(angle float64) (c, s float64) {
	s, c = math.Sincos(angle)
	return c, s
}
