package main

import (
	"fmt"
	"strings"
)

// shape is a layer: n images of h x w pixels, ic channels in and oc out; h and
// w are of the input of a convolution and of the small side of a transposed
// one.
type shape struct {
	n, ic, oc, h, w int
	tconv           bool // a transposed 2x2 convolution
}

func (s shape) String() string {
	kind := ""
	if s.tconv {
		kind = " up"
	}
	return fmt.Sprintf("%d x %d->%d @%dx%d%s", s.n, s.ic, s.oc, s.h, s.w, kind)
}

// parseShapes returns the layers of a network or of a list.
func parseShapes(list string, n int) ([]shape, error) {
	if n < 1 || n > 1024 {
		return nil, fmt.Errorf("-n %d: want 1 to 1024 images", n)
	}
	switch list {
	case "unet16":
		return unetShapes(n, 16, 128), nil
	case "unet32":
		return unetShapes(n, 32, 256), nil
	}
	var shapes []shape
	for _, item := range strings.Split(list, ",") {
		s := shape{n: n}
		var rest string
		got, _ := fmt.Sscanf(item+" .", "%dx%dx%dx%d %s", &s.ic, &s.oc, &s.h, &s.w, &rest)
		if got != 5 || rest != "." || min(s.ic, s.oc, s.h, s.w) < 1 || max(s.ic, s.oc, s.h, s.w) > 1<<13 {
			return nil, fmt.Errorf("-shape %q: want unet16, unet32 or ICxOCxHxW with sizes from 1 to 8192", item)
		}
		shapes = append(shapes, s)
	}
	return shapes, nil
}

// unetShapes lists the different layers of the U-Net of depth 4 for size x size
// images of three channels.
func unetShapes(n, width, size int) []shape {
	shapes := []shape{{n: n, ic: 3, oc: width, h: size, w: size}}
	for level := range 5 {
		c, s := width<<level, size>>level
		if level > 0 {
			shapes = append(shapes, shape{n: n, ic: c / 2, oc: c, h: s, w: s})
		}
		shapes = append(shapes, shape{n: n, ic: c, oc: c, h: s, w: s})
		if level < 4 {
			shapes = append(shapes,
				shape{n: n, ic: 2 * c, oc: c, h: s / 2, w: s / 2, tconv: true},
				shape{n: n, ic: 2 * c, oc: c, h: s, w: s})
		}
	}
	return shapes
}
