package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
	"unet/unet/onnx"

	"github.com/urfave/cli/v2"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write a model for other programs, as ONNX or a bioimage.io package",
		UsageText: "unet export MODEL --onnx FILE\n" +
			"unet export MODEL --bioimageio FILE.zip --author NAME [--licence SPDX]",
		Description: "MODEL is a model file, or `embedded` for the built-in one. The ONNX file (opset 17)\n" +
			"takes a normalised image of any height and width and returns the probability maps\n" +
			"under their names; the model card in its metadata says how to normalise. A\n" +
			"bioimage.io package holds the same with test tensors and documentation, and runs in\n" +
			"ilastik, deepImageJ, QuPath and others. Both give maps; `unet predict` separates\n" +
			"nuclei from them, and so does the package's watershed.py. With --watershed it is part\n" +
			"of the package, as custom post-processing: an output of nuclei for programs that run\n" +
			"such steps (bioimageio.core does).",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "onnx", Usage: "ONNX `FILE` to write"},
			&cli.StringFlag{Name: "bioimageio", Usage: "model package to write, a zip `FILE`"},
			&cli.StringSliceFlag{Name: "author", Usage: "`NAME` of an author of the package; may be given several times"},
			&cli.StringFlag{Name: "licence", Usage: "`SPDX` identifier of the package's licence", DefaultText: "the model's"},
			&cli.BoolFlag{Name: "watershed", Usage: "with --bioimageio: an output of separated nuclei, by custom post-processing in Python"},
			forceFlag(""),
		},
		Action: export,
	}
}

func export(c *cli.Context) error {
	t := term(c)
	name, err := oneArgument(c, "a model")
	if err != nil {
		return err
	}
	out, packed := c.String("onnx"), c.String("bioimageio")
	if (out == "") == (packed == "") {
		return usagef("say what to write: --onnx FILE or --bioimageio FILE")
	}
	if packed != "" {
		out = packed
	} else if name := firstSet(c, "watershed", "author", "licence"); name != "" {
		return usagef("--%s goes with --bioimageio FILE", name)
	}
	if err := owned.File(out, c.Bool("force"), name); err != nil {
		return err
	}
	m, err := modelFor(name)
	if err != nil {
		return err
	}
	defer m.Params.Free()
	if m.Card.Precision != "" {
		t.warnf("the model is quantised: its float weights are exported, whose maps differ slightly from its own")
	}
	write := func(w io.Writer) error { return onnx.Write(w, m) }
	if packed != "" {
		p, err := describePackage(c, m)
		if err != nil {
			return err
		}
		write = func(w io.Writer) error { return onnx.WritePackage(w, m, *p) }
	}
	if err := atomicfile.WriteFile(out, write); err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(exportResult{firstLayout, out, m.Card.Arch.Heads})
	}
	t.printf("%s written\n", out)
	return nil
}

// describePackage collects what a package needs beside the model.
func describePackage(c *cli.Context, m *unet.Model) (*onnx.Package, error) {
	p := &onnx.Package{Authors: c.StringSlice("author"), Licence: c.String("licence"), Watershed: c.Bool("watershed"),
		Description: "U-Net for nuclei in microscopy images: " + strings.Join(m.Card.Arch.Heads, ", ")}
	named := cmp.Or(p.Licence, m.Card.Training.License)
	p.Licence = onnx.Licence(named)
	switch {
	case len(p.Authors) == 0:
		return nil, usagef("a package needs an author: --author NAME")
	case named == "":
		return nil, usagef("a package needs a licence: --licence SPDX")
	case p.Licence == "":
		return nil, withHint(usagef("the licence %q is none that SPDX lists", named), "give one by its identifier, such as --licence CC-BY-4.0 (spdx.org/licenses)")
	}
	e, err := newEngine(c)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	made, err := dataset.Synthesise(dataset.Synthesis{Count: 1, Size: onnx.ExampleSize(m.Card.Arch), Seed: 1})
	if err != nil {
		return nil, err
	}
	p.Example = made[0].Image
	predictor := unet.NewPredictor(e, m)
	defer predictor.Close()
	if p.Maps, err = predictor.Maps(context.WithoutCancel(c.Context), p.Example); err != nil {
		return nil, err
	}
	p.Labels = instance.Separate(p.Maps, m.Card.Instance)
	p.Documentation = packageText(m.Card, p.Watershed)
	return p, nil
}

// packageText is the documentation of a package.
func packageText(card unet.Card, watershed bool) string {
	var b strings.Builder
	in, s := card.Input, card.Instance
	fmt.Fprintf(&b, "# %s\n\nA U-Net of depth %d and width %d. It takes an image of microscopy at native scale", card.Name, card.Arch.Depth, card.Arch.Width)
	if d := card.Diameter; d[2] > 0 {
		fmt.Fprintf(&b, ", with nuclei of about %.0f to %.0f pixels across,", d[0], d[2])
	}
	fmt.Fprintf(&b, " and returns the maps %s.\n\n", strings.Join(card.Arch.Heads, ", "))
	if in.Normalise == "percentile" {
		fmt.Fprintf(&b, "Images are normalised so that percentile %g becomes 0 and percentile %g becomes 1, over all channels.\n", in.Low, in.High)
		if in.Outliers > 0 {
			b.WriteString("unet itself also bounds the upper level where a few saturated pixels lie far above the\nrest; the specification has no such step, so that maps of such images differ.\n")
		}
	} else {
		b.WriteString("Samples are divided by the largest value of their type; the package does so for 8 bits.\n")
	}
	b.WriteString("\n## From maps to nuclei\n\n")
	if watershed {
		b.WriteString("The output nuclei is made by watershed.py as custom post-processing, which a program must run on\na whole image, not on tiles. ")
	} else {
		b.WriteString("The package ends with the maps. The attached watershed.py separates nuclei; its first lines say how\nto call it. ")
	}
	fmt.Fprintf(&b, `Nuclei are separated by a watershed on the landscape
distance x (1 - %g x border) (foreground where a map is missing), within pixels whose
foreground is above %g: a peak of at least %g starts a nucleus, peaks that rise less than
%g above the saddle to a higher one belong to it, and nuclei below %d pixels are dropped:

    labels = Watershed(%s)(landscape(maps, foreground=%g, border=%g))

unet predict does the same, and unet import takes this package back.

## Training

Data: %s. Licence: %s. %d images, %d epochs.

## Validation

`, s.Border, s.Foreground, s.Seed, s.Prominence, s.MinArea, pythonArguments(s), s.Foreground, s.Border, orNone(card.Training.Data), orNone(card.Training.License), card.Training.Images, card.Training.Epochs)
	for _, k := range slices.Sorted(maps.Keys(card.Training.Metrics)) {
		fmt.Fprintf(&b, "- %s on the validation split: %.4f\n", k, card.Training.Metrics[k])
	}
	if len(card.Training.Metrics) == 0 {
		b.WriteString("No scores are recorded. ")
	}
	b.WriteString("\nCheck the model on images of your own before you rely on it: compare its nuclei with some\nthat you outlined by hand, with `unet evaluate`.\n")
	return b.String()
}

// pythonArguments are those of watershed.py's Watershed.
func pythonArguments(s instance.Params) string {
	truth := map[bool]string{true: "True", false: "False"}
	return fmt.Sprintf("seed=%g, prominence=%g, min_area=%d, fill_holes=%s, remove_edge=%s", s.Seed, s.Prominence, s.MinArea,
		truth[s.FillHoles], truth[s.RemoveEdge])
}

func orNone(s string) string {
	if s == "" {
		return "not recorded"
	}
	return s
}
