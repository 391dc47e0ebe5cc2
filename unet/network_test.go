package unet

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"unet/core"
	"unet/core/coretest"
)

// variants are networks that together have every block, gate, way up and norm.
var variants = []Arch{
	{Norm: "batch"},
	{Norm: "none"},
	{Norm: "group"},
	{Norm: "batch", Block: "residual"},
	{Norm: "batch", Attention: true},
	{Norm: "batch", Up: "nearest"},
	{Norm: "group", Block: "residual", Attention: true, Up: "nearest"},
	{Norm: "none", Block: "residual", Attention: true, Up: "nearest"},
}

// theVariants are all, or under -short, as with the race detector, two that have
// most of it.
func theVariants() []Arch {
	if testing.Short() {
		return []Arch{variants[0], variants[6]}
	}
	return variants
}

// sized is a variant with the sizes of a small network.
func (a Arch) sized(channels, depth, width int, heads []string) Arch {
	a.Channels, a.Depth, a.Width, a.Heads = channels, depth, width, heads
	return a
}

func (a Arch) String() string {
	return fmt.Sprintf("%s,%s,%s,attention=%v", a.Norm, cmp.Or(a.Block, plain), cmp.Or(a.Up, transposed), a.Attention)
}

var threeHeads = []string{HeadForeground, HeadBorder, HeadDistance}

// trainingNet is a small network with random weights, input and targets.
func trainingNet(t testing.TB, e *core.Engine, a Arch, n, h, w int, o core.Options) (*Model, *Network) {
	t.Helper()
	m, err := NewModel(Card{Kind: Nuclei, Arch: a}, 7, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Params.Free)
	losses := []core.Loss{{Scale: 1, BCE: 1, Dice: 0.7}, {Scale: 0.5, BCE: 1, Dice: 0.5}, {Scale: 2, BCE: 0.5, L1: 1}}
	o.Batch, o.Training = n, true
	net, err := a.build(e, m.Params, h, w, o, losses[:len(a.Heads)])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(net.prog.Free)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, q := range m.Params.All() { // scales and shifts away from 1 and 0
		if len(q.Shape) == 1 && q.Grad != nil {
			for i := range q.Value {
				q.Value[i] += float32(rng.NormFloat64() * 0.2)
			}
		}
	}
	from, to := 0, n // of the images, those of this process
	if o.Peers != nil {
		share := n / o.Peers.Size()
		from, to = o.Peers.Rank()*share, (o.Peers.Rank()+1)*share
	}
	fill := func(p core.Planar, f func() float64) {
		all := make([]float32, n*p.C*h*w)
		for i := range all {
			all[i] = float32(f())
		}
		copy(net.prog.Data(p), all[from*p.C*h*w:to*p.C*h*w])
	}
	fill(net.input, rng.Float64)
	fill(net.targets, rng.Float64)
	fill(net.weights, func() float64 { return 0.5 + rng.Float64() })
	return m, net
}

func run(t testing.TB, net *Network, phases ...core.Phase) {
	t.Helper()
	if err := net.prog.Run(context.Background(), phases...); err != nil {
		t.Fatal(err)
	}
}

func totalLoss(net *Network) float64 {
	sum := 0.0
	for _, r := range net.maps.Result() {
		sum += r.Loss
	}
	return sum
}

// TestFiniteDifferences moves the parameters of every layer along their
// gradient, both ways, and compares the change of the loss with the gradient.
// A wrong sign, factor, transposition or missing term of any layer shows.
func TestFiniteDifferences(t *testing.T) {
	for i, isa := range core.ISAs() {
		for k, a := range theVariants() {
			for _, direct := range []bool{true, false} {
				if i > 0 && k%3 != 0 {
					continue // kernels are compared elsewhere: some variants do
				}
				t.Run(fmt.Sprintf("%s/%v/direct=%v", isa, a, direct), func(t *testing.T) {
					if isa == "go" && !direct {
						t.Skip("the reference has one algorithm")
					}
					e := coretest.Engine(t, isa, 2)
					a := a.sized(3, 2, 16, threeHeads)
					a.Dropout = 0.2
					m, net := trainingNet(t, e, a, 2, 16, 20, core.Options{Direct: direct})
					checkGradients(t, m, net)
				})
			}
		}
	}
}

// TestGradientsOfDarkImages: where the variance of a layer is no more than what
// normalisation adds to it, that counts in the gradient, too.
func TestGradientsOfDarkImages(t *testing.T) {
	for _, norm := range []string{"batch", "group"} {
		e := coretest.Engine(t, "", 2)
		m, net := trainingNet(t, e, Arch{Norm: norm}.sized(3, 1, 16, threeHeads), 2, 16, 20, core.Options{})
		for i := range net.prog.Data(net.input) {
			net.prog.Data(net.input)[i] /= 100
		}
		checkGradients(t, m, net)
	}
}

// checkGradients compares slopes of the loss along gradients with the gradients.
func checkGradients(t *testing.T, m *Model, net *Network) {
	t.Helper()
	run(t, net, core.Forward, core.Backward)
	grads := map[string][]float32{}
	for _, q := range m.Params.All() {
		grads[q.Name] = slices.Clone(q.Grad)
	}
	for _, q := range m.Params.All() {
		g := grads[q.Name]
		if g == nil {
			continue
		}
		norm2 := 0.0
		for _, v := range g {
			norm2 += float64(v) * float64(v)
		}
		if norm2 == 0 {
			t.Errorf("%s: no gradient", q.Name)
			continue
		}
		// A step that changes the loss by about 2e-3.
		step := 1e-3 / norm2
		orig := slices.Clone(q.Value)
		at := func(s float64) float64 {
			for i := range q.Value {
				q.Value[i] = orig[i] + float32(s*float64(g[i]))
			}
			run(t, net, core.Forward)
			return totalLoss(net)
		}
		up, down := at(step), at(-step)
		at(0)
		got := (up - down) / (2 * step)
		if math.Abs(got-norm2) > 0.03*norm2+2e-4 {
			t.Errorf("%s: slope along the gradient %.6g, the gradient says %.6g", q.Name, got, norm2)
		}
	}
}

// TestRecompute checks that activations computed twice take less memory and
// change no bit of the gradients.
func TestRecompute(t *testing.T) {
	for _, a := range theVariants() {
		e := coretest.Engine(t, "", 2)
		a := a.sized(3, 3, 16, threeHeads)
		a.Dropout = 0.2
		m1, kept := trainingNet(t, e, a, 4, 96, 64, core.Options{})
		m2, again := trainingNet(t, e, a, 4, 96, 64, core.Options{Recompute: true})
		run(t, kept, core.Forward, core.Backward)
		run(t, again, core.Forward, core.Backward)
		for i, q := range m1.Params.All() {
			if r := m2.Params.All()[i]; !slices.Equal(q.Grad, r.Grad) || !slices.Equal(q.Value, r.Value) {
				t.Errorf("%v: %s differs", a, q.Name)
			}
		}
		if k, r := kept.prog.Memory(), again.prog.Memory(); r > k || a.Block == "" && r > k*19/20 {
			t.Errorf("%v: %d bytes of activations instead of %d", a, r, k)
		}
	}
}

// TestThreads checks that results do not depend on the number of threads.
func TestThreads(t *testing.T) {
	for _, a := range []Arch{{Norm: "batch"}, {Norm: "group", Block: "residual", Attention: true, Up: "nearest"}} {
		t.Run(a.String(), func(t *testing.T) { testThreads(t, a.sized(3, 3, 32, threeHeads)) })
	}
}

func testThreads(t *testing.T, a Arch) {
	a.Dropout = 0.1
	var want []float32
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i, threads := range []int{1, 2, 3, 7} {
		runtime.GOMAXPROCS([]int{1, 5, 2, 2}[i])
		e := coretest.Engine(t, "", threads)
		m, got := threeSteps(t, e, a)
		p := NewPredictor(e, m)
		p.whole, p.tileW, p.tileH = 96*96, 96, 64 // an image of several tiles
		for _, size := range [][2]int{{33, 50}, {130, 110}} {
			maps, err := p.Maps(t.Context(), randomImage(size[0], size[1], 3))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, maps.Pix...)
		}
		p.Close()
		if want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Errorf("%d threads: other weights or maps than with 1", threads)
		}
	}
}

// threeSteps trains a small network a little and returns its weights and their
// averages, too.
func threeSteps(t *testing.T, e *core.Engine, a Arch) (m *Model, weights []float32) {
	m, net := trainingNet(t, e, a, 3, 40, 24, core.Options{})
	adam := core.NewAdam(1e-2)
	adam.EMA, adam.WeightDecay, adam.Clip = 0.9, 0.01, 1
	for range 3 {
		run(t, net, core.Forward, core.Backward)
		adam.Update(e, m.Params, adam.GradNorm(e, m.Params))
	}
	for _, q := range m.Params.All() {
		weights = append(weights, q.Value...)
		weights = append(weights, m.Params.Average(q)...)
	}
	return m, weights
}

// TestPortableTraining: a training without C kernels has the bits of one with those in
// portable C. Blocks, gates and ways up that are not the usual ones are near them only.
func TestPortableTraining(t *testing.T) {
	if testing.Short() {
		t.Skip("long with the race detector")
	}
	coretest.NeedsKernels(t)
	for _, norm := range []string{"batch", "group", "none"} {
		a := Arch{Norm: norm, Dropout: 0.1}.sized(3, 3, 32, threeHeads)
		_, want := threeSteps(t, coretest.Engine(t, "c", 2), a)
		_, got := threeSteps(t, coretest.Engine(t, "go", 2), a)
		if !slices.Equal(got, want) {
			t.Errorf("%s norm: other weights than with C kernels", norm)
		}
	}
}

// TestWinogradNearDirect compares the two ways to convolve through a whole
// network.
func TestWinogradNearDirect(t *testing.T) {
	coretest.NeedsKernels(t)
	e := coretest.Engine(t, "", 2)
	a := Arch{Channels: 1, Depth: 3, Width: 32, Norm: "batch", Heads: []string{HeadForeground}}
	m1, direct := trainingNet(t, e, a, 2, 64, 48, core.Options{Direct: true})
	m2, fast := trainingNet(t, e, a, 2, 64, 48, core.Options{})
	run(t, direct, core.Forward, core.Backward)
	run(t, fast, core.Forward, core.Backward)
	if d := maxDiff(direct.maps.Logits(), fast.maps.Logits()); d > 1e-3 {
		t.Errorf("logits differ by %g", d)
	}
	for i, q := range m1.Params.All() {
		if q.Grad == nil {
			continue
		}
		var norm, diff float64
		for j, v := range q.Grad {
			d := float64(v - m2.Params.All()[i].Grad[j])
			norm += float64(v) * float64(v)
			diff += d * d
		}
		if math.Sqrt(diff) > 2e-3*math.Sqrt(norm)+1e-7 {
			t.Errorf("%s: gradients differ by %.2g of their size", q.Name, math.Sqrt(diff/norm))
		}
	}
}

func maxDiff(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

// TestInferenceMatchesTraining: with the statistics of the very batch as
// running statistics, the folded network computes what training computed.
func TestInferenceMatchesTraining(t *testing.T) {
	coretest.NeedsKernels(t)
	for _, a := range theVariants() {
		e := coretest.Engine(t, "", 2)
		a := a.sized(3, 2, 32, threeHeads)
		m, net := trainingNet(t, e, a, 1, 96, 64, core.Options{})
		// Momentum 0.1: two hundred passes leave the batch's own statistics,
		// whose variance is the unbiased one.
		for range 200 {
			run(t, net, core.Forward)
		}
		inf, err := a.build(e, m.Params, 96, 64, core.Options{Batch: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer inf.prog.Free()
		copy(inf.prog.Data(inf.input), net.prog.Data(net.input))
		run(t, inf, core.Pack, core.Forward)
		// n/(n-1) is 0.3% at the bottom.
		if d := maxDiff(inf.maps.Prob(), net.maps.Prob()); d > 0.02 {
			t.Errorf("%v: probabilities differ by %g", a, d)
		}
	}
}
