package core

import (
	"math"
	"testing"
	"unsafe"

	"unet/core/ref"
	"unet/csrc"
)

// statistics are the per-task sums of un_conv3x3's stats of tensor y.
type statistics struct {
	y            tensor
	tasks        int
	sums, counts *guarded
}

func (c *check) statistics(op csrc.Op, args unsafe.Pointer, y tensor) *statistics {
	n := c.tasks(op, args)
	return &statistics{y, n, c.out(n * 3 * y.cb() * 16), c.out(n)}
}

// check compares the moments they give with those of v, the values of y.
func (s *statistics) check(c *check, v []float32) {
	if s == nil {
		return
	}
	c.Helper()
	d := ref.Dims{N: s.y.n, IC: s.y.c, H: s.y.h, W: s.y.w}
	mean, variance := make([]float64, d.IC), make([]float64, d.IC)
	ref.Moments(d, mean, variance, v)
	counts := unsafe.Slice(s.counts.int32s(), s.tasks)
	total := float64(d.N * d.H * d.W)
	for ch := range s.y.cb() * 16 {
		var n, m, m2 float64 // Chan, Golub & LeVeque 1983
		for t := range s.tasks {
			at := func(k int) float64 { return float64(s.sums.f[(t*3+k)*s.y.cb()*16+ch]) }
			k, sum, sq, nt := at(0), at(1), at(2), float64(counts[t])
			if nt == 0 { // another task has taken this one's pixels along
				continue
			}
			mt, m2t := k+sum/nt, sq-sum*sum/nt
			delta := mt - m
			n += nt
			m += delta * nt / n
			m2 += m2t + delta*delta*nt*(n-nt)/n
		}
		if n != total {
			c.Fatalf("the tasks' counts add up to %g of %g pixels", n, total)
		}
		var wantM, wantV float64
		if ch < d.IC {
			wantM, wantV = mean[ch], variance[ch]
		}
		// The pivot is some value of the channel: a few deviations away.
		scale := math.Sqrt(wantV) + 1e-20
		if err := math.Abs(m - wantM); !(err <= 64*eps*(scale+math.Abs(wantM))) {
			c.Fatalf("mean of channel %d is %g, want %g", ch, m, wantM)
		}
		if err := math.Abs(m2/n - wantV); !(err <= 1024*eps*scale*scale+1e-37) {
			c.Fatalf("variance of channel %d is %g, want %g", ch, m2/n, wantV)
		}
	}
}

// gateSums are the per-task sums of batch-norm's way back through y.
type gateSums struct {
	v, mean []float32
	y       tensor
	act     ref.Act
	cact    csrc.Act
	cmean   *float32
	tasks   int
	sums    *guarded
}

func (c *check) gateSums(n, ch, h, w, tasks int) *gateSums {
	g := &gateSums{v: c.coarse(n * ch * h * w), mean: c.normal(ch), tasks: tasks}
	g.y = c.tensor(n, ch, h, w, g.v)
	g.act, g.cact = c.act(ch)
	g.cmean = c.in(padTo16(g.mean)).ptr()
	g.sums = c.out(tasks * 2 * g.y.cb() * 16)
	return g
}

// check compares the sums over all tasks with those of the gradient da.
func (g *gateSums) check(c *check, da []float32) {
	if g == nil {
		return
	}
	c.Helper()
	d := ref.Dims{N: g.y.n, IC: g.y.c, H: g.y.h, W: g.y.w}
	want, mag := make([]float32, 2*d.IC), make([]float32, 2*d.IC)
	ref.BNSums(d, want[:d.IC], want[d.IC:], g.v, g.act, da, g.mean)
	for p := range d.N * d.IC {
		for i := p * d.H * d.W; i < (p+1)*d.H*d.W; i++ {
			a := float32(math.Abs(float64(da[i])))
			mag[p%d.IC] += a
			mag[d.IC+p%d.IC] += a * (abs(g.v[i : i+1])[0] + abs(g.mean[p%d.IC : p%d.IC+1])[0])
		}
	}
	got := make([]float32, 2*d.IC)
	for k := range 2 {
		for ch := range g.y.cb() * 16 {
			var sum float64
			for t := range g.tasks {
				sum += float64(g.sums.f[(t*2+k)*g.y.cb()*16+ch])
			}
			if ch < d.IC {
				got[k*d.IC+ch] = float32(sum)
			} else if sum != 0 {
				c.Fatalf("sum %d of padding channel %d is %g", k, ch, sum)
			}
		}
	}
	c.near("sums", got, want, within(4, mag))
}

func (c *check) bn() (ref.Dims, csrc.BN) {
	d := ref.Dims{N: 1 + c.IntN(3), IC: c.channels()}
	d.H, d.W = c.size(5000)
	return d, csrc.BN{N: int32(d.N), H: int32(d.H), W: int32(d.W), CB: int32((d.IC + 15) / 16)}
}

func TestBNStats(t *testing.T) {
	checkOps(t, func(c *check) {
		d, args := c.bn()
		v := c.normal(d.N * d.IC * d.H * d.W)
		for i := range v { // a mean far from zero must not cost the variance's digits
			v[i] += float32(i / (d.H * d.W) % d.IC * 20)
		}
		y := c.tensor(d.N, d.IC, d.H, d.W, v)
		args.Y, args.YImage = y.ptr(), y.image
		s := c.statistics(csrc.OpBNStats, unsafe.Pointer(&args), y)
		args.Stats, args.Counts = s.sums.ptr(), s.counts.int32s()
		c.exec(csrc.OpBNStats, unsafe.Pointer(&args))
		s.check(c, v)
	}, csrc.OpBNStats)
}

func TestBNSums(t *testing.T) {
	checkOps(t, func(c *check) {
		d, args := c.bn()
		da := c.normal(d.N * d.IC * d.H * d.W)
		g := c.gateSums(d.N, d.IC, d.H, d.W, c.tasks(csrc.OpBNSums, unsafe.Pointer(&args)))
		dt := c.tensor(d.N, d.IC, d.H, d.W, da)
		args.Y, args.YImage, args.Act, args.Mean = g.y.ptr(), g.y.image, g.cact, g.cmean
		args.DA, args.DAImage, args.Sums = dt.ptr(), dt.image, g.sums.ptr()
		c.exec(csrc.OpBNSums, unsafe.Pointer(&args))
		g.check(c, da)
	}, csrc.OpBNSums)
}

func TestBNBwd(t *testing.T) {
	checkOps(t, func(c *check) {
		d, args := c.bn()
		y, da := c.coarse(d.N*d.IC*d.H*d.W), c.normal(d.N*d.IC*d.H*d.W)
		yt, dt := c.tensor(d.N, d.IC, d.H, d.W, y), c.tensor(d.N, d.IC, d.H, d.W, da)
		dt.written = true
		act, cact := c.act(d.IC)
		ca, cy, c0 := c.normal(d.IC), c.normal(d.IC), c.normal(d.IC)
		args.Y, args.YImage, args.Act = yt.ptr(), yt.image, cact
		args.DA, args.DAImage = dt.ptr(), dt.image
		args.CA, args.CY, args.C0 = c.optional(ca), c.optional(cy), c.optional(c0)
		c.exec(csrc.OpBNBwd, unsafe.Pointer(&args))
		mag := abs(da)
		ref.BNBwd(d, da, y, act, ca, cy, c0)
		ref.BNBwd(d, mag, abs(y), ref.Act{}, abs(ca), abs(cy), abs(c0))
		c.near("da", c.nchw(dt), da, within(2, mag))
	}, csrc.OpBNBwd)
}
