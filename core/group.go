package core

import (
	"math"
	"unsafe"

	"unet/csrc"
)

// Group norm (Wu & He 2018): every image is normalised by its own statistics, in
// groups of 16 channels, which are the blocks they lie in. Nothing can be folded
// into weights, so inference takes statistics, too, and every image has its own
// pending activation.

// groupStatistics adds the steps from the convolution's result to the pending
// activations of its images.
func (l *layer) groupStatistics() {
	b := l.b
	args := &csrc.BN{
		N: int32(b.n), H: int32(l.out.H), W: int32(l.out.W), CB: int32(l.out.cb()), YImage: l.out.root.image(),
	}
	l.statisticsOf(b.prog.engine.backend.tasks(csrc.OpBNStats, unsafe.Pointer(args)))
	b.prog.op(Forward, csrc.OpBNStats, args, l.Norm+".stats")
	b.bindData(&args.Y, l.out)
	b.prog.bind(&args.Stats, l.stats, 0)
	b.prog.bindInt(&args.Counts, l.counts)
	b.prog.fn(Forward, l.Norm, l.groupNorm, l.stats, l.counts, l.out.root.act, l.mean)
}

// groupNorm turns the statistics of each image into its activation.
func (l *layer) groupNorm() {
	p, c := l.b.params, l.oc
	gamma, beta := p.must(l.Norm+".weight").Value, p.must(l.Norm+".bias").Value
	tasks := l.tasks / l.b.n
	for all := range l.b.acts() {
		scale, shift, lo := l.act(all)
		mean := l.b.prog.slice(l.mean)[2*c*all:]
		micro, image := all/l.b.n, all%l.b.n
		inv := mean[c:]
		for g := 0; g < c; g += block {
			var m moments
			for i := g; i < g+block; i++ {
				of := l.measured(micro, image*tasks, (image+1)*tasks, i)
				m.merge(of.n, of.mean, of.m2)
			}
			is := 1 / math.Sqrt(max(m.m2/m.n, 0)+Epsilon)
			for i := g; i < g+block; i++ {
				mean[i], inv[i] = float32(m.mean), float32(is)
				scale[i] = float32(float64(gamma[i]) * is)
				shift[i] = float32(float64(beta[i]) - m.mean*float64(gamma[i])*is)
				lo[i] = l.floor()
			}
		}
	}
}

// groupCoefficients is coefficients for group norm: with x = (y-mean)/deviation,
// dy = (gamma*dz - mean(gamma*dz) - x*mean(gamma*dz*x)) / deviation, where the
// means are over a group of an image.
func (l *layer) groupCoefficients(coef []float32) {
	p, c := l.b.params, l.oc
	if l.Norm == "" {
		for i, s := range l.allSums()[:c] {
			p.must(l.Conv + ".bias").Grad[i] = float32(s)
			for image := range l.b.acts() {
				of := coef[3*c*image:]
				of[i], of[c+i], of[2*c+i] = 1, 0, 0
			}
		}
		return
	}
	of := l.gathered.of(func(micro int, v []float64) {
		clear(v)
		for image := range l.b.n {
			l.imageCoefficients(micro, image, coef, v[:c], v[c:])
		}
	}, addSums)
	for i := range c {
		p.must(l.Norm + ".bias").Grad[i] = float32(of[i])
		p.must(l.Norm + ".weight").Grad[i] = float32(of[c+i])
	}
}

// imageCoefficients computes the coefficients of an image of a micro-batch and adds
// its share of the gradients of shift and scale.
func (l *layer) imageCoefficients(micro, image int, coef []float32, dBeta, dGamma []float64) {
	c, all := l.oc, micro*l.b.n+image
	gamma := l.b.params.must(l.Norm + ".weight").Value
	n, tasks := float64(block*l.out.H*l.out.W), l.sumTasks/l.b.n
	mean := l.b.prog.slice(l.mean)[2*c*all:]
	inv, of := mean[c:], coef[3*c*all:]
	for g := 0; g < c; g += block {
		is := float64(inv[g])
		var a, b float64 // the two means
		for i := g; i < g+block; i++ {
			s, q := l.summed(micro, image*tasks, (image+1)*tasks, i)
			dBeta[i] += s
			dGamma[i] += q * is
			a += float64(gamma[i]) * s / n
			b += float64(gamma[i]) * q * is / n
		}
		cy := -is * is * b
		for i := g; i < g+block; i++ {
			of[i], of[c+i] = float32(float64(gamma[i])*is), float32(cy)
			of[2*c+i] = float32(-is*a - cy*float64(mean[i]))
		}
	}
}
