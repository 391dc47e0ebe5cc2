package augment

import (
	"math"
	"math/rand/v2"
)

// paste copies nuclei into a patch.
type paste struct {
	alpha []float32 // how much of the pasted nucleus shows, box by box pixels
	soft  []float32 // alpha, feathered; -1 where the donor shows others or ends
	patch []float32 // the resampled nucleus, one box per channel
}

const (
	pasteMost  = 5 // nuclei per patch
	pasteTries = 8 // places tried per nucleus
)

// run pastes 1 to 5 nuclei of donors, or of s itself, into the patch buf (as
// many planes as s.Image has, size × size) and numbers them in ids. zoom is
// the magnification of the patch.
func (p *paste) run(rng *rand.Rand, size int, zoom float64, s Labelled, donors []Labelled, buf []float32, ids []uint32) {
	next := uint32(0)
	for _, id := range ids {
		next = max(next, id)
	}
	for range 1 + rng.IntN(pasteMost) {
		d := s
		if len(donors) > 0 {
			d = donors[rng.IntN(len(donors))]
		}
		if d.Contrast*s.Contrast < 0 {
			d = s // bright nuclei among dark ones would be no nuclei
		}
		if len(d.Nuclei) == 0 || next == math.MaxUint32 {
			continue
		}
		n := d.Nuclei[rng.IntN(len(d.Nuclei))]
		whole := n.X0 > 0 && n.Y0 > 0 && n.X1 < d.Image.W && n.Y1 < d.Image.H
		g := geometry{zoom: zoom * logBetween(rng, 0.8, 1.25)}
		c, sn := turn(2 * math.Pi * rng.Float64())
		mirror := 1 - 2*float64(rng.IntN(2))
		step := 1 / g.zoom
		g.xx, g.xy, g.yx, g.yy = step*c*mirror, -step*sn, step*sn*mirror, step*c
		g.cx, g.cy = float64(n.X0+n.X1-1)/2, float64(n.Y0+n.Y1-1)/2
		// Half the side of the box around the turned nucleus, with its feather.
		r := int(math.Ceil(math.Hypot(float64(n.X1-n.X0), float64(n.Y1-n.Y0))*g.zoom/2)) + 3
		if !whole || 2*r+1 > size {
			continue
		}
		p.cut(g, d, n.ID, r, s.Image.C)
		if x, y, ok := p.find(rng, size, r, ids); ok {
			next++
			p.put(size, x, y, r, s.Image.C, next, buf, ids)
		}
	}
}

// cut resamples the nucleus id of d, its surroundings and its outline.
func (p *paste) cut(g geometry, d Labelled, id uint32, r, channels int) {
	side := 2*r + 1
	p.alpha, p.soft = grow(p.alpha, side*side), grow(p.soft, side*side)
	p.patch = grow(p.patch, channels*side*side)
	w, h := d.Image.W, d.Image.H
	lab := d.Labels.ID
	for i := range side * side {
		dx, dy := float64(i%side-r), float64(i/side-r)
		u, v := g.xx*dx+g.xy*dy+g.cx, g.yx*dx+g.yy*dy+g.cy
		p.alpha[i], p.soft[i] = 0, -1
		if u < 0 || v < 0 || u > float64(w-1) || v > float64(h-1) {
			continue
		}
		x0, y0 := int(u), int(v)
		x1, y1 := min(x0+1, w-1), min(y0+1, h-1)
		fx, fy := float32(u-float64(x0)), float32(v-float64(y0))
		at := [4]int{y0*w + x0, y0*w + x1, y1*w + x0, y1*w + x1}
		weight := [4]float32{(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy}
		var rgb [3]float32
		others := false
		for k, j := range at {
			switch lab[j] {
			case 0:
			case id:
				p.alpha[i] += weight[k]
			default:
				others = true
			}
			for c := range d.Image.C {
				rgb[c] += weight[k] * d.Image.Plane(c)[j]
			}
		}
		if !others || p.alpha[i] >= 0.5 {
			p.soft[i] = 0 // to be feathered
		}
		switch {
		case d.Image.C == 1:
			rgb[1], rgb[2] = rgb[0], rgb[0]
		case channels == 1:
			rgb[0] = luma[0]*rgb[0] + luma[1]*rgb[1] + luma[2]*rgb[2]
		}
		for c := range channels {
			p.patch[c*side*side+i] = rgb[c]
		}
	}
	// Feather: the 3 × 3 mean of the outline.
	for y := 1; y < side-1; y++ {
		for x := 1; x < side-1; x++ {
			i := y*side + x
			if p.soft[i] < 0 {
				continue
			}
			var sum float32
			for j := i - side; j <= i+side; j += side {
				sum += p.alpha[j-1] + p.alpha[j] + p.alpha[j+1]
			}
			p.soft[i] = sum / 9
		}
	}
}

// find looks for a place where the nucleus covers little of others; every
// other try is beside one of them, to train the border between the two.
func (p *paste) find(rng *rand.Rand, size, r int, ids []uint32) (x, y int, ok bool) {
	side := 2*r + 1
	for try := range pasteTries {
		x, y = r+rng.IntN(size-2*r), r+rng.IntN(size-2*r)
		if try%2 == 0 {
			// Walk from anywhere to the next outline, then away from the
			// nucleus by the radius of the pasted one.
			dy, dx := math.Sincos(2 * math.Pi * rng.Float64())
			px, py := float64(x), float64(y)
			id := ids[y*size+x]
			for inside(px, py, size) && ids[int(py)*size+int(px)] == id {
				px, py = px+dx, py+dy
			}
			if !inside(px, py, size) {
				continue
			}
			if id == 0 {
				dx, dy = -dx, -dy
			}
			own := 0.0
			for own < float64(r) && p.alpha[(r+int(math.Round(-dy*own)))*side+r+int(math.Round(-dx*own))] >= 0.5 {
				own++
			}
			own += float64(rng.IntN(3)) - 1
			x, y = int(math.Round(px+dx*own)), int(math.Round(py+dy*own))
			if x < r || y < r || x >= size-r || y >= size-r {
				continue
			}
		}
		area, covered := 0, 0
		for i, a := range p.alpha[:side*side] {
			if a >= 0.5 {
				area++
				if ids[(y-r+i/side)*size+x-r+i%side] != 0 {
					covered++
				}
			}
		}
		if area >= 12 && covered*10 <= area {
			return x, y, true
		}
	}
	return 0, 0, false
}

func inside(x, y float64, size int) bool {
	return x >= 0 && y >= 0 && x < float64(size) && y < float64(size)
}

// put blends the nucleus into the patch with its middle at (x, y). Its
// brightness is shifted so that its background meets that of the place.
func (p *paste) put(size, x, y, r, channels int, id uint32, buf []float32, ids []uint32) {
	side := 2*r + 1
	n := side * side
	var shift [3]float32
	var count float32
	at := func(i int) int { return (y-r+i/side)*size + x - r + i%side }
	for i := range n {
		if j := at(i); p.soft[i] == 0 && ids[j] == 0 {
			count++
			for c := range channels {
				shift[c] += buf[c*size*size+j] - p.patch[c*n+i]
			}
		}
	}
	for c := range shift {
		shift[c] /= max(count, 1)
	}
	for i := range n {
		j, a := at(i), p.soft[i]
		hard := p.alpha[i] >= 0.5
		if a <= 0 || ids[j] != 0 && !hard {
			continue // nuclei beside it stay as they are
		}
		for c := range channels {
			v := &buf[c*size*size+j]
			*v += (p.patch[c*n+i] + shift[c] - *v) * a
		}
		if hard {
			ids[j] = id
		}
	}
}
