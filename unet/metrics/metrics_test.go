package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"unet/unet/imageio"
)

// labels draws a label image of w x h pixels in blocks, so that objects have
// an area and overlap more or less.
func labels(t *rapid.T, name string, w, h int) *imageio.Labels {
	block := rapid.IntRange(1, 4).Draw(t, name+" block")
	kinds := rapid.IntRange(0, 9).Draw(t, name+" kinds")
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, name+" seed"), 1))
	l := imageio.NewLabels(w, h)
	for y := range h {
		for x := range w {
			if x%block == 0 && y%block == 0 {
				l.ID[y*w+x] = uint32(rng.IntN(kinds + 1))
			} else {
				l.ID[y*w+x] = l.ID[(y-y%block)*w+x-x%block]
			}
		}
	}
	return l
}

// both draws two label images of one size; the second is often the first with
// pixels changed.
func both(t *rapid.T) (truth, pred *imageio.Labels) {
	w, h := rapid.IntRange(1, 16).Draw(t, "w"), rapid.IntRange(1, 16).Draw(t, "h")
	truth, pred = labels(t, "truth", w, h), labels(t, "pred", w, h)
	if rapid.Bool().Draw(t, "related") {
		keep := rapid.IntRange(1, 9).Draw(t, "keep")
		for i := range pred.ID {
			if (i*7+i/w)%10 < keep {
				pred.ID[i] = truth.ID[i]
			}
		}
	}
	return truth, pred
}

// best tries all assignments for the largest number of pairs of IoU >= tau and
// among them the largest total IoU, pairs below tau included. It returns that
// number and the total IoU of the pairs >= tau in each best assignment.
func best(iou [][]float64, tau float64) (tp int, sums []float64) {
	used := make([]bool, len(iou[0]))
	most := math.Inf(-1)
	var try func(row, tp1 int, all, sum float64)
	try = func(row, tp1 int, all, sum float64) {
		if row == len(iou) {
			switch v := float64(100*tp1) + all; {
			case v > most+1e-9:
				most, tp, sums = v, tp1, []float64{sum}
			case v > most-1e-9:
				sums = append(sums, sum)
			}
			return
		}
		try(row+1, tp1, all, sum)
		for c, v := range iou[row] {
			if used[c] || v == 0 {
				continue
			}
			used[c] = true
			if v >= tau {
				try(row+1, tp1+1, all+v, sum+v)
			} else {
				try(row+1, tp1, all+v, sum)
			}
			used[c] = false
		}
	}
	try(0, 0, 0, 0)
	return tp, sums
}

func TestMatchIsTheBestAssignment(t *testing.T) {
	conflicts := 0
	rapid.Check(t, func(t *rapid.T) {
		truth, pred := both(t)
		tau := rapid.SampledFrom([]float64{0.05, 0.1, 0.25, 1.0 / 3, 0.5, 0.6, 1}).Draw(t, "tau")
		o, err := Compare(truth, pred)
		if err != nil {
			t.Fatal(err)
		}
		nt, np := len(o.truth.ids), len(o.pred.ids)
		if nt == 0 || np == 0 || nt > 6 || np > 6 {
			t.Skip()
		}
		// The IoU matrix by its definition.
		iou := make([][]float64, nt)
		for i, a := range o.truth.ids {
			iou[i] = make([]float64, np)
			for j, b := range o.pred.ids {
				inter, union := 0, 0
				for k := range truth.ID {
					x, y := truth.ID[k] == a, pred.ID[k] == b
					if x && y {
						inter++
					}
					if x || y {
						union++
					}
				}
				iou[i][j] = float64(inter) / float64(union)
			}
		}
		wantTP, wantSums := best(iou, tau)
		got := o.Match(tau)
		if len(got) != wantTP {
			t.Fatalf("%d pairs at %v, want %d of %v", len(got), tau, wantTP, iou)
		}
		seenT, seenP := map[uint32]bool{}, map[uint32]bool{}
		for _, p := range got {
			if seenT[p.Truth] || seenP[p.Pred] || p.IoU < tau {
				t.Fatalf("invalid matching %v", got)
			}
			seenT[p.Truth], seenP[p.Pred] = true, true
		}
		var sum float64
		candidates := 0
		for _, p := range got {
			sum += p.IoU
		}
		for _, q := range o.pairs {
			if q.iou >= tau {
				candidates++
			}
		}
		if !slices.ContainsFunc(wantSums, func(v float64) bool { return math.Abs(v-sum) < 1e-9 }) {
			t.Fatalf("total IoU %v, want one of %v, of %v at %v", sum, wantSums, iou, tau)
		}
		if candidates > len(got) {
			conflicts++
		}
	})
	if conflicts < 5 && !testing.Short() { // of 100 scenes; in short mode rapid draws 20
		t.Errorf("only %d scenes left a choice: the test tests little", conflicts)
	}
}

// TestMorePairsBeatLargerOnes: one pair of IoU 2/3 excludes two of 1/5.
func TestMorePairsBeatLargerOnes(t *testing.T) {
	truth := &imageio.Labels{W: 12, H: 1, ID: []uint32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2}}
	pred := &imageio.Labels{W: 12, H: 1, ID: []uint32{2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}}
	for tau, want := range map[float64]int{0.2: 2, 0.21: 1} {
		o, err := Compare(truth, pred)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Match(tau); len(got) != want {
			t.Errorf("at %v: %v, want %d pairs", tau, got, want)
		}
	}
}

// TestHalvesMatchOnce: two halves of a nucleus have an IoU of 0.5 each, and one of
// them matches it.
func TestHalvesMatchOnce(t *testing.T) {
	for _, c := range [][2]string{{"aabb", "aaaa"}, {"aaaa", "aabb"}} {
		o, err := Compare(draw(c[0]), draw(c[1]))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Match(0.5); len(got) != 1 {
			t.Errorf("nuclei %s, predictions %s: %v", c[0], c[1], got)
		}
	}
}

func TestHungarianEqualsTryingAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 5).Draw(t, "rows")
		cols := rapid.IntRange(rows, 6).Draw(t, "cols")
		cost := make([]float64, rows*cols)
		for i := range cost {
			cost[i] = float64(rapid.IntRange(-9, 9).Draw(t, "cost"))
		}
		least := math.Inf(1)
		used := make([]bool, cols)
		var try func(r int, sum float64)
		try = func(r int, sum float64) {
			if r == rows {
				least = min(least, sum)
				return
			}
			for c := range cols {
				if !used[c] {
					used[c] = true
					try(r+1, sum+cost[r*cols+c])
					used[c] = false
				}
			}
		}
		try(0, 0)
		var sum float64
		taken := map[int]bool{}
		for r, c := range hungarian(cost, rows, cols) {
			if taken[c] {
				t.Fatal("a column was taken twice")
			}
			taken[c] = true
			sum += cost[r*cols+c]
		}
		if sum != least {
			t.Fatalf("cost %v, least %v", sum, least)
		}
	})
}

func TestTruthAgainstItselfIsPerfect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, _ := both(t)
		r, err := Match(l, l, Taus())
		if err != nil {
			t.Fatal(err)
		}
		if r.Score() != 1 || r.AJI() != 1 {
			t.Fatalf("score %v, AJI %v", r.Score(), r.AJI())
		}
		for i, c := range r.At {
			if s := c.Scores(r.Taus[i]); s.PQ != 1 || s.F1 != 1 || s.Precision != 1 || s.Recall != 1 || s.MeanTrue != 1 {
				t.Fatalf("%+v", s)
			}
		}
		px, err := ComparePixels(l, l)
		if err != nil || px.IoU() != 1 || px.Accuracy() != 1 || px.F1() != 1 || px.Precision() != 1 || px.Recall() != 1 {
			t.Fatalf("%+v %v", px, err)
		}
		o, _ := Compare(l, l)
		truth, pred := o.Errors(0.5)
		for _, m := range []map[uint32]Outcome{truth, pred} {
			for id, v := range m {
				if v != Matched {
					t.Fatalf("nucleus %d is %v", id, v)
				}
			}
		}
	})
}

// TestNumbersOfNucleiDoNotMatter renumbers both images at random.
func TestNumbersOfNucleiDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth, pred := both(t)
		taus := []float64{0.2, 0.5, 0.7}
		a, err := Match(truth, pred, taus)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		renumber := func(l *imageio.Labels) *imageio.Labels {
			out := imageio.NewLabels(l.W, l.H)
			to := map[uint32]uint32{0: 0}
			taken := map[uint32]bool{0: true}
			for i, v := range l.ID {
				if _, ok := to[v]; !ok {
					n := rng.Uint32()
					for taken[n] {
						n++
					}
					taken[n] = true
					to[v] = n
				}
				out.ID[i] = to[v]
			}
			return out
		}
		b, err := Match(renumber(truth), renumber(pred), taus)
		if err != nil {
			t.Fatal(err)
		}
		// Sums may round differently in another order, and ties of
		// equal IoU below 0.5 or in AJI may be broken differently.
		for i := range a.At {
			if i == 0 {
				if a.At[i].TP != b.At[i].TP {
					t.Fatalf("%+v became %+v", a.At[i], b.At[i])
				}
				continue
			}
			if a.At[i].TP != b.At[i].TP || a.At[i].FP != b.At[i].FP || a.At[i].FN != b.At[i].FN || math.Abs(a.At[i].IoU-b.At[i].IoU) > 1e-9 {
				t.Fatalf("at %v: %+v became %+v", taus[i], a.At[i], b.At[i])
			}
		}
	})
}

func TestScoresFallAsTauRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth, pred := both(t)
		var taus []float64
		for k := 1; k <= 20; k++ {
			taus = append(taus, float64(k)/20)
		}
		r, err := Match(truth, pred, taus)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range r.At {
			s := c.Scores(taus[i])
			if c.TP+c.FP != r.Pred || c.TP+c.FN != r.Truth {
				t.Fatalf("%+v of %d and %d nuclei", c, r.Truth, r.Pred)
			}
			if s.AP > s.F1 || s.PQ > s.RQ || s.SQ > 1 || s.SQ < taus[i] && c.TP > 0 {
				t.Fatalf("impossible scores %+v", s)
			}
			if i > 0 && (c.TP > r.At[i-1].TP || s.AP > r.At[i-1].Scores(0).AP) {
				t.Fatalf("more matches at %v than at %v", taus[i], taus[i-1])
			}
		}
	})
}

func TestAggregateByHand(t *testing.T) {
	taus := []float64{0.5}
	var a Aggregate
	a.Add(&Result{Truth: 4, Pred: 3, Taus: taus, At: []Counts{{TP: 3, FP: 0, FN: 1, IoU: 2.4}}, Inter: 8, Union: 10})
	a.Add(&Result{Truth: 1, Pred: 5, Taus: taus, At: []Counts{{TP: 0, FP: 5, FN: 1}}, Inter: 0, Union: 10})
	a.Add(&Result{Taus: taus, At: []Counts{{}}}) // nothing there, nothing found
	pooled := Scores{Tau: 0.5, Precision: 3.0 / 8, Recall: 3.0 / 5, F1: 6.0 / 13, AP: 0.3, SQ: 2.4 / 3, RQ: 6.0 / 13, PQ: 2.4 / 3 * 6 / 13, MeanTrue: 2.4 / 5}
	each := Scores{Tau: 0.5, Precision: 2.0 / 3, Recall: (0.75 + 1) / 3, F1: (6.0/7 + 1) / 3, AP: (0.75 + 1) / 3,
		SQ: 1.8 / 3, RQ: (6.0/7 + 1) / 3, PQ: (0.8*6/7 + 1) / 3, MeanTrue: (0.6 + 1) / 3}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })
	if diff := cmp.Diff([]Scores{pooled}, a.Pooled(), near); diff != "" {
		t.Errorf("pooled: %s", diff)
	}
	if diff := cmp.Diff([]Scores{each}, a.PerImage(), near); diff != "" {
		t.Errorf("per image: %s", diff)
	}
	if p, m := a.AJI(); p != 0.4 || math.Abs(m-1.8/3) > 1e-12 {
		t.Errorf("AJI %v pooled, %v per image", p, m)
	}
	if got := a.Score(); math.Abs(got-1.75/3) > 1e-12 {
		t.Errorf("score %v", got)
	}
	var empty Aggregate
	if empty.Score() != 0 || len(empty.Pooled()) != 0 {
		t.Error("an empty aggregate has scores")
	}
}

// draw reads a label image: a is nucleus 1, b is 2, and so on; a dot is
// background.
func draw(rows ...string) *imageio.Labels {
	l := imageio.NewLabels(len(rows[0]), len(rows))
	for y, row := range rows {
		for x, c := range row {
			if c != '.' {
				l.ID[y*l.W+x] = uint32(c - 'a' + 1)
			}
		}
	}
	return l
}

// TestErrorsByHand draws one scene of each kind of error.
func TestErrorsByHand(t *testing.T) {
	truth := draw(
		"aaaa..bbbb..cccc......dddddddd..eeee....gggghh..iiiiiiiiiijj",
		"aaaa..bbbb..cccc......dddddddd..eeee....gggghh..iiiiiiiiiijj",
	)
	pred := draw(
		"aaaa..bbbbbbbbbb..xx..ddddeeee..ff....mmgggggg..kkkiiiiiiiii",
		"aaaa..bbbbbbbbbb..xx..ddddeeee..........gggggg..kkkiiiiiiiii",
	)
	o, err := Compare(truth, pred)
	if err != nil {
		t.Fatal(err)
	}
	gotT, gotP := o.Errors(0.6)
	name := func(m map[uint32]Outcome) map[string]string {
		out := map[string]string{}
		for id, v := range m {
			out[string(rune('a'+id-1))] = v.String()
		}
		return out
	}
	// g matches g although it also swallows h. i merges i and j, and i is
	// split into i and k as well: the merger is named.
	wantT := map[string]string{"a": "matched", "b": "merged", "c": "merged", "d": "split", "e": "inexact", "g": "matched", "h": "merged", "i": "merged", "j": "merged"}
	wantP := map[string]string{"a": "matched", "b": "merged", "x": "invented", "d": "split", "e": "split", "f": "inexact", "m": "invented", "g": "matched", "i": "merged", "k": "split"}
	if diff := cmp.Diff(wantT, name(gotT)); diff != "" {
		t.Errorf("true nuclei: %s", diff)
	}
	if diff := cmp.Diff(wantP, name(gotP)); diff != "" {
		t.Errorf("predicted nuclei: %s", diff)
	}
	empty := imageio.NewLabels(truth.W, truth.H)
	o, _ = Compare(truth, empty)
	gotT, gotP = o.Errors(0.5)
	for id, v := range gotT {
		if v != Missed || len(gotP) != 0 {
			t.Errorf("nucleus %d is %v without predictions", id, v)
		}
	}
}

// TestHalfIsNotMost: one nucleus covers another when it holds more than half of
// its pixels. Half is not more.
func TestHalfIsNotMost(t *testing.T) {
	for _, c := range []struct {
		name, truth, pred string
		wantT, wantP      map[uint32]Outcome
	}{
		{"a prediction over half of two nuclei merges none", "aaaabbbb....", "..aaaa......",
			map[uint32]Outcome{1: Missed, 2: Missed}, map[uint32]Outcome{1: Invented}},
		{"and over more than half of both, it does", "aaabbb......", ".aaaa.......",
			map[uint32]Outcome{1: Merged, 2: Merged}, map[uint32]Outcome{1: Merged}},
		{"two predictions half of which lie in a nucleus do not split it", "..aaaa......", "aaaabbbb....",
			map[uint32]Outcome{1: Missed}, map[uint32]Outcome{1: Invented, 2: Invented}},
		{"and with more than half of both, they do", ".aaaa.......", "aaabbb......",
			map[uint32]Outcome{1: Split}, map[uint32]Outcome{1: Split, 2: Split}},
		{"half of each other is no inexact outline", "aaaa........", "..aaaa......",
			map[uint32]Outcome{1: Missed}, map[uint32]Outcome{1: Invented}},
		{"half of one and all of another is no merger", "aaaabbb.....", "..aaaaa.....",
			map[uint32]Outcome{1: Missed, 2: Inexact}, map[uint32]Outcome{1: Inexact}},
		{"nor a split", "..aaaaa.....", "aaaabbb.....",
			map[uint32]Outcome{1: Inexact}, map[uint32]Outcome{1: Invented, 2: Inexact}},
		{"most of a nucleus is", "aaa.........", ".aaaa.......",
			map[uint32]Outcome{1: Inexact}, map[uint32]Outcome{1: Inexact}},
		{"most of a prediction is", ".aaaa.......", "aaa.........",
			map[uint32]Outcome{1: Inexact}, map[uint32]Outcome{1: Inexact}},
	} {
		o, err := Compare(draw(c.truth), draw(c.pred))
		if err != nil {
			t.Fatal(err)
		}
		gotT, gotP := o.Errors(0.9)
		if diff := cmp.Diff([]map[uint32]Outcome{c.wantT, c.wantP}, []map[uint32]Outcome{gotT, gotP}); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestAJIByHand: every true nucleus takes the prediction of largest IoU (Kumar
// et al. 2017, algorithm 1), of equals the first, and the pixels of predictions that
// none takes count as union.
func TestAJIByHand(t *testing.T) {
	for _, c := range []struct {
		truth, pred  string
		inter, union int64
	}{
		{"aaaaaaaa...dd", "abbbbb..cc...", 5, 8 + 2 /* d, missed */ + 1 /* a */ + 2 /* c */}, // b of the two that overlap a
		{"aaaaaa", "bbbbc.", 4, 6 + 1 /* c */},
		{"aaaa....", ".bcccccc", 1, 4 + 6 /* c */}, // IoU 1/4 and 2/8
	} {
		r, err := Match(draw(c.truth), draw(c.pred), Taus())
		if err != nil {
			t.Fatal(err)
		}
		if r.Inter != c.inter || r.Union != c.union || r.AJI() != float64(c.inter)/float64(c.union) {
			t.Errorf("%s and %s: AJI %d/%d = %v, want %d/%d", c.truth, c.pred, r.Inter, r.Union, r.AJI(), c.inter, c.union)
		}
	}
}

// TestBestIsTheLowest: among thresholds of equal F1 the lowest is best, as its
// mask is the largest that scores so.
func TestBestIsTheLowest(t *testing.T) {
	var c Curve
	c.Add([]float32{0.25, 0.75}, &imageio.Labels{W: 2, H: 1, ID: []uint32{0, 1}})
	if b := c.Best(); b.Threshold != 0.25 || b.F1() != 1 {
		t.Errorf("best is %v with F1 %v, want 0.25 with 1", b.Threshold, b.F1())
	}
}

// TestCrossEntropyByHand: -log of the probability of what is true, of at least
// 1e-7, so that one wrong pixel of certainty does not make the sum infinite.
func TestCrossEntropyByHand(t *testing.T) {
	got := CrossEntropy([]float32{0.5, 0.25, 0, 1}, &imageio.Labels{W: 4, H: 1, ID: []uint32{1, 0, 3, 0}})
	if want := -math.Log(0.5) - math.Log(0.75) - 2*math.Log(1e-7); math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestMeanAP: a mean, 0 of none.
func TestMeanAP(t *testing.T) {
	for _, c := range []struct {
		scores []Scores
		want   float64
	}{{nil, 0}, {[]Scores{{AP: 0.75}}, 0.75}, {[]Scores{{AP: 1}, {AP: 0.5}, {AP: 0.25}, {AP: 0.25}}, 0.5}} {
		if got := MeanAP(c.scores); got != c.want {
			t.Errorf("%v, want %v of %v", got, c.want, c.scores)
		}
	}
}

func TestSizesMustAgree(t *testing.T) {
	a, b := imageio.NewLabels(3, 4), imageio.NewLabels(4, 3)
	if _, err := Match(a, b, Taus()); err == nil {
		t.Error("Match takes images of two sizes")
	}
	if _, err := ComparePixels(a, b); err == nil {
		t.Error("ComparePixels takes images of two sizes")
	}
}

func TestCurveEqualsThresholding(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	l := imageio.NewLabels(40, 30)
	prob := make([]float32, 1200)
	for i := range prob {
		l.ID[i] = uint32(rng.IntN(3))
		prob[i] = min(1, rng.Float32()*0.8+0.3*float32(min(l.ID[i], 1)))
		if i%50 == 0 {
			prob[i] = float32(rng.IntN(1025)) / 1024 // exactly on a threshold
		}
	}
	prob[7], prob[8], prob[9], prob[10] = 0, 1, float32(math.NaN()), 1.5
	var c, d Curve
	c.Add(prob[:600], &imageio.Labels{W: 40, H: 15, ID: l.ID[:600]})
	d.Add(prob[600:], &imageio.Labels{W: 40, H: 15, ID: l.ID[600:]})
	c.Merge(&d)
	points := c.Points(1)
	if len(points) != 1023 {
		t.Fatalf("%d points", len(points))
	}
	bestF1 := 0.0
	for _, o := range points {
		var want Pixels
		for i, p := range prob {
			want.count(l.ID[i] != 0, p > float32(o.Threshold), 1)
		}
		if o.Pixels != want || c.At(o.Threshold) != want {
			t.Fatalf("threshold %v: curve %+v, At %+v, want %+v", o.Threshold, o.Pixels, c.At(o.Threshold), want)
		}
		bestF1 = max(bestF1, want.F1())
	}
	if b := c.Best(); b.F1() != bestF1 || b.Threshold == 0 {
		t.Errorf("best %+v has F1 %v, want %v", b, b.F1(), bestF1)
	}
	if n := len(c.Points(256)); n != 3 {
		t.Errorf("%d points at steps of 1/4, want 3", n)
	}
}

func TestPixelRatios(t *testing.T) {
	p := Pixels{TP: 6, FP: 2, FN: 4, TN: 8}
	for name, v := range map[string][2]float64{
		"accuracy": {p.Accuracy(), 0.7}, "precision": {p.Precision(), 0.75}, "recall": {p.Recall(), 0.6},
		"F1": {p.F1(), 12.0 / 18}, "IoU": {p.IoU(), 0.5},
		"precision of nothing found": {Pixels{FN: 3}.Precision(), 0}, "recall of nothing there": {Pixels{FP: 3}.Recall(), 0},
		"IoU of nothing": {Pixels{TN: 3}.IoU(), 1}, "precision of nothing": {Pixels{TN: 3}.Precision(), 1},
	} {
		if math.Abs(v[0]-v[1]) > 1e-15 {
			t.Errorf("%s is %v, want %v", name, v[0], v[1])
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	truth, pred := imageio.NewLabels(1024, 1024), imageio.NewLabels(1024, 1024)
	for id := uint32(1); id <= 500; id++ {
		x, y := 2+rng.IntN(990), 2+rng.IntN(990)
		for i := range 30 * 30 {
			truth.ID[(y+i/30)*1024+x+i%30] = id
			pred.ID[(y+i/30-2)*1024+x+i%30+2] = id
		}
	}
	for b.Loop() {
		if _, err := Match(truth, pred, Taus()); err != nil {
			b.Fatal(err)
		}
	}
}
