package main

import (
	"fmt"
	"strings"

	"unet/core/selftest"
)

// parseShapes returns the layers of a network or of a list.
func parseShapes(list string, n int) ([]selftest.Shape, error) {
	if n < 1 || n > 1024 {
		return nil, fmt.Errorf("-n %d: want 1 to 1024 images", n)
	}
	switch list {
	case "unet16":
		return unetShapes(n, 16, 128), nil
	case "unet32":
		return unetShapes(n, 32, 256), nil
	}
	var shapes []selftest.Shape
	for _, item := range strings.Split(list, ",") {
		s := selftest.Shape{N: n}
		var rest string
		got, _ := fmt.Sscanf(item+" .", "%dx%dx%dx%d %s", &s.IC, &s.OC, &s.H, &s.W, &rest)
		if got != 5 || rest != "." || min(s.IC, s.OC, s.H, s.W) < 1 || max(s.IC, s.OC, s.H, s.W) > 1<<13 {
			return nil, fmt.Errorf("-shape %q: want unet16, unet32 or ICxOCxHxW with sizes from 1 to 8192", item)
		}
		shapes = append(shapes, s)
	}
	return shapes, nil
}

// unetShapes lists the different layers of the U-Net of depth 4 for size x size
// images of three channels.
func unetShapes(n, width, size int) []selftest.Shape {
	shapes := []selftest.Shape{{N: n, IC: 3, OC: width, H: size, W: size}}
	for level := range 5 {
		c, s := width<<level, size>>level
		if level > 0 {
			shapes = append(shapes, selftest.Shape{N: n, IC: c / 2, OC: c, H: s, W: s})
		}
		shapes = append(shapes, selftest.Shape{N: n, IC: c, OC: c, H: s, W: s})
		if level < 4 {
			shapes = append(shapes,
				selftest.Shape{N: n, IC: 2 * c, OC: c, H: s / 2, W: s / 2, TConv: true},
				selftest.Shape{N: n, IC: 2 * c, OC: c, H: s, W: s})
		}
	}
	return shapes
}
