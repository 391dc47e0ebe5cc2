package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"unet/core/coretest"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/dataset/datasettest"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
	"unet/unet/metrics"
	"unet/unet/modeltest"

	"github.com/google/go-cmp/cmp"
)

// preparedSet is a small synthetic set on disk.
func preparedSet(t *testing.T, count, size int) *dataset.Set {
	t.Helper()
	return datasettest.Prepared(t, dataset.Synthesis{Count: count, Size: size, Seed: 5},
		dataset.Options{Seed: 1, Fractions: dataset.Fractions{Train: 0.4, Val: 0.4, Test: 0.2}})
}

func evaluateWith(t *testing.T, threads int, set *dataset.Set) *Evaluation {
	t.Helper()
	p := unet.NewPredictor(coretest.Engine(t, "", threads), modeltest.Small(t))
	defer p.Close()
	calls := 0
	ev, err := Score(t.Context(), p, set, ScoreOptions{Splits: []string{dataset.Train, dataset.Val}, Progress: func(done, total int) {
		calls++
		if done != calls || total != len(set.Split(dataset.Train))+len(set.Split(dataset.Val)) {
			t.Errorf("progress %d/%d at call %d", done, total, calls)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// TestEvaluate checks every figure against what the maps say, computed anew.
func TestEvaluate(t *testing.T) {
	coretest.NeedsKernels(t)
	set := preparedSet(t, 12, 64)
	ev := evaluateWith(t, 3, set)
	if d := cmp.Diff(text(t, evaluateWith(t, 1, set)), text(t, ev)); d != "" {
		t.Errorf("one thread and three differ:\n%s", d)
	}
	m := modeltest.Small(t)
	p := unet.NewPredictor(coretest.Engine(t, "", 2), m)
	defer p.Close()
	for _, s := range ev.Splits {
		var sum metrics.Pixels
		var agg metrics.Aggregate
		var loss, pixels float64
		images, nuclei := 0, 0
		for k, i := range set.Split(s.Name) {
			v := s.Images[k]
			sample, err := set.Load(i)
			if err != nil {
				t.Fatal(err)
			}
			if v.ID != sample.ID || v.Kind != sample.Kind || v.Index != i {
				t.Fatalf("image %d of %s is %s %s, want %s %s", k, s.Name, v.ID, v.Kind, sample.ID, sample.Kind)
			}
			maps, err := p.Maps(t.Context(), sample.Image)
			if err != nil {
				t.Fatal(err)
			}
			mask := imageio.NewLabels(maps.W, maps.H)
			for j, q := range maps.Plane(instance.Foreground) {
				if q > 0.5 {
					mask.ID[j] = 1
				}
				if sample.Labels.ID[j] == 0 {
					q = 1 - q
				}
				loss -= math.Log(float64(q))
				pixels++
			}
			px, err := metrics.ComparePixels(sample.Labels, mask)
			if err != nil {
				t.Fatal(err)
			}
			if px != v.Pixels.Pixels {
				t.Errorf("%s: pixels %+v, want %+v", v.ID, v.Pixels.Pixels, px)
			}
			sum.Merge(px)
			r, err := metrics.Match(sample.Labels, instance.Separate(maps, m.Card.Instance), metrics.Taus())
			if err != nil {
				t.Fatal(err)
			}
			agg.Add(r)
			if v.MeanAP != r.Score() || v.AJI != r.AJI() || v.Truth != r.Truth || v.Predicted != r.Pred {
				t.Errorf("%s: nuclei %+v, want %+v", v.ID, v, r)
			}
			e := v.Errors
			if got := e.Matched + e.Missed + e.Merged + e.Split + e.Inexact; got != r.Truth {
				t.Errorf("%s: outcomes of %d nuclei, want %d: %+v", v.ID, got, r.Truth, e)
			}
			if e.Matched != r.At[0].TP {
				t.Errorf("%s: %d matched, want %d", v.ID, e.Matched, r.At[0].TP)
			}
		}
		if s.All.Pixels.Pixels != sum || s.All.Pixels.Dice != sum.F1() || s.All.Pixels.Accuracy != sum.Accuracy() {
			t.Errorf("%s: pixels %+v, want %+v", s.Name, s.All.Pixels, sum)
		}
		if s.All.Nuclei.KaggleScore != agg.Score() || s.All.Nuclei.MeanAP != metrics.MeanAP(agg.Pooled()) {
			t.Errorf("%s: %+v, want the score %v", s.Name, s.All.Nuclei, agg.Score())
		}
		if d := math.Abs(s.All.Loss - loss/pixels); d > 1e-5 {
			t.Errorf("%s: loss %v, want %v", s.Name, s.All.Loss, loss/pixels)
		}
		for _, k := range s.Kinds {
			images += k.Images
			nuclei += k.Nuclei.Truth
		}
		if images != len(s.Images) || nuclei != s.All.Nuclei.Truth {
			t.Errorf("%s: kinds sum to %d images and %d nuclei, all are %d and %d", s.Name, images, nuclei, len(s.Images), s.All.Nuclei.Truth)
		}
		for _, o := range s.Curve {
			if o.F1 > s.Best.F1 {
				t.Errorf("%s: F1 %v at %v is better than the best, %v at %v", s.Name, o.F1, o.Threshold, s.Best.F1, s.Best.Threshold)
			}
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEvaluateErrors(t *testing.T) {
	set := preparedSet(t, 6, 64)
	p := unet.NewPredictor(coretest.Engine(t, "", 2), modeltest.Small(t))
	defer p.Close()
	_, err := Score(t.Context(), p, set, ScoreOptions{Splits: []string{"none"}})
	var input *dataset.InputError
	if !errors.As(err, &input) {
		t.Errorf("unknown split: %v", err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := Score(ctx, p, set, ScoreOptions{Splits: []string{dataset.Train}}); !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Tune(ctx, p, set, dataset.Val, nil, nil); !errors.Is(err, why) {
		t.Errorf("tuning cancelled: %v", err)
	}
	e := set.Entries[set.Split(dataset.Train)[0]]
	if err := os.WriteFile(filepath.Join(set.Dir, "images", e.ID+".png"), []byte("no image"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Score(t.Context(), p, set, ScoreOptions{Splits: []string{dataset.Train}}); err == nil || !strings.Contains(err.Error(), e.ID) {
		t.Errorf("damaged image: %v", err)
	}
}

func TestTune(t *testing.T) {
	coretest.NeedsKernels(t)
	set := preparedSet(t, 10, 64)
	var results []string
	for _, threads := range []int{1, 3} {
		m := modeltest.Small(t)
		m.Card.Threshold, m.Card.Instance.Foreground = 0.75, 0.7
		p := unet.NewPredictor(coretest.Engine(t, "", threads), m)
		calls, highest := 0, 0.0
		r, err := Tune(t.Context(), p, set, dataset.Val, nil, func(done int, best float64) {
			calls++
			if done != calls || best < highest {
				t.Errorf("trial %d, call %d: the best so far is %v, was %v", done, calls, best, highest)
			}
			highest = best
		})
		p.Close()
		if err != nil {
			t.Fatal(err)
		}
		if r.Objective.After < r.Objective.Before || r.F1.After < r.F1.Before {
			t.Errorf("tuning made it worse: %+v", r)
		}
		if m.Card.Threshold != r.Threshold.After || m.Card.Instance != r.After {
			t.Errorf("the card has %v %+v, the result %+v", m.Card.Threshold, m.Card.Instance, r)
		}
		if err := m.Card.Check(); err != nil {
			t.Error(err)
		}
		// The figure is that of an evaluation with the card as it is now.
		p = unet.NewPredictor(coretest.Engine(t, "", 2), m)
		ev, err := Score(t.Context(), p, set, ScoreOptions{Splits: []string{dataset.Val}})
		p.Close()
		if err != nil {
			t.Fatal(err)
		}
		n := ev.Splits[0].All.Nuclei
		if got := (n.MeanAP + n.KaggleScore) / 2; math.Abs(got-r.Objective.After) > 1e-12 {
			t.Errorf("AP %v after tuning, %v when evaluated", r.Objective.After, got)
		}
		if got := ev.Splits[0].All.Pixels.F1; got != r.F1.After || ev.Splits[0].Best.F1 != got {
			t.Errorf("F1 %v after tuning, %v when evaluated, best %v", r.F1.After, got, ev.Splits[0].Best.F1)
		}
		results = append(results, text(t, r))
	}
	if d := cmp.Diff(results[0], results[1]); d != "" {
		t.Errorf("one thread and three differ:\n%s", d)
	}
}

func TestScoreSolution(t *testing.T) {
	read := func(s string) []formats.Encoded {
		t.Helper()
		list, err := formats.ReadRLE(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	const head = "ImageId,EncodedPixels,Height,Width,Usage\n"
	// Image a of 10 x 10 has two nuclei of 20 pixels, b none, c is ignored.
	solution := read(head + "a,1 20,10,10,Public\na,41 20,10,10,Public\nb,,10,10,Private\nc,1 5,10,10,Ignored\n")
	const plain = "ImageId,EncodedPixels\n"
	for _, c := range []struct {
		name, predictions string
		kaggle, pooled50  float64
		missing, extra    int
	}{
		{"perfect", "a,1 20\na,41 20\nb,\n", 1, 1, 0, 0},
		{"nothing", "a,\nb,\n", 0.5, 0, 0, 0},
		{"b missing", "a,1 20\na,41 20\n", 1, 1, 1, 0},
		{"one of two", "a,1 20\nb,\n", 0.75, 0.5, 0, 0},
		{"invented in b", "a,1 20\na,41 20\nb,1 5\n", 0.5, 2. / 3, 0, 0},
		// 14 of 20 pixels is an IoU of 0.7: matched at 0.50 to 0.70.
		{"inexact", "a,1 20\na,41 14\nb,\n", (1 + (5*1+5./3)/10) / 2, 1, 0, 0},
		{"ignored and extra", "a,1 20\na,41 20\nb,\nc,1 9\nz,1 9\n", 1, 1, 0, 1},
	} {
		s, err := ScoreSolution(solution, read(plain+c.predictions))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if math.Abs(s.Scores.KaggleScore-c.kaggle) > 1e-12 || math.Abs(s.Scores.Pooled[0].AP-c.pooled50) > 1e-12 {
			t.Errorf("%s: Kaggle score %v, pooled AP at 0.5 %v, want %v and %v", c.name, s.Scores.KaggleScore, s.Scores.Pooled[0].AP, c.kaggle, c.pooled50)
		}
		if len(s.Missing) != c.missing || len(s.Extra) != c.extra || s.Ignored != 1 || s.Images != 2 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
	for name, solution := range map[string]string{
		"no size":     plain + "a,1 20\n",
		"huge":        head + "a,1 20,1000000,1000000,Public\n",
		"all ignored": head + "a,1 20,10,10,Ignored\n",
		"empty":       head,
	} {
		var input *dataset.InputError
		if _, err := ScoreSolution(read(solution), nil); !errors.As(err, &input) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ScoreSolution(solution, read(plain+"a,95 20\n")); err == nil {
		t.Error("a prediction beyond the image was scored")
	}
}

// TestEvaluateCancels counts images, not time.
func TestEvaluateCancels(t *testing.T) {
	set := preparedSet(t, 12, 64)
	p := unet.NewPredictor(coretest.Engine(t, "", 1), modeltest.Small(t))
	defer p.Close()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	images := 0
	_, err := Score(ctx, p, set, ScoreOptions{Splits: []string{dataset.Train, dataset.Val, dataset.Test}, Progress: func(done, total int) {
		if images = done; done == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || images > 3 {
		t.Errorf("error %v after %d images", err, images)
	}
	if _, err := Tune(ctx, p, set, dataset.Val, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("tuning: %v", err)
	}
	goroutinesEnd(t, before)
}

// goroutinesEnd waits until no more goroutines are left than before. Those
// that have done their work may take a moment to be gone.
func goroutinesEnd(t *testing.T, before int) {
	t.Helper()
	for range 10000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), before)
}

func TestErrorCountsSayWhatBecameOfNuclei(t *testing.T) {
	for _, v := range []struct {
		counts ErrorCounts
		want   string
	}{
		{ErrorCounts{Matched: 72, Merged: 16, Missed: 16, Inexact: 2, Invented: 5},
			"Of 106 nuclei, 72 are found, 16 merged with a neighbour, 16 missed, 2 found in part; 5 false detections."},
		{ErrorCounts{Matched: 1, Split: 3, Invented: 1}, "Of 4 nuclei, 1 is found, 3 found in pieces; 1 false detection."},
		{ErrorCounts{Missed: 2}, "Of 2 nuclei, none is found, 2 missed."},
		{ErrorCounts{Matched: 22}, "All 22 nuclei are found."},
		{ErrorCounts{Matched: 1, Invented: 2}, "The only nucleus is found; 2 false detections."},
		{ErrorCounts{Merged: 1}, "Of 1 nucleus, none is found, 1 merged with a neighbour."},
		{ErrorCounts{Invented: 1}, "There are no nuclei; 1 false detection."},
		{ErrorCounts{}, "There are no nuclei."},
	} {
		if got := v.counts.String(); got != v.want {
			t.Errorf("%+v: %q, want %q", v.counts, got, v.want)
		}
	}
}

// TestErrorCountsAdd: each count is added to its own.
func TestErrorCountsAdd(t *testing.T) {
	sum := ErrorCounts{Matched: 1, Missed: 2, Invented: 3, Merged: 4, Split: 5, Inexact: 6}
	sum.add(ErrorCounts{Matched: 10, Missed: 20, Invented: 30, Merged: 40, Split: 50, Inexact: 60})
	if want := (ErrorCounts{11, 22, 33, 44, 55, 66}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
}

// TestTableEndsInMeans: the last line of the table holds the means of the others.
func TestTableEndsInMeans(t *testing.T) {
	n := NucleusScores{
		Pooled:   []metrics.Scores{{Tau: 0.5, AP: 0.8, Precision: 0.9, Recall: 0.7, F1: 0.75, PQ: 0.6}, {Tau: 0.75, AP: 0.4, Precision: 0.5, Recall: 0.1, F1: 0.25, PQ: 0.2}},
		PerImage: []metrics.Scores{{Tau: 0.5, AP: 0.3, Precision: 0.4, Recall: 0.2, F1: 0.35, PQ: 0.5}, {Tau: 0.75, AP: 0.1, Precision: 0.2, Recall: 0, F1: 0.15, PQ: 0.1}},
	}
	rows := n.Table().Rows
	want := []string{"mean", "0.600", "0.700", "0.400", "0.500", "0.400", "0.200", "0.300", "0.100", "0.250", "0.300"}
	if last := rows[len(rows)-1]; !slices.Equal(last, want) {
		t.Errorf("%v, want %v", last, want)
	}
}

func TestErrorPictureNames(t *testing.T) {
	for id, want := range map[string]string{
		"a/b c":                  "errors/7-a_b_c.png",
		`..\\Zellkern für "x"`:   "errors/7-..__Zellkern_für__x_.png",
		strings.Repeat("ü", 150): "errors/7-" + strings.Repeat("ü", 100) + ".png",
	} {
		if got := errorPicture(&ImageScores{ID: id, Index: 7}); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}
