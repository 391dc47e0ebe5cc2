package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from the golden file (go test -run %s -update rewrites it); got:\n%s", name, t.Name(), got)
	}
}

func svgText(t testing.TB, d *Drawing) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.SVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// checkSVG fails unless the SVG is well-formed XML whose numbers are finite.
func checkSVG(t testing.TB, d *Drawing) {
	t.Helper()
	text := svgText(t, d)
	dec := xml.NewDecoder(strings.NewReader(text))
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("SVG is not well-formed: %v\n%s", err, text)
		}
		if e, ok := tok.(xml.StartElement); ok {
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Fatalf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

func history(n int) []Epoch {
	var h []Epoch
	for i := 1; i <= n; i++ {
		x := float64(i)
		s := Scores{Loss: 1 / x, Accuracy: 1 - 0.5/x, Precision: 0.9, Recall: 0.8, F1: 1 - 0.75/x, IoU: 0.7}
		h = append(h, Epoch{Number: i, Train: s, Val: &Scores{Loss: 1.2 / x, Accuracy: 1 - 0.6/x, F1: 1 - 0.8/x}, LR: 0.001, Seconds: 2.5})
	}
	return h
}

func TestGoldenSVG(t *testing.T) {
	golden(t, "curves.svg", []byte(svgText(t, Curves(history(4), 3, true))))
	edges := []float64{0, 1, 2, 3}
	p := &Plot{
		Title: `Bars & <steps>`, X: Axis{Label: "x [px]"}, Y: Axis{Label: "n"}, Width: 240, Height: 180,
		Series: []Series{{Name: "a", X: edges, Y: []float64{1, 2, 0}, Style: Bars}, {Name: "b", X: edges, Y: []float64{2, 1, 1}, Style: Bars},
			{Name: "c", X: edges, Y: []float64{1, 4, 1}, Style: Steps}},
	}
	golden(t, "bars.svg", []byte(svgText(t, p.Draw())))
}

func TestCurvesMarkTheBestEpoch(t *testing.T) {
	text := svgText(t, Curves(history(4), 3, true))
	if n := strings.Count(text, ">epoch 3: "); n != 10 { // label and tip of five plots
		t.Errorf("best epoch named %d times, want 10", n)
	}
	if strings.Contains(svgText(t, Curves(history(4), 9, true)), "epoch 9") {
		t.Error("an epoch outside the history is marked")
	}
	if n := strings.Count(text, "stroke-dasharray=\"5 3\""); n != 10 { // curve and legend
		t.Errorf("%d dashed validation lines, want 10", n)
	}
}

func TestCurvesRunOverEpochsWithoutValidation(t *testing.T) {
	h := history(5)
	h[1].Val, h[2].Val = nil, nil
	for _, p := range curvePlots(h, 4, true) {
		if got := p.Series[1].X; len(got) != 3 || got[1] != 4 {
			t.Errorf("%s: validation at epochs %v, want 1, 4, 5", p.Title, got)
		}
		if len(p.Marks) != 1 || p.Marks[0].X != 4 {
			t.Errorf("%s: marks %v", p.Title, p.Marks)
		}
	}
}

func TestCurvesShowAPWhereMeasured(t *testing.T) {
	h := history(3)
	if strings.Contains(svgText(t, Curves(h, 1, true)), "precision of nuclei") {
		t.Error("AP is shown though it was not measured")
	}
	h[2].Val.KaggleScore = 0.5
	if !strings.Contains(svgText(t, Curves(h, 1, true)), "precision of nuclei") {
		t.Error("AP is missing")
	}
}

// Losses of two kinds have an axis each; epoch 0 is the starting model.
func TestCurvesOfAFineTuning(t *testing.T) {
	start := Scores{Loss: 0.5, KaggleScore: 0.25}
	h := (&Training{History: history(3), Start: &start}).WithStart()
	plots := curvePlots(h, 0, false)
	for i, title := range []string{"Training loss", "Validation loss (cross-entropy)"} {
		if p := plots[i]; p.Title != title || len(p.Series) != 1 {
			t.Errorf("plot %d: %q of %d series", i, p.Title, len(p.Series))
		}
	}
	if x := plots[0].Series[0].X; len(x) != 3 || x[0] != 1 {
		t.Errorf("training losses at epochs %v", x)
	}
	validation := plots[1]
	if s := validation.Series[0]; len(s.X) != 4 || s.X[0] != 0 || s.Y[0] != 0.5 {
		t.Errorf("validation losses %v at epochs %v", s.Y, s.X)
	}
	if len(validation.Marks) != 1 || validation.Marks[0].Label != "starting model: 0.5000" {
		t.Errorf("marks %+v", validation.Marks)
	}
	if len(plots) != 7 {
		t.Errorf("%d plots", len(plots))
	}
}

func TestLogarithmicWhereValuesDifferMuch(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   bool
	}{
		{[]float64{0.0003, 0.003}, true}, {[]float64{1, 9.9}, false}, {[]float64{0, 100}, false},
		{[]float64{-1, 100}, false}, {nil, false}, {[]float64{nan, 1, 10}, true}, {[]float64{5}, false},
	} {
		if got := SpansDecade(c.values); got != c.want {
			t.Errorf("%v: %v", c.values, got)
		}
	}
}

func TestHostileNumbers(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	bad := Scores{nan, inf, -inf, nan, nan, nan, nan, inf, nan}
	for name, h := range map[string][]Epoch{
		"empty":    nil,
		"one":      history(1),
		"nan":      {{Number: 1, Train: bad, Val: &bad}, {Number: 2, Train: bad, Val: &bad}},
		"mixed":    append(history(3), Epoch{Number: 4, Train: bad, Val: &bad}),
		"same":     {{Number: 1}, {Number: 1}},
		"no val":   {{Number: 1, Train: Scores{Loss: 1}}, {Number: 2, Train: Scores{Loss: 0.5}}},
		"huge":     {{Number: 1, Train: Scores{Loss: math.MaxFloat64}}, {Number: 2, Train: Scores{Loss: -math.MaxFloat64}}},
		"tiny":     {{Number: 1, Train: Scores{Loss: 5e-324}}, {Number: 2, Train: Scores{Loss: 1e-320}}},
		"negative": {{Number: -5, Train: Scores{Loss: -3}}, {Number: 1 << 40, Train: Scores{Loss: 2}}},
	} {
		d := Curves(h, 1, true)
		checkSVG(t, d)
		if got := d.Image(1).Rect.Size(); float64(got.X) != d.W || float64(got.Y) != d.H {
			t.Errorf("%s: picture is %v, want %gx%g", name, got, d.W, d.H)
		}
	}
}

func TestAnyPlotCanBeDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Float64(), rapid.Float64Range(-10, 10), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0})), 0, 12)
		p := &Plot{Title: rapid.String().Draw(t, "title"), Width: rapid.IntRange(-5, 300).Draw(t, "w"), Height: rapid.IntRange(-5, 200).Draw(t, "h")}
		for _, a := range []*Axis{&p.X, &p.Y} {
			*a = Axis{Label: rapid.String().Draw(t, "label"), Log: rapid.Bool().Draw(t, "log"), Integer: rapid.Bool().Draw(t, "integer")}
			if rapid.Bool().Draw(t, "fixed") {
				a.Min, a.Max = rapid.Float64().Draw(t, "min"), rapid.Float64().Draw(t, "max")
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "named") == 0 {
			p.X.Names = rapid.SliceOfN(rapid.String(), 0, 5).Draw(t, "names")
		}
		for range rapid.IntRange(0, 3).Draw(t, "series") {
			p.Series = append(p.Series, Series{Name: rapid.String().Draw(t, "name"), X: values.Draw(t, "x"), Y: values.Draw(t, "y"),
				Style: Style(rapid.IntRange(0, 4).Draw(t, "style"))})
		}
		p.Marks = []Mark{{X: rapid.Float64().Draw(t, "mx"), Y: rapid.Float64().Draw(t, "my"), Label: "m"}}
		d := p.Draw()
		for _, s := range d.shapes {
			for _, q := range s.pts {
				if !finite(q.x) || !finite(q.y) {
					t.Fatalf("point %v", q)
				}
				if q.x < -1 || q.x > d.W+1 || q.y < -30 || q.y > d.H+30 {
					t.Fatalf("point %v outside of %gx%g", q, d.W, d.H)
				}
			}
		}
		var b bytes.Buffer
		d.svg(&b, true)
		if strings.Contains(b.String(), `="NaN`) {
			t.Fatal("NaN in the SVG")
		}
		d.Image(1)
	})
}

func TestTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Float64Range(-1e6, 1e6).Draw(t, "lo")
		hi := lo + rapid.Float64Range(1e-3, 1e6).Draw(t, "span")
		a := Axis{Log: rapid.Bool().Draw(t, "log"), Integer: rapid.Bool().Draw(t, "integer")}
		n := rapid.IntRange(2, 12).Draw(t, "n")
		s := a.scale(lo, hi)
		ticks := a.ticks(s, n)
		if len(ticks) > 2*n+1 {
			t.Fatalf("%d ticks for %d wanted", len(ticks), n)
		}
		slack := (s.hi - s.lo) * 1e-5
		for i, k := range ticks {
			if k.v < s.lo-slack || k.v > s.hi+slack {
				t.Fatalf("tick %g outside %g..%g", k.v, s.lo, s.hi)
			}
			if i > 0 && k.v <= ticks[i-1].v {
				t.Fatalf("ticks %g, %g do not increase", ticks[i-1].v, k.v)
			}
			if a.Integer && !a.Log && math.Abs(k.v-math.Round(k.v)) > 1e-6 {
				t.Fatalf("tick %g on an integer axis", k.v)
			}
		}
	})
}

func TestTickText(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		log    bool
		n      int
		want   string
	}{
		{0, 1, false, 5, "0 0.2 0.4 0.6 0.8 1.0"},
		{0, 334, false, 5, "0 100 200 300"},
		{-3, 3, false, 3, "−2 0 2"},
		{0, 50000, false, 5, "0 10k 20k 30k 40k 50k"},
		{1, 5000, true, 8, "1 3 10 30 100 300 1000 3000"},
		{1e-6, 1, true, 3, "1e−6 0.0001 0.01 1"},
		{0.0001, 0.0005, false, 4, "0.0001 0.0002 0.0003 0.0004 0.0005"},
	} {
		a := Axis{Log: c.log}
		var got []string
		for _, k := range a.ticks(a.scale(c.lo, c.hi), c.n) {
			got = append(got, k.text)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("ticks of %g..%g: %q, want %q", c.lo, c.hi, s, c.want)
		}
	}
}

func TestBothBackEndsAgree(t *testing.T) {
	d := &Drawing{W: 40, H: 30}
	red := color.RGBA{200, 10, 20, 255}
	d.rect(10, 5, 20, 10, solid(red), "")
	d.line([]point{{0, 20}, {40, 20}}, solid(color.RGBA{0, 0, 255, 255}), 2)
	if !strings.Contains(svgText(t, d), `d="M10 5L30 5L30 15L10 15Z" fill="#c80a14"`) {
		t.Errorf("rectangle is missing in\n%s", svgText(t, d))
	}
	for _, scale := range []int{1, 2, 3} {
		m := d.Image(float64(scale))
		if m.Rect.Dx() != 40*scale || m.Rect.Dy() != 30*scale {
			t.Fatalf("scale %d: size %v", scale, m.Rect)
		}
		for y := range 30 * scale {
			for x := range 40 * scale {
				want := color.RGBA{255, 255, 255, 255}
				switch u, v := x/scale, y/scale; {
				case u >= 10 && u < 30 && v >= 5 && v < 15:
					want = red
				case v == 19 || v == 20:
					want = color.RGBA{0, 0, 255, 255}
				}
				if got := m.RGBAAt(x, y); got != want {
					t.Fatalf("scale %d: pixel %d,%d is %v, want %v", scale, x, y, got, want)
				}
			}
		}
	}
}

func TestDashes(t *testing.T) {
	// A corner in the middle of the third dash must not disturb the pattern.
	parts := dashes([]point{{0, 0}, {18, 0}, {18, 12}}, []float64{5, 3})
	on := 0.0
	for _, p := range parts {
		for i := 1; i < len(p); i++ {
			on += math.Hypot(p[i].x-p[i-1].x, p[i].y-p[i-1].y)
		}
	}
	// 30 pixels hold dashes at 0, 8, 16 and 24 of 5 pixels each.
	if len(parts) != 4 || math.Abs(on-20) > 1e-9 {
		t.Errorf("%d dashes of %g pixels together, want 4 of 20: %v", len(parts), on, parts)
	}
}

func TestTextIsDrawnWhereMeasured(t *testing.T) {
	for _, c := range []struct {
		at   anchor
		x, l int
	}{{start, 10, 10}, {middle, 60, 60}, {end, 110, 110}} {
		d := &Drawing{W: 120, H: 30}
		d.text(float64(c.x), 20, "Hamburg", 14, inkStrong, c.at, false)
		m := d.Image(1)
		w := int(math.Ceil(textWidth("Hamburg", 14, false)))
		left := c.x - []int{0, w / 2, w}[c.at]
		ink := 0
		for y := range 30 {
			for x := range 120 {
				if m.RGBAAt(x, y).R < 200 {
					ink++
					if x < left-2 || x > left+w+2 || y < 6 || y > 25 {
						t.Fatalf("anchor %d: ink at %d,%d outside of %d+%d", c.at, x, y, left, w)
					}
				}
			}
		}
		if ink < 50 {
			t.Errorf("anchor %d: only %d dark pixels", c.at, ink)
		}
	}
}

func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Float64Range(-50, 1e4)).Draw(t, "values")
		a := Axis{Log: rapid.Bool().Draw(t, "log"), Integer: rapid.Bool().Draw(t, "integer")}
		p := Histogram("h", a, Axis{}, rapid.IntRange(1, 40).Draw(t, "bins"), []Group{{"g", values}})
		want := 0
		for _, v := range values {
			if !a.Log || v > 1e-150 {
				want++
			}
		}
		got := 0.0
		for _, s := range p.Series {
			for j, n := range s.Y {
				got += n
				if s.X[j+1] <= s.X[j] {
					t.Fatalf("edges %g, %g", s.X[j], s.X[j+1])
				}
				in := 0.0
				for _, v := range values {
					if v >= s.X[j] && (v < s.X[j+1] || j == len(s.Y)-1 && v == s.X[j+1]) {
						in++
					}
				}
				if in != n && !a.Integer {
					t.Fatalf("bin %g..%g counts %g values, want %g", s.X[j], s.X[j+1], n, in)
				}
			}
		}
		if got != float64(want) {
			t.Fatalf("%g values counted of %d", got, want)
		}
	})
}

func TestStackKeepsCounts(t *testing.T) {
	p := Stack("s", Axis{Log: true}, Axis{}, []string{"a", "b", "bad"}, []Bins{
		{[]float64{1, 10, 100, 1000}, []int64{5, 7, 11}},
		{[]float64{1, 5, 25, 125}, []int64{2, 3, 4}},
		{[]float64{1, 1}, []int64{9}}, // edges do not increase
	})
	for i, want := range []float64{23, 9, 0} {
		sum := 0.0
		for _, v := range p.Series[i].Y {
			sum += v
		}
		if math.Abs(sum-want) > 1e-9 {
			t.Errorf("series %d holds %g, want %g", i, sum, want)
		}
	}
	if got := p.Series[0].Y; got[0] != 5 || got[1] != 7 || got[2] != 11 {
		t.Errorf("equal bins changed: %v", got)
	}
}

func TestStackTrimsEmptyEnds(t *testing.T) {
	e := []float64{1, 2, 3, 4, 5, 6}
	p := Stack("s", Axis{}, Axis{}, nil, []Bins{{e, []int64{0, 2, 0, 0, 0}}, {e, []int64{0, 0, 0, 5, 0}}, {e, make([]int64, 5)}})
	for i, s := range p.Series {
		if len(s.X) != 4 || s.X[0] != 2 || len(s.Y) != 3 {
			t.Errorf("series %d has edges %v and counts %v", i, s.X, s.Y)
		}
	}
	if p.Series[0].Y[0] != 2 || p.Series[1].Y[2] != 5 {
		t.Errorf("counts moved: %v", p.Series)
	}
	Stack("s", Axis{}, Axis{}, nil, []Bins{{e, make([]int64, 5)}}).Draw()
}

func BenchmarkCurves(b *testing.B) {
	h := history(100)
	for b.Loop() {
		d := Curves(h, 90, true)
		if err := d.SVG(io.Discard); err != nil {
			b.Fatal(err)
		}
		if err := d.PNG(io.Discard, 1); err != nil {
			b.Fatal(err)
		}
	}
}
