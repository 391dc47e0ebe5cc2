package cli

import (
	"path/filepath"
	"strings"

	"unet/unet/imageio"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
	"unet/unet/report"
	"unet/unet/segment"

	"github.com/urfave/cli/v2"
)

func viewCommand() *cli.Command {
	return &cli.Command{
		Name:      "view",
		Usage:     "draw the nuclei of a label image as a picture",
		UsageText: "unet view LABELS [IMAGE] -o FILE.png [--fill] [--ids] [--colour-by COLUMN]",
		Description: "Outlines every nucleus over the image, or over black. The colours of neighbours\n" +
			"differ, or stand for a measurement, with a legend below. Where the size of a pixel\n" +
			"is known there is a scale bar.",
		Flags: append(pageFlags(),
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "PNG `FILE` to write"},
			&cli.BoolFlag{Name: "fill", Usage: "tint the inside of nuclei"},
			&cli.BoolFlag{Name: "ids", Usage: "write its number on every nucleus that is large enough"},
			&cli.Float64Flag{Name: "scale", Value: 1, Usage: "enlarge or shrink the picture by this `FACTOR`"},
			colourFlag(""),
			pixelSizeFlag(""),
			forceFlag(""),
			memoryFlag("hold images of at most `SIZE`, such as 2GiB", ""),
		),
		Action: view,
	}
}

// view is the command.
func view(c *cli.Context) error {
	t := term(c)
	out := c.String("out")
	switch {
	case c.NArg() < 1 || c.NArg() > 2:
		return usagef("%d arguments: give a label image and perhaps its image", c.NArg())
	case out == "":
		return usagef("--out is missing: the picture to write")
	case !(c.Float64("scale") > 0 && c.Float64("scale") <= 64):
		return usagef("--scale %v: above 0, up to 64", c.Float64("scale"))
	}
	if ext := filepath.Ext(out); ext != "" && !strings.EqualFold(ext, ".png") {
		return usagef("--out %s: the picture is a PNG, its name must end in .png", out)
	}
	if err := owned.File(out, c.Bool("force"), c.Args().Slice()...); err != nil {
		return err
	}
	choice, err := imagePlanesFlags(c, c.NArg() == 2)
	if err != nil {
		return err
	}
	by, err := colourBy(c)
	if err != nil {
		return err
	}
	size, err := pixelSize(c)
	if err != nil {
		return err
	}
	memory, err := newRoom(c)
	if err != nil {
		return err
	}
	labels, labelSize, err := readLabelPlane(c.Args().First(), choice, c.NArg() == 2, memory)
	if err != nil {
		return err
	}
	var img *imageio.Image
	if c.NArg() == 2 {
		if img, err = readImagePlane(c.Args().Get(1), labels, choice, memory); err != nil {
			return err
		}
	}
	if err := memory.take(c.Args().First(), report.OverlayBytes(img, labels, c.Float64("scale"))); err != nil {
		return withHint(err, "draw it smaller with --scale, or allow more with --max-memory")
	}
	warnOfLabels(t, c.Args().First(), labels)
	measured := &imageio.Image{W: labels.W, H: labels.H}
	if img != nil {
		measured = img
	}
	for _, known := range []imageio.PixelSize{labelSize, measured.PixelSize} {
		if !size.Known() {
			size = known
		}
	}
	o := report.OverlayOptions{Fill: c.Bool("fill"), IDs: c.Bool("ids"), Scale: c.Float64("scale")}
	if by != (segment.ColourBy{}) {
		sized := *measured
		sized.PixelSize = size
		nuclei := instance.Measure(labels, &sized)
		if o.By, err = by.Colouring(instance.NewSheet(instance.SheetOptions{Channels: measured.Channels, PixelSize: size}), nuclei); err != nil {
			return withHint(usagef("--colour-by %s: %v", by, err), hintOf(err))
		}
		if text := segment.UncolouredText(o.By); text != "" {
			t.warnf("%s", text)
		}
	}
	m, err := segment.Picture(img, labels, size.X, o)
	if err != nil {
		return err
	}
	if err := imageio.WritePNG(out, m); err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(viewResult{firstLayout, out, m.Rect.Dx(), m.Rect.Dy()})
	}
	t.printf("%s\n", out)
	return nil
}

// colourFlag is the option that colours nuclei by a measurement.
func colourFlag(category string) cli.Flag {
	return &cli.StringFlag{Name: "colour-by", Aliases: []string{"color-by"}, Usage: "colour nuclei in pictures by the measurement `COLUMN`, such as area, mean_DAPI or, with the range of the colours, area:20-400", Category: category}
}

// colourBy reads that option.
func colourBy(c *cli.Context) (segment.ColourBy, error) {
	text := c.String("colour-by")
	if text == "" {
		return segment.ColourBy{}, nil
	}
	by, err := segment.ParseColourBy(text)
	if err != nil {
		return by, usagef("--colour-by %s: %v", text, err)
	}
	return by, nil
}
