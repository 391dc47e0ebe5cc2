package train

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet"

	"github.com/google/go-cmp/cmp"
)

// TestVariants: each combination is trained once, in the order of the settings, with the
// other settings as they are, in a folder named after it.
func TestVariants(t *testing.T) {
	base, err := NucleiConfig("quick")
	if err != nil {
		t.Fatal(err)
	}
	o := &SweepOptions{Out: "out", Base: base, Vary: []Axis{{"lr", []string{"0.001", "0.002"}}, {"batch", []string{"2", "4", "8"}}}}
	list, err := o.variants()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range list {
		v := &list[i]
		want := base
		want.LearningRate, want.Batch = v.config.LearningRate, v.config.Batch
		if diff := cmp.Diff(want, v.config); diff != "" {
			t.Errorf("%s: %s", v.text, diff)
		}
		got = append(got, fmt.Sprintf("%s: %v %v", filepath.ToSlash(v.Folder), v.config.LearningRate, v.config.Batch))
	}
	want := []string{
		"out/lr=0.001_batch=2: 0.001 2", "out/lr=0.001_batch=4: 0.001 4", "out/lr=0.001_batch=8: 0.001 8",
		"out/lr=0.002_batch=2: 0.002 2", "out/lr=0.002_batch=4: 0.002 4", "out/lr=0.002_batch=8: 0.002 8",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Those drawn are different ones, and the same for the same seed.
	o.Random = 4
	first, err := o.variants()
	again, err2 := o.variants()
	if err != nil || err2 != nil || len(first) != 4 {
		t.Fatal(len(first), err, err2)
	}
	seen := map[string]bool{}
	for i := range first {
		seen[first[i].text] = true
		if first[i].text != again[i].text {
			t.Errorf("%q, then %q", first[i].text, again[i].text)
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d different ones of 4", len(seen))
	}
	for name, vary := range map[string][]Axis{
		"no setting":     {{"luck", []string{"1"}}},
		"varied twice":   {{"lr", []string{"0.001"}}, {"lr", []string{"0.002"}}},
		"a value twice":  {{"lr", []string{"0.001", "0.002", "0.001"}}},
		"an empty value": {{"block", []string{""}}},
		"a wrong value":  {{"lr", []string{"fast"}}},
		"beyond a limit": {{"batch", []string{"0"}}},
	} {
		o := &SweepOptions{Base: base, Vary: vary}
		if _, err := o.variants(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestSweepTable: below each name stands what it names, and what ranks is the first
// measure: of nuclei MeanAP, of the paper's model F1.
func TestSweepTable(t *testing.T) {
	v := Variant{Settings: map[string]string{"lr": "0.5"}, Threshold: 0.125, Best: Epoch{Epoch: 6}, Epochs: 7, Parameters: 8, Seconds: 9,
		Scores: Scores{F1: 0.01, MeanAP: 0.02, KaggleScore: 0.03, Loss: 0.04, IoU: 0.05}}
	for kind, c := range map[string]struct {
		first string
		more  map[string]string
	}{
		unet.Nuclei: {"MeanAP", map[string]string{"KaggleScore": "0.0300"}},
		unet.Paper:  {"F1", map[string]string{"IoU": "0.0500"}},
	} {
		o := &SweepOptions{Base: Config{Kind: kind}, Vary: []Axis{{Setting: "lr"}}}
		table := o.table([]Variant{v})
		got := map[string]string{}
		for i, column := range table.Columns {
			got[column.Name] = table.Rows[0][i]
		}
		want := map[string]string{"lr": "0.5", "MeanAP": "0.0200", "F1": "0.0100", "val loss": "0.0400", "best threshold": "0.125",
			"best epoch": "6", "epochs done": "7", "parameters": "8", "seconds": "9"}
		maps.Copy(want, c.more)
		if diff := cmp.Diff(want, got); diff != "" || table.Columns[1].Name != c.first {
			t.Errorf("%s, by %s: %s", kind, table.Columns[1].Name, diff)
		}
	}
}

// TestEffects: numbers stand at their values, on a logarithmic axis where they span
// decades, and names side by side; the best variant, which is the first, is marked. A
// setting of one value has no effect.
func TestEffects(t *testing.T) {
	o := &SweepOptions{Vary: []Axis{{"lr", []string{"0.001", "0.1"}}, {"schedule", []string{"cosine", "plateau"}}, {"batch", []string{"8"}}}}
	list := []Variant{
		{Settings: map[string]string{"lr": "0.1", "schedule": "plateau", "batch": "8"}, Scores: Scores{MeanAP: 0.75}},
		{Settings: map[string]string{"lr": "0.001", "schedule": "cosine", "batch": "8"}, Scores: Scores{MeanAP: 0.5}},
	}
	plots := o.effects(list, o.measures()[0])
	if len(plots) != 2 {
		t.Fatalf("%d plots", len(plots))
	}
	for i, want := range [][]float64{{0.1, 0.001}, {1, 0}} {
		p := plots[i]
		if diff := cmp.Diff(want, p.Series[0].X); diff != "" || !slices.Equal(p.Series[0].Y, []float64{0.75, 0.5}) {
			t.Errorf("%s: %v %s", p.Title, p.Series[0].Y, diff)
		}
		if p.X.Log != (i == 0) || len(p.X.Names) != 2*i || p.Marks[0].X != want[0] || p.Marks[0].Y != 0.75 {
			t.Errorf("%s: %+v, marks %+v", p.Title, p.X, p.Marks)
		}
	}
}

func TestWords(t *testing.T) {
	for want, list := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := words(list); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

// TestCurvesOfTheBest: six variants are drawn, and that there are more is told.
func TestCurvesOfTheBest(t *testing.T) {
	o := &SweepOptions{Base: Config{Monitor: "val_loss"}}
	for n, told := range map[int]bool{1: false, 6: false, 7: true} {
		list := make([]Variant, n)
		for i := range list {
			e := Epoch{Epoch: 1, Val: &Scores{Loss: float64(i + 1)}}
			list[i].Best, list[i].history = e, []Epoch{e}
		}
		p, caption := o.curves(list)
		if len(p.Series) != min(n, 6) || strings.Contains(caption, "Only the best 6") != told {
			t.Errorf("%d variants: %d curves, %q", n, len(p.Series), caption)
		}
	}
}
