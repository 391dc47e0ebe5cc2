package augment

import "math"

// far stands for "no outside pixel": larger than any squared distance.
const far = math.MaxInt32

// parabola is a piece of the lower envelope: the parabola of the pixel at
// column x, height f, is the lowest from column from on.
type parabola struct {
	x, from int
	f       int
}

// distances fills square with the exact squared Euclidean distance of every
// component pixel to the nearest pixel of the patch outside its component, 0
// on the background. Felzenszwalb and Huttenlocher (2012), "Distance
// Transforms of Sampled Functions", with every run of one component in a row
// as a line of its own: a pixel outside is either beyond the ends of the run
// or straight above or below a pixel of it. A component without any outside is
// far from it everywhere.
func (t *TargetMaps) distances(w, h int) {
	t.square = grow(t.square, w*h)
	part, d := t.part, t.square
	// Down, then up: distance to the outside within the column.
	for y := range h {
		for x := range w {
			i := y*w + x
			switch {
			case part[i] == 0:
				d[i] = 0
			case y == 0:
				d[i] = far
			case part[i-w] != part[i]:
				d[i] = 1
			case d[i-w] == far:
				d[i] = far
			default:
				d[i] = d[i-w] + 1
			}
		}
	}
	for y := h - 2; y >= 0; y-- {
		for x := range w {
			i := y*w + x
			switch {
			case part[i] == 0:
			case part[i+w] != part[i]:
				d[i] = 1
			case d[i+w] < d[i]:
				d[i] = min(d[i], d[i+w]+1)
			}
		}
	}
	for y := range h {
		row, own := d[y*w:][:w], part[y*w:][:w]
		for x := 0; x < w; {
			c, x0 := own[x], x
			for x < w && own[x] == c {
				x++
			}
			if c != 0 {
				t.envelope(row, x0, x)
			}
		}
	}
}

// envelope turns the column distances row[x0:x1], one run of a component, into
// squared distances.
func (t *TargetMaps) envelope(row []int32, x0, x1 int) {
	hull := t.hull[:0]
	add := func(x, f int) {
		from := x0
		for len(hull) > 0 {
			// The first column where the new parabola is below the last one:
			// (q-x)² + f < (q-p)² + e.
			p := hull[len(hull)-1]
			from = max(x0, floorDiv(f+x*x-p.f-p.x*p.x, 2*(x-p.x))+1)
			if from > p.from {
				break
			}
			hull = hull[:len(hull)-1]
			from = x0
		}
		if from < x1 {
			hull = append(hull, parabola{x: x, from: from, f: f})
		}
	}
	if x0 > 0 {
		add(x0-1, 0)
	}
	for x := x0; x < x1; x++ {
		if v := row[x]; v != far {
			add(x, int(v)*int(v))
		}
	}
	if x1 < len(row) {
		add(x1, 0)
	}
	t.hull = hull
	for k, p := range hull {
		end := x1
		if k+1 < len(hull) {
			end = hull[k+1].from
		}
		for x := p.from; x < end; x++ {
			row[x] = int32((x-p.x)*(x-p.x) + p.f)
		}
	}
}

// floorDiv returns ⌊a/b⌋ for b > 0.
func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
