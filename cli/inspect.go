package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"unet/unet/dataset"
	"unet/unet/imageio/owned"
	"unet/unet/report"

	"github.com/urfave/cli/v2"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "look at annotated images: samples, histograms, findings",
		UsageText: "unet inspect SET|ARCHIVE|FOLDER [--out DIR] [options]",
		Description: "Describes a prepared set, or a zip or folder that unet prepare understands: sizes,\n" +
			"intensities, nuclei per image and nucleus area for each kind of image, and what\n" +
			"the checks found. --out writes index.html with contact sheets of samples and\n" +
			"their outlines, the same sheets and histograms.png, and inspection.json.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` for the report"},
			&cli.IntFlag{Name: "samples", Value: 10, Usage: "`NUMBER` of images of each kind on the contact sheets, 1 to 100"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print every finding"},
			forceFlag(""),
		},
		Action: inspect,
	}
}

func inspect(c *cli.Context) error {
	t := term(c)
	name, err := oneArgument(c, "a prepared set, or a zip or folder of annotated images")
	if err != nil {
		return err
	}
	n := c.Int("samples")
	if n < 1 || n > 100 {
		return usagef("--samples %d: 1 to 100", n)
	}
	out := c.String("out")
	if out == "" {
		n = 0
	}
	var m *dataset.Metadata
	var samples map[string][]*dataset.Sample
	prepared := isSet(name)
	if prepared {
		m, samples, err = inspectSet(c.Context, t, name, n)
	} else {
		m, samples, err = inspectSource(c.Context, t, name, n)
	}
	if err != nil {
		return err
	}
	r := inspectResult{firstLayout, name, prepared, m.Source, m.Counts, m.Stats, m.Entries, append([]dataset.Finding{}, m.Findings...)}
	if out != "" {
		if err := writeInspection(out, c.Bool("force"), &r, inspection(&r, m, samples)); err != nil {
			return err
		}
	}
	if t.json {
		return t.writeJSON(r)
	}
	printFindings(t, m.Findings, c.Bool("verbose"))
	if err := t.table(inspectionTable(m)); err != nil {
		return err
	}
	t.printf("\n")
	if len(m.Stats.All.Sizes) > 0 {
		t.printf("%s\n", sizesText(m))
	}
	if prepared {
		size := "their own sizes"
		if s := m.Settings.Size; s > 0 {
			size = fmt.Sprintf("%dx%d", s, s)
		}
		t.printf("prepared at %s: %d train, %d val, %d test; figures of the source\n",
			size, m.Counts.Splits[dataset.Train], m.Counts.Splits[dataset.Val], m.Counts.Splits[dataset.Test])
	}
	if m.Counts.LeftOut > 0 {
		t.printf("%s left out for errors\n", count(m.Counts.LeftOut, "image"))
	}
	if out != "" {
		t.printf("report %s\n", filepath.Join(out, "index.html"))
	}
	return nil
}

// isSet says whether a path is a folder that unet prepare wrote, sound or not.
func isSet(name string) bool {
	_, err := os.Stat(filepath.Join(name, "metadata.json"))
	return !errors.Is(err, fs.ErrNotExist) && err == nil
}

// rank orders the images of a kind at random, the same way every time.
func rank(id string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, id)
	// FNV alone leaves names that differ at the end close together.
	v := h.Sum64()
	v ^= v >> 32
	return v * 0x9e3779b97f4a7c15
}

// inspectSet reads what a prepared set knows of itself, and n samples of each
// kind.
func inspectSet(ctx context.Context, t *terminal, dir string, n int) (*dataset.Metadata, map[string][]*dataset.Sample, error) {
	set, err := dataset.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	of := map[string][]int{}
	for i, e := range set.Entries {
		of[e.Kind] = append(of[e.Kind], i)
	}
	samples := map[string][]*dataset.Sample{}
	total := 0
	for kind, list := range of {
		slices.SortFunc(list, func(a, b int) int { return cmp.Compare(rank(set.Entries[a].ID), rank(set.Entries[b].ID)) })
		of[kind] = list[:min(n, len(list))]
		total += len(of[kind])
	}
	bar := t.progress("reading samples", "images", total, 0)
	done := 0
	for kind, list := range of {
		for _, i := range list {
			if err := context.Cause(ctx); err != nil {
				return nil, nil, err
			}
			s, err := set.Load(i)
			if err != nil {
				return nil, nil, err
			}
			samples[kind] = append(samples[kind], s)
			done++
			bar.update(done, "")
		}
	}
	return set.Meta, samples, nil
}

// inspectSource reads a whole source and keeps n samples of each kind.
func inspectSource(ctx context.Context, t *terminal, name string, n int) (*dataset.Metadata, map[string][]*dataset.Sample, error) {
	src, err := dataset.OpenSource(name)
	if err != nil {
		return nil, nil, err
	}
	defer src.Close()
	var mu sync.Mutex
	samples := map[string][]*dataset.Sample{}
	keep := func(_ int, s *dataset.Sample) error {
		mu.Lock()
		defer mu.Unlock()
		list := append(samples[s.Kind], s)
		slices.SortFunc(list, func(a, b *dataset.Sample) int { return cmp.Compare(rank(a.ID), rank(b.ID)) })
		samples[s.Kind] = slices.Clone(list[:min(n, len(list))])
		return nil
	}
	bar := t.progress("reading", "images", src.Len(), 0)
	m, err := dataset.Inspect(ctx, src, false, func(done, _ int) { bar.update(done, "") }, keep)
	if err != nil {
		return nil, nil, err
	}
	return m, samples, nil
}

// inspectionTable is a line per kind: medians over images of the number of
// nuclei, of the share of the area in nuclei and of their contrast; the
// diameter of nuclei in pixels, its median and 5th and 95th percentile.
func inspectionTable(m *dataset.Metadata) *report.Table {
	t := &report.Table{Columns: append([]report.Column{{Name: "kind"}},
		report.Numeric("images", "nuclei", "/image", "diam.", "5 %", "95 %", "area", "contrast")...)}
	row := func(k *dataset.KindStats) {
		px := func(v float64) string {
			if k.Diameter.N == 0 {
				v = math.NaN()
			}
			return report.Number(v, 1)
		}
		t.Add(k.Kind, strconv.Itoa(k.Images), strconv.Itoa(k.Nuclei), report.Number(k.NucleiPerImage.Median, 0),
			px(k.Diameter.Median), px(k.Diameter.P5), px(k.Diameter.P95),
			report.Number(100*k.Coverage.Median, 0)+" %", report.Number(k.Contrast.Median, 2))
	}
	for i := range m.Stats.Kinds {
		row(&m.Stats.Kinds[i])
	}
	row(&m.Stats.All)
	return t
}

// sizesText lists the most frequent sizes.
func sizesText(m *dataset.Metadata) string {
	const most = 4
	s := "sizes "
	for i, v := range m.Stats.All.Sizes {
		if i == most {
			s += fmt.Sprintf(", %d others", len(m.Stats.All.Sizes)-most)
			break
		}
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%dx%d (%d)", v.W, v.H, v.Count)
	}
	return s
}

// inspection fills in the report.
func inspection(r *inspectResult, m *dataset.Metadata, samples map[string][]*dataset.Sample) *report.Inspection {
	in := &report.Inspection{
		Title: "Inspection of " + filepath.Base(r.Name), Subtitle: r.Name, Footer: "unet " + version(),
		Facts: []report.Fact{
			{Name: "images", Value: strconv.Itoa(m.Counts.Images)},
			{Name: "nuclei", Value: strconv.Itoa(m.Stats.All.Nuclei)},
			{Name: "groups of related images", Value: strconv.Itoa(m.Counts.Groups)},
			{Name: "left out for errors", Value: strconv.Itoa(m.Counts.LeftOut)},
			{Name: "source", Value: m.Source.Name},
			{Name: "SHA-256 of the content", Value: m.Source.SHA256},
		},
	}
	if r.Prepared {
		size := "native"
		if s := m.Settings.Size; s > 0 {
			size = fmt.Sprintf("%dx%d", s, s)
		}
		in.Facts = append(in.Facts,
			report.Fact{Name: "prepared size", Value: size + "; figures are of the source images"},
			report.Fact{Name: "train / val / test", Value: fmt.Sprintf("%d / %d / %d images, seed %d", m.Counts.Splits[dataset.Train],
				m.Counts.Splits[dataset.Val], m.Counts.Splits[dataset.Test], m.Settings.Seed)})
	}
	for _, f := range m.Findings {
		level := map[dataset.Level]report.Level{dataset.Error: report.Bad, dataset.Warning: report.Warning}[f.Level]
		text := f.Text
		if f.File != "" {
			text = f.File + ": " + text
		}
		in.Findings = append(in.Findings, report.Finding{Level: level, Code: f.Code, Where: f.ID, Text: text})
	}
	nuclei := map[string][]float64{}
	var all []float64
	for _, e := range m.Entries {
		nuclei[e.Kind] = append(nuclei[e.Kind], float64(e.SourceNuclei))
		all = append(all, float64(e.SourceNuclei))
	}
	for i := range m.Stats.Kinds {
		k := &m.Stats.Kinds[i]
		v := reportKind(k, nuclei[k.Kind])
		for _, s := range samples[k.Kind] {
			v.Samples = append(v.Samples, report.Sample{Name: s.ID, Kind: s.Kind, Image: s.Image, Truth: s.Labels})
		}
		in.Kinds = append(in.Kinds, v)
	}
	total := reportKind(&m.Stats.All, all)
	in.Total = &total
	for _, s := range m.Stats.All.Sizes {
		in.Sizes = append(in.Sizes, report.SizeCount{W: s.W, H: s.H, Images: s.Count})
	}
	return in
}

func reportKind(k *dataset.KindStats, nuclei []float64) report.Kind {
	v := report.Kind{Name: k.Kind, Images: k.Images, Nuclei: nuclei,
		Areas: report.Bins(k.AreaHist), Intensity: report.Bins(k.Intensity),
		AreaMedian: k.Area.Median, AreaP5: k.Area.P5, AreaP95: k.Area.P95}
	if k.Area.N == 0 {
		v.AreaMedian, v.AreaP5, v.AreaP95 = math.NaN(), math.NaN(), math.NaN()
	}
	return v
}

// writeInspection writes the files of --out.
func writeInspection(out string, force bool, r *inspectResult, in *report.Inspection) error {
	page, err := report.InspectionPage(in)
	if err != nil {
		return err
	}
	plots := in.Plots()
	files := map[string]func(io.Writer) error{
		"index.html":      page.HTML,
		"histograms.png":  func(w io.Writer) error { return plots.PNG(w, 1.5) },
		"histograms.svg":  plots.SVG,
		"inspection.json": owned.JSON(r),
	}
	sheets, err := in.Sheets()
	if err != nil {
		return err
	}
	for _, s := range sheets {
		files["sheet-"+s.Title+".png"] = func(w io.Writer) error { return report.EncodePNG(w, s.Image()) }
	}
	return owned.Write(out, owned.Options{Force: force}, files)
}
