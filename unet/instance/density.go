package instance

import "math"

// Density estimates how many nuclei there are per pixel around each place of an
// image of w x h pixels: a Gaussian kernel of standard deviation sigma at every
// centroid, divided by the part of the kernel that lies in the image, so that there
// is no fall towards its edges. The map has dw x dh values, each for a field of
// 1/step by 1/step of the image.
func Density(centroids [][2]float64, w, h int, sigma, step float64) (density []float32, dw, dh int) {
	dw, dh = max(1, int(math.Ceil(float64(w)*step))), max(1, int(math.Ceil(float64(h)*step)))
	counts, inside := make([]float64, dw*dh), make([]float64, dw*dh)
	for i := range inside {
		inside[i] = 1
	}
	for _, c := range centroids {
		x, y := int((c[0]+0.5)*step), int((c[1]+0.5)*step)
		counts[min(y, dh-1)*dw+min(x, dw-1)]++
	}
	blur(counts, dw, dh, sigma*step)
	blur(inside, dw, dh, sigma*step)
	density = make([]float32, dw*dh)
	for i, v := range counts {
		density[i] = float32(v / inside[i] * step * step)
	}
	return density, dw, dh
}

// blur is a Gaussian filter with nothing beyond the edges.
func blur(v []float64, w, h int, sigma float64) {
	reach := int(math.Ceil(4 * sigma))
	kernel := make([]float64, reach+1)
	sum := 0.0
	for i := range kernel {
		kernel[i] = math.Exp(-float64(i*i) / (2 * max(sigma*sigma, 1e-9)))
		sum += kernel[i]
		if i > 0 {
			sum += kernel[i]
		}
	}
	for i := range kernel {
		kernel[i] /= sum
	}
	line := make([]float64, max(w, h))
	pass := func(at func(i int) int, n int) {
		for i := range n {
			s := 0.0
			for k := max(0, i-reach); k <= min(n-1, i+reach); k++ {
				s += v[at(k)] * kernel[max(i-k, k-i)]
			}
			line[i] = s
		}
		for i := range n {
			v[at(i)] = line[i]
		}
	}
	for y := range h {
		pass(func(i int) int { return y*w + i }, w)
	}
	for x := range w {
		pass(func(i int) int { return i*w + x }, h)
	}
}
