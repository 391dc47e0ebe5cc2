package cli

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"unet/core"
	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/weights"

	"github.com/urfave/cli/v2"
)

func infoCommand() *cli.Command {
	return &cli.Command{
		Name:      "info",
		Usage:     "print version, processor, chosen kernels and built-in models",
		UsageText: "unet info [MODEL]",
		Description: "With a model file, prints its card: network, training, licence, scores, and the\n" +
			"memory a prediction needs. UNET_ISA=c|avx2|avx512|neon|go forces the kernels.",
		Action: info,
	}
}

func info(c *cli.Context) error {
	t := term(c)
	if c.Args().Present() {
		return modelInfo(c)
	}
	e, err := newEngine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	r := infoResult{
		header:  firstLayout,
		Version: version(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: core.CPU(), ISA: e.ISA(), ISAs: core.ISAs(), Threads: e.Threads(),
		Models: weights.Names(),
	}
	if t.json {
		return t.writeJSON(r)
	}
	t.printf("version   %s (%s, %s)\n", r.Version, r.Go, r.System)
	t.printf("processor %s\n", r.CPU)
	t.printf("kernels   %s (available: %s)\n", r.ISA, strings.Join(r.ISAs, ", "))
	t.printf("threads   %d\n", r.Threads)
	t.printf("models    %s (default %s)\n", strings.Join(r.Models, ", "), weights.DefaultName)
	return nil
}

// modelInfo prints the card of a model.
func modelInfo(c *cli.Context) error {
	t := term(c)
	name, err := oneArgument(c, "a model")
	if err != nil {
		return err
	}
	m, err := modelFor(name)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	if t.json {
		return t.writeJSON(cardResult{firstLayout, m.Card})
	}
	card := m.Card
	t.printf("model      %s (%s)\n", cmp.Or(card.Name, "without a name"), card.Kind)
	t.printf("sha256     %s\n", m.SHA256)
	variant := ""
	for _, v := range card.Arch.Variant() {
		variant += ", " + v
	}
	t.printf("network    depth %d, width %d%s, %d parameters, maps %s\n", card.Arch.Depth, card.Arch.Width, variant,
		m.Params.Count(), strings.Join(card.Arch.Heads, ", "))
	switch {
	case card.Input.Size > 0:
		t.printf("input      resized to %d x %d\n", card.Input.Size, card.Input.Size)
	case card.Diameter[2] == 0:
		t.printf("input      native scale\n")
	default:
		t.printf("input      native scale, trained on nuclei of %.0f to %.0f pixels across\n", card.Diameter[0], card.Diameter[2])
	}
	p := card.Instance
	t.printf("thresholds mask %.4g; nuclei: foreground %g, seed %g, prominence %g, border %g, at least %d pixels\n",
		card.Threshold, p.Foreground, p.Seed, p.Prominence, p.Border, p.MinArea)
	tr := card.Training
	if tr.Date == "" { // elsewhere
		t.printf("trained    %s\n", orNone(tr.Program))
	} else {
		t.printf("trained    %s, %s, %s, %s, kernels %s\n", tr.Date, count(tr.Images, "image"), count(tr.Epochs, "epoch"), count(tr.Steps, "step"), tr.ISA)
	}
	t.printf("data       %s\nlicence    %s\n", orNone(tr.Data), orNone(tr.License))
	for _, k := range slices.Sorted(maps.Keys(tr.Metrics)) {
		t.printf("val %-12s %.4f\n", cmp.Or(formerScores[k], k), tr.Metrics[k])
	}
	for _, side := range []int{256, 1024} {
		n, err := m.Memory(side, side)
		if err != nil {
			return err
		}
		t.printf("memory     %s for an image of %d x %d\n", imageio.BytesText(int64(n)), side, side)
	}
	return nil
}

// formerScores are names of scores in the cards of older models.
var formerScores = map[string]string{"ap": "kaggle_score", "ap50": "pooled_ap50"}

// modelFor loads a model file, or a built-in model: "" is the default one and
// "embedded" too, "embedded:NAME" another.
func modelFor(name string) (*unet.Model, error) {
	switch {
	case name == "" || name == "embedded":
		return weights.Default()
	case strings.HasPrefix(name, "embedded:"):
		m, err := weights.Load(strings.TrimPrefix(name, "embedded:"))
		if err != nil {
			return nil, usagef("%v", err)
		}
		return m, nil
	}
	return unet.LoadModel(name)
}

// newEngine starts an engine as --threads and UNET_ISA say.
func newEngine(c *cli.Context) (*core.Engine, error) {
	core.SpareProcs()
	e, err := core.NewEngine("", c.Int("threads"))
	if err != nil {
		return nil, &usageErr{problem: err.Error(), command: c.Command.Name}
	}
	if e.ISA() == "go" {
		term(c).warnf("built without C kernels (CGO_ENABLED=0): correct, but many times slower")
	}
	return e, nil
}

// version returns the version of this build and, where Go recorded it, the
// commit it was built from.
func version() string {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		b = &debug.BuildInfo{}
	}
	return describeVersion(unet.Version, b)
}

func describeVersion(v string, b *debug.BuildInfo) string {
	revision, modified := "", ""
	for _, s := range b.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if revision == "" {
		return v
	}
	return fmt.Sprintf("%s (%s%s)", v, revision, modified)
}
