package report

import (
	"bytes"
	"encoding/xml"
	"image"
	"io"
	"strings"
	"testing"
)

const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>&amp; javascript:alert(3) {{.Title}}`

// element is what the checks need of a parsed page.
type element struct {
	name  string
	attrs map[string]string
}

// parseHTML reads a page as loose XML and fails on anything that would make
// it depend on scripts or on other files.
func parseHTML(t *testing.T, page *Page) (elements []element, text string) {
	t.Helper()
	var b bytes.Buffer
	if err := page.HTML(&b); err != nil {
		t.Fatal(err)
	}
	dec := xml.NewDecoder(bytes.NewReader(b.Bytes()))
	dec.Strict = false
	dec.AutoClose = xml.HTMLAutoClose
	dec.Entity = xml.HTMLEntity
	depth := 0
	var words strings.Builder
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("page does not parse: %v", err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			depth++
			el := element{e.Name.Local, map[string]string{}}
			for _, a := range e.Attr {
				el.attrs[a.Name.Local] = a.Value
			}
			elements = append(elements, el)
		case xml.EndElement:
			depth--
		case xml.CharData:
			words.Write(e)
		}
	}
	if depth != 0 {
		t.Errorf("%d elements stay open", depth)
	}
	for _, e := range elements {
		switch e.name {
		case "script", "link", "iframe", "object", "embed", "base", "form":
			t.Errorf("page has a <%s>", e.name)
		}
		for k, v := range e.attrs {
			if strings.HasPrefix(k, "on") {
				t.Errorf("<%s> has a handler %s=%q", e.name, k, v)
			}
			if k == "href" && !strings.HasPrefix(v, "#") || k == "src" && !strings.HasPrefix(v, "data:image/png;base64,") {
				t.Errorf("<%s %s=%.60q> leads out of the page", e.name, k, v)
			}
		}
	}
	return elements, words.String()
}

func count(elements []element, name string) (n int) {
	for _, e := range elements {
		if e.name == name {
			n++
		}
	}
	return n
}

func TestPagesAreSelfContainedAndEscape(t *testing.T) {
	s := sample(hostile, 40, 30)
	s.Kind, s.Scores = hostile, []Score{{hostile, 1}}
	facts := []Fact{{Name: hostile, Value: hostile}}
	bins := Bins{[]float64{0, 1, 2}, []int64{1, 2}}
	in, err := InspectionPage(&Inspection{
		Title: hostile, Subtitle: hostile, Facts: facts, Footer: hostile,
		Findings: []Finding{{Bad, hostile, hostile, hostile}, {Info, "", "", "x"}},
		Kinds:    []Kind{{Name: hostile, Images: 1, Nuclei: []float64{3}, Areas: bins, Intensity: bins, Samples: []Sample{s}}},
		Total:    &Kind{Name: "all"}, Sizes: []SizeCount{{1, 2, 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	train, err := TrainingPage(&Training{Title: hostile, Subtitle: hostile, Settings: facts, History: history(3), Best: 2, Monitor: hostile,
		Status: hostile, Samples: []Sample{s}, Footer: hostile})
	if err != nil {
		t.Fatal(err)
	}
	eval, err := EvaluationPage(&Evaluation{Title: hostile, Subtitle: hostile, Facts: facts, Notes: []string{hostile}, Footer: hostile,
		Scores:    []ScoreTable{{hostile, hostile, []string{hostile, "b"}, []ScoreRow{{hostile, 1, 2, []float64{0.5}}}}},
		Confusion: []Confusion{{hostile, 1, 2, 3, 4}}, Thresholds: []ThresholdPoint{{0.5, 1, 1, 1}}, BestThreshold: 0.5,
		AP: []APCurve{{hostile, []float64{0.5, 0.6}, []float64{1, 0.9}}}, Sheets: []SampleSet{{hostile, hostile, []Sample{s}}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		page                *Page
		tables, svgs, tiles int
	}{
		"inspection": {in, 3, 1, 1},
		"training":   {train, 2, 1, 5},
		"evaluation": {eval, 2, 1, 5},
	} {
		t.Run(name, func(t *testing.T) {
			elements, text := parseHTML(t, c.page)
			if n := count(elements, "table"); n != c.tables {
				t.Errorf("%d tables, want %d", n, c.tables)
			}
			if n := count(elements, "svg"); n != c.svgs {
				t.Errorf("%d drawings, want %d", n, c.svgs)
			}
			if n := count(elements, "img"); n != c.tiles {
				t.Errorf("%d pictures, want %d", n, c.tiles)
			}
			if !strings.Contains(text, hostile) {
				t.Error("the hostile name is not shown as it is")
			}
		})
	}
}

func TestEmptyReports(t *testing.T) {
	for name, make := range map[string]func() (*Page, error){
		"inspection": func() (*Page, error) { return InspectionPage(&Inspection{}) },
		"no kinds": func() (*Page, error) {
			return InspectionPage(&Inspection{Kinds: []Kind{{}, {AreaMedian: nan, Intensity: Bins{[]float64{0}, nil}}}})
		},
		"training":   func() (*Page, error) { return TrainingPage(&Training{Best: 3}) },
		"evaluation": func() (*Page, error) { return EvaluationPage(&Evaluation{BestThreshold: nan, AP: []APCurve{{}}}) },
	} {
		p, err := make()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		parseHTML(t, p)
	}
}

func TestBadSampleIsNamed(t *testing.T) {
	bad := sample("the-bad-one", 20, 20)
	bad.Prob = bad.Prob[:7]
	for _, err := range []error{
		second(TrainingPage(&Training{Samples: []Sample{bad}})),
		second(EvaluationPage(&Evaluation{Sheets: []SampleSet{{"worst", "", []Sample{bad}}}})),
		second(InspectionPage(&Inspection{Kinds: []Kind{{Samples: []Sample{bad}}}})),
	} {
		if err == nil || !strings.Contains(err.Error(), "the-bad-one") {
			t.Errorf("error %v does not name the sample", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestNumericColumnsAreAlignedRight(t *testing.T) {
	p := &Page{}
	p.Section("s").Table(&Table{Columns: []Column{{Name: "a"}, {"b", true}}, Rows: [][]string{{"x", "1", "beyond"}, {"y"}}})
	elements, _ := parseHTML(t, p)
	var classes []string
	for _, e := range elements {
		if e.name == "th" || e.name == "td" {
			classes = append(classes, e.attrs["class"])
		}
	}
	if got := strings.Join(classes, ","); got != ",n,,n,," {
		t.Errorf("classes %q", got)
	}
}

func TestPictureBlock(t *testing.T) {
	p := &Page{Title: "p"}
	s := p.Section("s")
	if err := s.Picture(image.NewGray(image.Rect(0, 0, 7, 5)), "alt", "caption"); err != nil {
		t.Fatal(err)
	}
	if err := s.Picture(image.NewGray(image.Rect(0, 0, 0, 5)), "nothing", ""); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("empty picture: error %v", err)
	}
	elements, _ := parseHTML(t, p)
	for _, e := range elements {
		if e.name == "img" && (e.attrs["width"] != "7" || e.attrs["height"] != "5" || e.attrs["alt"] != "alt") {
			t.Errorf("img %v", e.attrs)
		}
	}
}

func TestFindingCounts(t *testing.T) {
	got := FindingCounts([]Finding{{Info, "crop", "a", ""}, {Warning, "hole", "a", "one"}, {Warning, "hole", "a", "again"}, {Warning, "hole", "b", ""},
		{Warning, "rare", "", ""}, {Bad, "empty", "c", ""}})
	want := "error empty 1 1 |warning hole 3 2 one|warning rare 1 0 |info crop 1 1 "
	var lines []string
	for _, r := range got.Rows {
		lines = append(lines, strings.Join(r, " "))
	}
	if s := strings.Join(lines, "|"); s != want {
		t.Errorf("counts %q, want %q", s, want)
	}
}

func TestTrainingPageNamesWhatIsKept(t *testing.T) {
	start := &Scores{Loss: 0.0302, KaggleScore: 0.8884}
	for _, c := range []struct {
		name        string
		in          Training
		says, lacks []string
	}{
		{"nothing yet", Training{History: history(2)}, []string{"No epoch has been kept yet."}, []string{"cross-entropy of"}},
		{"an epoch", Training{History: history(3), Best: 2, Monitor: "val_loss", Loss: "Dice loss"},
			[]string{"The weights of epoch 2 are kept, the best by val_loss.", "The training loss is Dice loss;"}, []string{"before training"}},
		{"the start", Training{History: history(3), Start: start}, []string{"the model that training began with, which is kept", "starting model", "Epoch 0 is", "0.0302", "0.8884"},
			[]string{"No epoch has been kept yet"}},
	} {
		p, err := TrainingPage(&c.in)
		if err != nil {
			t.Fatal(err)
		}
		_, text := parseHTML(t, p)
		for _, s := range c.says {
			if !strings.Contains(text, s) {
				t.Errorf("%s: the page lacks %q", c.name, s)
			}
		}
		for _, s := range c.lacks {
			if strings.Contains(text, s) {
				t.Errorf("%s: the page says %q", c.name, s)
			}
		}
	}
}

func TestQuantileLiesBetween(t *testing.T) {
	v := []float64{4, nan, 1, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 1: 4, 0.25: 1.75} {
		if got := quantile(v, q); got != want {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
	}
	if got := quantile([]float64{7}, 0.5); got != 7 {
		t.Errorf("of one value: %g", got)
	}
}

func TestFactsLinkAndCodeIsShownAsItIs(t *testing.T) {
	p := &Page{}
	s := p.Section("s")
	s.Facts([]Fact{{"open", "the report", "run/report.html"}, {"bad", "a script", "javascript:alert(1)"}})
	s.Code("unet prepare a.zip --out <b>")
	var b bytes.Buffer
	if err := p.HTML(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<a href="run/report.html">the report</a>`, "<pre>unet prepare a.zip --out &lt;b&gt;</pre>"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(b.String(), "javascript:") {
		t.Error("a link runs a script")
	}
}
