package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet"
	"unet/unet/imageio/owned"
	"unet/unet/onnx"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name:  "import",
		Usage: "import a U-Net trained elsewhere, from ONNX",
		UsageText: "unet import FILE.onnx|PACKAGE.zip --out MODEL [options]\n" +
			"unet import --like MODEL --concat ORDER FILE.safetensors --out MODEL",
		Description: "Reads a U-Net as PyTorch (torch.onnx) or Keras (tf2onnx) exports it: 3x3\n" +
			"convolutions with ReLU, with batch-norm, group norm (16 channels a group) or none,\n" +
			"2x2 max-pools, 2x2 transposed convolutions or nearest upsampling, residual blocks,\n" +
			"attention gates, a 1x1 convolution and sigmoid. The model predicts the same maps and\n" +
			"can be trained further; a network that cannot be reproduced exactly is refused. Say\n" +
			"how its images were normalised: a graph does not record that (a bioimage.io package\n" +
			"does, and the card in a file of unet export says all).\n\n" +
			"With --like, FILE holds the bare weights of a network of the same shapes, a PyTorch\n" +
			"state dict or the weights of a Keras model by path; thresholds and normalisation are\n" +
			"those of MODEL. Check the list of what was matched.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "model `FILE` to write (.safetensors)"},
			&cli.StringFlag{Name: "heads", Usage: "`NAMES` of the maps in order: foreground, border, distance", DefaultText: "from the names of the outputs; a single map is foreground"},
			&cli.BoolFlag{Name: "logits", Usage: "the outputs are logits: the sigmoid is not part of the graph"},
			&cli.StringFlag{Name: "normalise", Value: "range", Usage: "`HOW` samples were normalised: range (divided by the largest value of their type) or percentile"},
			&cli.Float64Flag{Name: "low", Value: 1, Usage: "`PERCENTILE` that becomes 0"},
			&cli.Float64Flag{Name: "high", Value: 99.8, Usage: "`PERCENTILE` that becomes 1"},
			&cli.Float64Flag{Name: "scale", Value: 1, Usage: "`VALUE` that the network takes for a normalised sample of 1; 255 if it was trained on 0 to 255"},
			&cli.IntFlag{Name: "size", Usage: "`SIDE` in pixels of the square to which images were resized in training", DefaultText: "native scale"},
			&cli.StringFlag{Name: "like", Usage: "FILE holds bare weights for the network of `MODEL`: a file, paper or nuclei"},
			&cli.StringFlag{Name: "concat", Usage: "`ORDER` in which the inputs of a decoder are joined, which bare weights do not show: skip,up or up,skip"},
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the model", DefaultText: "the file's"},
			forceFlag(""),
		},
		Action: importModel,
	}
}

// importModel is the command.
func importModel(c *cli.Context) error {
	t := term(c)
	file, err := oneArgument(c, "an ONNX file")
	if err != nil {
		return err
	}
	out := c.String("out")
	if out == "" {
		return usagef("--out is missing: the model file to write")
	}
	if err := owned.File(out, c.Bool("force"), file); err != nil {
		return err
	}
	if c.IsSet("like") {
		return importState(c, file, out)
	}
	if c.IsSet("concat") {
		return usagef("--concat goes with --like: a graph says how its decoders join")
	}
	o, err := importOptions(c)
	if err != nil {
		return err
	}
	read := onnx.Read
	if strings.EqualFold(filepath.Ext(file), ".zip") {
		own := c.IsSet("normalise")
		if name := firstSet(c, "scale", "size"); name != "" && !own {
			return usagef("--%s goes with --normalise here: else the package says how images are normalised", name)
		}
		read = func(file string, o onnx.Options) (*unet.Model, *onnx.Summary, error) {
			return onnx.ReadPackage(file, o, own)
		}
	}
	m, summary, err := read(file, o)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	if name := firstSet(c, slices.Concat(graphOptions, []string{"name"})...); summary.Card && name != "" {
		return withHint(usagef("--%s: %s has a model card of unet, which says it", name, file), "leave the option out")
	}
	if err := m.Save(out, false); err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(importResult{firstLayout, out, summary})
	}
	for _, note := range summary.Notes {
		t.notef("%s", note)
	}
	a := summary.Arch
	t.printf("network  depth %d, width %d, %d parameters, maps %s\n", a.Depth, a.Width, summary.Parameters, strings.Join(a.Heads, ", "))
	t.printf("%s written\n", out)
	return nil
}

// graphOptions say what a graph does not tell.
var graphOptions = []string{"heads", "logits", "normalise", "low", "high", "scale", "size"}

// firstSet is the first of some options that is given, or "".
func firstSet(c *cli.Context, names ...string) string {
	if i := slices.IndexFunc(names, c.IsSet); i >= 0 {
		return names[i]
	}
	return ""
}

// importOptions reads what a graph does not tell.
func importOptions(c *cli.Context) (onnx.Options, error) {
	o := onnx.Options{
		Logits: c.Bool("logits"), Scale: c.Float64("scale"), Name: c.String("name"),
		Input: unet.Input{Normalise: c.String("normalise"), Size: c.Int("size")},
	}
	switch o.Input.Normalise {
	case "range":
		if name := firstSet(c, "low", "high"); name != "" {
			return o, usagef("--%s goes with --normalise percentile", name)
		}
	case "percentile":
		o.Input.Low, o.Input.High = c.Float64("low"), c.Float64("high")
	default:
		return o, usagef("--normalise %q: range or percentile", o.Input.Normalise)
	}
	if !(o.Scale > 0) {
		return o, usagef("--scale %v: above 0", o.Scale)
	}
	if c.IsSet("heads") {
		for _, h := range strings.Split(c.String("heads"), ",") {
			o.Heads = append(o.Heads, strings.TrimSpace(h))
		}
	}
	return o, nil
}

// importState takes bare weights over.
func importState(c *cli.Context, file, out string) error {
	t := term(c)
	order := c.String("concat")
	if order != "skip,up" && order != "up,skip" {
		return withHint(usagef("--concat %q: the weights do not tell whether decoders join the skip connection first or last", order),
			"torch.cat([skip, x]) is --concat skip,up; torch.cat([x, skip]) is --concat up,skip")
	}
	if name := firstSet(c, graphOptions...); name != "" {
		return usagef("--%s is for ONNX files: with --like, the model named says it", name)
	}
	name := c.String("like")
	if name == unet.Paper || name == unet.Nuclei {
		name = "embedded:" + name
	}
	like, err := modelFor(name)
	if err != nil {
		return err
	}
	card := like.Card
	like.Params.Free()
	if card.Name = c.String("name"); card.Name == "" {
		card.Name = segment.Stem(filepath.Base(file))
	}
	m, matched, err := onnx.ReadState(file, card, order == "skip,up")
	if err != nil {
		return err
	}
	defer m.Params.Free()
	if err := m.Save(out, false); err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(importStateResult{firstLayout, out, matched})
	}
	for _, pair := range matched {
		t.notef("%s", fmt.Sprintf("%-40s %s", pair[0], pair[1]))
	}
	t.printf("%s written\n", out)
	return nil
}
