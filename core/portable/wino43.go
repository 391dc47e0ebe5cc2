package portable

import (
	"math"

	"unet/csrc"
)

// 3x3 convolution by Winograd's F(4x4,3x3), the algorithm of csrc/wino43_tmpl.h
// step by step: the same tiles and tasks, the same operations in the same order.
// The bits are those of the portable C kernels, except that those flush values
// below 2^-126 to zero.

const (
	winoA  = 1.41421356237309504880
	winoA1 = 0.70710678118654752440
)

// winoInput is B' (6 -> 6), winoOutput A' (6 -> 4), winoWeight G (3 -> 6). The
// conversions keep the compiler from fusing a product with a sum, which makes no
// difference to products with powers of two.
func winoInput(r0, r1, r2, r3, r4, r5 float32) (o0, o1, o2, o3, o4, o5 float32) {
	p, q := r1-0.5*r3, r4-2*r2
	u, v := r3-0.5*r1, r4-0.5*r2
	ap, au := float32(winoA*p), float32(winoA*u)
	return r0 + (r4 - float32(2.5*r2)), q - ap, q + ap, v + au, v - au, r1 + (r5 - float32(2.5*r3))
}

func winoOutput(m0, m1, m2, m3, m4, m5 float32) (y0, y1, y2, y3 float32) {
	s, d := m1+m2, float32(winoA1*(m1-m2))
	t, e := m3+m4, float32(winoA*(m3-m4))
	return (m0 + s) + t, d + e, (t + t) + 0.5*s, (m5 + 0.5*d) + 2*e
}

func winoWeight(g0, g1, g2 float32) (u0, u1, u2, u3, u4, u5 float32) {
	s, t := g2+2*g0, g0+2*g2
	p, q := float32(float32(-1.0/3)*s), float32(float32(1.0/6)*t)
	c1, c2 := float32(float32(winoA)/3*g1), float32(float32(winoA)/6*g1)
	return g0, p - c1, p + c1, q + c2, q - c2, g2
}

// winoPlan is how the work falls into tasks; see un_wino43 of the C kernels.
type winoPlan struct {
	th, tw, tiles     int // tile rows and columns of an image, all tiles
	tb, span, ranges  int // tiles at a time, of a range, number of ranges
	chunk, chunks     int // output blocks per task, tasks per range
	vBlock, vXi, mXi  int // floats between blocks and xi of V, xi of M
	icb, ocb, compact int
}

func newWinoPlan(a *csrc.Conv3x3) winoPlan {
	const least, most, longest, tasks = 80000, 300000, 3000000, 64
	p := winoPlan{th: up(int(a.H), 4), tw: up(int(a.W), 4), icb: int(a.ICB), ocb: int(a.OCB)}
	p.tiles = int(a.N) * p.th * p.tw
	tile := winoCost(p.icb, p.ocb)
	size := 48
	if p.icb <= 8 {
		size = 24
	}
	blocks := up(p.tiles, size)
	p.tb = up(up(p.tiles, blocks), 8) * 8
	many := max(up(tasks, blocks), tile*p.tb/longest)
	p.chunks = max(1, min(many, p.ocb/4, tile*p.tb/least))
	for p.tb > 8 && up(p.tiles, p.tb)*p.chunks < 8 && tile*p.tb/p.chunks > least {
		p.tb = up(p.tb, 16) * 8
	}
	p.tb = min(p.tb, p.tiles)
	p.chunk = up(up(p.ocb, p.chunks), 2) * 2
	p.chunks = up(p.ocb, p.chunk)
	p.span = p.tb
	if p.chunks == 1 {
		p.span *= max(1, least/(tile*p.tb), min(most/(tile*p.tb), p.tiles/(tasks*p.tb)))
	}
	p.ranges = up(p.tiles, p.span)
	p.vBlock = p.tb * 16
	p.vXi = (p.icb*p.tb | 1) * 16 // an odd number of cache lines
	p.mXi = (p.tb | 1) * 16
	if a.Compact != 0 {
		p.compact = p.weights()
	}
	return p
}

// winoCost is roughly what a tile of so many blocks of channels costs.
func winoCost(icb, ocb int) int { return 160*icb*ocb + 100*(icb+ocb) }

// weights is the number of transformed weights of one output block.
func (p *winoPlan) weights() int { return 36 * p.icb * 256 }

func (p *winoPlan) scratch() int { return 36*(p.vXi+p.mXi) + p.compact }

func (p *winoPlan) tasks() int { return p.ranges * p.chunks }

// place returns the tile column, tile row and image of tile t.
func (p *winoPlan) place(t int) (tx, ty, i int) {
	return t % p.tw, t / p.tw % p.th, t / (p.tw * p.th)
}

func wino43(a *csrc.Conv3x3, t0, t1 int, scratch *float32) {
	p := newWinoPlan(a)
	mem := floats(scratch, p.scratch())
	v, m, fresh := mem[:36*p.vXi], mem[36*p.vXi:][:36*p.mXi], mem[36*(p.vXi+p.mXi):]
	have := -1 // first tile of the block V holds
	for task := t0; task < t1; task++ {
		span, chunk := task/p.chunks, task%p.chunks
		first, last := span*p.span, min((span+1)*p.span, p.tiles)
		for t := first; t < last; t += p.tb {
			n := min(p.tb, last-t)
			if have != t {
				for b := range p.icb {
					winoTransform(a, &p, t, n, b, v[b*p.vBlock:])
				}
				have = t
			}
			for o := chunk * p.chunk; o < min((chunk+1)*p.chunk, p.ocb); o++ {
				winoBlock(a, &p, span, t, n, o, v, m, fresh)
			}
		}
		winoSlots(a, &p, task, chunk, span, first, last)
	}
}

// winoBlock computes output block o of n tiles from t on.
func winoBlock(a *csrc.Conv3x3, p *winoPlan, span, t, n, o int, v, m, fresh []float32) {
	u := fresh
	if p.compact > 0 {
		winoUnfold(u, floats(offset(a.Weight, int64(o*p.icb*16*16*9)), p.icb*256*9), p.icb*16)
	} else {
		u = floats(offset(a.Weight, int64(o*p.weights())), p.weights())
	}
	size := p.icb * 256
	for xi := range 36 {
		clear(m[xi*p.mXi:][:n*16])
		gemm(m[xi*p.mXi:], 16, v[xi*p.vXi:], p.vBlock, u[xi*size:][:size], n)
	}
	winoEmit(a, p, span, t, n, o, m)
}

// winoSlots completes the statistics of a task: the pixels of its range, and
// zeros where it has no range of its own.
func winoSlots(a *csrc.Conv3x3, p *winoPlan, task, chunk, span, first, last int) {
	if a.Counts != nil && chunk == 0 {
		count := int32(0)
		for t := first; t < last; t++ {
			tx, ty, _ := p.place(t)
			count += min(4, a.H-int32(4*ty)) * min(4, a.W-int32(4*tx))
		}
		*int32At(a.Counts, span) = count
	}
	if task < p.ranges {
		return
	}
	noSums(a, task)
}

// column is B' d of one column of six pixels, 16 channels each.
type column [6][16]float32

// winoTransform writes V of input block b, n tiles from t on. A tile has two
// columns in common with its left neighbour.
func winoTransform(a *csrc.Conv3x3, p *winoPlan, t, n, b int, v []float32) {
	h, w := int(a.H), int(a.W)
	var ring [6]column
	col := [6]*column{&ring[0], &ring[1], &ring[2], &ring[3], &ring[4], &ring[5]}
	tx, ty, i := p.place(t)
	act := actOf(a.Act, i, b)
	from := 0
	for at := range n {
		image := floats(offset(a.Src, int64(i)*a.SrcImage+int64(b*h*w*16)), h*w*16)
		for j := from; j < 6; j++ {
			col[j].load(image, h, w, 4*ty-1, 4*tx-1+j, &act)
		}
		for k := range 6 {
			out := v[6*k*p.vXi+16*at:]
			o0, o1, o2 := (*[16]float32)(out), (*[16]float32)(out[p.vXi:]), (*[16]float32)(out[2*p.vXi:])
			o3, o4, o5 := (*[16]float32)(out[3*p.vXi:]), (*[16]float32)(out[4*p.vXi:]), (*[16]float32)(out[5*p.vXi:])
			r0, r1, r2, r3, r4, r5 := &col[0][k], &col[1][k], &col[2][k], &col[3][k], &col[4][k], &col[5][k]
			for l := range 16 {
				o0[l], o1[l], o2[l], o3[l], o4[l], o5[l] = winoInput(r0[l], r1[l], r2[l], r3[l], r4[l], r5[l])
			}
		}
		col = [6]*column{col[4], col[5], col[0], col[1], col[2], col[3]}
		from = 2
		if tx++; tx == p.tw {
			tx, from = 0, 0
			if ty++; ty == p.th {
				ty = 0
				if i++; at+1 < n {
					act = actOf(a.Act, i, b)
				}
			}
		}
	}
}

// load transforms the pixels (y..y+5, x) of the planes of a block; those outside
// are zero.
func (c *column) load(image []float32, h, w, y, x int, act *act) {
	if x < 0 || x >= w {
		*c = column{}
		return
	}
	var in [6][16]float32
	for k := range in {
		if y+k >= 0 && y+k < h {
			act.apply(&in[k], (*[16]float32)(image[((y+k)*w+x)*16:]))
		}
	}
	for l := range 16 {
		c[0][l], c[1][l], c[2][l], c[3][l], c[4][l], c[5][l] =
			winoInput(in[0][l], in[1][l], in[2][l], in[3][l], in[4][l], in[5][l])
	}
}

// winoSums are the statistics, or sums of the gate, of a range: pivot, sum and sum
// of squares; of a gate the last two.
type winoSums [3][16]float32

// winoEmit transforms M of output block o of n tiles from t on and writes it, with
// bias and ReLU, with the maxima of 2x2 pixels and with statistics, where wanted.
func winoEmit(a *csrc.Conv3x3, p *winoPlan, span, t, n, o int, m []float32) {
	h, w := int(a.H), int(a.W)
	var bias [16]float32
	if a.Bias != nil {
		bias = *vector(offset(a.Bias, int64(16*o)))
	}
	low := float32(-math.MaxFloat32)
	if a.ReLU != 0 && a.Shortcut.Src == nil {
		low = 0
	}
	start := t == span*p.span
	var sums winoSums
	save := winoSlot(a, p, span, o)
	if !start {
		for k, s := range save {
			if s != nil {
				sums[k] = *s
			}
		}
	}
	var gate act
	var mean *[16]float32
	if a.GateY != nil {
		gate, mean = actOf(a.Gate, 0, o), vector(offset(a.GateMean, int64(16*o)))
	}
	tx, ty, i := p.place(t)
	for at := range n {
		var y [4][4][16]float32
		winoTile(&y, m[16*at:], p.mXi, &bias, low)
		if start && a.Stats != nil {
			sums[0] = y[0][0]
		}
		start = false
		vy, vx := min(4, h-4*ty), min(4, w-4*tx)
		pixel := (o*h+4*ty)*w + 4*tx
		for r := range vy {
			dst := floats(offset(a.Dst, int64(i)*a.DstImage+int64((pixel+r*w)*16)), vx*16)
			add := shortcut(a, i, o, (4*ty+r)*w+4*tx, dst)
			for c := range vx {
				to := (*[16]float32)(dst[16*c:])
				if add {
					for l, v := range to {
						y[r][c][l] += v
					}
					rectify(y[r][c][:], a.ReLU)
				}
				*to = y[r][c]
			}
		}
		if a.Stats != nil {
			sums.statistics(&y, vy, vx)
		}
		if a.GateY != nil {
			for r := range vy {
				g := floats(offset(a.GateY, int64(i)*a.GateImage+int64((pixel+r*w)*16)), vx*16)
				for c := range vx {
					sums.gate(&y[r][c], (*[16]float32)(g[16*c:]), &gate, mean)
				}
			}
		}
		if a.Pool != nil {
			at := (o*(h/2)+2*ty)*(w/2) + 2*tx
			winoPool(offset(a.Pool, int64(i)*a.PoolImage+int64(at*16)), &y, w/2, vy/2, vx/2)
		}
		if tx++; tx == p.tw {
			tx = 0
			if ty++; ty == p.th {
				ty = 0
				i++
			}
		}
	}
	for k, s := range save {
		if s != nil {
			*s = sums[k]
		}
	}
}

// winoSlot is where the sums of a range live between its blocks of tiles.
func winoSlot(a *csrc.Conv3x3, p *winoPlan, span, o int) (slot [3]*[16]float32) {
	at := func(p0 *float32, all, k int) *[16]float32 {
		return vector(offset(p0, int64(((span*all+k)*p.ocb+o)*16)))
	}
	if a.Stats != nil {
		return [3]*[16]float32{at(a.Stats, 3, 0), at(a.Stats, 3, 1), at(a.Stats, 3, 2)}
	}
	if a.GateY != nil {
		return [3]*[16]float32{nil, at(a.Sums, 2, 0), at(a.Sums, 2, 1)}
	}
	return slot
}

// winoTile is A' M A of one tile.
func winoTile(y *[4][4][16]float32, m []float32, xi int, bias *[16]float32, low float32) {
	var z [6][4][16]float32 // transformed columns
	for j := range 6 {
		m := m[j*xi:]
		m0, m1, m2 := (*[16]float32)(m), (*[16]float32)(m[6*xi:]), (*[16]float32)(m[12*xi:])
		m3, m4, m5 := (*[16]float32)(m[18*xi:]), (*[16]float32)(m[24*xi:]), (*[16]float32)(m[30*xi:])
		c := &z[j]
		for l := range 16 {
			c[0][l], c[1][l], c[2][l], c[3][l] = winoOutput(m0[l], m1[l], m2[l], m3[l], m4[l], m5[l])
		}
	}
	for k := range 4 {
		row := &y[k]
		for l := range 16 {
			y0, y1, y2, y3 := winoOutput(z[0][k][l], z[1][k][l], z[2][k][l], z[3][k][l], z[4][k][l], z[5][k][l])
			b := bias[l]
			row[0][l], row[1][l], row[2][l], row[3][l] = max(y0+b, low), max(y1+b, low), max(y2+b, low), max(y3+b, low)
		}
	}
}

func (s *winoSums) statistics(y *[4][4][16]float32, vy, vx int) {
	for r := range vy {
		for l := range 16 {
			sum, square := float32(0), float32(0)
			for c := range vx {
				d := y[r][c][l] - s[0][l]
				sum += d
				square += float32(d * d)
			}
			s[1][l] += sum
			s[2][l] += square
		}
	}
}

// gate adds the gradient dy of a pixel where the activation of g lets it through.
func (s *winoSums) gate(dy, g *[16]float32, act *act, mean *[16]float32) {
	for l := range 16 {
		if act.shift[l]+float32(g[l]*act.scale[l]) > act.lo[l] {
			s[1][l] += dy[l]
			s[2][l] += float32(dy[l] * (g[l] - mean[l]))
		}
	}
}

func winoPool(dst *float32, y *[4][4][16]float32, w, vy, vx int) {
	for r := range vy {
		for c := range vx {
			to := vector(offset(dst, int64((r*w+c)*16)))
			a, b, d, e := &y[2*r][2*c], &y[2*r][2*c+1], &y[2*r+1][2*c], &y[2*r+1][2*c+1]
			for l := range 16 {
				to[l] = max(a[l], b[l], d[l], e[l])
			}
		}
	}
}

// packWino43 makes U [ocb][36] matrices for gemm of weights [oc][ic][3][3].
func packWino43(dst, w []float32, oc, ic int) {
	n := (ic + 15) &^ 15
	clear(dst)
	for o := range oc {
		block := dst[o/16*36*n*16:][:36*n*16]
		for i := range ic {
			winoUnfold1(block, (*[9]float32)(w[(o*ic+i)*9:]), n, i, o%16)
		}
	}
}

// winoUnfold makes U of one output block of compact weights, which are those that
// packDirect packs.
func winoUnfold(u, w []float32, n int) {
	var g [9]float32
	for o := range 16 {
		for i := range n {
			for k := range g {
				g[k] = w[(o/2*9*n+(i/16*9+k)*16+i%16)*2+o%2]
			}
			winoUnfold1(u, &g, n, i, o)
		}
	}
}

// winoUnfold1 writes G g G' of one kernel to the 36 matrices of u.
func winoUnfold1(u []float32, g *[9]float32, n, i, o int) {
	var z [3][6]float32
	for j := range z {
		z[j][0], z[j][1], z[j][2], z[j][3], z[j][4], z[j][5] = winoWeight(g[j], g[3+j], g[6+j])
	}
	for k := range 6 {
		var r [6]float32
		r[0], r[1], r[2], r[3], r[4], r[5] = winoWeight(z[0][k], z[1][k], z[2][k])
		for j, v := range r {
			packPairs(u[(6*k+j)*n*16:], n, i, o, v)
		}
	}
}
