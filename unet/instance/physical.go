package instance

import (
	"math"

	"unet/unet/imageio"
)

// Physical are the measurements of a nucleus in µm and µm².
type Physical struct {
	// X, Y is the centroid, from the upper left corner of the image.
	X, Y                                   float64
	Area, Perimeter, Major, Minor          float64
	EquivalentDiameter, FeretMax           float64
	orientation, eccentricity, circularity float64
}

// In returns the measurements for pixels of a known size. Pixels that are not
// square stretch the shape before it is measured; its perimeter is then that of
// Crofton's formula, as no way from pixel to pixel is right for them.
func (n *Nucleus) In(size imageio.PixelSize) Physical {
	w, h := size.X, size.Y
	p := Physical{X: (n.X + 0.5) * w, Y: (n.Y + 0.5) * h}
	if size.Square() {
		p.Area, p.Perimeter, p.Major, p.Minor = float64(n.Area)*w*w, n.Perimeter*w, n.Major*w, n.Minor*w
		p.EquivalentDiameter, p.FeretMax = n.EquivalentDiameter*w, n.FeretMax*w
		p.orientation, p.eccentricity, p.circularity = n.Orientation, n.Eccentricity, n.Circularity
		return p
	}
	p.Area = float64(n.Area) * w * h
	_, _, p.Major, p.Minor, p.orientation, p.eccentricity = n.moments(w, h)
	y0, rows := rowsOf(n.Runs)
	p.Perimeter = crofton(rows, w, h)
	p.EquivalentDiameter = math.Sqrt(4 * p.Area / math.Pi)
	_, p.FeretMax = convexHull(rows, y0, w, h)
	if p.Perimeter > 0 {
		p.circularity = circularity(p.Area, p.Perimeter)
	}
	return p
}

// reshape replaces the numbers without a unit by those of the shape as it is,
// where pixels are not square.
func (n *Nucleus) reshape(size imageio.PixelSize) {
	if size.Known() && !size.Square() {
		p := n.In(size)
		n.Orientation, n.Eccentricity, n.Circularity = p.orientation, p.eccentricity, p.circularity
	}
}
