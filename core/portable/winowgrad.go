package portable

import "unet/csrc"

const (
	winoWgradTiles = 32 // at a time
	winoWgradChunk = 4  // channel blocks of a chunk
)

// winoA4 is A (4 -> 6), winoG3 G' (6 -> 3): the adjoints of winoOutput and winoWeight.
func winoA4(y0, y1, y2, y3 float32) (r0, r1, r2, r3, r4, r5 float32) {
	e, f := y0+0.5*y2, y1+0.5*y3
	s, t := y0+2*y2, y1+2*y3
	f, t = float32(winoA1*f), float32(winoA*t)
	return y0, e + f, e - f, s + t, s - t, y3
}

func winoG3(u0, u1, u2, u3, u4, u5 float32) (g0, g1, g2 float32) {
	s, t := u1+u2, u3+u4
	g0 = (u0 - float32(float32(2.0/3)*s)) + float32(float32(1.0/6)*t)
	g1 = float32(float32(winoA)/3*(u2-u1)) + float32(float32(winoA)/6*(u3-u4))
	return g0, g1, u5 + float32(float32(1.0/3)*(t-s))
}

// winoWgradPlan is how Winograd's gradient falls into tasks: chunks of the output and
// of the input blocks, and groups of tiles. Its input is transformed as that of a
// convolution.
type winoWgradPlan struct {
	conv               csrc.Conv3x3
	tiles              winoPlan
	icb, ocb           int
	icChunk, oChunk    int // blocks of a chunk
	icChunks, oChunks  int
	span, groups       int // tiles of a group, number of groups
	dXi, duXi, scratch int // floats between xi of D and of dU
}

func newWinoWgradPlan(a *csrc.Wgrad3x3) winoWgradPlan {
	p := winoWgradPlan{
		icb: blocks(a.IC), ocb: blocks(a.OC),
		conv: csrc.Conv3x3{Src: a.Src, Act: a.Act, SrcImage: a.SrcImage, H: a.H, W: a.W},
	}
	p.icChunks, p.oChunks = up(p.icb, winoWgradChunk), up(p.ocb, winoWgradChunk)
	p.icChunk, p.oChunk = up(p.icb, p.icChunks), up(p.ocb, p.oChunks)
	t := &p.tiles
	t.th, t.tw = up(int(a.H), 4), up(int(a.W), 4)
	t.tiles = int(a.N) * t.th * t.tw
	blocks := up(t.tiles, winoWgradTiles)
	t.tb = up(t.tiles, blocks)
	pieces := p.icChunks * p.oChunks
	total := winoCost(p.icChunk, p.oChunk) * t.tiles
	groups := max(min(64/pieces, total/250000), min(16/pieces, total/100000))
	groups = min(max(groups, total/3000000, 1), blocks)
	p.span = up(blocks, groups) * t.tb
	p.groups = up(t.tiles, p.span)
	t.vBlock = t.tb * 16
	t.vXi = (p.icChunk*t.tb | 1) * 16
	p.dXi = (p.oChunk*t.tb | 1) * 16
	p.duXi = (p.icChunk*p.oChunk*16 | 1) * 16
	p.scratch = 36 * (t.vXi + p.dXi + p.duXi)
	return p
}

func (p *winoWgradPlan) tasks() int { return p.groups * p.oChunks * p.icChunks }

func wgradWino43(a *csrc.Wgrad3x3, task int, scratch *float32) {
	p := newWinoWgradPlan(a)
	q := &p.tiles
	mem := floats(scratch, p.scratch)
	v, d, du := mem[:36*q.vXi], mem[36*q.vXi:][:36*p.dXi], mem[36*(q.vXi+p.dXi):]
	group := task / (p.oChunks * p.icChunks)
	o0, i0 := task/p.icChunks%p.oChunks*p.oChunk, task%p.icChunks*p.icChunk
	no, ni := min(p.oChunk, p.ocb-o0), min(p.icChunk, p.icb-i0)
	last := min((group+1)*p.span, q.tiles)
	clear(du)
	for t := group * p.span; t < last; t += q.tb {
		n := min(q.tb, last-t)
		for i := range ni {
			winoTransform(&p.conv, q, t, n, i0+i, v[i*q.vBlock:])
		}
		for o := range no {
			winoGradient(a, &p, t, n, o0+o, d[o*q.vBlock:])
		}
		for xi := range 36 {
			for i := range ni {
				for o := range no {
					gemmT(du[xi*p.duXi+(i*no+o)*wgradBlock:][:wgradBlock], v[xi*q.vXi+i*q.vBlock:],
						d[xi*p.dXi+o*q.vBlock:], 16, n)
				}
			}
		}
	}
	for i := range ni {
		for o := range no {
			at := ((group*p.ocb+o0+o)*p.icb + i0 + i) * 9 * wgradBlock
			winoTaps(floats(offset(a.Partial, int64(at)), 9*wgradBlock), du[(i*no+o)*wgradBlock:], p.duXi)
		}
	}
}

// winoGradient writes D = A dy A' of n tiles of output block b from t on; dy is
// zero outside the image.
func winoGradient(a *csrc.Wgrad3x3, p *winoWgradPlan, t, n, b int, d []float32) {
	h, w := int(a.H), int(a.W)
	tx, ty, i := p.tiles.place(t)
	for at := range n {
		var y [4][4][16]float32 // columns of a tile
		image := floats(offset(a.DY, int64(i)*a.DYImage+int64(b*h*w*16)), h*w*16)
		for c := range min(4, w-4*tx) {
			for r := range min(4, h-4*ty) {
				y[c][r] = *(*[16]float32)(image[((4*ty+r)*w+4*tx+c)*16:])
			}
		}
		var z [4][6][16]float32
		for c := range z {
			y, z := &y[c], &z[c]
			for l := range 16 {
				z[0][l], z[1][l], z[2][l], z[3][l], z[4][l], z[5][l] = winoA4(y[0][l], y[1][l], y[2][l], y[3][l])
			}
		}
		for k := range 6 {
			out := d[6*k*p.dXi+16*at:]
			o0, o1, o2 := (*[16]float32)(out), (*[16]float32)(out[p.dXi:]), (*[16]float32)(out[2*p.dXi:])
			o3, o4, o5 := (*[16]float32)(out[3*p.dXi:]), (*[16]float32)(out[4*p.dXi:]), (*[16]float32)(out[5*p.dXi:])
			r0, r1, r2, r3 := &z[0][k], &z[1][k], &z[2][k], &z[3][k]
			for l := range 16 {
				o0[l], o1[l], o2[l], o3[l], o4[l], o5[l] = winoA4(r0[l], r1[l], r2[l], r3[l])
			}
		}
		if tx++; tx == p.tiles.tw {
			tx = 0
			if ty++; ty == p.tiles.th {
				ty = 0
				i++
			}
		}
	}
}

// winoTaps writes G' dU G of a pair of blocks.
func winoTaps(out, du []float32, xi int) {
	for m := 0; m < wgradBlock; m += 16 {
		var z [3][6][16]float32
		for j := range 6 {
			u := func(k int) *[16]float32 { return (*[16]float32)(du[(6*k+j)*xi+m:]) }
			u0, u1, u2, u3, u4, u5 := u(0), u(1), u(2), u(3), u(4), u(5)
			for l := range 16 {
				z[0][j][l], z[1][j][l], z[2][j][l] = winoG3(u0[l], u1[l], u2[l], u3[l], u4[l], u5[l])
			}
		}
		for k := range 3 {
			z := &z[k]
			for l := range 16 {
				g0, g1, g2 := winoG3(z[0][l], z[1][l], z[2][l], z[3][l], z[4][l], z[5][l])
				out[3*k*wgradBlock+m+l], out[(3*k+1)*wgradBlock+m+l], out[(3*k+2)*wgradBlock+m+l] = g0, g1, g2
			}
		}
	}
}
