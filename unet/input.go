package unet

import (
	"fmt"
	"math"
	"slices"

	"unet/unet/imageio"
)

// Apply returns the normalised image: samples about 0 to 1, 1 channel for gray
// and 3 for colour images. Images with 2 or more than 4 channels are refused;
// a fourth channel (alpha) is dropped.
func (in Input) Apply(img *imageio.Image) (*imageio.Image, error) {
	var c int
	switch img.C {
	case 1:
		c = 1
	case 3, 4:
		c = 3
	default:
		return nil, fmt.Errorf("image has %d channels: choose one", img.C)
	}
	n := img.W * img.H
	out := &imageio.Image{W: img.W, H: img.H, C: c, Pix: make([]float32, c*n), Bits: img.Bits, PixelSize: img.PixelSize}
	src := img.Pix[:c*n]
	copy(out.Pix, src)
	in.levelsOf(src, img).Apply(out)
	return out, nil
}

// LevelsOf returns the levels that Apply finds in an image of 1, 3 or 4 channels.
func (in Input) LevelsOf(img *imageio.Image) Levels {
	return in.levelsOf(img.Pix[:min(img.C, 3)*img.W*img.H], img)
}

// levelsOf finds the levels of an image from its samples, or a part of them;
// for tiles of one image they are found once, from all of it.
func (in Input) levelsOf(samples []float32, img *imageio.Image) Levels {
	if in.Normalise == "range" {
		hi := 0.0
		switch {
		case img.Float:
			hi = 1
		case img.Bits == 1:
			hi = 1
		case img.Bits <= 8:
			hi = 255
		case img.Bits <= 16:
			hi = 65535
		default:
			hi = math.MaxUint32
		}
		return Levels{High: hi}
	}
	return in.levels(percentiles(samples), !img.Float)
}

// levels chooses the sample values that become 0 and 1 from the percentiles of
// an image. whole says that its samples are whole numbers.
//
// A saturated speck of dust or some hot pixels may be more than 100 - High
// percent of an image and would leave the nuclei next to nothing of the range.
// With Outliers, the upper level is at most so many times as far above the
// lower one as the 99th percentile is, if that is of structure: clear of the
// noise of the background, which the 5th and the 25th percentile tell. (In a
// field of a single nucleus it is not, and what lies above is that nucleus.)
// Where the bound holds, brighter samples are cut off at it: a hot pixel fifty
// times as bright as a nucleus would drown its surroundings.
func (in Input) levels(percentile func(percent float64) float64, whole bool) Levels {
	lo, hi := percentile(in.Low), percentile(in.High)
	if in.Outliers > 0 {
		const sigmas = 0.97 // from the 5th to the 25th percentile of a normal distribution
		ground, bright := percentile(25), percentile(99)
		noise := (ground - percentile(5)) / sigmas
		if whole {
			noise = max(noise, 0.5)
		}
		if bound := lo + in.Outliers*(bright-lo); bright-ground > 6*noise && hi > bound {
			return Levels{Low: lo, High: bound, Clip: true}
		}
	}
	if hi-lo < 1e-6*max(math.Abs(hi), 1) {
		hi = lo + 1 // a constant image
	}
	return Levels{Low: lo, High: hi}
}

// percentiles returns the percentiles of samples with linear interpolation, as
// numpy.percentile does. Non-finite samples count as none.
func percentiles(samples []float32) func(percent float64) float64 {
	// Integer samples of up to 16 bits: a histogram is exact and fast.
	if hist := histogram(samples); hist != nil {
		return histogramPercentiles(hist, 0)
	}
	finite := make([]float32, 0, len(samples))
	for _, v := range samples {
		if v-v == 0 {
			finite = append(finite, v)
		}
	}
	if len(finite) == 0 {
		return func(percent float64) float64 { return percent / 100 } // 0 to 1
	}
	slices.Sort(finite)
	return func(percent float64) float64 {
		return interpolate(len(finite), percent, func(rank int) float64 { return float64(finite[rank]) })
	}
}

// histogram counts samples that are whole numbers of up to 16 bits; it is nil
// where others are among them or there are none.
func histogram(samples []float32) []int {
	if len(samples) == 0 {
		return nil
	}
	hist := make([]int, 1<<8) // most images have no more values
	for _, v := range samples {
		i := int32(v)
		if float32(i) != v || i < 0 {
			return nil
		}
		if int(i) >= len(hist) {
			if i >= 1<<16 {
				return nil
			}
			hist = append(hist, make([]int, 1<<16-len(hist))...)
		}
		hist[i]++
	}
	return hist
}

// histogramPercentiles is percentiles of hist[i] samples of each value first+i.
func histogramPercentiles(hist []int, first int) func(percent float64) float64 {
	total := 0
	for _, n := range hist {
		total += n
	}
	at := func(rank int) float64 {
		for v, n := range hist {
			if rank -= n; rank < 0 {
				return float64(first + v)
			}
		}
		return float64(first + len(hist) - 1)
	}
	return func(percent float64) float64 { return interpolate(total, percent, at) }
}

func interpolate(n int, percent float64, at func(rank int) float64) float64 {
	r := percent / 100 * float64(n-1)
	i := int(r)
	v := at(i)
	if f := r - float64(i); f > 0 {
		v += f * (at(i+1) - v)
	}
	return v
}
