package selftest

import (
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// The kernels that wait for memory rather than compute.

// bytes returns the size of a tensor of c channels.
func (s Shape) bytes(c int) float64 { return 64 * float64(s.N*blocks(c)*s.H*s.W) }

// planes is as bytes for c planar maps.
func (s Shape) planes(c int) float64 { return 4 * float64(s.N*c*s.H*s.W) }

// act is a pending batch-norm and ReLU. Its scale is 1, so that fused and
// separate rounding agree on what passes.
func (b *bench) act(c int) (ref.Act, csrc.Act) {
	n := blocks(c) * 16
	scale, shift, lo := b.zeros(n), b.zeros(n), b.zeros(n)
	for i := range n {
		scale[i], shift[i] = 1, 0.125
	}
	return ref.Act{Scale: scale[:c], Shift: shift[:c], Lo: lo[:c]}, csrc.Act{Scale: &scale[0], Shift: &shift[0], Lo: &lo[0]}
}

func pool(backward bool) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		size, small := s.H*s.W, (s.H/2)*(s.W/2)
		src, dd := b.normal(s.N*s.IC*size), b.normal(s.N*s.IC*small)
		act, cact := b.act(s.IC)
		x, y := b.tensor(src, s.N, s.IC, size), b.tensor(dd, s.N, s.IC, small)
		dx := b.zeros(len(x))
		image, smallImage := int64(blocks(s.IC)*size*16), int64(blocks(s.IC)*small*16)
		args := &csrc.Pool{Src: &x[0], Act: cact, SrcImage: image, N: int32(s.N), H: int32(s.H), W: int32(s.W), CB: int32(blocks(s.IC))}
		if backward {
			args.DDst, args.DDstImage, args.DSrc, args.DSrcImage = &y[0], smallImage, &dx[0], image
			b.timed(csrc.OpPoolBwd, unsafe.Pointer(args), false)
			return func() []float32 { return dense(dx, s.N, s.IC, size) }, func() []float32 {
				want := make([]float32, len(src))
				ref.PoolBwd(dims(s), want, dd, src, act)
				return want
			}
		}
		args.Dst, args.DstImage = &y[0], smallImage
		b.timed(csrc.OpPool, unsafe.Pointer(args), false)
		return func() []float32 { return dense(y, s.N, s.IC, small) }, func() []float32 {
			want := make([]float32, s.N*s.IC*small)
			ref.Pool(dims(s), want, src, act)
			return want
		}
	}
}

func batchNorm(op csrc.Op) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		size, cp := s.H*s.W, blocks(s.IC)*16
		y, da := b.normal(s.N*s.IC*size), b.normal(s.N*s.IC*size)
		mean, ca, cy, c0 := b.normal(cp), b.normal(cp), b.normal(cp), b.normal(cp)
		for i := range ca {
			ca[i] = 0.5 // done in place over and over, it must not grow
		}
		act, cact := b.act(s.IC)
		yt, dat := b.tensor(y, s.N, s.IC, size), b.tensor(da, s.N, s.IC, size)
		image := int64(cp * size)
		args := &csrc.BN{Y: &yt[0], Act: cact, DA: &dat[0], Mean: &mean[0], CA: &ca[0], CY: &cy[0], C0: &c0[0],
			YImage: image, DAImage: image, N: int32(s.N), H: int32(s.H), W: int32(s.W), CB: int32(blocks(s.IC))}
		tasks := csrc.Tasks(b.isa, op, unsafe.Pointer(args))
		sums, stats, counts := b.zeros(tasks*2*cp), b.zeros(tasks*3*cp), unsafe.Slice((*int32)(unsafe.Pointer(&b.zeros(tasks)[0])), tasks)
		args.Sums, args.Stats, args.Counts = &sums[0], &stats[0], &counts[0]
		b.timed(op, unsafe.Pointer(args), false)
		switch op {
		case csrc.OpBNStats:
			return func() []float32 { return moments(stats, counts, s.IC) }, func() []float32 {
				m, v := make([]float64, s.IC), make([]float64, s.IC)
				ref.Moments(dims(s), m, v, y)
				return narrowed(append(m, v...))
			}
		case csrc.OpBNSums:
			return func() []float32 {
					got := make([]float64, 2*s.IC)
					for i := range tasks {
						for c := range s.IC {
							got[c] += float64(sums[2*i*cp+c])
							got[s.IC+c] += float64(sums[(2*i+1)*cp+c])
						}
					}
					return narrowed(got)
				}, func() []float32 {
					want := make([]float32, 2*s.IC)
					ref.BNSums(dims(s), want[:s.IC], want[s.IC:], y, act, da, mean)
					return want
				}
		}
		return func() []float32 { return dense(dat, s.N, s.IC, size) }, func() []float32 {
			ref.BNBwd(dims(s), da, y, act, ca, cy, c0)
			return da
		}
	}
}

// moments merges the sums about pivots of all tasks into mean and variance.
func moments(stats []float32, counts []int32, c int) []float32 {
	cp := blocks(c) * 16
	m := make([]float64, 2*c)
	for ch := range c {
		var n, sum, square float64
		for t, count := range counts {
			k, d, q := float64(stats[3*t*cp+ch]), float64(stats[(3*t+1)*cp+ch]), float64(stats[(3*t+2)*cp+ch])
			n += float64(count)
			sum += d + float64(count)*k
			square += q + 2*k*d + float64(count)*k*k
		}
		m[ch] = sum / n
		m[c+ch] = square/n - m[ch]*m[ch]
	}
	return narrowed(m)
}

func narrowed(v []float64) []float32 {
	f := make([]float32, len(v))
	for i, x := range v {
		f[i] = float32(x)
	}
	return f
}

// headMaps is the number of maps of a nuclei model.
const headMaps = 3

func head(backward bool) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		d, size, cp := dims(s), s.H*s.W, blocks(s.IC)*16
		d.OC = headMaps
		src, w, bias, dl := b.normal(s.N*s.IC*size), b.normal(d.OC*s.IC), b.normal(d.OC), b.normal(s.N*d.OC*size)
		act, cact := b.act(s.IC)
		x, padded, logits := b.tensor(src, s.N, s.IC, size), b.zeros(d.OC*cp), b.zeros(len(dl))
		for i, v := range w {
			padded[i/s.IC*cp+i%s.IC] = v
		}
		dx := b.zeros(len(x))
		args := &csrc.Head{Src: &x[0], Act: cact, Weight: &padded[0], Bias: &bias[0], Logits: &logits[0], DLogits: &dl[0], DSrc: &dx[0],
			SrcImage: int64(cp * size), DSrcImage: int64(cp * size), N: int32(s.N), H: int32(s.H), W: int32(s.W), CB: int32(blocks(s.IC)), K: int32(d.OC)}
		if !backward {
			b.timed(csrc.OpHead, unsafe.Pointer(args), false)
			return func() []float32 { return logits }, func() []float32 {
				want := make([]float32, len(logits))
				ref.Head(d, want, src, act, w, bias)
				return want
			}
		}
		tasks := csrc.Tasks(b.isa, csrc.OpHeadBwd, unsafe.Pointer(args))
		partial := b.zeros(tasks * d.OC * (cp + 16))
		args.Partial = &partial[0]
		b.timed(csrc.OpHeadBwd, unsafe.Pointer(args), false)
		return func() []float32 {
				got := make([]float64, d.OC*(s.IC+1))
				for i := range tasks * d.OC {
					for c := range s.IC {
						got[i%d.OC*s.IC+c] += float64(partial[i*(cp+16)+c])
					}
					got[d.OC*s.IC+i%d.OC] += float64(partial[i*(cp+16)+cp])
				}
				return append(dense(dx, s.N, s.IC, size), narrowed(got)...)
			}, func() []float32 {
				want := make([]float32, len(src)+len(w)+d.OC)
				ref.HeadBwd(d, want[:len(src)], want[len(src):len(src)+len(w)], want[len(src)+len(w):], src, act, w, dl)
				return want
			}
	}
}

func loss(backward bool) func(b *bench, s Shape) (values, values) {
	return func(b *bench, s Shape) (values, values) {
		size := s.N * s.H * s.W
		z, t, w, p, dz := b.normal(size), b.zeros(size), b.zeros(size), b.zeros(size), b.zeros(size)
		for i := range t {
			t[i], w[i] = float32(b.IntN(2)), 1+b.Float32()
		}
		args := &csrc.Loss{Z: &z[0], T: &t[0], W: &w[0], P: &p[0], DZ: &dz[0], Size: int64(size), Stride: int64(size), StrideT: int64(size),
			CBCE: 0.5, CT: 0.25, C1: -0.125, CL1: 0.75, Beta: 0.25, N: 1}
		if backward {
			copy(p, z) // any number does
			b.timed(csrc.OpLossBwd, unsafe.Pointer(args), false)
			return func() []float32 { return dz }, func() []float32 {
				want := make([]float32, size)
				ref.LossBwd(want, p, t, w, ref.LossCoeffs{BCE: args.CBCE, T: args.CT, One: args.C1, L1: args.CL1, Beta: args.Beta})
				return want
			}
		}
		tasks := csrc.Tasks(b.isa, csrc.OpLossFwd, unsafe.Pointer(args))
		sums := unsafe.Slice((*float64)(unsafe.Pointer(&b.zeros(tasks * 16)[0])), tasks*8)
		args.Sums = &sums[0]
		b.timed(csrc.OpLossFwd, unsafe.Pointer(args), false)
		// Sums per pixel, of the size of the probabilities before them.
		join := func(p []float32, total ref.LossSums) []float32 {
			for i := range total {
				total[i] /= float64(size)
			}
			return append(p[:size:size], narrowed(total[:])...)
		}
		return func() []float32 {
				var total ref.LossSums
				for i, v := range sums {
					total[i%8] += v
				}
				return join(p, total)
			}, func() []float32 {
				want := make([]float32, size)
				return join(want, ref.Loss(want, z, t, w, args.Beta))
			}
	}
}

// adam updates as many weights as the layer has, with their average.
func adam(b *bench, s Shape) (values, values) {
	size := weights(s)
	p, g, m, v, ema := b.normal(size), b.normal(size), b.normal(size), b.normal(size), b.normal(size)
	for i := range v {
		v[i] *= v[i]
	}
	step := ref.AdamStep{Step: 1e-2, C1: 0.1, C2: 0.001, Eps: 1e-8, InvSqrtBC2: 31, Decay: 1e-5, GScale: 0.5, CEMA: 0.01}
	var start [][]float32
	for _, a := range [][]float32{p, g, m, v, ema} {
		start = append(start, append([]float32(nil), a...))
	}
	args := &csrc.Adam{P: &p[0], G: &g[0], M: &m[0], V: &v[0], EMA: &ema[0], Size: int64(size), Step: step.Step, C1: step.C1, C2: step.C2,
		Eps: step.Eps, InvSqrtBC2: step.InvSqrtBC2, Decay: step.Decay, GScale: step.GScale, CEMA: step.CEMA}
	b.timed(csrc.OpAdam, unsafe.Pointer(args), false)
	join := func(lists ...[]float32) (all []float32) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	return func() []float32 { return join(p, m, v, ema) }, func() []float32 {
		ref.Adam(start[0], start[1], start[2], start[3], start[4], step)
		return join(start[0], start[2], start[3], start[4])
	}
}

// weights of the 3x3 convolution, padded as the parameters' arena is.
func weights(s Shape) int { return (s.IC*s.OC*9 + 15) &^ 15 }
