package cli

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/segment"
)

// writeStained writes a colour image of bright discs, of which those of positive
// are greener.
func writeStained(t *testing.T, file string, all, positive []disc) {
	t.Helper()
	gray, green := discs(64, 60, all...), discs(64, 60, positive...)
	m := image.NewRGBA(image.Rect(0, 0, gray.W, gray.H))
	for i, v := range gray.Pix {
		m.SetRGBA(i%gray.W, i/gray.W, color.RGBA{uint8(v), uint8(min(v, 150+green.Pix[i]/4)), uint8(v), 255})
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := imageio.WritePNG(file, m); err != nil {
		t.Fatal(err)
	}
}

// cells are those of a column of a table.
func cells(t *testing.T, file, column string) (list []string) {
	t.Helper()
	rows := readRows(t, file)
	at := slices.Index(rows[0], column)
	if at < 0 {
		t.Fatalf("%s has no column %s but %v", file, column, rows[0])
	}
	for _, row := range rows[1:] {
		list = append(list, row[at])
	}
	return list
}

// TestPredictMeasures: rings, stains, rules and markers are in the tables, what was
// left out is counted, and parts of a batch say the same as the whole.
func TestPredictMeasures(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	large := []disc{{15, 15, 7}, {40, 15, 7}, {15, 40, 7}}
	writeStained(t, filepath.Join(in, "p_B2_1.png"), append(slices.Clone(large), disc{45, 45, 3}), large[:1])
	writeStained(t, filepath.Join(in, "p_C3_1.png"), large[:2], large[:2])
	args := []string{"predict", in, "--model", model, "--diameter", "native", "--pixel-size", "0.5", "--ring", "2um", "--stains", "hdab",
		"--keep", "area>=60,confidence<2", "--positive", "green", "--condition", "well", "--colour-by", "area"}
	if _, stderr := mustRun(t, exitInput, append(slices.Clone(args), "--out", filepath.Join(dir, "no"))...); !strings.Contains(stderr, "confidence of a nucleus is not known") {
		t.Errorf("a rule about what is not known: %s", stderr)
	}
	args[slices.Index(args, "area>=60,confidence<2")] = "aera>=60"
	if _, stderr := mustRun(t, exitUsage, append(slices.Clone(args), "--out", filepath.Join(dir, "no"))...); !strings.Contains(stderr, `there is no measurement "aera"`) {
		t.Errorf("a rule about nothing: %s", stderr)
	}
	args[slices.Index(args, "aera>=60")] = "area>=60"
	stdout, _ := mustRun(t, 0, append(slices.Clone(args), "--out", out)...)
	for _, s := range []string{"p_B2_1.png: 3 nuclei, median", "1 left out", "3 of 5 positive for green"} {
		if !strings.Contains(stdout, s) {
			t.Errorf("the output lacks %q: %s", s, stdout)
		}
	}
	nuclei, summary := filepath.Join(out, segment.NucleiFile), filepath.Join(out, segment.SummaryFile)
	for column, want := range map[string][]string{
		"positive_green": {"true", "false", "false", "true", "true"}, "well": {"B02", "B02", "B02", "C03", "C03"}, "condition": {"B02", "B02", "B02", "C03", "C03"},
		"ring_mean_red": {"20", "20", "20", "20", "20"}, "mean_green": {"205", "155", "155", "205", "205"},
	} {
		if got := cells(t, nuclei, column); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", column, got, want)
		}
	}
	for _, column := range []string{"ring_area", "mean_DAB", "mean_hematoxylin", "ring_mean_DAB", "confidence"} {
		if got := cells(t, nuclei, column); len(got) != 5 {
			t.Errorf("%s: %v", column, got)
		}
	}
	for column, want := range map[string][]string{"count": {"3", "2"}, "dropped": {"1", "0"}, "positive_green": {"1", "2"}, "positive_share_green": {"0.333333", "1"},
		"density_per_mm2": {"3125", "2083.33"}} {
		if got := cells(t, summary, column); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", column, got, want)
		}
	}
	var m segment.Summary
	b, _ := os.ReadFile(filepath.Join(out, "manifest.json"))
	if err := json.Unmarshal(b, &m); err != nil || len(m.Markers) != 1 || !m.Markers[0].Otsu || m.Markers[0].Column != "mean_green" || len(m.Conditions) != 2 || m.Conditions[1].Positive["green"] != 2 {
		t.Errorf("markers %+v, conditions %+v (%v)", m.Markers, m.Conditions, err)
	}
	page, _ := os.ReadFile(filepath.Join(out, segment.PageFile))
	for _, s := range []string{"Positive nuclei", "Otsu", "1 left out", "Share positive for green", "Nuclei per mm²", "Plate"} {
		if !strings.Contains(string(page), s) {
			t.Errorf("the page lacks %q", s)
		}
	}

	parts := filepath.Join(dir, "parts")
	for _, part := range []string{"1/2", "2/2"} {
		mustRun(t, 0, append(slices.Clone(args), "--out", parts, "--shard", part)...)
	}
	mustRun(t, 0, "gather", parts)
	for _, name := range []string{segment.NucleiFile, segment.SummaryFile} {
		whole, _ := os.ReadFile(filepath.Join(out, name))
		if gathered, err := os.ReadFile(filepath.Join(parts, name)); err != nil || string(gathered) != string(whole) {
			t.Errorf("%s of parts differs from the whole's (%v):\n%s\n%s", name, err, gathered, whole)
		}
	}

	// measure says the same of the labels.
	table := filepath.Join(dir, "measured.csv")
	mustRun(t, 0, "measure", filepath.Join(out, "p_B2_1.labels.tif"), filepath.Join(in, "p_B2_1.png"), "--pixel-size", "0.5", "--ring", "2um", "--stains", "hdab", "--out", table)
	again, first := readRows(t, table), readRows(t, filepath.Join(out, "p_B2_1.nuclei.csv"))
	for i := range again {
		again[i][0], first[i][0] = "", ""
		at := slices.Index(first[0], "confidence")
		if i > 0 {
			first[i][at] = ""
		}
		if !slices.Equal(again[i], first[i]) {
			t.Errorf("measure: row %d is %v, predict has %v", i, again[i], first[i])
		}
	}
	// Those that are kept have the numbers of the label image.
	mustRun(t, 0, "measure", filepath.Join(out, "p_B2_1.labels.tif"), filepath.Join(in, "p_B2_1.png"), "--keep", "mean_green<200", "--force", "--out", table)
	if got := cells(t, table, "nucleus"); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("measure --keep: nuclei %v", got)
	}
	// Markers, and Otsu's threshold, are those of a batch of this image alone.
	alone := filepath.Join(dir, "alone")
	one := []string{filepath.Join(in, "p_B2_1.png"), "--pixel-size", "0.5", "--positive", "green,area>100"}
	mustRun(t, 0, append([]string{"predict", "--model", model, "--diameter", "native", "--out", alone}, one...)...)
	stdout, stderr := mustRun(t, 0, append(append([]string{"measure", filepath.Join(alone, "p_B2_1.labels.tif")}, one...), "--force", "--out", table)...)
	if !strings.Contains(stdout, "1 of 4 positive for green (above ") || !strings.Contains(stdout, "3 of 4 positive for area (above 100)") || stderr != "" {
		t.Errorf("measure --positive: %s %s", stdout, stderr)
	}
	for _, column := range []string{"positive_green", "positive_area"} {
		if got, want := cells(t, table, column), cells(t, filepath.Join(alone, segment.NucleiFile), column); !slices.Equal(got, want) {
			t.Errorf("measure: %s is %v, predict has %v", column, got, want)
		}
	}
	stdout, _ = mustRun(t, 0, append(append([]string{"measure", filepath.Join(alone, "p_B2_1.labels.tif")}, one...), "--json")...)
	var measured struct {
		Markers  []segment.MarkerRecord
		Positive map[string][]uint32
	}
	if err := json.Unmarshal([]byte(stdout), &measured); err != nil || len(measured.Markers) != 2 || measured.Markers[0].Positive != 1 || len(measured.Positive["green"]) != 1 || len(measured.Positive["area"]) != 3 {
		t.Errorf("measure --json: %v %+v", err, measured)
	}
	if _, stderr := mustRun(t, exitUsage, "measure", filepath.Join(alone, "p_B2_1.labels.tif"), "--positive", "green"); !strings.Contains(stderr, "no channel or measurement green\nhint: no channels are measured") {
		t.Errorf("a marker of nothing: %s", stderr)
	}
	mustRun(t, 2, "measure", filepath.Join(alone, "p_B2_1.labels.tif"), "--positive", "a>b")
	mustRun(t, 2, "predict", in, "--model", model, "--out", out, "--format", "labels", "--positive", "green")
	for _, flag := range []string{"--ring=x", "--stains=pas", "--keep=area", "--positive=a>b", "--colour-by=area:9-2"} {
		mustRun(t, 2, "predict", in, "--model", model, "--out", out, flag)
	}
}

// TestUnknownMarkers: a marker that no image has is a wrong command line, before anything
// is done; one that some images have is not. A colour image that is gray in substance
// has a channel 1.
func TestUnknownMarkers(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	gray, green, alike := filepath.Join(dir, "gray.png"), filepath.Join(dir, "green.png"), filepath.Join(dir, "alike.png")
	writeImage(t, gray, discs(64, 48, threeDiscs...))
	writeStained(t, green, []disc{{15, 15, 7}, {40, 15, 7}}, []disc{{15, 15, 7}})
	writeStained(t, alike, nil, nil)
	run := func(code int, markers string, images ...string) (stderr, out string) {
		t.Helper()
		out = filepath.Join(dir, "out", strings.NewReplacer(">", "", ",", "").Replace(markers)+filepath.Base(images[0]))
		_, stderr = mustRun(t, code, append([]string{"predict", "--model", model, "--diameter", "native", "--positive", markers, "--out", out}, images...)...)
		return stderr, out
	}
	for _, images := range [][]string{{green, gray}, {gray, green}} {
		stderr, out := run(exitUsage, "green,Ki67", images...)
		if !strings.Contains(stderr, "there is no channel or measurement Ki67\nhint: the channels are ") || !strings.Contains(stderr, "red, green, blue") {
			t.Error(stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Error("results were begun")
		}
	}
	if stderr, _ := run(exitOK, "GREEN>100,area", gray, green); !strings.Contains(stderr, "1 image has no channel or measurement GREEN") {
		t.Error(stderr)
	}
	for _, markers := range []string{"1>100", "mean_1>100", "area>9"} {
		if stderr, _ := run(exitOK, markers, alike); stderr != "" {
			t.Errorf("%s: %s", markers, stderr)
		}
	}
	run(exitInput, "Ki67", filepath.Join(dir, "out", "none.png"))
	labels := filepath.Join(dir, "labels.tif")
	writeImage(t, labels, numbered(64, 60, threeDiscs...))
	if _, stderr := mustRun(t, exitUsage, "measure", labels, green, "--positive", "Ki67"); !strings.Contains(stderr, "hint: the channels are red, green, blue;") {
		t.Error(stderr)
	}
}

// TestRegions: nuclei count in the region alone, polygons and masks alike, and so
// does the area of their density.
func TestRegions(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, regions := filepath.Join(dir, "in"), filepath.Join(dir, "regions")
	for _, name := range []string{"a.png", "sub/b.png"} {
		writeImage(t, filepath.Join(in, name), discs(60, 40, disc{12, 20, 6}, disc{45, 20, 6}))
	}
	mask := discs(60, 40)
	for i := range mask.Pix {
		mask.Pix[i] = 0
		if i%60 < 30 {
			mask.Pix[i] = 255
		}
	}
	writeImage(t, filepath.Join(regions, "a.png"), mask)
	polygon := `{"type":"Feature","properties":{"objectType":"annotation"},"geometry":{"type":"Polygon","coordinates":[[[0,0],[30,0],[30,40],[0,40],[0,0]]]}}`
	if err := os.MkdirAll(filepath.Join(regions, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	region := filepath.Join(regions, "sub", "b.geojson")
	if err := os.WriteFile(region, []byte(polygon), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	args := []string{"predict", in, "--model", model, "--diameter", "native", "--pixel-size", "1", "--region", regions, "--skip-existing", "--out", out}
	mustRun(t, 0, args...)
	summary := filepath.Join(out, segment.SummaryFile)
	for column, want := range map[string][]string{"count": {"1", "1"}, "dropped": {"1", "1"}, "region_area": {"1200", "1200"}, "density_per_mm2": {"833.333", "833.333"}} {
		if got := cells(t, summary, column); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", column, got, want)
		}
	}
	l, err := imageio.ReadLabels(filepath.Join(out, "sub", "b.labels.tif"))
	if err != nil || l.Max() != 1 || l.ID[20*60+45] != 0 {
		t.Errorf("a nucleus outside the region is in the labels (%v)", err)
	}
	// Another region, another result: what stands is done again.
	if err := os.WriteFile(region, []byte(strings.ReplaceAll(polygon, "30", "60")), 0o644); err != nil {
		t.Fatal(err)
	}
	mustRun(t, 0, args...)
	if got := cells(t, summary, "count"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("counts with a new region: %v", got)
	}
	if err := os.Remove(region); err != nil {
		t.Fatal(err)
	}
	if _, stderr := mustRun(t, 3, args...); !strings.Contains(stderr, "there is no region of it") {
		t.Errorf("no region: %s", stderr)
	}
}

// TestEarlierRuns: what a folder holds of earlier runs besides is told.
func TestEarlierRuns(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, name := range []string{"a.png", "b.png"} {
		writeImage(t, filepath.Join(in, name), discs(60, 40, disc{12, 20, 6}, disc{45, 20, 6}))
	}
	run := func(formats string, tells ...string) {
		t.Helper()
		_, stderr := mustRun(t, 0, "predict", in, "--model", model, "--format", formats, "--out", out)
		for _, text := range []string{"of earlier runs", "still holds"} {
			if told := slices.Contains(tells, text); strings.Contains(stderr, text) != told {
				t.Errorf("%s: %q is told: %v, want %v: %s", formats, text, !told, told, stderr)
			}
		}
	}
	run("csv,coco,labels")
	run("csv,coco,labels")
	if err := os.Remove(filepath.Join(in, "a.png")); err != nil {
		t.Fatal(err)
	}
	run("csv,coco,labels", "of earlier runs")
	run("labels", "still holds") // b.nuclei.csv, nuclei.csv and coco.json
	run("labels")
}

// TestUnknownValues: a measurement that no nucleus has, as those in µm where the size of
// pixels is not known, is told of, whether it tells positive nuclei or colours them.
func TestUnknownValues(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "a.png")
	writeImage(t, image, discs(64, 48, disc{20, 20, 8}))
	unknown := "area_um2 is not known of any nucleus, as the size of pixels is not (pixel-size): "
	args := []string{"predict", image, "--model", brightnessModel(t, unet.Nuclei), "--diameter", "native", "--colour-by", "area_um2"}
	for i, marker := range []string{"area_um2>5", "area_um2"} {
		out := filepath.Join(dir, fmt.Sprint("out", i))
		_, stderr := mustRun(t, 0, append(slices.Clone(args), "--positive", marker, "--out", out)...)
		if strings.Count(stderr, "warning:") != 2 || !strings.Contains(stderr, unknown+"positive nuclei are not counted") || !strings.Contains(stderr, unknown+"all are gray in pictures") {
			t.Errorf("predict: %s", stderr)
		}
		labels := filepath.Join(out, "a.labels.tif")
		if _, stderr := mustRun(t, 0, "measure", labels, "--positive", marker); !strings.Contains(stderr, unknown+"positive") || strings.Count(stderr, "warning:") != 1 {
			t.Errorf("measure: %s", stderr)
		}
		if _, stderr := mustRun(t, 0, "view", labels, "--colour-by", "area_um2", "--out", filepath.Join(out, "v.png")); !strings.Contains(stderr, unknown+"all are gray") {
			t.Errorf("view: %s", stderr)
		}
	}
	if _, stderr := mustRun(t, 0, append(args, "--positive", "area_um2>5", "--pixel-size", "0.5", "--out", filepath.Join(dir, "known"))...); strings.Contains(stderr, "not known") {
		t.Errorf("with the size of pixels: %s", stderr)
	}
}
