package dataset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// readme describes a prepared set to whoever finds its folder.
func readme(m *Metadata) string {
	var b strings.Builder
	size := "their own sizes"
	if m.Settings.Size > 0 {
		size = fmt.Sprintf("%dx%d pixels", m.Settings.Size, m.Settings.Size)
	}
	fmt.Fprintf(&b, "# Prepared set of nuclei images\n\n")
	fmt.Fprintf(&b, "%d images of %s with %d annotated nuclei, made by `unet prepare` from `%s` (%d images found, %d left out).\n\n",
		m.Counts.Images, size, m.Counts.Nuclei, m.Source.Name, m.Source.Images+m.Counts.Findings[removedCode], m.Counts.Without())
	b.WriteString(`| | |
|---|---|
| ` + "`images/ID.png`" + ` | the images, gray or RGB, 8 or 16 bits |
| ` + "`labels/ID.png`" + ` | label images of the same size: 0 is background, 1..n are the nuclei |
| ` + "`metadata.json`" + ` | each image's kind, group, split, sizes and digests; findings; statistics; settings |

Images of one group show the same field of the microscope or its neighbours
(adjacent or overlapping crops, duplicates: found by their pixels, listed under
` + "`links`" + ` in metadata.json) and are always in the same split. Images are in each split by kind, as evenly as
whole groups allow:

| kind | train | val | test | all |
|---|--:|--:|--:|--:|
`)
	row := func(name string, n map[string]int) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", name, n[Train], n[Val], n[Test], n[Train]+n[Val]+n[Test])
	}
	for _, k := range Kinds {
		if t := m.Counts.Table[k]; t != nil {
			row(k, t)
		}
	}
	row("all", m.Counts.Splits)
	b.WriteString("\nThe laboratories the images come from, told by size and look unless a table said so:\n\n| source | images |\n|---|--:|\n")
	sources := (&Set{Entries: m.Entries}).Sources()
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		fmt.Fprintf(&b, "| %s | %d |\n", name, sources[name])
	}
	fmt.Fprintf(&b, "\n%d groups; split seed %d; label fixes %s. Do not edit files here: `unet` checks their digests. Prepare the set again instead.\n",
		m.Counts.Groups, m.Settings.Seed, map[bool]string{true: "applied (logged as findings)", false: "not applied"}[m.Settings.Fix])
	return b.String()
}
