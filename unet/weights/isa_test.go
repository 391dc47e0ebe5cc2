package weights_test

import (
	"slices"
	"strings"
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/dataset/dsb2018"
	"unet/unet/imageio"
	"unet/unet/metrics"
	"unet/unet/weights"
)

// TestInstructionSetsAgree: whatever the CPU, the built-in model finds the same
// nuclei. The maps differ by rounding, which moves few pixels of an outline and
// no score.
func TestInstructionSetsAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	isas := core.ISAs()
	if len(isas) == 1 {
		t.Skip("this build has one instruction set")
	}
	fast := slices.DeleteFunc(slices.Clone(isas), func(s string) bool { return s == "c" || s == "go" })
	if len(fast) == 0 {
		fast = []string{"c"}
	}
	synthetic, err := dataset.Synthesise(dataset.Synthesis{Count: 8, Size: 256, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("synthetic", func(t *testing.T) { compareISAs(t, fast, synthetic) })
	t.Run("real", func(t *testing.T) { compareISAs(t, fast, realSamples(t)) })
	small, err := dataset.Synthesise(dataset.Synthesis{Count: 4, Size: 96, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("slow", func(t *testing.T) { compareISAs(t, isas, small) })
}

// realSamples are images of every kind of the DSB2018 training set that the
// built-in model was not trained on.
func realSamples(t *testing.T) []*dataset.Sample {
	t.Helper()
	src, err := dataset.OpenSource(dsb2018.Archive(t))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var samples []*dataset.Sample
	for i, id := range src.IDs() {
		if !slices.Contains([]string{"02903040", "724b6b70", "05a8f65e", "08ae2741", "07fb37aa", "1d02c4b5", "2dd3356f", "c395870a"}, id[:min(8, len(id))]) {
			continue
		}
		s, findings := src.Read(i)
		if s == nil {
			t.Fatalf("%s: %v", id, findings)
		}
		samples = append(samples, s)
	}
	if len(samples) == 0 {
		t.Skip("none of the images is here")
	}
	return samples
}

// compareISAs compares the first instruction set with each of the others.
func compareISAs(t *testing.T, isas []string, samples []*dataset.Sample) {
	if len(isas) < 2 {
		t.Skipf("only %s", strings.Join(isas, ", "))
	}
	want, score := segmentAll(t, isas[0], samples)
	for _, isa := range isas[1:] {
		got, s := segmentAll(t, isa, samples)
		differ, all := 0, 0
		for i := range want {
			differ += differing(want[i], got[i])
			all += len(want[i].ID)
		}
		t.Logf("%s and %s: %d of %d pixels differ, mean AP %.5f and %.5f", isas[0], isa, differ, all, score, s)
		if differ > all/10000 {
			t.Errorf("%s: %d of %d pixels have other labels than with %s", isa, differ, all, isas[0])
		}
		if s-score > 1e-3 || score-s > 1e-3 {
			t.Errorf("%s: mean AP %v, with %s %v", isa, s, isas[0], score)
		}
	}
}

// segmentAll returns the label images of the samples and their mean AP over
// IoU 0.5 to 0.95, nuclei pooled.
func segmentAll(t *testing.T, isa string, samples []*dataset.Sample) ([]*imageio.Labels, float64) {
	t.Helper()
	e, err := core.NewEngine(isa, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m, err := weights.Default()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	p := unet.NewPredictor(e, m)
	defer p.Close()
	var labels []*imageio.Labels
	var agg metrics.Aggregate
	for _, s := range samples {
		maps, err := p.Maps(t.Context(), s.Image)
		if err != nil {
			t.Fatal(err)
		}
		l := p.Model().Card.Separate(maps)
		r, err := metrics.Match(s.Labels, l, metrics.Taus())
		if err != nil {
			t.Fatal(err)
		}
		agg.Add(r)
		labels = append(labels, l)
	}
	return labels, metrics.MeanAP(agg.Pooled())
}

// differing counts the pixels of b outside the nucleus of a that their label
// shares most pixels with. Numbers do not count: one nucleus more changes those
// of all that follow.
func differing(a, b *imageio.Labels) int {
	pairs := map[[2]uint32]int{}
	for i, v := range b.ID {
		pairs[[2]uint32{v, a.ID[i]}]++
	}
	most, all := map[uint32]int{}, 0
	for p, n := range pairs {
		if (p[0] == 0) != (p[1] == 0) {
			continue // background is background
		}
		most[p[0]] = max(most[p[0]], n)
	}
	for _, n := range most {
		all += n
	}
	return len(b.ID) - all
}
