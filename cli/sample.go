package cli

import (
	"io"
	"path/filepath"
	"strings"

	"unet/unet/dataset"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/owned"

	"github.com/urfave/cli/v2"
)

func sampleCommand() *cli.Command {
	return &cli.Command{
		Name:      "sample",
		Usage:     "make synthetic annotated images for tests and first steps",
		UsageText: "unet sample --out FILE.zip [options]",
		Description: "Writes a zip in Kaggle's layout with images of all kinds: fluorescence, stained\n" +
			"tissue and gray tissue, with touching nuclei, noise and uneven light. The same seed\n" +
			"gives the same bytes. --crowded makes crowded tissue instead, with nuclei side by\n" +
			"side and on top of each other. Use the zip with unet prepare and unet inspect.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "the zip `FILE` to write"},
			&cli.IntFlag{Name: "count", Aliases: []string{"n"}, Value: 40, Usage: "`NUMBER` of images, 1 to 100000"},
			&cli.BoolFlag{Name: "crowded", Usage: "crowded tissue instead of all kinds of images in turn"},
			&cli.IntFlag{Name: "size", Value: 256, Usage: "width and height in `PIXELS`, 64 to 2048"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "`NUMBER` that fixes everything random"},
			forceFlag(""),
		},
		Action: sample,
	}
}

func sample(c *cli.Context) error {
	t := term(c)
	if c.NArg() > 0 {
		return usagef("unexpected argument %q: the file is given with --out", c.Args().First())
	}
	r := sampleResult{firstLayout, c.String("out"), c.Int("count"), c.Int("size"), c.Uint64("seed")}
	switch {
	case r.File == "":
		return usagef("--out is missing: the zip file to write")
	case !strings.EqualFold(filepath.Ext(r.File), ".zip"):
		return usagef("--out %q: the name must end in .zip", r.File)
	case r.Images < 1 || r.Images > 100_000:
		return usagef("--count %d: 1 to 100000", r.Images)
	case r.Size < 64 || r.Size > 2048:
		return usagef("--size %d: 64 to 2048", r.Size)
	}
	if err := owned.File(r.File, c.Bool("force")); err != nil {
		return err
	}
	err := atomicfile.WriteFile(r.File, func(w io.Writer) error {
		return dataset.Generate(c.Context, w, dataset.Synthesis{Count: r.Images, Size: r.Size, Seed: r.Seed, Crowded: c.Bool("crowded")})
	})
	if err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(r)
	}
	t.printf("%s of %dx%d pixels written to %s\n", count(r.Images, "image"), r.Size, r.Size, r.File)
	t.notef("next: unet prepare %s --out DIR", r.File)
	return nil
}
