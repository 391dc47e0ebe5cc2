package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"unet/unet/dataset"
	"unet/unet/report"

	"github.com/urfave/cli/v2"
)

func prepareCommand() *cli.Command {
	return &cli.Command{
		Name:      "prepare",
		Usage:     "check annotated images and make a set for training",
		UsageText: "unet prepare ARCHIVE|FOLDER... --out DIR [options]",
		Description: "Reads annotated images from a zip in place or from a folder, checks them, resizes\n" +
			"them and splits them into train, val and test. These layouts are understood:\n" +
			"Kaggle's ID/images/ID.png with one mask per nucleus in ID/masks/, a folder of images\n" +
			"beside one of label images (images/X.png, labels/X.png), nnU-Net's imagesTr/ and\n" +
			"labelsTr/, and annotations beside their images: X.labels.tif, X_mask.*, X_masks.*,\n" +
			"X_cp_masks.* and X_seg.npy (Cellpose), X.rois.zip and X_RoiSet.zip (ImageJ),\n" +
			"X.geojson (QuPath). Whatever is left out is named, with the reason.\n\n" +
			"The nuclei model needs images at their own scale (--size native, the default), a\n" +
			"paper model squares (--size 128). Images of one field always go to the same split. A\n" +
			"few findings of each check are printed; metadata.json has all of them. Preparing the\n" +
			"same set again changes nothing.\n\n" +
			"Every image gets a source, the laboratory it comes from: by its size and look, or as\n" +
			"the table --sources says. `unet train --split-by source` leaves whole sources out.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`FOLDER` for the prepared set"},
			&cli.StringFlag{Name: "size", Value: "native", Usage: "width and height in `PIXELS` (the paper: 128), or native"},
			&cli.StringFlag{Name: "split", Value: "0.8,0.1,0.1", Usage: "`FRACTIONS` of images for train, val and test"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "`NUMBER` that fixes the split"},
			&cli.BoolFlag{Name: "strict", Usage: "fail on any warning or error"},
			&cli.BoolFlag{Name: "fix", Usage: "repair labels: fill holes, remove slivers and stray pixels"},
			&cli.StringFlag{Name: "corrections", Usage: "`ZIP` or folder of masks, ID/masks/*.png, that replace an image's own, and removed.txt with images to leave out"},
			&cli.StringFlag{Name: "sources", Usage: "CSV `FILE` with the columns id and source: the laboratory each image comes from"},
			&cli.BoolFlag{Name: "force", Usage: "replace a set prepared from other input or with other settings"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print every finding"},
		},
		Action: listening(prepare),
	}
}

// prepare is the command.
func prepare(c *cli.Context) error {
	t := term(c)
	if c.NArg() == 0 {
		return usagef("an argument is missing: the zip or folder of annotated images")
	}
	out := c.String("out")
	if out == "" {
		return usagef("--out is missing: the folder for the prepared set")
	}
	o, err := prepareOptions(c)
	if err != nil {
		return err
	}
	src, err := openSources(c.Args().Slice(), c.String("corrections"))
	if err != nil {
		return err
	}
	defer src.Close()
	bar := t.progress("preparing", "images", src.Len(), 0)
	o.Progress = func(done, _ int) { bar.update(done, "") }
	m, err := dataset.Prepare(c.Context, src, out, o)
	unchanged := errors.Is(err, dataset.ErrUnchanged)
	if err != nil && !unchanged {
		if m != nil {
			printFindings(t, m.Findings, c.Bool("verbose"))
		}
		return err
	}
	if t.json {
		return t.writeJSON(prepareResult{firstLayout, out, unchanged, m.Source, m.Settings, m.Counts, append([]dataset.Finding{}, m.Findings...)})
	}
	if unchanged && !c.Bool("verbose") {
		t.notef("%s, as before", count(len(m.Findings), "finding"))
	} else {
		printFindings(t, m.Findings, c.Bool("verbose"))
	}
	if err := printCounts(t, m); err != nil {
		return err
	}
	if unchanged {
		t.printf("nothing changed: %s already holds this set\n", out)
		return nil
	}
	t.printf("set written to %s\n", out)
	switch {
	case m.Counts.Splits[dataset.Val] == 0:
		t.warnf("no image is left for validation: the set can be scored, but not trained on, which takes two images at least of different fields, and a share for each (--split 0.8,0.1,0.1)")
	case m.Settings.Size > 0:
		t.notef("next: unet train %s --kind paper --out RUN", out)
	default:
		t.notef("next: unet train %s --out RUN", out)
	}
	return nil
}

// prepareOptions reads the options that decide what the set is.
func prepareOptions(c *cli.Context) (o dataset.Options, err error) {
	o = dataset.Options{Seed: c.Uint64("seed"), Strict: c.Bool("strict"), Fix: c.Bool("fix"), Force: c.Bool("force")}
	if o.Size, err = parseSide(c.String("size")); err != nil {
		return o, err
	}
	if o.Fractions, err = parseFractions(c.String("split")); err != nil {
		return o, err
	}
	if name := c.String("sources"); name != "" {
		o.Sources, err = dataset.ReadSources(name)
	}
	return o, err
}

// printCounts tells what is in a set, by split and by source.
func printCounts(t *terminal, m *dataset.Metadata) error {
	if err := t.table(splitTable(m)); err != nil {
		return err
	}
	t.printf("\n")
	if err := t.table(sourceTable(m)); err != nil {
		return err
	}
	size := "their own sizes"
	if m.Settings.Size > 0 {
		size = fmt.Sprintf("%dx%d pixels", m.Settings.Size, m.Settings.Size)
	}
	t.printf("\n%s at %s with %s in %s, %d left out\n", count(m.Counts.Images, "image"), size,
		plural(m.Counts.Nuclei, "nucleus", "nuclei"), count(m.Counts.Groups, "group"), m.Counts.Without())
	return nil
}

// parseSide reads --size: 0 stands for native.
func parseSide(s string) (int, error) {
	if s == "native" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 16 || n > 8192 {
		return 0, usagef("--size %q: a number of pixels from 16 to 8192, or native", s)
	}
	return n, nil
}

// parseFractions reads --split: three fractions.
func parseFractions(s string) (dataset.Fractions, error) {
	wrong := func() (dataset.Fractions, error) {
		return dataset.Fractions{}, usagef("--split %q: three fractions that sum to 1, such as 0.8,0.1,0.1", s)
	}
	parts := strings.Split(s, ",")
	if len(parts) != 3 {
		return wrong()
	}
	var v [3]float64
	sum := 0.0
	for i, p := range parts {
		x, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || !(x >= 0 && x <= 1) {
			return wrong()
		}
		v[i], sum = x, sum+x
	}
	if sum < 0.9999 || sum > 1.0001 || v[0] == 0 {
		return wrong()
	}
	return dataset.Fractions{Train: v[0], Val: v[1], Test: v[2]}, nil
}

// splitTable is the number of images of each kind in each split.
func splitTable(m *dataset.Metadata) *report.Table {
	t := &report.Table{Columns: []report.Column{{Name: "kind"}, {Name: "train", Numeric: true}, {Name: "val", Numeric: true},
		{Name: "test", Numeric: true}, {Name: "images", Numeric: true}, {Name: "nuclei", Numeric: true}}}
	nuclei, all := map[string]int{}, 0
	for _, e := range m.Entries {
		nuclei[e.Kind] += e.Nuclei
		all += e.Nuclei
	}
	for _, k := range dataset.Kinds {
		if m.Counts.Kinds[k] == 0 {
			continue
		}
		row := m.Counts.Table[k]
		t.Add(k, strconv.Itoa(row[dataset.Train]), strconv.Itoa(row[dataset.Val]), strconv.Itoa(row[dataset.Test]),
			strconv.Itoa(m.Counts.Kinds[k]), strconv.Itoa(nuclei[k]))
	}
	s := m.Counts.Splits
	t.Add("all", strconv.Itoa(s[dataset.Train]), strconv.Itoa(s[dataset.Val]), strconv.Itoa(s[dataset.Test]),
		strconv.Itoa(m.Counts.Images), strconv.Itoa(all))
	return t
}

// shownFindings is how many findings of one check are printed unless all are
// asked for.
const shownFindings = 3

// sourceTable counts the images of every source.
func sourceTable(m *dataset.Metadata) *report.Table {
	tab := &report.Table{Columns: []report.Column{{Name: "source"}, {Name: "images", Numeric: true}, {Name: "nuclei", Numeric: true}}}
	set := dataset.Set{Entries: m.Entries}
	images, nuclei := set.Sources(), map[string]int{}
	for _, e := range m.Entries {
		nuclei[e.Source] += e.Nuclei
	}
	for _, name := range slices.Sorted(maps.Keys(images)) {
		tab.Add(name, strconv.Itoa(images[name]), strconv.Itoa(nuclei[name]))
	}
	return tab
}

// openSources opens archives and folders as one source, and corrects it.
func openSources(names []string, corrections string) (*dataset.Source, error) {
	src, err := dataset.OpenSource(names[0])
	if err != nil {
		return nil, err
	}
	for _, name := range names[1:] {
		err = errors.Join(err, src.Join(name))
	}
	if err == nil && corrections != "" {
		err = src.Correct(corrections)
	}
	if err != nil {
		src.Close()
		return nil, err
	}
	return src, nil
}

// printFindings prints findings check by check, the worst first: a line for
// the check, then one for each finding. Errors are always printed in full.
func printFindings(t *terminal, findings []dataset.Finding, all bool) {
	type check struct {
		level dataset.Level
		code  string
	}
	var order []check
	of := map[check][]dataset.Finding{}
	for _, f := range findings {
		k := check{f.Level, f.Code}
		if of[k] == nil {
			order = append(order, k)
		}
		of[k] = append(of[k], f)
	}
	rank := map[dataset.Level]int{dataset.Error: 0, dataset.Warning: 1, dataset.Info: 2}
	slices.SortStableFunc(order, func(a, b check) int {
		if d := rank[a.level] - rank[b.level]; d != 0 {
			return d
		}
		return len(of[b]) - len(of[a])
	})
	for _, k := range order {
		list := of[k]
		images := map[string]bool{}
		for _, f := range list {
			if f.ID != "" {
				images[f.ID] = true
			}
		}
		where := ""
		if len(images) > 0 {
			where = " in " + count(len(images), "image")
		}
		t.printf("%s %s: %s%s\n", k.level, k.code, count(len(list), "finding"), where)
		for i, f := range list {
			if !all && k.level != dataset.Error && i == shownFindings && len(list) > shownFindings+1 {
				t.printf("  ... %d more (-v prints all)\n", len(list)-i)
				break
			}
			line := []rune("  " + findingText(f, all))
			if w := t.columns(); !all && w > 3 && len(line) > w {
				line = append(line[:w-3], '.', '.', '.')
			}
			t.printf("%s\n", string(line))
		}
	}
	if len(order) > 0 {
		t.printf("\n")
	}
}

// findingText is a finding without level and check. Long names are cut unless
// full.
func findingText(f dataset.Finding, full bool) string {
	cut := func(s string) string {
		if r := []rune(s); !full && len(r) > 32 {
			s = string(r[:12]) + "..."
		}
		return s
	}
	s := f.Text
	if f.File != "" {
		s = f.File[strings.LastIndexByte(f.File, '/')+1:] + ": " + s
		if full {
			s = f.File + ": " + f.Text
		}
	}
	if f.ID != "" {
		s = cut(f.ID) + " " + s
	}
	return oneLine(s)
}

// count says how many there are of something.
func count(n int, what string) string { return plural(n, what, what+"s") }
