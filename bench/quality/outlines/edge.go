package main

import (
	"math"
	"slices"

	"unet/unet/imageio"
)

// window is how far from outlines, in pixels, the image is looked at.
const window = 3

// slopes is how steep images are at each whole distance from the outlines of their
// nuclei, from window pixels inside to window pixels outside: the mean slope there, 1
// at the steepest, summed over images.
type slopes [2*window + 1]float64

// add adds an image.
func (s *slopes) add(m *imageio.Image, l *imageio.Labels) {
	slope := steepness(m)
	var sum, count slopes
	for y := range l.H {
		for x := range l.W {
			d := distance(l, x, y)
			for k := range s {
				if math.Abs(d-float64(k-window)) <= 0.75 {
					sum[k] += slope[y*l.W+x]
					count[k]++
				}
			}
		}
	}
	most := 0.0
	for k := range s {
		if count[k] > 0 {
			sum[k] /= count[k]
		}
		most = max(most, sum[k])
	}
	if most == 0 {
		return // no nuclei, or a flat image
	}
	for k := range s {
		s[k] += sum[k] / most
	}
}

// outside is how far outlines lie outside the steepest place: the top of the parabola
// through it and its neighbours.
func (s *slopes) outside() float64 {
	top := slices.Index(s[:], slices.Max(s[:]))
	at := float64(top - window)
	if top > 0 && top < len(s)-1 {
		a, b, c := s[top-1], s[top], s[top+1]
		at += (a - c) / 2 / (a - 2*b + c)
	}
	return -at
}

// distance is that of a pixel's centre to the nearest outline, negative within nuclei,
// and beyond the window if none is near.
func distance(l *imageio.Labels, x, y int) float64 {
	const reach = window + 2
	own, nearest := l.ID[y*l.W+x], math.Inf(1)
	for v := max(y-reach, 0); v <= min(y+reach, l.H-1); v++ {
		for u := max(x-reach, 0); u <= min(x+reach, l.W-1); u++ {
			if l.ID[v*l.W+u] != own {
				nearest = min(nearest, math.Hypot(float64(u-x), float64(v-y))-0.5)
			}
		}
	}
	if own != 0 {
		return -nearest
	}
	return nearest
}

// kernel is a filter of one dimension.
type kernel [2*radius + 1]float64

const radius = 4

// steepness is the length of the gradient of the mean of an image's channels, smoothed
// by a Gaussian of a standard deviation of one pixel.
func steepness(m *imageio.Image) []float64 {
	gray := make([]float64, m.W*m.H)
	for c := range m.C {
		for i, v := range m.Plane(c) {
			gray[i] += float64(v)
		}
	}
	var smooth, slope kernel
	sum := 0.0
	for k := range smooth {
		d := float64(k - radius)
		smooth[k] = math.Exp(-d * d / 2)
		sum += smooth[k]
	}
	for k := range smooth {
		smooth[k] /= sum
		slope[k] = smooth[k] * float64(k-radius)
	}
	out := make([]float64, len(gray))
	for _, of := range [...][2]kernel{{slope, smooth}, {smooth, slope}} {
		along := filter(gray, m.W, m.H, 1, 0, of[0])
		for i, v := range filter(along, m.W, m.H, 0, 1, of[1]) {
			out[i] += v * v
		}
	}
	for i, v := range out {
		out[i] = math.Sqrt(v)
	}
	return out
}

// filter convolves along x or y; the edge of the image repeats.
func filter(in []float64, w, h, dx, dy int, f kernel) []float64 {
	out := make([]float64, len(in))
	for y := range h {
		for x := range w {
			for k, weight := range f {
				u, v := min(max(x+(k-radius)*dx, 0), w-1), min(max(y+(k-radius)*dy, 0), h-1)
				out[y*w+x] += weight * in[v*w+u]
			}
		}
	}
	return out
}
