package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/evaluate"
	"unet/unet/imageio"
	"unet/unet/segment"

	"github.com/google/go-cmp/cmp"
)

// preparedSet makes a synthetic set and returns its folder.
func preparedSet(t *testing.T, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	zip, set := filepath.Join(dir, "images.zip"), filepath.Join(dir, "set")
	mustRun(t, exitOK, "sample", "--out", zip, "--count", "10", "--size", "96", "--seed", "3")
	mustRun(t, exitOK, append([]string{"prepare", zip, "--out", set, "--split", "0.4,0.4,0.2"}, options...)...)
	return set
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestEvaluateReport(t *testing.T) {
	for _, kind := range []string{unet.Nuclei, unet.Paper} {
		t.Run(kind, func(t *testing.T) {
			set, model := preparedSet(t, "--size", "native"), brightnessModel(t, kind)
			out := filepath.Join(t.TempDir(), "a", "report")
			stdout, _ := mustRun(t, exitOK, "evaluate", set, "--model", model, "--out", out, "--samples", "2")
			want := []string{"curves.png", "curves.svg", "images.csv", "index.html", "metrics.json", "sheet-best.png", "sheet-random.png",
				"sheet-test-best.png", "sheet-test-random.png", "sheet-test-worst.png", "sheet-train.png", "sheet-worst.png"}
			files := tree(t, out)
			errors := slices.Clone(files)
			errors = slices.DeleteFunc(errors, func(name string) bool { return !strings.HasPrefix(name, "errors/") })
			files = slices.DeleteFunc(files, func(name string) bool { return strings.HasPrefix(name, "errors/") })
			if d := cmp.Diff(want, files); d != "" || len(errors) < 4 {
				t.Errorf("%d error pictures, files:\n%s", len(errors), d)
			}
			for _, line := range strings.Split(stdout, "\n") {
				if n := len([]rune(line)); n > 80 && !strings.HasPrefix(line, "report ") && !strings.HasSuffix(line, ".") { // terminals wrap sentences
					t.Errorf("line of %d characters: %s", n, line)
				}
			}
			var r evaluate.Report
			readJSON(t, filepath.Join(out, "metrics.json"), &r)
			var names []string
			images := 0
			for _, s := range r.Results.Splits {
				names = append(names, s.Name)
				images += len(s.Images)
				if e := s.All.Nuclei.Errors; s.Summary != e.String() || !strings.Contains(stdout, s.Name+": "+s.Summary+"\n") {
					t.Errorf("%s: summary %q of %+v, printed:\n%s", s.Name, s.Summary, e, stdout)
				}
				if len(s.All.Nuclei.Pooled) != 10 || s.All.Nuclei.Truth == 0 {
					t.Errorf("%s: %d thresholds, %d nuclei", s.Name, len(s.All.Nuclei.Pooled), s.All.Nuclei.Truth)
				}
			}
			if d := cmp.Diff([]string{dataset.Train, dataset.Val, dataset.Test}, names); d != "" || images != 10 {
				t.Errorf("%d images in the splits:\n%s", images, d)
			}
			// Bright nuclei are found by brightness, dark ones are not.
			for _, k := range r.Results.Splits[0].Kinds {
				if f1 := k.Pixels.F1; k.Name == dataset.FluorescenceLarge && f1 < 0.5 || k.Name == dataset.GrayTissue && f1 > 0.2 {
					t.Errorf("F1 of %s is %v", k.Name, f1)
				}
			}
			rows := readRows(t, filepath.Join(out, "images.csv"))
			if len(rows) != images+1 {
				t.Fatalf("%d rows, want %d", len(rows), images+1)
			}
			first := r.Results.Splits[0].Images[0]
			if got := rows[1][:3]; !slices.Equal(got, []string{dataset.Train, first.ID, first.Kind}) {
				t.Errorf("first row %q", rows[1])
			}
			html, err := os.ReadFile(filepath.Join(out, "index.html"))
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"Random images of val", "Best images of val", "Worst images of val", "Worst images of test", "Details of test", "Confusion counts",
				r.Model.SHA256, r.Main().Images[0].ID, r.Main().Summary} {
				if !strings.Contains(string(html), part) {
					t.Errorf("the page lacks %q", part)
				}
			}
			// Every picture leads to the whole image's errors.
			for _, name := range errors {
				if !strings.Contains(string(html), `<a href="`+name+`">`) {
					t.Errorf("the page does not lead to %s", name)
				}
				if m, err := imageio.Read(filepath.Join(out, filepath.FromSlash(name))); err != nil || m.W != m.H || m.W < 257 {
					t.Errorf("%s: %v", name, err)
				}
			}
			// Standard output in JSON is metrics.json.
			stdout, _ = mustRun(t, exitOK, "evaluate", set, "--model", model, "--json", "--threads", "1", "-q")
			saved, err := os.ReadFile(filepath.Join(out, "metrics.json"))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(saved), stdout); d != "" {
				t.Errorf("metrics.json and --json differ:\n%s", d)
			}
		})
	}
}

func TestEvaluateTune(t *testing.T) {
	set, model := preparedSet(t, "--size", "native"), brightnessModel(t, unet.Nuclei)
	before := evaluateJSON(t, set, "--model", model, "--split", "val")
	r := evaluateJSON(t, set, "--model", model, "--split", "val", "--tune")
	if r.Tuning == nil || r.Tuning.Objective.After < r.Tuning.Objective.Before || r.Tuning.Trials < 10 {
		t.Fatalf("tuning %+v", r.Tuning)
	}
	if a, b := r.Results.Splits[0].All.Pixels.F1, before.Results.Splits[0].All.Pixels.F1; a < b {
		t.Errorf("F1 of pixels fell from %v to %v", b, a)
	}
	m, err := unet.LoadModel(model)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	if m.Card.Threshold != r.Tuning.Threshold.After || m.Card.Instance != r.Tuning.After {
		t.Errorf("stored %v %+v, chosen %+v", m.Card.Threshold, m.Card.Instance, r.Tuning)
	}
	if got := m.Card.Training.Metrics["kaggle_score"]; got != r.Results.Splits[0].All.Nuclei.KaggleScore {
		t.Errorf("the card's AP is %v", got)
	}
	// Without --tune nothing in the file changes.
	after := evaluateJSON(t, set, "--model", model, "--split", "val")
	again := evaluateJSON(t, set, "--model", model, "--split", "val")
	if after.Model.SHA256 != again.Model.SHA256 || after.Model.SHA256 == before.Model.SHA256 {
		t.Error("the model file changed without --tune, or did not with it")
	}
	var x, y strings.Builder
	if err := errors.Join(encodeJSON(&x, r.Results), encodeJSON(&y, after.Results)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(x.String(), y.String()); d != "" {
		t.Errorf("the stored thresholds give other scores than those chosen:\n%s", d)
	}
}

func evaluateJSON(t *testing.T, args ...string) *evaluate.Report {
	t.Helper()
	stdout, _ := mustRun(t, exitOK, append([]string{"evaluate", "--json", "-q"}, args...)...)
	r := new(evaluate.Report)
	if err := json.Unmarshal([]byte(stdout), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEvaluateNotes(t *testing.T) {
	small := preparedSet(t, "--size", "64")
	_, stderr := mustRun(t, exitOK, "evaluate", small, "--model", brightnessModel(t, unet.Nuclei), "--split", "test")
	if !strings.Contains(stderr, "native size") {
		t.Errorf("no note about the scale: %s", stderr)
	}
	_, stderr = mustRun(t, exitOK, "evaluate", small, "--model", brightnessModel(t, unet.Paper), "--split", "test")
	if strings.Contains(stderr, "note") {
		t.Errorf("a needless note: %s", stderr)
	}
	// With mirror images a symmetric model gives the same.
	model := brightnessModel(t, unet.Nuclei)
	a := evaluateJSON(t, small, "--model", model, "--split", "test")
	b := evaluateJSON(t, small, "--model", model, "--split", "test", "--tta")
	if x, y := a.Results.Splits[0].All.Pixels.F1, b.Results.Splits[0].All.Pixels.F1; math.Abs(x-y) > 1e-3 || !b.Results.TTA {
		t.Errorf("F1 %v without and %v with TTA", x, y)
	}
}

// TestSolution scores a submission that predict writes against the truth.
func TestSolution(t *testing.T) {
	dir := t.TempDir()
	write := func(name, s string) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
		return p
	}
	solution := write("solution.csv", "ImageId,EncodedPixels,Height,Width,Usage\na,1 20,10,10,Public\na,41 20,10,10,Public\nb,,10,10,Private\n")
	half := write("half.csv", "ImageId,EncodedPixels\na,1 20\nz,1 3\n")
	stdout, stderr := mustRun(t, exitOK, "evaluate", "--solution", solution, half)
	if !strings.Contains(stdout, "KaggleScore 0.75000") {
		t.Errorf("output %s", stdout)
	}
	if !strings.Contains(stderr, "1 image of the solution") || !strings.Contains(stderr, "1 image not in the solution") {
		t.Errorf("warnings %s", stderr)
	}
	stdout, _ = mustRun(t, exitOK, "evaluate", half, "--solution="+solution, "--json")
	var s evaluate.SolutionScores
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatal(err)
	}
	if s.Scores.KaggleScore != 0.75 || s.Images != 2 || s.Missing[0] != "b" || s.Extra[0] != "z" {
		t.Errorf("scores %+v", s)
	}
	bad := write("bad.csv", "a,b\n1,2\n")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "argument is missing", []string{"--solution", solution}},
		{exitUsage, "--tta", []string{"--solution", solution, half, "--tta"}},
		{exitInput, "absent.csv", []string{"--solution", solution, filepath.Join(dir, "absent.csv")}},
		{exitInput, "bad.csv", []string{"--solution", bad, half}},
		{exitInput, "bad.csv", []string{"--solution", solution, bad}},
		{exitInput, "size of image a", []string{"--solution", half, half}},
	} {
		if _, stderr := mustRun(t, c.code, append([]string{"evaluate"}, c.args...)...); !strings.Contains(stderr, c.want) {
			t.Errorf("%q: %s", c.args, stderr)
		}
	}
}

func TestEvaluateErrors(t *testing.T) {
	set, model := preparedSet(t), brightnessModel(t, unet.Paper)
	empty := t.TempDir()
	noModel := filepath.Join(empty, "no.safetensors")
	if err := os.WriteFile(noModel, []byte("this is not a model"), 0o666); err != nil {
		t.Fatal(err)
	}
	noFolder := filepath.Join(noModel, "x")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "argument is missing", nil},
		{exitUsage, "too many arguments", []string{set, set}},
		{exitUsage, "built-in model", []string{set, "--tune"}},
		{exitUsage, "no built-in model", []string{set, "--model", "embedded:none"}},
		{exitUsage, `"train,vla"`, []string{set, "--model", model, "--split", "train,vla"}},
		{exitUsage, "--samples", []string{set, "--model", model, "--samples", "0"}},
		{exitUsage, "did you mean --model?", []string{set, "--modle", model}},
		{exitInput, "absent", []string{filepath.Join(empty, "absent"), "--model", model}},
		{exitInput, "", []string{empty, "--model", model}},
		{exitInput, "absent", []string{set, "--model", filepath.Join(empty, "absent")}},
		{exitFormat, "no.safetensors", []string{set, "--model", noModel}},
		{exitInput, "no.safetensors", []string{set, "--model", model, "--out", noFolder}}, // a path that leads nowhere
	} {
		_, stderr := mustRun(t, c.code, append([]string{"evaluate"}, c.args...)...)
		if !strings.Contains(stderr, c.want) || !strings.HasPrefix(lastError(stderr), "unet: ") {
			t.Errorf("%q: %s", c.args, stderr)
		}
	}
}

// lastError is the line of standard error that says what went wrong.
func lastError(stderr string) string {
	for _, line := range strings.Split(stderr, "\n") {
		if strings.HasPrefix(line, "unet: ") {
			return line
		}
	}
	return ""
}

// TestSubmissionAgreesWithEvaluate scores what predict submits for the images
// of a set by --solution, and the same model on the same set directly.
func TestSubmissionAgreesWithEvaluate(t *testing.T) {
	dir, model := preparedSet(t, "--size", "64"), brightnessModel(t, unet.Paper)
	set, err := dataset.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var solution strings.Builder
	solution.WriteString("ImageId,EncodedPixels,Height,Width,Usage\n")
	for i := range set.Entries {
		s, err := set.Load(i)
		if err != nil {
			t.Fatal(err)
		}
		// Pixels are numbered down the columns from 1.
		pixels := map[uint32][]string{}
		for x := range s.Labels.W {
			for y := range s.Labels.H {
				if id := s.Labels.ID[y*s.Labels.W+x]; id != 0 {
					pixels[id] = append(pixels[id], fmt.Sprintf("%d 1", x*s.Labels.H+y+1))
				}
			}
		}
		for _, p := range pixels {
			fmt.Fprintf(&solution, "%s,%s,%d,%d,Public\n", s.ID, strings.Join(p, " "), s.Labels.H, s.Labels.W)
		}
	}
	file := filepath.Join(t.TempDir(), "solution.csv")
	if err := os.WriteFile(file, []byte(solution.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	mustRun(t, exitOK, "predict", filepath.Join(dir, "images"), "--model", model, "--format", "rle-csv", "--out", out)
	stdout, stderr := mustRun(t, exitOK, "evaluate", "--solution", file, filepath.Join(out, segment.RLEFile), "--json")
	if stderr != "" {
		t.Errorf("warnings: %s", stderr)
	}
	var got evaluate.SolutionScores
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	want, n, matched := 0.0, 0, 0
	for _, s := range evaluateJSON(t, dir, "--model", model).Results.Splits {
		for _, v := range s.Images {
			want += v.MeanAP
			n++
		}
		matched += s.All.Nuclei.Errors.Matched
	}
	want /= float64(n)
	if got.Images != n || math.Abs(got.Scores.KaggleScore-want) > 1e-12 || got.Scores.Errors.Matched != matched || matched == 0 {
		t.Errorf("%d images, score %v, %d matched; want %d, %v, %d", got.Images, got.Scores.KaggleScore, got.Scores.Errors.Matched, n, want, matched)
	}
}
